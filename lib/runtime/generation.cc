#include "runtime/generation.h"

#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

#include "config/dump.h"
#include "exchange/ids.h"
#include "runtime/acceptor.h"
#include "runtime/sources.h"
#include "tls/authorities.h"
#include "tls/tickets.h"
#include "upstream/connector.h"

namespace sluice::runtime {
namespace {

using config::Problems;

class Builder {
 public:
  Builder(const config::Snapshot& snapshot, const Generation* previous, uint32_t workers, base::Micros wall,
          Problems& warnings, Sockets sockets)
      : sockets_(sockets),
        snapshot_(snapshot),
        previous_(previous),
        workers_(workers),
        wall_(wall),
        warnings_(warnings) {
    if (previous == nullptr) return;
    for (size_t i = 0; i < previous->upstreams.size(); ++i) former_.emplace(previous->upstreams[i].options->name, i);
  }

  void listener(Generation& to, uint32_t index) {
    auto made = std::make_shared<Listening>();
    made->index = index;
    made->options = snapshot_.listeners[index];
    const Listening* const before = former_listener(made->options.name);
    if (made->options.max_connections_per_client != 0) {
      const bool kept = before != nullptr && before->per_client != nullptr;
      made->per_client = kept ? before->per_client : limiter_of(exchange::ConcurrencyLimiter::keys_max);
    }
    if (made->options.tls) made->tls = server_context(made->options, before);
    for (const config::ListenAddress& address : snapshot_.listeners[index].addresses) {
      if (sockets_ == Sockets::none) break;
      if (auto socket = socket_of(address, made->options.unix_mode)) made->sockets.push_back(std::move(socket));
    }
    to.listeners.push_back(std::move(made));
  }

  void upstream(Generation& to, uint32_t index) {
    const upstream::UpstreamOptions& options = snapshot_.upstreams[index];
    const Backing* const before = former_upstream(options.name);
    Backing made;
    made.shared = before != nullptr ? before->shared : shared_upstream(options);
    upstream::Way way{options.protocol, options.proxy_protocol, options.source_addresses, nullptr};
    if (options.tls) client_context(options, before, made, way);
    made.way =
        before != nullptr && *before->way == way ? before->way : std::make_shared<const upstream::Way>(std::move(way));
    made.options = before != nullptr && *before->options == options
                       ? before->options
                       : std::make_shared<const upstream::UpstreamOptions>(options);
    if (options.pool.min_idle != 0) to.warm.push_back(index);
    to.index.emplace(made.shared.get(), index);
    to.upstreams.push_back(std::move(made));
  }

  // What clients owe is kept while a route of that name counts as it did. With other numbers it begins anew: a debt of
  // the old limit says nothing about the new one.
  void rate_limiters(Generation& to) {
    std::unordered_map<std::string_view, const std::shared_ptr<exchange::RateLimiter>*> before;
    for (size_t i = 0; previous_ != nullptr && i < previous_->rate_limiters.size(); ++i) {
      if (previous_->rate_limiters[i] != nullptr)
        before.emplace(previous_->snapshot->routes[i].name, &previous_->rate_limiters[i]);
    }
    for (const route::RouteOptions& route : snapshot_.routes) {
      auto& made = to.rate_limiters.emplace_back();
      if (!route.rate_limit) continue;
      const auto it = before.find(route.name);
      if (it != before.end() && (*it->second)->counts_as(*route.rate_limit)) {
        made = *it->second;
      } else {
        exchange::Random random = exchange::Random::from_system();
        const base::KeyedHash hash(random.next(), random.next());
        made = std::make_shared<exchange::RateLimiter>(*route.rate_limit, hash);
      }
    }
  }

  // What is open stays counted while a route of that name tells its clients apart as it did, whatever the number.
  void concurrency_limiters(Generation& to) {
    std::unordered_map<std::string_view, size_t> before;
    for (size_t i = 0; previous_ != nullptr && i < previous_->concurrency_limiters.size(); ++i) {
      if (previous_->concurrency_limiters[i] != nullptr) before.emplace(previous_->snapshot->routes[i].name, i);
    }
    for (const route::RouteOptions& route : snapshot_.routes) {
      auto& made = to.concurrency_limiters.emplace_back();
      if (!route.concurrency_limit) continue;
      const route::ConcurrencyLimit& limit = *route.concurrency_limit;
      const auto it = before.find(route.name);
      if (it != before.end()) {
        const route::ConcurrencyLimit& former = *previous_->snapshot->routes[it->second].concurrency_limit;
        if (former.key == limit.key && former.key_name == limit.key_name)
          made = previous_->concurrency_limiters[it->second];
      }
      if (made == nullptr)
        made = limiter_of(limit.key == route::RateKey::route ? 1 : exchange::ConcurrencyLimiter::keys_max);
    }
  }

  // Each file once, whoever names it; read anew whenever a configuration is loaded.
  void error_pages(Generation& to) {
    for (const config::ListenerOptions& listener : snapshot_.listeners)
      to.listener_pages.push_back(pages_of(listener.error_pages));
    for (const route::RouteOptions& route : snapshot_.routes) to.route_pages.push_back(pages_of(route.error_pages));
  }

  // Which open socket each address goes on with: one is known by its address, whatever its listener is called and where
  // it stands. An address that may be there more than once (port 0) goes first to the listener that had it.
  void keep_sockets() {
    if (previous_ == nullptr) return;
    for (const config::ListenerOptions& listener : snapshot_.listeners)
      keep_sockets(listener, former_listener(listener.name));
    for (const config::ListenerOptions& listener : snapshot_.listeners) {
      for (const auto& old : previous_->listeners) keep_sockets(listener, old.get());
    }
  }

  // The last step, when nothing else has failed. What fails here leaves all modes as they were.
  void set_modes() {
    for (auto it = modes_.begin(); it != modes_.end() && problems.empty(); ++it) {
      auto done = net::set_unix_mode(it->address, it->after);
      if (done) continue;
      problems.push_back(std::move(done.error()));
      while (it != modes_.begin()) {
        --it;
        static_cast<void>(
            net::set_unix_mode(it->address, it->before));  // it was possible a moment ago; the problem is told already
      }
      return;
    }
  }

  Problems problems;

 private:
  exchange::ErrorPages pages_of(const std::vector<route::ErrorPageFile>& files) {
    exchange::ErrorPages pages;
    for (const route::ErrorPageFile& one : files) {
      const auto [it, fresh] = pages_.try_emplace(one.file);
      if (fresh) take(exchange::load_error_page(one.file), it->second);
      pages.add(one.status, it->second);
    }
    return pages;
  }

  static std::shared_ptr<exchange::ConcurrencyLimiter> limiter_of(size_t keys) {
    exchange::Random random = exchange::Random::from_system();
    const base::KeyedHash hash(random.next(), random.next());
    return std::make_shared<exchange::ConcurrencyLimiter>(keys, hash);
  }

  template <class T>
  void take(base::Result<T>&& result, T& to) {
    if (result) {
      to = std::move(*result);
    } else {
      problems.push_back(std::move(result.error()));
    }
  }

  // Neither the upstreams of one process nor those of a fleet begin their turns at the same endpoint. Nobody shares it
  // yet, so its first set is made here, not on control's loop; that of names follows what DNS says.
  std::shared_ptr<upstream::SharedUpstream> shared_upstream(const upstream::UpstreamOptions& options) const {
    const uint64_t first_turn = std::hash<std::string>{}(options.name) + static_cast<uint64_t>(wall_.count);
    auto made = std::make_shared<upstream::SharedUpstream>(options.name, workers_, first_turn);
    made->set_outlier(options.outlier);
    if (!has_names(options)) {
      made->set_endpoints(fixed_endpoints(options), options.panic_threshold, upstream::Newcomers::at_full_weight, {},
                          options.balance);
    }
    return made;
  }

  std::shared_ptr<const tls::ServerContext> server_context(const config::ListenerOptions& options,
                                                           const Listening* before) {
    tls::ServerContext::Setup setup;
    setup.listener = options.name;
    for (const http::Protocol protocol : options.protocols) setup.alpn.emplace_back(alpn_of(protocol));
    setup.previous = before == nullptr ? nullptr : before->tls.get();
    setup.wall = wall_;
    std::shared_ptr<const tls::ServerContext> made;
    take(tls::ServerContext::load(*options.tls, setup, warnings_), made);
    return made;
  }

  void keep_sockets(const config::ListenerOptions& listener, const Listening* old) {
    if (old == nullptr) return;
    for (const config::ListenAddress& address : listener.addresses) {
      if (kept_.contains(&address)) continue;
      for (size_t i = 0; i < old->sockets.size(); ++i) {
        if (old->options.addresses[i].parsed != address.parsed || !used_.insert(old->sockets[i].get()).second) continue;
        kept_.emplace(&address, old->sockets[i]);
        if (old->options.unix_mode != listener.unix_mode)
          modes_.push_back({address.parsed, old->options.unix_mode, listener.unix_mode});
        break;
      }
    }
  }

  // The one that goes on, or a new one.
  std::shared_ptr<ListenSocket> socket_of(const config::ListenAddress& address, uint32_t unix_mode) {
    if (const auto it = kept_.find(&address); it != kept_.end()) return it->second;
    std::shared_ptr<ListenSocket> made;
    take(ListenSocket::open(address.parsed, workers_, {.unix_mode = unix_mode}), made);
    return made;
  }

  const Listening* former_listener(const std::string& name) const {
    if (previous_ == nullptr) return nullptr;
    const auto it = std::ranges::find_if(previous_->listeners, [&](const auto& l) { return l->options.name == name; });
    return it == previous_->listeners.end() ? nullptr : it->get();
  }

  const Backing* former_upstream(std::string_view name) const {
    const auto it = former_.find(name);
    return it == former_.end() ? nullptr : &previous_->upstreams[it->second];
  }

  // The context before goes on while nothing of it changed: connections made with it stay.
  void client_context(const upstream::UpstreamOptions& options, const Backing* before, Backing& to,
                      upstream::Way& way) {
    to.tls_files = identity(options.tls->ca.empty() ? tls::system_authorities() : options.tls->ca) +
                   identity(options.tls->cert) + identity(options.tls->key);
    if (before != nullptr && before->options->tls == options.tls && before->options->protocol == options.protocol &&
        before->tls_files == to.tls_files) {
      way.tls = before->way->tls;
      return;
    }
    take(tls::ClientContext::load(*options.tls, upstream::alpn_of(options.protocol), wall_, warnings_), way.tls);
  }

  // Changes when the file is replaced or written.
  static std::string identity(const std::string& file) {
    struct stat facts{};
    if (file.empty() || ::stat(file.c_str(), &facts) != 0) return "-;";
    return fmt::format("{}.{}.{}.{};", facts.st_ino, facts.st_size, facts.st_mtim.tv_sec, facts.st_mtim.tv_nsec);
  }

  Sockets sockets_;
  const config::Snapshot& snapshot_;
  const Generation* previous_;
  uint32_t workers_;
  base::Micros wall_;
  Problems& warnings_;
  std::unordered_map<std::string_view, size_t> former_;  // upstreams of `previous_`, by name
  std::map<const config::ListenAddress*, std::shared_ptr<ListenSocket>> kept_;
  std::set<const ListenSocket*> used_;  // by kept_
  struct Mode {
    net::Address address;
    uint32_t before = 0;
    uint32_t after = 0;
  };
  std::unordered_map<std::string_view, exchange::ErrorPagePtr> pages_;  // by file
  std::vector<Mode> modes_;  // of kept ones, that change
};

std::shared_ptr<const metrics::RequestLabels> labels_of(const config::Snapshot& snapshot) {
  auto labels = std::make_shared<metrics::RequestLabels>();
  for (const auto& listener : snapshot.listeners) labels->listeners.push_back(listener.name);
  for (const auto& route : snapshot.routes) labels->routes.push_back(route.name);
  // In the order of http::Method; the last one stands for whatever comes beyond.
  labels->methods = {"other", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "other"};
  return labels;
}

// FNV-1a: not against anybody, but alike everywhere.
std::string hash_of(const config::Snapshot& snapshot) {
  std::uint64_t hash = 0xcbf2'9ce4'8422'2325;
  for (const char c : config::dump(snapshot)) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100'0000'01b3;
  return fmt::format("{:016x}", hash);
}

}  // namespace

std::expected<GenerationPtr, Problems> build_generation(const config::Loaded& loaded, const Generation* previous,
                                                        uint32_t workers, base::Micros wall, Problems& warnings,
                                                        Sockets sockets, std::vector<config::Waiting> waiting) {
  auto made = std::make_shared<Generation>();
  made->waiting = std::move(waiting);
  made->snapshot = loaded.snapshot;
  made->labels = labels_of(*loaded.snapshot);
  made->hash = hash_of(*loaded.snapshot);
  made->log_plan = std::make_unique<const exchange::LogPlan>(loaded.snapshot->access_log);
  Builder builder(*loaded.snapshot, previous, workers, wall, warnings, sockets);
  auto router = route::Router::build(loaded.snapshot->routes);
  if (router) {
    made->router = std::move(*router);
  } else {
    builder.problems.push_back(std::move(router.error()));
  }
  builder.keep_sockets();
  for (uint32_t i = 0; i < loaded.snapshot->listeners.size(); ++i) builder.listener(*made, i);
  for (uint32_t i = 0; i < loaded.snapshot->upstreams.size(); ++i) builder.upstream(*made, i);
  builder.rate_limiters(*made);
  builder.concurrency_limiters(*made);
  builder.error_pages(*made);
  if (builder.problems.empty()) builder.set_modes();
  if (!builder.problems.empty()) return std::unexpected(std::move(builder.problems));
  return made;
}

config::FileChecks file_checks(base::Micros wall) {
  config::FileChecks checks;
  checks.certificate = [wall](const tls::CertificateFiles& files) {
    tls::ServerTlsOptions options;
    options.certificates = {files};
    return tls::verify_files(options, wall);
  };
  checks.authorities = [wall](const std::string& file) {
    tls::ClientTlsOptions options;
    options.ca = file;
    return tls::verify_files(options, wall);
  };
  checks.ticket_keys = [](const std::string& file) {
    tls::Findings findings;
    auto keys = tls::Tickets::from_file(file, findings);
    if (!keys) findings.push_back(std::move(keys.error()));
    return findings;
  };
  checks.error_page = [](const std::string& file) {
    const auto page = exchange::load_error_page(file);
    return page ? Problems{} : Problems{page.error()};
  };
  return checks;
}

}  // namespace sluice::runtime

#include "runtime/generation.h"

#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include "tls/authorities.h"
#include "tls/tickets.h"

namespace sluice::runtime {
namespace {

using config::Problems;

class Builder {
 public:
  Builder(const config::Snapshot& snapshot, const Generation* previous, uint32_t workers, base::Micros wall, Problems& warnings,
          Sockets sockets)
      : sockets_(sockets), snapshot_(snapshot), previous_(previous), workers_(workers), wall_(wall), warnings_(warnings) {}

  void listener(Generation& to, uint32_t index) {
    auto made = std::make_shared<Listening>();
    made->index = index;
    made->options = snapshot_.listeners[index];
    const Listening* const before = former_listener(made->options.name);
    if (made->options.tls) made->tls = server_context(made->options, before);
    for (const config::ListenAddress& address : made->options.addresses) {
      if (sockets_ == Sockets::none) break;
      if (auto socket = socket_of(address, before)) made->sockets.push_back(std::move(socket));
    }
    to.listeners.push_back(std::move(made));
  }

  void upstream(Generation& to, uint32_t index) {
    const upstream::UpstreamOptions& options = snapshot_.upstreams[index];
    const std::optional<size_t> before = former_upstream(options.name);
    Backing made;
    made.shared = before ? previous_->upstreams[*before].shared : shared_upstream(options.name);
    upstream::Way way{options.protocol, options.proxy_protocol, options.source_addresses, nullptr};
    if (options.tls) client_context(options, before, made, way);
    const bool stays = before && *previous_->upstreams[*before].way == way;
    made.way = stays ? previous_->upstreams[*before].way : std::make_shared<const upstream::Way>(std::move(way));
    to.upstreams.push_back(std::move(made));
  }

  Problems problems;

 private:
  template <class T>
  void take(base::Result<T>&& result, T& to) {
    if (result) {
      to = std::move(*result);
    } else {
      problems.push_back(std::move(result.error()));
    }
  }

  // Neither the upstreams of one process nor those of a fleet begin their turns at the same endpoint.
  std::shared_ptr<upstream::SharedUpstream> shared_upstream(const std::string& name) const {
    const uint64_t first_turn = std::hash<std::string>{}(name) + static_cast<uint64_t>(wall_.count);
    return std::make_shared<upstream::SharedUpstream>(name, workers_, first_turn);
  }

  std::shared_ptr<const tls::ServerContext> server_context(const config::ListenerOptions& options, const Listening* before) {
    tls::ServerContext::Setup setup;
    setup.listener = options.name;
    for (const http::Protocol protocol : options.protocols) setup.alpn.emplace_back(alpn_name(protocol));
    setup.previous = before == nullptr ? nullptr : before->tls.get();
    setup.wall = wall_;
    std::shared_ptr<const tls::ServerContext> made;
    take(tls::ServerContext::load(*options.tls, setup, warnings_), made);
    return made;
  }

  // The open socket of that address, from the generation before or newly opened. Each goes to one listener only, and first to
  // the one of the same name: an address may be written twice ("127.0.0.1:0").
  std::shared_ptr<ListenSocket> socket_of(const config::ListenAddress& address, const Listening* before) {
    std::shared_ptr<ListenSocket> made = before == nullptr ? nullptr : unused_socket(*before, address);
    if (made == nullptr && previous_ != nullptr) {
      for (const auto& listening : previous_->listeners) {
        const bool stays =
            std::ranges::find(snapshot_.listeners, listening->options.name, &config::ListenerOptions::name) != snapshot_.listeners.end();
        if (!stays && made == nullptr) made = unused_socket(*listening, address);
      }
    }
    if (made == nullptr) take(ListenSocket::open(address.parsed, workers_, previous_ == nullptr ? Probe::yes : Probe::no), made);
    used_.push_back(made);
    return made;
  }

  std::shared_ptr<ListenSocket> unused_socket(const Listening& of, const config::ListenAddress& address) const {
    for (size_t i = 0; i < of.sockets.size(); ++i) {
      const bool same = of.options.addresses[i].parsed == address.parsed;
      if (same && std::ranges::find(used_, of.sockets[i]) == used_.end()) return of.sockets[i];
    }
    return nullptr;
  }

  const Listening* former_listener(const std::string& name) const {
    if (previous_ == nullptr) return nullptr;
    const auto it = std::ranges::find_if(previous_->listeners, [&](const auto& l) { return l->options.name == name; });
    return it == previous_->listeners.end() ? nullptr : it->get();
  }

  std::optional<size_t> former_upstream(const std::string& name) const {
    if (previous_ == nullptr) return std::nullopt;
    const auto& all = previous_->snapshot->upstreams;
    const auto it = std::ranges::find(all, name, &upstream::UpstreamOptions::name);
    if (it == all.end()) return std::nullopt;
    return static_cast<size_t>(it - all.begin());
  }

  // The context before goes on while nothing of it changed: connections made with it stay.
  void client_context(const upstream::UpstreamOptions& options, std::optional<size_t> before, Backing& to, upstream::Way& way) {
    to.tls_files = identity(options.tls->ca.empty() ? tls::system_authorities() : options.tls->ca) + identity(options.tls->cert) +
                   identity(options.tls->key);
    if (before) {
      const upstream::UpstreamOptions& old = previous_->snapshot->upstreams[*before];
      const Backing& backing = previous_->upstreams[*before];
      if (old.tls == options.tls && old.protocol == options.protocol && backing.tls_files == to.tls_files) {
        way.tls = backing.way->tls;
        return;
      }
    }
    const std::vector<std::string> alpn = protocols(options.protocol);
    take(tls::ClientContext::load(*options.tls, alpn, wall_, warnings_), way.tls);
  }

  // Changes when the file is replaced or written.
  static std::string identity(const std::string& file) {
    struct stat facts{};
    if (file.empty() || ::stat(file.c_str(), &facts) != 0) return "-;";
    return fmt::format("{}.{}.{}.{};", facts.st_ino, facts.st_size, facts.st_mtim.tv_sec, facts.st_mtim.tv_nsec);
  }

  static std::string_view alpn_name(http::Protocol protocol) { return protocol == http::Protocol::http2 ? "h2" : "http/1.1"; }

  static std::vector<std::string> protocols(upstream::Protocol protocol) {
    switch (protocol) {
      case upstream::Protocol::http1: return {};   // no ALPN: some servers refuse what they do not know
      case upstream::Protocol::http2: return {"h2"};
      case upstream::Protocol::any: return {"h2", "http/1.1"};
    }
    return {};
  }

  Sockets sockets_;
  const config::Snapshot& snapshot_;
  const Generation* previous_;
  uint32_t workers_;
  base::Micros wall_;
  Problems& warnings_;
  std::vector<std::shared_ptr<ListenSocket>> used_;
};

}  // namespace

std::expected<GenerationPtr, Problems> build_generation(const config::Loaded& loaded, const Generation* previous, uint32_t workers,
                                                        base::Micros wall, Problems& warnings, Sockets sockets) {
  auto made = std::make_shared<Generation>();
  made->snapshot = loaded.snapshot;
  Builder builder(*loaded.snapshot, previous, workers, wall, warnings, sockets);
  auto router = route::Router::build(loaded.snapshot->routes);
  if (router) {
    made->router = std::move(*router);
  } else {
    builder.problems.push_back(std::move(router.error()));
  }
  for (uint32_t i = 0; i < loaded.snapshot->listeners.size(); ++i) builder.listener(*made, i);
  for (uint32_t i = 0; i < loaded.snapshot->upstreams.size(); ++i) builder.upstream(*made, i);
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
  return checks;
}

}  // namespace sluice::runtime

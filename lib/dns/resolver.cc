#include "dns/resolver.h"

#include <ares.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/list.h"
#include "base/log.h"
#include "dns/channel.h"
#include "dns/directory.h"
#include "dns/order.h"
#include "dns/system_files.h"
#include "net/timer.h"

namespace sluice::dns {

// One lookup: attempts one after another, each on a channel of its own.
class Search final : public Lookup, public net::Runnable, public base::ListHook<class WaitTag> {
 public:
  Search(Resolver::Impl& resolver, std::string name, Type type, Queries::Asker& asker)
      : resolver_(resolver), name_(std::move(name)), type_(type), asker_(asker) {}
  ~Search() override;

  void start();
  void begin();          // a slot is ours
  bool running = false;

 private:
  void run() override;   // the answer is there, or the attempt has ended
  void on_timeout();
  void attempt();
  void end_attempt(Outcome outcome);
  bool another_attempt(Outcome outcome);
  void end();

  Resolver::Impl& resolver_;
  const std::string name_;
  const Type type_;
  Queries::Asker& asker_;
  Reply reply_;
  bool ended_ = false;
  std::uint32_t attempts_ = 0;
  std::size_t server_ = 0, first_server_ = 0, servers_ = 0;   // asked now; asked first; how many there were then
  std::unique_ptr<Channel> channel_;
  net::Timer timer_{this, net::timer_call<&Search::on_timeout>};
};

class Resolver::Impl {
 public:
  Impl(net::Loop& on, ResolverFiles files)
      : loop(on), hosts_(std::move(files.hosts)), resolv_conf_(std::move(files.resolv_conf)) {
    CHECK(ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS);
  }
  ~Impl() {
    CHECK(running_ == 0 && waiting_.empty());
    ares_library_cleanup();
  }

  void configure(const DnsOptions& to) {
    options = to;
    configured_.clear();
    for (const std::string& text : to.servers) {
      if (const auto address = net::Address::parse(text)) {
        configured_.push_back(*address);
      } else {
        base::error("dns: server \"{}\" is not asked: {}", text, address.error().message);
      }
    }
    preferred_ = 0;
  }

  const std::vector<net::Address>& servers() {
    if (!options.servers.empty()) return configured_;
    if (const auto text = resolv_conf_.changed()) {
      system_ = parse_resolv_conf(*text);
      preferred_ = 0;
    }
    return system_;
  }

  // The server to begin with: the first, and when it fails the next one, until that fails.
  std::size_t preferred() const { return preferred_; }
  void failed(std::size_t server, std::size_t count) {
    if (server == preferred_) preferred_ = (server + 1) % count;
  }

  void enter(Search& search) {
    if (running_ == lookups_at_once_max) {
      waiting_.push_back(search);
      return;
    }
    ++running_;
    search.running = true;
    search.begin();
  }
  void leave(Search& search) {
    if (!std::exchange(search.running, false)) return;
    --running_;
    if (Search* const next = waiting_.front()) {
      next->base::ListHook<WaitTag>::unlink();
      enter(*next);
    }
  }

  // From /etc/hosts, or a name that is always this host (RFC 6761 6.3); nullopt: ask.
  std::optional<Answer> local_answer(const std::string& name, Type type) {
    if (type == Type::srv) return {};
    std::vector<net::Address> all;
    if (const auto* const found = hosts_.find(name)) {
      all = *found;
    } else if (name == "localhost" || name.ends_with(".localhost")) {
      all = {*net::Address::parse_ip("127.0.0.1"), *net::Address::parse_ip("::1")};
    } else {
      return {};
    }
    const auto family = type == Type::a ? net::Address::Family::ipv4 : net::Address::Family::ipv6;
    std::erase_if(all, [family](const net::Address& a) { return a.family() != family; });
    std::sort(all.begin(), all.end(), address_before);
    all.erase(std::unique(all.begin(), all.end()), all.end());
    Answer answer;
    answer.outcome = all.empty() ? Outcome::empty : Outcome::ok;
    answer.addresses = std::move(all);
    answer.canonical_name = name;
    answer.ttl = static_cast<std::uint32_t>(hosts_ttl.count / 1000);
    answer.negative_ttl = answer.ttl;
    return answer;
  }

  net::Loop& loop;
  DnsOptions options;

 private:
  std::vector<net::Address> configured_, system_;
  HostsFile hosts_;
  WatchedFile resolv_conf_;
  std::size_t preferred_ = 0;
  std::uint32_t running_ = 0;
  base::List<Search, WaitTag> waiting_;
};

Search::~Search() { resolver_.leave(*this); }

void Search::start() {
  reply_.started = reply_.asked = reply_.ended = resolver_.loop.now();
  if (auto local = resolver_.local_answer(name_, type_)) {
    reply_.outcome = local->outcome;
    reply_.answer = std::move(*local);
    reply_.server = "/etc/hosts";
    end();
    return;
  }
  resolver_.enter(*this);
}

void Search::begin() {
  reply_.started = reply_.asked = resolver_.loop.now();
  servers_ = resolver_.servers().size();
  if (servers_ == 0) {
    reply_.outcome = Outcome::unreachable;
    end();
    return;
  }
  first_server_ = resolver_.preferred() % servers_;
  attempt();
}

void Search::attempt() {
  const auto& servers = resolver_.servers();
  server_ = (first_server_ + attempts_) % std::max<std::size_t>(servers.size(), 1);
  ++attempts_;
  if (servers.empty()) {  // they have gone meanwhile
    end_attempt(Outcome::unreachable);
    return;
  }
  reply_.asked = resolver_.loop.now();
  reply_.server = servers[server_].text();
  timer_.arm(resolver_.loop, resolver_.options.timeout);
  channel_ = std::make_unique<Channel>(resolver_.loop, servers[server_], name_, type_, *this);
}

void Search::run() {
  if (ended_) {
    asker_.on_reply(reply_);  // may destroy us
  } else if (channel_ != nullptr && channel_->done()) {
    end_attempt(channel_->outcome());
  }
}

void Search::on_timeout() {
  if (channel_->done()) return;  // run() is under way
  end_attempt(Outcome::timeout);
}

void Search::end_attempt(Outcome outcome) {
  timer_.disarm();
  reply_.outcome = outcome;
  reply_.answer = {};
  if (channel_ != nullptr) {
    if (channel_->done()) reply_.answer = channel_->answer();
    for (std::size_t i = 0; i < ignored_reasons; ++i) reply_.ignored[i] += channel_->ignored()[i];
    channel_.reset();
  }
  if (failed(outcome) && servers_ != 0) resolver_.failed(server_, servers_);
  if (another_attempt(outcome)) {
    attempt();
  } else {
    end();
  }
}

// A server that was silent may have lost a datagram: the next one is asked, or the same again. One that answered with
// an error would do so again, so then only others are asked, each once.
bool Search::another_attempt(Outcome outcome) {
  if (!failed(outcome) || attempts_ >= resolver_.options.attempts) return false;
  return outcome == Outcome::timeout || attempts_ < servers_;
}

void Search::end() {
  reply_.ended = resolver_.loop.now();
  ended_ = true;
  resolver_.leave(*this);
  resolver_.loop.run_later(*this);
}

Resolver::Resolver(net::Loop& loop, ResolverFiles files) : impl_(std::make_unique<Impl>(loop, std::move(files))) {}
Resolver::~Resolver() = default;
void Resolver::configure(const DnsOptions& options) { impl_->configure(options); }

std::unique_ptr<Lookup> Resolver::ask(std::string_view name, Type type, Asker& asker) {
  auto search = std::make_unique<Search>(*impl_, std::string(name), type, asker);
  search->start();
  return search;
}

std::string library_version() { return std::string("c-ares ") + ares_version(nullptr); }

}  // namespace sluice::dns

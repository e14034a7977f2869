#include "story.h"

#include <fmt/format.h>

#include <cstdio>
#include <utility>

#include "tls_client.h"

namespace sluice::house {
namespace {

constexpr uint64_t event_salt = 0x9E3779B97F4A7C15;
constexpr base::Millis short_pause = base::millis(300);
constexpr base::Millis longest_pause = base::seconds(5);
constexpr base::Millis after_the_end = base::minutes(5);   // everything that was left has ended by then
constexpr size_t clients_max = 256;
constexpr uint32_t storm_most = 30;
constexpr uint32_t crowd = 150;

constexpr std::string_view h2_hello = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
constexpr std::string_view proxy_line = "PROXY TCP4 192.0.2.9 192.0.2.1 5000 80\r\n";
constexpr std::string_view answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
constexpr std::string_view switching =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

net::Address address_of(uint32_t host) { return net::Address::ipv4(0x0A000000 + host, 80); }

std::string request_of(support::Random& random) {
  const uint64_t path = random.below(4);
  switch (random.below(4)) {
    case 0: return fmt::format("POST /{} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhalf", path);
    case 1:
      return fmt::format("GET /{} HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", path);
    default: return fmt::format("GET /{} HTTP/1.1\r\nHost: a.test\r\n\r\n", path);
  }
}

constexpr std::string_view connection("\0\0\0\0", 4);   // stream 0

using OnEvent = std::function<void(support::ScriptedPeer&)>;

// A frame of HTTP/2 without payload, or with the one given (RFC 9113 4.1).
std::string frame(uint8_t type, uint8_t flags, std::string_view id, std::string_view payload = {}) {
  const char head[] = {0, 0, static_cast<char>(payload.size()), static_cast<char>(type), static_cast<char>(flags)};
  return std::string(head, sizeof head) + std::string(id) + std::string(payload);
}

// Answers every HEADERS with 200 (HPACK: index 8) and the end of the stream, unless `silent`; acknowledges SETTINGS and
// PING.
OnEvent serve_http2(support::ScriptedPeer& peer, bool silent) {
  static constexpr size_t preface = 24, head = 9;
  static constexpr uint8_t headers = 1, settings = 4, ping = 6, end_stream_and_headers = 5, ack = 1;
  peer.send(frame(settings, 0, connection));
  return [pending = std::string(), began = false, silent](support::ScriptedPeer& p) mutable {
    pending += p.take();
    if (!began && pending.size() >= preface) pending.erase(0, preface), began = true;
    while (began && pending.size() >= head) {
      const auto at = [&](size_t i) { return static_cast<uint8_t>(pending[i]); };
      const size_t length = head + (size_t{at(0)} << 16 | size_t{at(1)} << 8 | at(2));
      if (pending.size() < length) return;
      const std::string_view id = std::string_view(pending).substr(5, 4);
      if (at(3) == headers && !silent) p.send(frame(headers, end_stream_and_headers, id, "\x88"));
      if (at(3) == settings && at(4) == 0) p.send(frame(settings, ack, connection));
      if (at(3) == ping && at(4) == 0) p.send(frame(ping, ack, connection, std::string_view(pending).substr(head, 8)));
      pending.erase(0, length);
    }
  };
}

// Answers every head; an upgrade is agreed to.
OnEvent serve_http1() {
  return [pending = std::string()](support::ScriptedPeer& p) mutable {
    pending += p.take();
    while (true) {
      const size_t end = pending.find("\r\n\r\n");
      if (end == std::string::npos) return;
      const bool upgrade = pending.find("pgrade: websocket") < end;
      pending.erase(0, end + 4);
      p.send(upgrade ? switching : answer);
    }
  };
}

// Either version, as the first bytes tell.
void serve_any(support::ScriptedPeer& peer, bool silent) {
  peer.on_event = [silent](support::ScriptedPeer& p) {
    if (p.received().size() < 4) return;
    const bool http2 = p.received().starts_with("PRI ");
    OnEvent next;
    if (http2) {
      next = serve_http2(p, silent);
    } else if (!silent) {
      next = serve_http1();
    }
    if (next) next(p);
    p.on_event = std::move(next);  // last: this function is what is replaced
  };
}

}  // namespace

struct Story::Client {
  std::unique_ptr<support::ScriptedPeer> peer;
  std::unique_ptr<TlsClient> tls;  // nullptr: it speaks in the clear
};

Story::Story(const Plot& plot)
    : plot_(plot),
      first_(plot.seed),
      model_(first_),
      house_(first_.next(), model_.toml()),
      invariants_(house_, plot.without) {
  for (uint32_t host = 1; host <= hosts; ++host) serve(host, first_.below(6));
  for (const char* name : names) house_.dns->addresses(name, {fmt::format("10.0.0.{}", first_.between(1, hosts))}, 2);
  house_.each_network([](support::SimNetwork& network) { network.set_latency(base::Micros{500}); });
  house_.after_step = [this] { invariants_.after_step(); };
}

Story::~Story() {
  for (const auto& client : clients_) client->peer->on_event = nullptr;
}

void Story::run() {
  for (uint32_t number = 0; number < events; ++number) {
    if (number >= plot_.left_out.size() || !plot_.left_out[number]) event(number);
  }
  end();
}

void Story::say(const std::string& what) const {
  if (plot_.told) std::printf("%12.6f %s\n", house_.now().seconds(), what.c_str());
}

void Story::event(uint32_t number) {
  support::Random random(plot_.seed + (number + 1) * event_salt);
  switch (random.below(11)) {
    case 0:
    case 1:
    case 2:
      reload(random);
      if (random.one_in(3)) reload(random);
      break;
    case 10: random.one_in(2) ? register_or_not(random) : confirm(); break;
    case 3: arrive(random); break;
    case 4: storm(random); break;
    case 5:
    case 6: client_acts(random); break;
    case 7: server_acts(random); break;
    default: dns_changes(random); break;
  }
  if (random.one_in(2)) {
    house_.run_for(
        base::millis(static_cast<int64_t>(random.below(random.one_in(3) ? longest_pause.count : short_pause.count))));
  } else {
    for (uint64_t steps = random.below(40); steps != 0; --steps) house_.step();
  }
}

void Story::reload(support::Random& random) {
  std::string words;
  for (uint64_t n = random.between(1, 3); n != 0; --n) words += (words.empty() ? "" : ", ") + model_.change(random);
  say("reload: " + words);
  house_.file = model_.toml();
  std::optional<base::Millis> confirm;
  if (random.one_in(3)) confirm = base::millis(static_cast<int64_t>(random.between(1'000, 5'000)));
  ++asked_;
  house_.reload(
      [this](const admin::Page& page) {
        ++answered_;
        say(fmt::format("  {} {}", page.status, page.body));
        if (page.status == 200) invariants_.reloaded();
        if (page.status == 400) throw Broken{"a good configuration was refused: " + page.body};
      },
      confirm);
}

void Story::confirm() {
  const bool waits = house_.control->reloads().trial().has_value();
  say("confirm");
  const admin::Page page = house_.control->pages().confirm();
  if (page.status != (waits ? 200 : 409)) throw Broken{"confirm: " + page.body};
}

// A lame duck, and back; the same again.
void Story::register_or_not(support::Random& random) {
  const bool away = random.one_in(2);
  say(away ? "deregister" : "register");
  runtime::Pages& pages = house_.control->pages();
  ++asked_;
  const auto done = [this](const admin::Page& page) {
    ++answered_;
    if (page.status != 200) throw Broken{"refused: " + page.body};
  };
  away ? pages.deregister(done) : pages.register_again(done);
  const admin::Readiness now = pages.ready();
  if (away != (now.reason == "deregistered")) throw Broken{"/readyz says " + now.reason};
}

void Story::arrive(support::Random& random) {
  if (clients_.size() >= clients_max) {
    clients_.front()->peer->reset();
    clients_.erase(clients_.begin());
  }
  const auto worker = static_cast<uint32_t>(random.below(House::workers));
  const auto listener = static_cast<uint32_t>(random.below(model_.listeners.size()));
  auto peer = house_.client(worker, listener);
  if (peer == nullptr) return;
  Client& client = *clients_.emplace_back(std::make_unique<Client>(std::move(peer)));
  // As the file says; what is in force may differ, and some clients are wrong.
  if (model_.listeners[listener].tls != random.one_in(8)) return shake_hands(client, random);
  switch (random.below(7)) {
    case 0: break;  // silent
    case 1: client.peer->send("P"); break;
    case 2: client.peer->send("GET / HTTP/1.1\r\nHo"); break;
    case 3: client.peer->send(h2_hello); break;
    case 4: client.peer->send(proxy_line); break;
    default:
      if (random.one_in(3)) client.peer->send(proxy_line);
      ask(client, random);
      break;
  }
}

// To its end or some of the way: half a hello, a hello that nothing follows, one who leaves in it.
void Story::shake_hands(Client& client, support::Random& random) {
  if (random.one_in(4)) client.peer->send(proxy_line);
  auto tls = std::make_unique<TlsClient>();
  const std::string hello = tls->hello();
  const uint64_t how = random.below(8);
  if (how == 0) return client.peer->send(std::string_view(hello).substr(0, random.below(hello.size())));
  client.peer->send(hello);
  if (how == 1) return;
  if (how == 2) return client.peer->fin();
  if (how == 3) {
    for (uint64_t steps = random.below(10); steps != 0; --steps) house_.step();
    return client.peer->reset();
  }
  client.tls = std::move(tls);
  client.peer->on_event = [&tls = *client.tls](support::ScriptedPeer& p) {
    const std::string reply = tls.step(p.take());
    if (!reply.empty() && !p.ended()) p.send(reply);
  };
  if (how != 4) ask(client, random);
}

void Story::ask(Client& client, support::Random& random) {
  const std::string text = random.one_in(6) ? std::string(h2_hello) : request_of(random);
  client.peer->send(client.tls == nullptr ? text : client.tls->say(text));
}

void Story::storm(support::Random& random) {
  const uint64_t many = random.one_in(4) ? crowd : random.between(2, storm_most);
  say(fmt::format("{} clients", many));
  for (uint64_t n = many; n != 0; --n) {
    arrive(random);
    if (random.one_in(2)) house_.step();
  }
}

void Story::client_acts(support::Random& random) {
  if (clients_.empty()) return;
  const size_t at = random.below(clients_.size());
  support::ScriptedPeer& peer = *clients_[at]->peer;
  switch (random.below(4)) {
    case 0: peer.fin(); break;
    case 1:
      say("a client resets");
      peer.reset();
      clients_.erase(clients_.begin() + static_cast<ptrdiff_t>(at));
      break;
    default: ask(*clients_[at], random); break;
  }
}

void Story::serve(uint32_t host, uint64_t how) {
  house_.each_network([&](support::SimNetwork& network) {
    const net::Address at = address_of(host);
    switch (how) {
      case 0: network.fail(at, net::EndReason::refused); break;
      case 1: network.black_hole(at); break;
      case 2: network.serve(at, [](support::ScriptedPeer& peer) { serve_any(peer, true); }); break;
      default: network.serve(at, [](support::ScriptedPeer& peer) { serve_any(peer, false); }); break;
    }
  });
}

void Story::server_acts(support::Random& random) {
  const auto host = static_cast<uint32_t>(random.between(1, hosts));
  const uint64_t how = random.below(6);
  if (random.one_in(3)) {
    say("servers reset their connections");
    house_.each_network([&](support::SimNetwork& network) {
      for (const auto& peer : network.peers()) {
        if (!peer->ended() && random.one_in(2)) peer->reset();
      }
    });
    return;
  }
  constexpr const char* words[] = {"refuses", "is a black hole", "answers nothing", "serves", "serves", "serves"};
  say(fmt::format("10.0.0.{} {}", host, words[how]));
  serve(host, how);
}

void Story::dns_changes(support::Random& random) {
  const char* const name = names[random.below(names.size())];
  if (random.one_in(5)) {
    say(fmt::format("DNS: {} fails", name));
    house_.dns->outcome(name, dns::Outcome::servfail, 2);
    return;
  }
  std::vector<std::string> all;
  for (uint32_t host = 1; host <= hosts; ++host) {
    if (random.one_in(3)) all.push_back(fmt::format("10.0.0.{}", host));
  }
  if (all.empty()) all.emplace_back("10.0.0.1");
  say(fmt::format("DNS: {} has {} addresses", name, all.size()));
  house_.dns->addresses(name, all, 2);
}

// Everybody leaves, and time passes: nothing may be left of it. Then the process ends.
void Story::end() {
  say("everybody leaves");
  for (const auto& client : clients_) client->peer->reset();
  house_.run_for(after_the_end);
  if (answered_ != asked_) {
    throw Broken{fmt::format("{} of {} requests of the admin were answered", answered_, asked_)};
  }
  invariants_.at_rest();
  house_.control->pages().register_again([](const admin::Page&) {});
  house_.settle();
  if (!house_.control->pages().ready().ready) throw Broken{"registered again, and not ready"};
  invariants_.at_rest();
  say("drain");
  house_.control->leaving().begin(runtime::Ask::terminate);
  house_.run_for(base::seconds(10));
  if (house_.control->leaving().phase() != runtime::DrainPhase::gone) throw Broken{"the drain does not end"};
}

}  // namespace sluice::house

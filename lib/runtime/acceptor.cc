#include "runtime/acceptor.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/check.h"
#include "base/counted_here.h"
#include "base/log_event.h"
#include "base/pages.h"
#include "exchange/exchange.h"
#include "http1/server_session.h"
#include "http2/frame.h"
#include "http2/server_session.h"
#include "runtime/clients.h"
#include "runtime/worker.h"

namespace sluice::runtime {
namespace {

// One line for a spell of something, whichever listener and worker meets it: the spell is over when nobody has met it
// for a while.
class Spell {
 public:
  static constexpr base::Micros over_after = base::minutes(1);
  bool begins(base::Micros now) {
    const int64_t before = met_.exchange(now.count, std::memory_order_relaxed);
    return before == never || now.count - before > over_after.count;
  }

 private:
  static constexpr int64_t never = -1;
  std::atomic<int64_t> met_{never};
};

bool offers(const Listening& listening, http::Protocol protocol) {
  const auto& protocols = listening.options.protocols;
  return std::ranges::find(protocols, protocol) != protocols.end();
}

// A client of HTTP/2 that knows we speak it sends its preface first (RFC 9113 3.3); no request of HTTP/1 begins like
// that.
FirstBytes::Verdict judge_preface(std::string_view bytes) {
  static_assert(http2::preface.size() == FirstBytes::looked_at_max);
  const bool may_be = http2::preface.starts_with(bytes);
  return may_be && bytes.size() < http2::preface.size() ? FirstBytes::Verdict::more : FirstBytes::Verdict::decided;
}

// The versions that clients may speak, in the order of http::Protocol.
struct Wire {
  http::Protocol protocol;
  std::string_view alpn;
  http::ServerSessionPtr (*make_session)(net::Loop& loop, net::TransportPtr transport,
                                         const http::DownstreamOptions& options, http::Scheme scheme,
                                         http::ServerHost& host);
};
constexpr Wire wires[] = {{http::Protocol::http1, "http/1.1", http1::make_server_session},
                          {http::Protocol::http2, "h2", http2::make_server_session}};

constexpr const Wire& wire_of(http::Protocol protocol) { return wires[static_cast<size_t>(protocol)]; }
static_assert(wire_of(http::Protocol::http1).protocol == http::Protocol::http1 &&
              wire_of(http::Protocol::http2).protocol == http::Protocol::http2);

}  // namespace

std::string_view alpn_of(http::Protocol protocol) { return wire_of(protocol).alpn; }

Acceptor::~Acceptor() {
  if (keeps_site_) site_->unref();
}

net::Loop& Acceptor::loop() { return worker_.loop(); }

OpenSocket::OpenSocket(net::Loop& loop, std::shared_ptr<ListenSocket> socket, uint32_t worker, Acceptor& owner)
    : socket_(std::move(socket)), owner_(&owner), listener_(loop, socket_->take(worker), *this) {}

void OpenSocket::on_accept(net::TransportPtr transport) { owner_->take(std::move(transport)); }
void OpenSocket::on_accept_error(int error) { owner_->accept_failed(error); }
void OpenSocket::on_stopped() { owner_->listener_stopped(); }

void Acceptor::give_sockets(OpenSockets& to) {
  for (auto& open : open_) {
    if (open->accepting()) to.push_back(std::move(open));
  }
  std::erase(open_, nullptr);
}

void Acceptor::update(std::shared_ptr<const Listening> listening, exchange::Site& site, const ListenerCells& cells,
                      OpenSockets& open) {
  listening_ = base::counted_here(std::move(listening));  // every connection copies it
  site_ = &site;
  cells_ = cells;
  if (in_force_ != listening_->options.downstream) {
    in_force_ = listening_->options.downstream;
    tell_clients();
  }
  for (const auto& socket : listening_->sockets) {
    const auto it =
        std::ranges::find_if(open, [&](const auto& o) { return o != nullptr && o->socket() == socket.get(); });
    if (it == open.end()) {
      open_.push_back(std::make_unique<OpenSocket>(worker_.loop(), socket, worker_.index(), *this));
    } else {
      (*it)->belong_to(*this);
      open_.push_back(std::move(*it));
    }
  }
}

void Acceptor::tell_clients() {
  ++news_;
  tell_some();
}

// Times that have become shorter are found now, the others when they are looked at.
void Acceptor::tell_some() {
  for (uint32_t n = 0; n < told_a_turn; ++n) {
    Client* const client = here_.front();
    if (client == nullptr || !client->hears_of(news_)) return;
    client->leave_listener();
    here_.push_back(*client);
    client->options_changed();
    client->close_after_answer(worker_.arrivals().counting());
    if (draining_) client->drain(drain_cause_);
    if (grace_over_) client->give_up_handshake(drain_cause_);
  }
  tell_timer_.arm(loop(), base::Millis{0});
}

void Acceptor::stop_listening() {
  for (auto& open : open_) open->stop();
}

bool Acceptor::listening_now() const {
  return std::ranges::any_of(open_, [](const auto& open) { return open->accepting(); });
}

void Acceptor::listener_stopped() { worker_.listener_stopped(); }

void Acceptor::accept_failed(int error) {
  static Spell spell;  // of the process
  if (spell.begins(loop().now())) {
    base::log_event(
        base::LogLevel::error, "accept_failed",
        {{"listener", listening_->options.name},
         {"why", std::strerror(error)},
         {"message", "clients wait in the backlog: raise the limit of open files, or lower max_connections"}});
  }
}

void Acceptor::take(net::TransportPtr transport) {
  if (base::MemoryLimit::far_above()) {  // nobody is let in
    worker_.meter().rejected_for_memory();
    return transport->close(net::Close::reset);
  }
  Client& client = worker_.clients().make(*this, std::move(transport));
  here_.push_back(client);
  ++count_;
  worker_.held_connections().wake();
  worker_.clients().arrive(client);
}

bool Acceptor::begun(const Client& client) {
  cells_.connections->add(1);
  cells_.connections_total->add(1);
  if (base::log_enabled(base::LogLevel::debug)) {
    base::log_event(base::LogLevel::debug, "connection_opened",
                    {{"side", "downstream"},
                     {"conn", client.conn()},
                     {"peer", client.peer().remote.text()},
                     {"listener", listening_->options.name}});
  }
  return worker_.arrivals().counting();
}

// Place one of two that know HTTP versions (the other: upstream/connector.cc).
FirstBytes::Judge Acceptor::judge_of_first_bytes(const Listening& listening) const {
  const bool both = offers(listening, http::Protocol::http1) && offers(listening, http::Protocol::http2);
  return both && listening.tls == nullptr ? judge_preface : nullptr;
}

// By ALPN over TLS; in the clear by what the client sends, or by what alone is offered.
http::ServerSessionPtr Acceptor::make_session(net::TransportPtr transport, const Listening& listening,
                                              std::string_view first_bytes, Client& host) {
  const bool tls = listening.tls != nullptr;
  const auto scheme = tls ? http::Scheme::https : http::Scheme::http;
  const bool only_http2 = !offers(listening, http::Protocol::http1);
  const bool speaks_http2 =
      only_http2 || (tls ? transport->peer().alpn == alpn_of(http::Protocol::http2) : first_bytes == http2::preface);
  const Wire& wire = wire_of(speaks_http2 ? http::Protocol::http2 : http::Protocol::http1);
  auto session = wire.make_session(worker_.loop(), std::move(transport), in_force_, scheme, host);
  session->spread_age(worker_.share());
  if (draining_) session->drain(drain_cause_);
  if (worker_.arrivals().counting()) session->close_after_answer(true);
  return session;
}

http::ServerSessionPtr make_admin_session(net::Loop& loop, net::TransportPtr transport,
                                          const http::DownstreamOptions& options, http::ServerHost& host) {
  return http1::make_server_session(loop, std::move(transport), options, http::Scheme::http, host);
}

Clients& Acceptor::clients() { return worker_.clients(); }

http::Sink& Acceptor::begin_exchange(Client& client, http::Stream& stream) {
  worker_.clients().on_busy(client);
  worker_.arrivals().request(loop().now(), client.newcomer());
  return *worker_.begin_exchange(*site_, client.next_request(listening_->index), stream);
}

uint64_t Acceptor::next_conn() { return worker_.next_conn(); }

void Acceptor::protocol_error(http::Detail detail) { worker_.meter().protocol_error(http::Where::downstream, detail); }

void Acceptor::one_too_many() { worker_.meter().rejected_for_client(); }

void Acceptor::late_request() { worker_.meter().late_request(); }

void Acceptor::proxy_header_refused(const net::Peer& peer, std::string_view detail) {
  worker_.meter().protocol_error(http::Where::downstream, http::Detail::proxy_header);
  base::log_repeated(base::LogLevel::warn, "proxy_header_refused", listening_->options.name,
                     {{"listener", listening_->options.name}, {"peer", peer.remote.text()}, {"why", detail}});
}

void Acceptor::ended(Client& client, http::CloseCause cause) {
  client.leave_listener();
  --count_;
  worker_.clients().gone(client);
  if (client.begun()) {
    cells_.connections->add(-1);
    cells_.closed[static_cast<size_t>(cause)]->add();
    worker_.connection_closed();
  }
  worker_.loop().reap_later(client);
}

void Acceptor::log_end(const Client& client, http::CloseCause cause) {
  static constexpr std::string_view during[] = {"handshake", "linger", "idle", "request", "handshake"};  // ClientStage
  base::log_event(base::LogLevel::debug, "connection_closed",
                  {{"side", "downstream"},
                   {"conn", client.conn()},
                   {"peer", client.peer().remote.text()},
                   {"listener", client.listener()},
                   {"by", http::ended_by(cause) == http::Side::us ? "proxy" : "client"},
                   {"cause", http::cause_word(cause)},
                   {"during", client.listed() ? during[static_cast<size_t>(client.stage())] : ""},
                   {"age_s", (loop().now() - client.came()).seconds()},
                   {"requests", client.requests()}});
}

void Acceptor::drain(http::CloseCause cause) {
  draining_ = true;
  drain_cause_ = cause;
  grace_timer_.arm(loop(), handshake_grace);
  tell_clients();
}

void Acceptor::grace_over() {
  grace_over_ = true;
  tell_clients();
}

void Acceptor::leave(http::CloseCause cause) {
  site_->ref();
  keeps_site_ = true;
  stop_listening();
  drain(cause);
}

void Acceptor::abort_all(const http::Failure& why, http::CloseCause cause) {
  for (Client* c = here_.front(); c != nullptr;) {
    Client* const next = here_.next(*c);
    c->abort(why, cause);
    c = next;
  }
}

void Acceptor::on_handshake(const tls::HandshakeFacts& facts) {
  cells_.handshakes[facts.version >= 0x0304 ? 1 : 0][facts.resumed ? 1 : 0]->add(1);
  cells_.handshake_seconds->observe(facts.took);
}

void Acceptor::on_handshake_error(tls::HandshakeError why) { worker_.handshake_error(why); }

}  // namespace sluice::runtime

#include "runtime/acceptor.h"

#include <algorithm>
#include <cstring>

#include "base/log.h"
#include "exchange/exchange.h"
#include "base/check.h"
#include "http1/server_session.h"
#include "runtime/worker.h"

namespace sluice::runtime {
namespace {

// How many of the connections with the oldest requests are looked at for an idle one: bounded work at the cap.
constexpr int shed_looks_max = 64;

}  // namespace

Acceptor::~Acceptor() {
  while (Connection* connection = connections_.front()) {
    connection->leave_order();
    worker_.connections().recycle(connection);
  }
}

net::Loop& Acceptor::loop() { return worker_.loop(); }

void Acceptor::update(std::shared_ptr<const Listening> listening, exchange::Site& site, const ListenerCells& cells) {
  listening_ = std::move(listening);
  site_ = &site;
  cells_ = cells;
  const auto& wanted = listening_->sockets;
  for (Open& open : open_) {
    if (std::ranges::find(wanted, open.socket) == wanted.end()) open.listener->stop_accepting(net::Listener::Backlog::accept);
  }
  for (const auto& socket : wanted) {
    if (std::ranges::any_of(open_, [&](const Open& open) { return open.socket == socket; })) continue;
    open_.push_back({socket, std::make_unique<net::Listener>(worker_.loop(), socket->take(worker_.index()), static_cast<net::Listener::Host&>(*this))});
  }
}

void Acceptor::stop_listening() {
  for (Open& open : open_) open.listener->stop_accepting(net::Listener::Backlog::accept);
}

bool Acceptor::listening_now() const {
  return std::ranges::any_of(open_, [](const Open& open) { return open.listener->accepting(); });
}

void Acceptor::on_stopped() { worker_.listener_stopped(); }

void Acceptor::on_accept_error(int error) {
  static base::LogSite site;
  if (site.admit()) {
    base::error("listener {}: accept failed: {}; clients wait in the backlog (raise the limit of open files, or lower max_connections)",
                listening_->options.name, std::strerror(error));
  }
}

void Acceptor::on_accept(net::TransportPtr transport) {
  if (!worker_.admit_connection()) {              // counted there; the transport closes as it dies
    transport->close(net::Close::reset);
    return;
  }
  Connection* const connection = worker_.connections().make(*this, std::move(transport));
  connections_.push_back(*connection);
  ++count_;
  cells_.connections->add(1);
  cells_.connections_total->add(1);
  connection->start();
}

// Place one of two that know HTTP versions (the other: upstream/connector.cc).
http::ServerSessionPtr Acceptor::make_session(net::TransportPtr transport, const Listening& listening, Connection& host) {
  const auto scheme = listening.tls == nullptr ? http::Scheme::http : http::Scheme::https;
  auto session = http1::make_server_session(worker_.loop(), std::move(transport), listening.options.downstream, scheme, host);
  if (draining_) session->drain(http::CloseCause::drain);
  return session;
}

http::Sink& Acceptor::begin_exchange(Connection& connection, http::Stream& stream) {
  connection.leave_order();
  connections_.push_back(connection);
  return *worker_.begin_exchange(*site_, listening_->index, stream);
}

void Acceptor::protocol_error(http::Detail detail) { worker_.meter().protocol_error(http::Where::downstream, detail); }

void Acceptor::proxy_header_refused(const net::Peer& peer, std::string_view detail) {
  worker_.meter().protocol_error(http::Where::downstream, http::Detail::proxy_header);
  static thread_local base::LogSite site;
  if (site.admit()) base::warn("listener {}: {} sent no valid PROXY header: {}", listening_->options.name, peer.remote.text(), detail);
}

void Acceptor::ended(Connection& connection, http::CloseCause cause) {
  connection.leave_order();
  --count_;
  cells_.connections->add(-1);
  worker_.connection_closed(cause);
  worker_.loop().reap_later(connection);
}

void Acceptor::recycle(Connection& connection) { worker_.connections().recycle(&connection); }

void Acceptor::drain(http::CloseCause cause) {
  draining_ = true;
  for (Connection* c = connections_.front(); c != nullptr;) {
    Connection* const next = connections_.next(*c);
    c->drain(cause);
    c = next;
  }
}

void Acceptor::abort_all(const http::Failure& why, http::CloseCause cause) {
  for (Connection* c = connections_.front(); c != nullptr;) {
    Connection* const next = connections_.next(*c);
    c->abort(why, cause);
    c = next;
  }
}

bool Acceptor::shed_one() {
  int looks = shed_looks_max;
  for (Connection* c = connections_.front(); c != nullptr && looks-- > 0; c = connections_.next(*c)) {
    if (!c->idle()) continue;
    c->drain(http::CloseCause::shed);
    return true;
  }
  return false;
}

void Acceptor::on_handshake(const tls::HandshakeFacts& facts) {
  cells_.handshakes[facts.version >= 0x0304 ? 1 : 0][facts.resumed ? 1 : 0]->add(1);
  cells_.handshake_seconds->observe(facts.took);
}

void Acceptor::on_handshake_error(tls::HandshakeError why) { worker_.handshake_error(why); }

}  // namespace sluice::runtime

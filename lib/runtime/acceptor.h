// Acceptor: one listener on one worker: takes connections in, chooses the session of the agreed HTTP version (the one
// place on this side that knows versions), and what holds for all of its clients. They themselves are in Clients.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "base/list.h"
#include "http/close_cause.h"
#include "metrics/cell.h"
#include "net/listener.h"
#include "net/timer.h"
#include "runtime/client.h"
#include "runtime/generation.h"
#include "tls/events.h"

namespace sluice::exchange {
class Site;
}

namespace sluice::runtime {

class Clients;
class Worker;

// Cells of one listener on one worker.
struct ListenerCells {
  metrics::Gauge* connections = nullptr;
  metrics::Counter* connections_total = nullptr;
  metrics::Histogram* handshake_seconds = nullptr;
  metrics::Counter* handshakes[2][2] = {};  // [TLS 1.3?][resumed?]
  std::array<metrics::Counter*, http::close_causes> closed{};  // downstream_connections_closed_total
};

// What a listener offers in ALPN for this version.
std::string_view alpn_of(http::Protocol protocol);

class Acceptor;

// A socket of this worker and what listens on it, for the acceptor it belongs to now: a reload may give an address to a
// listener of another name without closing it.
class OpenSocket final : private net::Listener::Host {
 public:
  OpenSocket(net::Loop& loop, std::shared_ptr<ListenSocket> socket, uint32_t worker, Acceptor& owner);
  const ListenSocket* socket() const { return socket_.get(); }
  bool accepting() const { return listener_.accepting(); }
  void belong_to(Acceptor& owner) { owner_ = &owner; }
  void stop() { listener_.stop_accepting(); }

 private:
  void on_accept(net::TransportPtr transport) override;
  void on_accept_error(int error) override;
  void on_stopped() override;

  std::shared_ptr<ListenSocket> socket_;
  Acceptor* owner_;
  net::Listener listener_;
};
using OpenSockets = std::vector<std::unique_ptr<OpenSocket>>;

class Acceptor final : private tls::TlsEvents {
 public:
  // Of clients that are to hear of something (new options, a drain) so many do in one turn.
  static constexpr uint32_t told_a_turn = 256;
  // Who shakes hands when a drain begins, or is about to, has a request to make: it has so long until it has a session.
  static constexpr base::Millis handshake_grace = base::seconds(1);
  explicit Acceptor(Worker& worker) : worker_(worker) {}
  ~Acceptor();

  // The settings for connections from now on, and the site their requests are routed by; limits and times of clients
  // that are here already change, too. Takes the sockets it wants out of `open`, opens what is missing; what it had and
  // does not want closes.
  void update(std::shared_ptr<const Listening> listening, exchange::Site& site, const ListenerCells& cells,
              OpenSockets& open);
  // Its sockets, for whoever wants them after a reload.
  void give_sockets(OpenSockets& to);
  void take(net::TransportPtr transport);
  // Takes what stands in the accept queues, then closes the sockets.
  void stop_listening();
  // Idle connections end, the others as their requests end.
  void drain(http::CloseCause cause);
  // What holds for its clients has changed (options, a drain, whether the worker is deregistered): they hear of it,
  // told_a_turn of them in a turn. Those that come later ask.
  void tell_clients();
  // Its listener left the configuration: stops and drains. What still comes on its connections is routed as before.
  void leave(http::CloseCause cause);
  void abort_all(const http::Failure& why, http::CloseCause cause);
  size_t connections() const { return count_; }  // those that wait for a place among them
  bool listening_now() const;  // a socket is not closed yet
  const Listening& options() const { return *listening_; }
  net::Loop& loop();

  // For Client
  Clients& clients();
  const std::shared_ptr<const Listening>& listening() const { return listening_; }
  const http::DownstreamOptions& in_force() const { return in_force_; }
  uint32_t news() const { return news_; }
  bool draining() const { return draining_; }
  tls::TlsEvents& tls_events() { return *this; }
  // What tells the session apart by a connection's first bytes; nullptr: it is known without.
  FirstBytes::Judge judge_of_first_bytes(const Listening& listening) const;
  http::ServerSessionPtr make_session(net::TransportPtr transport, const Listening& listening,
                                      std::string_view first_bytes, Client& host);
  http::Sink& begin_exchange(Client& client, http::Stream& stream);
  void protocol_error(http::Detail detail);
  void late_request();
  void one_too_many();  // a client has max_connections_per_client already
  void proxy_header_refused(const net::Peer& peer, std::string_view detail);
  void accept_failed(int error);
  void listener_stopped();
  uint64_t next_conn();  // Worker's
  bool begun(const Client& client);  // true: after /readyz began to say 503
  void ended(Client& client, http::CloseCause cause);
  void log_end(const Client& client, http::CloseCause cause);  // while its peer is known

 private:
  void on_handshake(const tls::HandshakeFacts& facts) override;
  void on_handshake_error(tls::HandshakeError why) override;
  void tell_some();
  void grace_over();

  Worker& worker_;
  std::shared_ptr<const Listening> listening_;
  exchange::Site* site_ = nullptr;
  ListenerCells cells_;
  OpenSockets open_;  // those that stopped stay until we go
  http::DownstreamOptions in_force_;  // what sessions look at: changes in place
  uint32_t news_ = 0;  // counts what clients are to hear of
  net::Timer tell_timer_{this, net::timer_call<&Acceptor::tell_some>};
  base::List<Client, OfListener> here_;  // in front those who have not heard the latest
  size_t count_ = 0;
  net::Timer grace_timer_{this, net::timer_call<&Acceptor::grace_over>};
  bool draining_ = false;
  bool grace_over_ = false;
  http::CloseCause drain_cause_ = http::CloseCause::drain;
  bool keeps_site_ = false;  // site_ is not in force any more, and goes when we do
};

// The session of a client of the admin listener: HTTP/1 in the clear.
http::ServerSessionPtr make_admin_session(net::Loop& loop, net::TransportPtr transport,
                                          const http::DownstreamOptions& options, http::ServerHost& host);

}  // namespace sluice::runtime

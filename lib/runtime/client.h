// Client: one client connection from accept to its end: PROXY protocol, TLS, then the session of the version that was
// agreed on. Owned by its worker's Clients, which count it and may end it; its acceptor says what holds for it.
#pragma once

#include <memory>
#include <utility>
#include <variant>

#include "base/list.h"
#include "base/slab.h"
#include "exchange/concurrency_limiter.h"
#include "exchange/origin.h"
#include "http/options.h"
#include "http/stream.h"
#include "net/proxy_protocol.h"
#include "net/transport.h"
#include "runtime/client_lists.h"
#include "runtime/client_roll.h"
#include "runtime/first_bytes.h"
#include "runtime/look.h"

namespace sluice::runtime {

class Acceptor;
struct Listening;

class Client final : public http::ServerHost,
                     private net::Transport::User,
                     private net::ProxyReader::Host,
                     private FirstBytes::Host,
                     public net::Reapable,
                     public base::ListHook<struct OfListener>,
                     public RolledClient,
                     public ListedClient {  // last: what follows it takes no room
 public:
  Client(base::Slab<Client>& home, Acceptor& acceptor, net::TransportPtr transport);
  ~Client();

  // It has a place. Nothing of it was read before.
  void begin();
  bool begun() const { return begun_; }
  void refuse();  // it gets none: reset
  uint8_t asked_again() { return ++asked_; }  // for a place
  // Closed now: whoever comes next finds its descriptor free. No request of it may be open (abort() is for those).
  void end(http::CloseCause cause);
  // See http::ServerSession::close_after_answer().
  void close_after_answer(bool on);
  uint32_t requests() const { return requests_; }  // so far
  exchange::Origin next_request(uint32_t listener) { return {listener, conn_, ++requests_}; }
  // Was it let in after /readyz began to say 503, and is this the first time that somebody asks?
  bool newcomer() { return std::exchange(newcomer_, false); }
  bool hears_of(uint32_t news) { return std::exchange(heard_, news) != news; }  // false: it has already
  // Options of its listener may have changed in place. It does not end in this call.
  void options_changed();
  void leave_listener() { base::ListHook<struct OfListener>::unlink(); }
  // The connection's part of a drain: see http::ServerSession::drain(). One without a session yet has a moment for the
  // bytes that are on their way; one that shakes hands goes on, until its acceptor gives it up; one without a place
  // ends.
  void drain(http::CloseCause cause);
  void give_up_handshake(http::CloseCause cause);
  void abort(const http::Failure& why, http::CloseCause cause);
  // For HeldConnections. tell_held(): once.
  bool tell_held() {
    const bool news = !told_held_;
    told_held_ = true;
    return news;
  }
  const std::string& listener() const;
  const http::DownstreamOptions& accepted_under() const;
  const http::DownstreamOptions& in_force() const;
  // For GET /debug: as it is now.
  ConnectionLook look(base::Micros now);
  http::SessionLook look_at_session();
  uint32_t streams() { return session() == nullptr ? 0 : session()->open_streams(); }
  void show_sinks(http::SinkVisitor& to);
  const net::Peer& peer() const;
  uint64_t conn() const { return conn_; }  // see Worker::next_conn()

 private:
  http::ServerSession* session() {  // nullptr: there is none yet, or no more
    auto* const one = std::get_if<http::ServerSessionPtr>(&station_);
    return one == nullptr ? nullptr : one->get();
  }
  bool take_place();
  net::TransportPtr take_transport() { return std::move(std::get<net::TransportPtr>(station_)); }
  void secure();
  void serve();
  void begin_session(net::TransportPtr transport, std::string_view first_bytes);

  // http::ServerHost
  http::Sink& on_stream(http::ServerSession& session, http::Stream& stream) override;
  void on_idle(http::ServerSession& session) override;
  void on_leaving(http::ServerSession& session) override;
  void on_session_end(http::ServerSession& session, http::CloseCause cause) override;
  void on_protocol_error(http::Detail detail) override;
  void on_late_request(http::ServerSession& session) override;
  // net::ProxyReader::Host
  void on_proxy_header(net::ProxyReader& reader, net::TransportPtr transport) override;
  void on_proxy_failed(net::ProxyReader& reader, const net::Peer& peer, net::ProxyReader::Failed why,
                       std::string_view detail) override;
  // FirstBytes::Host
  void on_first_bytes(net::TransportPtr transport, std::string_view bytes) override;
  void on_no_bytes(http::CloseCause cause) override { end(cause); }
  // net::Transport::User, during the handshake
  void on_open() override;
  void on_bytes(net::ByteQueue&) override {}
  void fill(net::ByteQueue&, size_t) override {}
  void on_eof(bool) override { end(http::CloseCause::peer_closed); }
  void on_end(net::EndReason why) override;
  void reclaim() noexcept override;

  uint8_t asked_ = 0;
  bool newcomer_ = false;
  bool begun_ : 1 = false;
  bool ended_ : 1 = false;
  bool told_held_ : 1 = false;
  uint32_t heard_;  // of its acceptor's news
  uint32_t requests_ = 0;
  uint64_t conn_;
  Acceptor& acceptor_;  // may be gone before our memory is
  base::Slab<Client>& home_;
  std::shared_ptr<const Listening> listening_;  // the settings it was accepted under
  exchange::ConcurrencyLimiter::Held place_;  // of those of its address, which are listening_'s
  // Who has its bytes: nobody yet, or TLS that shakes hands; who awaits a PROXY header; who looks which session they
  // are for; that session.
  std::variant<net::TransportPtr, net::Owned<net::ProxyReader>, net::Owned<FirstBytes>, http::ServerSessionPtr>
      station_;
};

}  // namespace sluice::runtime

#include "runtime/client.h"

#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/pages.h"
#include "exchange/request_key.h"
#include "runtime/acceptor.h"
#include "runtime/clients.h"
#include "tls/transport.h"

namespace sluice::runtime {
namespace {

constexpr base::Millis first_bytes_grace = base::seconds(1);   // of a drain

}  // namespace

Client::Client(base::Slab<Client>& home, Acceptor& acceptor, net::TransportPtr transport)
    : heard_(acceptor.news()),
      conn_(acceptor.next_conn()),
      acceptor_(acceptor),
      home_(home),
      listening_(acceptor.listening()),
      station_(std::move(transport)) {}

Client::~Client() = default;

void Client::begin() {
  begun_ = true;
  newcomer_ = acceptor_.begun(*this);
  if (listening_->options.proxy_protocol == net::ProxyProtocolIn::off) return secure();
  station_ =
      net::ProxyReader::make(acceptor_.loop(), take_transport(), listening_->options.downstream.header_timeout, *this);
}

void Client::on_proxy_header(net::ProxyReader&, net::TransportPtr transport) {
  station_ = std::move(transport);
  secure();
}

void Client::on_proxy_failed(net::ProxyReader&, const net::Peer& peer, net::ProxyReader::Failed why,
                             std::string_view detail) {
  acceptor_.proxy_header_refused(peer, detail);
  end(why == net::ProxyReader::Failed::timeout ? http::CloseCause::timeout : http::CloseCause::protocol_error);
}

// Its address is known now. What trusted proxies connect is for many clients.
bool Client::take_place() {
  if (listening_->per_client == nullptr) return true;
  const net::Address& from = peer().remote;
  if (!from.is_ip() || net::contains(listening_->options.trusted_proxies, from)) return true;
  auto taken =
      listening_->per_client->take(exchange::address_bytes(from), listening_->options.max_connections_per_client);
  place_ = std::move(taken.held);
  return taken.verdict != exchange::ConcurrencyLimiter::Verdict::refused;
}

void Client::secure() {
  if (!take_place()) {
    acceptor_.one_too_many();
    return refuse();
  }
  if (listening_->tls == nullptr) return serve();
  const tls::HandshakeOptions options{listening_->options.downstream.handshake_timeout, &acceptor_.tls_events()};
  std::shared_ptr<const tls::ServerContext> context(
      listening_, listening_->tls.get());   // counted with the listener, by this worker
  station_ = tls::accept(acceptor_.loop(), take_transport(), std::move(context), options);
  std::get<net::TransportPtr>(station_)->start(*this);
}

void Client::serve() {
  const FirstBytes::Judge judge = acceptor_.judge_of_first_bytes(*listening_);
  if (judge == nullptr) return begin_session(take_transport(), {});
  auto first = FirstBytes::make(acceptor_.loop(), take_transport(), acceptor_.in_force().idle_timeout, judge, *this);
  if (acceptor_.draining()) first->hurry(first_bytes_grace);
  station_ = std::move(first);
}

// One that was let in before memory was short, and has asked for nothing yet, goes before it costs a session.
void Client::on_open() { base::MemoryLimit::far_above() ? end(http::CloseCause::shed) : serve(); }

void Client::on_first_bytes(net::TransportPtr transport, std::string_view bytes) {
  if (!base::MemoryLimit::far_above()) return begin_session(std::move(transport), bytes);
  transport->close(net::Close::reset);
  end(http::CloseCause::shed);
}

void Client::begin_session(net::TransportPtr transport, std::string_view first_bytes) {
  station_ = acceptor_.make_session(std::move(transport), *listening_, first_bytes, *this);
}

// The handshake failed or the client left; tls_events has counted why.
void Client::on_end(net::EndReason why) {
  switch (why) {
    case net::EndReason::closed: return end(http::CloseCause::peer_closed);
    case net::EndReason::reset: return end(http::CloseCause::peer_reset);
    case net::EndReason::tls_failed:
    case net::EndReason::tls_unverified: return end(http::CloseCause::tls_failed);
    case net::EndReason::write_stalled: return end(http::CloseCause::write_stalled);
    case net::EndReason::refused:
    case net::EndReason::unreachable:
    case net::EndReason::connect_timeout:
    case net::EndReason::no_local_port:
    case net::EndReason::no_descriptor:
    case net::EndReason::no_resources: return end(http::CloseCause::error);
  }
}

http::Sink& Client::on_stream(http::ServerSession&, http::Stream& stream) {
  return acceptor_.begin_exchange(*this, stream);
}

void Client::on_session_end(http::ServerSession&, http::CloseCause cause) { end(cause); }

void Client::on_protocol_error(http::Detail detail) { acceptor_.protocol_error(detail); }

void Client::on_late_request(http::ServerSession&) { acceptor_.late_request(); }

void Client::on_idle(http::ServerSession&) { acceptor_.clients().on_idle(*this); }

void Client::on_leaving(http::ServerSession&) { acceptor_.clients().on_leaving(*this); }

void Client::options_changed() {
  if (auto* const at_work = session()) at_work->options_changed();
  if (auto* const first = std::get_if<net::Owned<FirstBytes>>(&station_))
    (*first)->limit(acceptor_.in_force().idle_timeout);
}

void Client::drain(http::CloseCause cause) {
  if (auto* const at_work = session()) {
    at_work->drain(cause);
  } else if (auto* const first = std::get_if<net::Owned<FirstBytes>>(&station_)) {
    (*first)->hurry(first_bytes_grace);
  } else if (!begun_) {
    end(cause);
  }
}

void Client::give_up_handshake(http::CloseCause cause) {
  if (session() == nullptr && !std::holds_alternative<net::Owned<FirstBytes>>(station_)) end(cause);
}

void Client::close_after_answer(bool on) {
  if (auto* const at_work = session()) at_work->close_after_answer(on);
}

void Client::abort(const http::Failure& why, http::CloseCause cause) {
  if (auto* const at_work = session()) {
    at_work->abort(why, cause);
  } else {
    end(cause);
  }
}

void Client::refuse() {
  std::get<net::TransportPtr>(station_)->close(net::Close::reset);
  end(http::CloseCause::shed);
}

void Client::end(http::CloseCause cause) {
  if (ended_) return;
  ended_ = true;
  if (begun_ && base::log_enabled(base::LogLevel::debug)) acceptor_.log_end(*this, cause);
  station_ = net::TransportPtr();
  place_.release();
  acceptor_.ended(*this, cause);
}

void Client::reclaim() noexcept { home_.recycle(this); }

}  // namespace sluice::runtime

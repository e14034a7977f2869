// Connects: TCP or Unix socket, then the PROXY header, then TLS, then a session of the version that was agreed.
#include "upstream/connector.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log_event.h"
#include "http1/client_session.h"
#include "http2/client_session.h"
#include "net/proxy_protocol.h"
#include "net/timer.h"
#include "tls/transport.h"

namespace sluice::upstream {
namespace {

// The host of an endpoint without its port: "app.internal:80", "127.0.0.1:80", "[::1]:80"; "" for a Unix socket.
std::string_view host_of(std::string_view endpoint_host) {
  if (endpoint_host.starts_with("unix:")) return {};
  if (endpoint_host.starts_with('[')) return endpoint_host.substr(1, endpoint_host.find(']') - 1);
  return endpoint_host.substr(0, endpoint_host.rfind(':'));
}

constexpr std::string_view alpn_http2 = "h2";
constexpr std::string_view alpn_http1 = "http/1.1";

DialFailure failure_of(net::EndReason why) {
  switch (why) {
    case net::EndReason::connect_timeout: return {http::Kind::connect_timeout};
    case net::EndReason::tls_failed:
    case net::EndReason::tls_unverified: return {http::Kind::tls_failed};
    case net::EndReason::no_local_port: return {http::Kind::no_local_port, DialFailure::Fault::ours};
    case net::EndReason::no_descriptor: return {http::Kind::no_descriptor, DialFailure::Fault::ours};
    case net::EndReason::no_resources: return {http::Kind::connect_failed, DialFailure::Fault::ours};
    case net::EndReason::closed:
    case net::EndReason::reset:
    case net::EndReason::refused:
    case net::EndReason::unreachable:
    case net::EndReason::write_stalled: return {http::Kind::connect_failed};
  }
  UNREACHABLE();
}

// What a dial needs of how it is made. Dials share it with the connector: it lives as long as the last of them.
class Making {
 public:
  explicit Making(ConnectorSetup setup) : setup_(std::move(setup)) {}

  net::Loop& loop() { return setup_.loop; }
  const Way& way() const { return *setup_.way; }
  const WayPtr& way_owner() const { return setup_.way; }
  net::TransportPtr connect(const DialTarget& target) {
    const net::Address& address = target.endpoint.address();
    return setup_.network.dial(setup_.loop, address,
                               {.connect_timeout = target.timeout,
                                .keepalive = target.keepalive,
                                .user_timeout = target.user_timeout,
                                .source = next_source(address.family())});
  }
  std::size_t sources(net::Address::Family family) const {
    return static_cast<std::size_t>(std::ranges::count_if(
        way().source_addresses, [family](const net::Address& source) { return source.family() == family; }));
  }
  // Place two of two that know HTTP versions.
  http::ClientSessionPtr make_session(net::TransportPtr transport, const SharedEndpoint& endpoint,
                                      base::Millis patience, http::ClientHost& host) {
    if (speaks_http2(transport->peer())) {
      return http2::make_client_session(setup_.loop, std::move(transport), setup_.limits, host,
                                        &endpoint.stream_limit(), patience);
    }
    return http1::make_client_session(setup_.loop, std::move(transport), setup_.limits, host);
  }
  // By ALPN over TLS, else by what the configuration knows.
  bool speaks_http2(const net::Peer& peer) const {
    switch (way().protocol) {
      case Protocol::http1: return false;
      case Protocol::http2: return true;
      case Protocol::any: return peer.alpn == alpn_http2;
    }
    UNREACHABLE();
  }
  // One version was asked for, so what a peer that does not agree to it would make of our bytes is not to be tried.
  // `only_http1`: it is known to speak HTTP/2 by ALPN, and silence is no word for the other.
  bool agreed(const net::Peer& peer, bool only_http1) const {
    if (only_http1) return !peer.tls || peer.alpn == alpn_http1;
    return way().protocol != Protocol::http2 || !peer.tls || peer.alpn == alpn_http2;
  }
  void log_failure(const SharedEndpoint& endpoint, const DialFailure& why, std::string_view detail) {
    const std::string_view reason = http::reason_word(why.kind);
    const bool ours = why.kind == http::Kind::no_local_port || why.kind == http::Kind::no_descriptor;
    std::string subject = setup_.upstream + ' ' + endpoint.name() + ' ';
    subject += reason;
    base::log_repeated(base::LogLevel::warn, "connect_failed", subject,
                       {{"upstream", setup_.upstream},
                        {"endpoint", endpoint.name()},
                        {"reason", reason},
                        {"by", ours ? "proxy" : "upstream"},
                        {"why", detail}});
  }

 private:
  net::Address next_source(net::Address::Family family) {
    const std::size_t n = way().source_addresses.size();
    for (std::size_t tried = 0; tried < n; ++tried) {
      const net::Address& source = way().source_addresses[next_source_++ % n];
      if (source.family() == family) return source;
    }
    return {};
  }

  ConnectorSetup setup_;
  std::size_t next_source_ = 0;
};

class DialImpl final : public Dial, private net::Transport::User, private net::Reapable {
 public:
  DialImpl(std::shared_ptr<Making> making, const DialTarget& target, DialUser& user, http::ClientHost& host);
  void retire() noexcept override;

 private:
  enum class Step : std::uint8_t { connecting, header, handshake, over };
  // Transport::User
  void on_open() override;
  void on_bytes(net::ByteQueue&) override {}  // of a peer that speaks first: they wait for the session
  void fill(net::ByteQueue& out, std::size_t) override { out.take_all(header_); }
  void on_eof(bool) override { fail(failure_of(net::EndReason::closed), "closed by the peer"); }
  void on_drained() override;
  void on_end(net::EndReason why) override;
  // Reapable
  void reclaim() noexcept override { std::unique_ptr<DialImpl> self(this); }

  void on_deadline() { fail({http::Kind::connect_timeout}, "connect_timeout"); }
  void secure();
  void finish();
  void fail(const DialFailure& why, std::string_view detail);

  std::shared_ptr<Making> making_;
  DialTarget target_;
  DialUser& user_;
  http::ClientHost& host_;
  net::TransportPtr transport_;
  net::ByteQueue header_;
  std::size_t tried_ = 1;  // of the sources that fit
  base::Micros began_;
  base::Micros connected_{};
  Step step_ = Step::connecting;
  net::Timer deadline_{this, net::timer_call<&DialImpl::on_deadline>};
};

class ConnectorImpl final : public Connector {
 public:
  explicit ConnectorImpl(ConnectorSetup setup) : making_(std::make_shared<Making>(std::move(setup))) {}
  DialPtr dial(const DialTarget& target, DialUser& user, http::ClientHost& host) override {
    return DialPtr(std::make_unique<DialImpl>(making_, target, user, host).release());
  }
  const WayPtr& way() const override { return making_->way_owner(); }

 private:
  std::shared_ptr<Making> making_;
};

DialImpl::DialImpl(std::shared_ptr<Making> making, const DialTarget& target, DialUser& user, http::ClientHost& host)
    : making_(std::move(making)), target_(target), user_(user), host_(host), began_(making_->loop().now()) {
  if (making_->way().proxy_protocol != net::ProxyProtocolOut::off) {
    const net::Address none;
    net::append_proxy_header(header_, making_->way().proxy_protocol,
                             target.client != nullptr ? target.client->remote : none,
                             target.client != nullptr ? target.client->local : none);
  }
  target_.client = nullptr;  // read already
  deadline_.arm(making_->loop(), target_.timeout);
  transport_ = making_->connect(target);
  transport_->start(*this);
}

void DialImpl::on_open() {
  switch (step_) {
    case Step::connecting:
      connected_ = making_->loop().now();
      if (header_.empty()) return secure();
      step_ = Step::header;
      return transport_->touch();
    case Step::handshake: return finish();
    case Step::header:
    case Step::over: break;
  }
  UNREACHABLE();
}

// A source without a free port (or that is not ours any more) says nothing of the next one.
void DialImpl::on_end(net::EndReason why) {
  const bool of_source = why == net::EndReason::no_local_port || why == net::EndReason::no_resources;
  if (step_ == Step::connecting && of_source && tried_ < making_->sources(target_.endpoint.address().family())) {
    ++tried_;
    transport_ = making_->connect(target_);
    return transport_->start(*this);
  }
  fail(failure_of(why), transport_->end_detail());
}

void DialImpl::on_drained() {
  if (step_ == Step::header) secure();
}

void DialImpl::secure() {
  const std::shared_ptr<const tls::ClientContext>& context = making_->way().tls;
  if (context == nullptr) return finish();
  step_ = Step::handshake;
  transport_ = tls::connect(making_->loop(), std::move(transport_), context,
                            context->server_name(host_of(target_.endpoint.host())), target_.sessions,
                            {.timeout = {}, .events = nullptr, .only_http1 = target_.only_http1});
  transport_->start(*this);
}

void DialImpl::finish() {
  if (!making_->agreed(transport_->peer(), target_.only_http1)) {
    return fail({http::Kind::tls_failed}, target_.only_http1 ? "it does not speak http/1.1 (no such ALPN answer)"
                                                             : "it does not speak h2 (no such ALPN answer)");
  }
  if (!target_.only_http1) target_.endpoint.note_multiplexes(making_->speaks_http2(transport_->peer()));
  const base::Micros now = making_->loop().now();
  const DialTimes times{connected_ - began_, making_->way().tls != nullptr ? now - connected_ : base::Micros{}};
  step_ = Step::over;
  deadline_.disarm();
  user_.on_dialled(making_->make_session(std::move(transport_), target_.endpoint, target_.timeout, host_),
                   times);  // lets go of us
}

void DialImpl::fail(const DialFailure& why, std::string_view detail) {
  if (step_ == Step::over) return;
  step_ = Step::over;
  deadline_.disarm();
  making_->log_failure(target_.endpoint, why, detail);
  user_.on_dial_failed(why);  // lets go of us
}

void DialImpl::retire() noexcept {
  step_ = Step::over;
  deadline_.disarm();
  if (transport_ != nullptr) transport_->close(net::Close::reset);
  transport_ = nullptr;
  making_->loop().reap_later(*this);
}

}  // namespace

std::vector<std::string> alpn_of(Protocol protocol) {
  switch (protocol) {
    case Protocol::http1: return {};  // no ALPN: some servers refuse what they do not know
    case Protocol::http2: return {std::string(alpn_http2)};
    case Protocol::any: return {std::string(alpn_http2), std::string(alpn_http1)};
  }
  UNREACHABLE();
}

std::unique_ptr<Connector> make_connector(ConnectorSetup setup) {
  return std::make_unique<ConnectorImpl>(std::move(setup));
}

}  // namespace sluice::upstream

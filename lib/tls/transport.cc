// TlsTransport, first part: life from creation to reap, and the handshake. Records are in transport_read.cc and
// transport_write.cc.
#include "tls/transport.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "tls/errors.h"
#include "tls/transport_impl.h"

namespace sluice::tls {
namespace {

// A transport that its owner has let go of waits for the lower one to take its close_notify, unless nothing moves for
// so long.
constexpr base::Millis farewell_stall = base::seconds(30);

bool covered(const void* certificate, std::string_view host) {
  return covers(*static_cast<const Certificate*>(certificate), host);
}

void expect_name(SSL& ssl, const std::string& name) {
  // A name that cannot be set (an empty one) makes every verification fail, as it should.
  X509_VERIFY_PARAM* const expected = SSL_get0_param(&ssl);
  if (const auto ip = net::Address::parse_ip(name)) {
    X509_VERIFY_PARAM_set1_ip(expected, ip->ip_bytes().data(), ip->ip_bytes().size());
  } else {
    X509_VERIFY_PARAM_set_hostflags(
        expected, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);  // RFC 9525 6.3
    X509_VERIFY_PARAM_set1_host(expected, name.c_str(), name.size());
  }
}

}  // namespace

TlsSlabs& tls_slabs() {
  thread_local TlsSlabs slabs;
  return slabs;
}

net::TransportPtr accept(net::Loop& loop, net::TransportPtr lower, std::shared_ptr<const ServerContext> context,
                         const HandshakeOptions& options) {
  return net::TransportPtr(tls_slabs().transports.make(loop, std::move(lower), std::move(context), options));
}

net::TransportPtr connect(net::Loop& loop, net::TransportPtr lower, std::shared_ptr<const ClientContext> context,
                          std::string_view server_name, SessionSlot* sessions, const HandshakeOptions& options) {
  return net::TransportPtr(
      tls_slabs().transports.make(loop, std::move(lower), std::move(context), server_name, sessions, options));
}

std::size_t transports_live() { return tls_slabs().transports.in_use(); }
std::size_t transports_busy() { return tls_slabs().busy.in_use(); }

// ---- Life ----

TlsTransport::TlsTransport(net::Loop& loop, net::TransportPtr lower, std::shared_ptr<const ServerContext> context,
                           const HandshakeOptions& options)
    : loop_(loop), lower_(std::move(lower)), ssl_(SSL_new(context->first())) {
  CHECK(ssl_);
  context_ = std::move(context);
  SSL_set_accept_state(ssl_.get());
  begin(options);
}

TlsTransport::TlsTransport(net::Loop& loop, net::TransportPtr lower, std::shared_ptr<const ClientContext> context,
                           std::string_view server_name, SessionSlot* sessions, const HandshakeOptions& options)
    : loop_(loop),
      lower_(std::move(lower)),
      ssl_(SSL_new(context->raw())),
      sessions_(sessions),
      context_id_(context->id()) {
  CHECK(ssl_);
  SSL_set_connect_state(ssl_.get());
  std::string name(server_name);
  if (name.ends_with('.')) name.pop_back();
  if (context->verify() == Verify::yes) expect_name(*ssl_, name);
  if (!name.empty() && !net::Address::parse_ip(name)) SSL_set_tlsext_host_name(ssl_.get(), name.c_str());
  if (sessions_ != nullptr) {
    const bssl::UniquePtr<SSL_SESSION> session(sessions_->take(context_id_));
    if (session) SSL_set_session(ssl_.get(), session.get());
  }
  if (options.only_http1) {
    static constexpr std::uint8_t http1[] = "\x08http/1.1";
    SSL_set_alpn_protos(ssl_.get(), http1, sizeof http1 - 1);
  }
  context_ = std::move(context);
  begin(options);
}

void TlsTransport::begin(const HandshakeOptions& options) {
  bssl::UniquePtr<BIO> bio = Wire::bio();
  BIO* const both = bio.release();
  SSL_set_bio(ssl_.get(), both, both);  // one reference for reading and writing
  SSL_set_shed_handshake_config(ssl_.get(), 1);
  peer_ = lower_->peer();
  Busy& b = busy();
  b.began = loop_.now();
  b.events = options.events;
  if (options.timeout.count > 0) b.timer.arm(loop_, options.timeout);
  state_ = lower_->open() ? State::handshake : State::connecting;
  lower_->start(*this);
  if (state_ == State::handshake && SSL_is_server(ssl_.get()) == 0) loop_.run_later(b);  // our hello comes first
}

TlsTransport::~TlsTransport() = default;

TlsTransport::Busy& TlsTransport::busy() {
  if (busy_ == nullptr) busy_ = tls_slabs().busy.make(*this);
  return *busy_;
}

void TlsTransport::settle() {
  if (busy_ != nullptr && state_ == State::open && owner_ == Owner::holds && busy_->idle()) drop_busy();
}

void TlsTransport::drop_busy() {
  if (busy_ != nullptr) tls_slabs().busy.recycle(std::exchange(busy_, nullptr));
}

void TlsTransport::start(net::Transport::User& user) {
  CHECK(owner_ == Owner::holds);
  user_ = &user;
  if (in_state_ == In::told) in_state_ = told_authenticated_ ? In::finished : In::cut;  // this user has not heard of it
  if (state_ == State::open) {
    loop_.run_later(busy());
    lower_->touch();
  }
}

// At the loop: what could not be done inside a downcall or a flush.
void TlsTransport::run() {
  if (out_state_ == Out::shut_sealed) {
    out_state_ = Out::shut;
    if (state_ == State::closing) {
      state_ = State::ended;
      lower_->close(net::Close::after_flush);
      if (owner_ == Owner::gone) return reap();
    } else {
      lower_->shut_write();
    }
  }
  if (busy_->tell_failure) {
    busy_->tell_failure = false;
    return end(net::EndReason::tls_failed, std::exchange(busy_->detail, {}));
  }
  if (state_ == State::handshake && SSL_is_server(ssl_.get()) == 0) shake_hands(nullptr);
  if (state_ == State::open) offer();
  settle();
}

void TlsTransport::close(net::Close how) {
  user_ = nullptr;
  if (state_ == State::ended) return;
  if (state_ == State::closing && how == net::Close::after_flush) return;
  if (how == net::Close::after_flush && state_ == State::open && out_state_ != Out::shut) {
    state_ = State::closing;
    busy().in.clear();
    if (out_state_ == Out::flows) out_state_ = Out::shut_asked;
    return lower_->touch();
  }
  state_ = State::ended;
  if (busy_ != nullptr) busy_->timer.disarm();
  lower_->close(how);
}

void TlsTransport::shut_write() {
  if (state_ != State::open || out_state_ != Out::flows) return;
  out_state_ = Out::shut_asked;
  lower_->touch();
}

void TlsTransport::retire() noexcept {
  if (state_ != State::closing) close(net::Close::now);
  user_ = nullptr;
  owner_ = Owner::gone;
  Busy& b = busy();
  if (state_ == State::ended) return reap();
  b.unsent = lower_->unsent();
  b.timer.arm(loop_, farewell_stall);  // an alert or close_notify has to leave first
}

void TlsTransport::reap() {
  Busy& b = busy();
  b.timer.disarm();
  loop_.reap_later(b);
}

void TlsTransport::dispose() {
  drop_busy();
  tls_slabs().transports.recycle(this);
}

void TlsTransport::set_peer(const net::Address& remote, const net::Address& local) {
  lower_->set_peer(remote, local);
  peer_.remote = remote;
  peer_.local = local;
}

std::string_view TlsTransport::end_detail() const {
  return busy_ != nullptr && !busy_->detail.empty() ? std::string_view(busy_->detail) : lower_->end_detail();
}

// ---- To another thread ----

// BoringSSL stands between two records whenever it waits (see wire.cc), so there are no bytes but ours to look after.
std::unique_ptr<net::Packed> TlsTransport::pack() {
  const bool still = quiet_now() && owner_ == Owner::holds && SSL_is_server(ssl_.get()) == 0 && !failed_ &&
                     !lower_holds_ && !lower_finished_ && !handshake_stream_.within() && !records_.owes_key_update() &&
                     SSL_has_pending(ssl_.get()) == 0 && (busy_ == nullptr || busy_->idle());
  if (!still) return nullptr;
  std::unique_ptr<net::Packed> lower = lower_->pack();
  if (lower == nullptr) return nullptr;
  user_ = nullptr;
  state_ = State::ended;
  return std::make_unique<Packed>(*this, std::move(lower));
}

TlsTransport::Packed::Packed(TlsTransport& from, std::unique_ptr<net::Packed> lower)
    : lower_(std::move(lower)),
      ssl_(std::move(from.ssl_)),
      context_(std::move(from.context_)),
      context_id_(from.context_id_),
      records_(std::move(from.records_)),
      handshake_stream_(from.handshake_stream_),
      key_updates_(from.key_updates_),
      peer_(from.peer_) {}

net::TransportPtr TlsTransport::Packed::unpack(net::Loop& loop) {
  return net::TransportPtr(tls_slabs().transports.make(loop, lower_->unpack(loop), *this));
}

TlsTransport::TlsTransport(net::Loop& loop, net::TransportPtr lower, Packed& packed)
    : loop_(loop),
      lower_(std::move(lower)),
      ssl_(std::move(packed.ssl_)),
      context_(std::move(packed.context_)),
      context_id_(packed.context_id_),
      state_(State::open),
      records_(std::move(packed.records_)),
      handshake_stream_(packed.handshake_stream_),
      key_updates_(packed.key_updates_),
      peer_(packed.peer_) {
  bssl::UniquePtr<BIO> ours = Wire::bio();  // this thread's
  if (SSL_get_rbio(ssl_.get()) != ours.get()) {  // else SSL_set_bio() does nothing, and takes no reference
    BIO* const both = ours.release();
    SSL_set_bio(ssl_.get(), both, both);
  }
  lower_->start(*this);
}

// ---- Handshake ----

void TlsTransport::on_open() {
  if (state_ != State::connecting) return;
  state_ = State::handshake;
  peer_ = lower_->peer();
  if (SSL_is_server(ssl_.get()) == 0) shake_hands(nullptr);
}

void TlsTransport::shake_hands(net::ByteQueue* in) {
  int done = 0;
  std::uint32_t error = 0;
  bool waits = false;
  {
    Wire wire;
    wire.in = in;
    wire.out = &busy().out;
    wire.sessions = sessions_;
    wire.context_id = context_id_;
    ERR_clear_error();
    done = SSL_do_handshake(ssl_.get());
    waits = done != 1 && SSL_get_error(ssl_.get(), done) == SSL_ERROR_WANT_READ;
    error = take_error();
    if (wire.certificate != nullptr) peer_.certificate = wire.certificate;
  }
  if (!busy_->out.empty()) lower_->touch();
  if (done == 1) return shaken();
  if (waits) {
    if (lower_finished_)
      handshake_failed(HandshakeError::eof, net::EndReason::tls_failed, "the peer closed during the handshake");
    return;
  }
  std::string detail = describe(error);
  const net::EndReason reason = verify_result(error, detail);
  handshake_failed(classify(error), reason, std::move(detail));
}

net::EndReason TlsTransport::verify_result(std::uint32_t error, std::string& detail) const {
  if (ERR_GET_LIB(error) != ERR_LIB_SSL || ERR_GET_REASON(error) != SSL_R_CERTIFICATE_VERIFY_FAILED)
    return net::EndReason::tls_failed;
  const long result = SSL_get_verify_result(ssl_.get());
  if (result != X509_V_OK) detail = std::string("certificate not accepted: ") + X509_verify_cert_error_string(result);
  return net::EndReason::tls_unverified;
}

void TlsTransport::shaken() {
  SSL& ssl = *ssl_;
  state_ = State::open;
  records_.take_reading(ssl);
  busy_->timer.disarm();
  peer_.tls = true;
  peer_.tls_version = static_cast<std::uint16_t>(SSL_version(&ssl));
  peer_.tls_resumed = SSL_session_reused(&ssl) == 1;
  const std::uint8_t* alpn = nullptr;
  unsigned alpn_size = 0;
  SSL_get0_alpn_selected(&ssl, &alpn, &alpn_size);
  peer_.alpn = {reinterpret_cast<const char*>(alpn), alpn_size};
  if (const char* const name = SSL_get_servername(&ssl, TLSEXT_NAMETYPE_host_name);
      name != nullptr && SSL_is_server(&ssl) == 1) {
    peer_.sni = name;
    sni_ = base::to_lower(peer_.sni);
    if (sni_ == peer_.sni) {
      std::string().swap(sni_);
    } else {
      peer_.sni = sni_;
    }
  }
  if (peer_.certificate != nullptr) peer_.certificate_covers = covered;
  if (TlsEvents* const events = std::exchange(busy_->events, nullptr); events != nullptr) {
    events->on_handshake(
        {.version = peer_.tls_version, .resumed = peer_.tls_resumed, .took = loop_.now() - busy_->began});
  }
  CHECK(user_ != nullptr);  // start() was not called in the turn of accept() or connect()
  user_->on_open();
  if (state_ != State::open) return;
  lower_->touch();
  if (reading_ == net::Reading::paused) lower_->allow_reading(reading_);
}

void TlsTransport::handshake_failed(HandshakeError why, net::EndReason reason, std::string detail) {
  if (TlsEvents* const events = std::exchange(busy_->events, nullptr); events != nullptr)
    events->on_handshake_error(why);
  end(reason, std::move(detail));
}

// The handshake took too long; or the farewell did.
void TlsTransport::limit_over() {
  if (owner_ == Owner::gone) {
    if (const size_t left = lower_->unsent(); state_ == State::closing && left != busy_->unsent) {
      busy_->unsent = left;
      return busy_->timer.arm(loop_, farewell_stall);
    }
    if (state_ != State::ended) lower_->close(net::Close::after_flush);
    state_ = State::ended;
    return reap();
  }
  handshake_failed(HandshakeError::timeout, net::EndReason::tls_failed, "handshake timeout");
}

// ---- The end ----

// At the loop. An alert that waits in busy().out leaves first, as close_notify does.
void TlsTransport::end(net::EndReason why, std::string detail) {
  if (state_ == State::closing || state_ == State::ended) return;
  Busy& b = busy();
  b.timer.disarm();
  b.in.clear();
  b.detail = std::move(detail);
  if (b.out.empty()) {
    state_ = State::ended;
    lower_->close(net::Close::now);
  } else {
    state_ = State::closing;
    out_state_ = Out::shut_asked;
    failed_ = true;
    lower_->touch();
  }
  if (user_ != nullptr) std::exchange(user_, nullptr)->on_end(why);
}

void TlsTransport::on_end(net::EndReason why) {
  if (state_ == State::ended || state_ == State::closing) {
    state_ = State::ended;
    if (owner_ == Owner::gone) reap();
    return;
  }
  if (state_ == State::handshake && busy_->events != nullptr) {
    std::exchange(busy_->events, nullptr)->on_handshake_error(HandshakeError::reset);
  }
  state_ = State::ended;
  if (busy_ != nullptr) busy_->timer.disarm();
  if (user_ != nullptr) std::exchange(user_, nullptr)->on_end(why);
}

}  // namespace sluice::tls

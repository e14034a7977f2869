// TlsTransport, reading: all records that one read of the lower transport brought are opened, then the user is called once.
#include <openssl/err.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "tls/errors.h"
#include "tls/transport_impl.h"

namespace sluice::tls {
namespace {

constexpr size_t pass_bytes = 64 * 1024;            // opened before the user is called
constexpr std::uint32_t read_room_min = 1024;       // with less room behind the unread bytes, a fresh chunk is taken
constexpr size_t open_in_place_bytes = 8 * 1024;    // a record of this size stays where it was received
constexpr std::uint8_t empty_records_max = 32;      // in a row: each costs us work and brings nothing

// Where the next bytes go: behind those that the user left, if there is room, so that they join.
net::Chunk* read_target(const net::ByteQueue& plain, std::uint32_t room) {
  if (!plain.empty()) {
    const net::Slice& last = plain.back();
    net::Chunk* const home = last.home();
    if (last.at() + last.size() == home->used() && home->room() >= room && !home->is_scratch()) {
      home->ref();
      return home;
    }
  }
  return net::Chunk::make();
}

void append_fresh(net::ByteQueue& to, net::Chunk& home, size_t bytes) {
  const auto n = static_cast<std::uint32_t>(bytes);
  net::Slice fresh(&home, home.used(), n);
  home.grow_used(n);
  to.append(std::move(fresh));
}

}  // namespace

void TlsTransport::on_bytes(net::ByteQueue& in) {
  if (state_ == State::handshake) {
    shake_hands(&in);
    if (state_ == State::handshake) return;
  }
  if (state_ == State::open) {
    receive(in);
  } else if (state_ != State::connecting) {
    in.clear();                                     // we are done: what still comes is of no interest
  }
  settle();
}

void TlsTransport::receive(net::ByteQueue& in) {
  net::ByteQueue plain;
  if (busy_ != nullptr) plain = std::move(busy_->in);
  Opened met = Opened::full;
  while (met == Opened::full && reading_ == net::Reading::allowed && in_state_ == In::flows) {
    const size_t before = plain.size();
    met = records_.reads() ? open_records(in, plain) : read_by_library(in, plain);
    if (plain.size() != before) {
      user_->on_bytes(plain);
      if (state_ != State::open) return;            // closed; what was left is dropped
    }
  }
  if (met == Opened::failed) return end(net::EndReason::tls_failed, std::exchange(busy_->detail, {}));
  if (met == Opened::finished) in_state_ = In::finished;
  if (in_state_ != In::flows) in.clear();           // behind close_notify nothing counts
  lower_holds_ = met == Opened::full && !in.empty();
  if (!plain.empty()) busy().in = std::move(plain);
  if (lower_finished_ && !lower_holds_ && in_state_ == In::flows) in_state_ = In::cut;
  tell_eof();
}

// ---- By our own hand: TLS 1.3 ----

TlsTransport::Opened TlsTransport::open_records(net::ByteQueue& in, net::ByteQueue& plain) {
  const size_t full = plain.size() + pass_bytes;
  while (plain.size() < full) {
    const size_t size = record_size(in);
    if (size > record_header_bytes + record_cipher_bytes_max) return refuse(SSL_AD_RECORD_OVERFLOW, "record too large");
    if (size == 0 || size > in.size()) return Opened::dry;
    if (const Opened met = open_record(in, size, plain); met != Opened::full) return met;
  }
  return Opened::full;
}

// Opened::full: go on.
TlsTransport::Opened TlsTransport::open_record(net::ByteQueue& in, size_t size, net::ByteQueue& plain) {
  const std::string_view record = in.flatten(size);
  const net::Slice front = in.front();              // keeps the bytes while we look
  Records::Content content;
  std::uint8_t alert = 0;
  net::Chunk* target = nullptr;
  char* to = front.home()->data() + front.at() + record_header_bytes;
  if (size < open_in_place_bytes) {
    target = read_target(plain, static_cast<std::uint32_t>(std::max<size_t>(size, read_room_min)));
    to = target->data() + target->used();
  }
  const bool good = records_.open(record, to, content, alert);
  if (good && content.type == RecordType::application && content.size != 0) {
    empty_records_ = 0;
    if (target != nullptr) {
      append_fresh(plain, *target, content.size);
    } else {
      plain.append(net::Slice(front.home(), front.at() + record_header_bytes, static_cast<std::uint32_t>(content.size)));
    }
  }
  Opened met = Opened::full;
  if (!good) {
    met = refuse(alert, alert == SSL_AD_BAD_RECORD_MAC    ? "bad record mac"
                        : alert == SSL_AD_RECORD_OVERFLOW ? "record too large"
                                                          : "unexpected record");
  } else if (content.type == RecordType::alert) {
    met = on_alert({to, content.size});
  } else if (content.type == RecordType::handshake) {
    met = content.size == 0 ? refuse(SSL_AD_UNEXPECTED_MESSAGE, "empty handshake record") : on_handshake_message({to, content.size});
  } else if (content.size == 0 && ++empty_records_ > empty_records_max) {
    met = refuse(SSL_AD_UNEXPECTED_MESSAGE, "too many empty records");
  }
  if (target != nullptr) target->unref();
  in.drop(size);
  return met;
}

// RFC 8446 6: the level means nothing any more; user_canceled is followed by close_notify.
TlsTransport::Opened TlsTransport::on_alert(std::string_view content) {
  if (content.size() != 2) return refuse(SSL_AD_DECODE_ERROR, "malformed alert");
  const auto alert = static_cast<std::uint8_t>(content[1]);
  if (alert == SSL_AD_CLOSE_NOTIFY) return Opened::finished;
  if (alert == SSL_AD_USER_CANCELLED) {
    return ++empty_records_ > empty_records_max ? refuse(SSL_AD_UNEXPECTED_MESSAGE, "too many warnings") : Opened::full;
  }
  busy().detail = std::string("the peer sent alert: ") + SSL_alert_desc_string_long(alert);
  return Opened::failed;
}

TlsTransport::Opened TlsTransport::on_handshake_message(std::string_view content) {
  net::ByteQueue record;
  net::ByteQueue answer;
  records_.wrap(*ssl_, content, record);
  bool good = false;
  {
    Wire wire;
    wire.in = &record;
    wire.out = &answer;
    wire.sessions = sessions_;
    wire.context_id = context_id_;
    ERR_clear_error();
    char nothing;
    const int n = SSL_read(ssl_.get(), &nothing, 1);
    good = n <= 0 && SSL_get_error(ssl_.get(), n) == SSL_ERROR_WANT_READ;
    // What BoringSSL has to answer is sealed by us; its own answer has to leave it, or it would not answer again.
    if (good && records_.writes()) SSL_write(ssl_.get(), "", 0);
  }
  if (!good) return refuse(SSL_AD_UNEXPECTED_MESSAGE, describe(take_error()));
  ERR_clear_error();
  net::ByteQueue& out = busy().out;
  if (!records_.follow(*ssl_, out)) return refuse(SSL_AD_INTERNAL_ERROR, "no new keys");
  if (!out.empty()) lower_->touch();
  return Opened::full;
}

TlsTransport::Opened TlsTransport::refuse(std::uint8_t alert, std::string detail) {
  Busy& b = busy();
  b.detail = std::move(detail);
  send_alert(SSL3_AL_FATAL, alert, b.out);
  return Opened::failed;
}

// ---- By BoringSSL: TLS 1.2 ----

TlsTransport::Opened TlsTransport::read_by_library(net::ByteQueue& in, net::ByteQueue& plain) {
  net::ByteQueue answer;
  Wire wire;
  wire.in = &in;
  wire.out = &answer;
  const size_t full = plain.size() + pass_bytes;
  while (plain.size() < full || SSL_pending(ssl_.get()) > 0) {
    net::Chunk* const target = read_target(plain, read_room_min);
    const int n = SSL_read(ssl_.get(), target->data() + target->used(), static_cast<int>(target->room()));
    if (n > 0) append_fresh(plain, *target, static_cast<size_t>(n));
    target->unref();
    if (n > 0) continue;
    const int error = SSL_get_error(ssl_.get(), n);
    if (error == SSL_ERROR_WANT_READ) return Opened::dry;
    if (error == SSL_ERROR_ZERO_RETURN) return Opened::finished;
    busy().detail = describe(take_error());
    busy().out.take_all(answer);                    // the alert; end() sees to it
    return Opened::failed;
  }
  return Opened::full;
}

// ---- What is left, and the end ----

// At the loop: bytes that were left, or an end that could not be told.
void TlsTransport::offer() {
  if (reading_ == net::Reading::paused) return;
  if (busy_ != nullptr && !busy_->in.empty()) {
    net::ByteQueue plain = std::move(busy_->in);
    user_->on_bytes(plain);
    if (state_ != State::open) return;
    if (!plain.empty()) busy().in = std::move(plain);
  }
  tell_eof();
}

void TlsTransport::tell_eof() {
  if (state_ != State::open || reading_ == net::Reading::paused || in_state_ == In::flows || in_state_ == In::told) return;
  told_authenticated_ = in_state_ == In::finished;
  in_state_ = In::told;
  user_->on_eof(told_authenticated_);
}

void TlsTransport::on_eof(bool) {
  lower_finished_ = true;
  switch (state_) {
    case State::connecting:
    case State::ended:
    case State::closing: return;
    case State::handshake: return handshake_failed(HandshakeError::eof, net::EndReason::tls_failed, "the peer closed during the handshake");
    case State::open: break;
  }
  if (lower_holds_) return;                         // receive() will find it
  if (in_state_ == In::flows) in_state_ = In::cut;
  tell_eof();
  settle();
}

void TlsTransport::on_fin_behind() {
  if (state_ == State::open && reading_ == net::Reading::paused) user_->on_fin_behind();
}

void TlsTransport::allow_reading(net::Reading how) {
  reading_ = how;
  if (state_ == State::ended || state_ == State::closing) return;
  if (state_ == State::open || how == net::Reading::allowed) lower_->allow_reading(how);
  const bool left = (busy_ != nullptr && !busy_->in.empty()) || in_state_ == In::cut || in_state_ == In::finished;
  if (how == net::Reading::allowed && state_ == State::open && left) loop_.run_later(busy());
}

bool TlsTransport::quiet_now() {
  const bool nothing_left = busy_ == nullptr || (busy_->in.empty() && busy_->out.empty());
  return state_ == State::open && in_state_ == In::flows && out_state_ == Out::flows && nothing_left && lower_->quiet_now();
}

}  // namespace sluice::tls

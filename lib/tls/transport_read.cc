// TlsTransport, reading: all records that one read of the lower transport brought are opened, then the user is called
// once.
#include <openssl/err.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "tls/errors.h"
#include "tls/transport_impl.h"

namespace sluice::tls {
namespace {

constexpr size_t pass_bytes = 64 * 1024;  // opened before the user is called
constexpr std::uint32_t read_room_min = 1024;  // with less room behind the unread bytes, a fresh chunk is taken
constexpr size_t open_in_place_bytes = 8 * 1024;  // a record of this size stays where it was received
constexpr std::uint8_t empty_records_max = 32;  // in a row: each costs us work and brings nothing (BoringSSL's limits)
constexpr std::uint8_t warnings_max = 4;

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

const char* words_of(std::uint8_t alert) {
  switch (alert) {
    case SSL_AD_BAD_RECORD_MAC: return "bad record mac";
    case SSL_AD_RECORD_OVERFLOW: return "record too large";
    case SSL_AD_PROTOCOL_VERSION: return "wrong version of a record";
    default: return "unexpected record";
  }
}

// BoringSSL's info callback.
void note_alert(const SSL*, int what, int value) noexcept {
  if (what == SSL_CB_WRITE_ALERT) Wire::current().alert = static_cast<std::uint8_t>(value & 0xff);
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
    in.clear();  // we are done: what still comes is of no interest
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
      if (state_ != State::open) return;  // closed; what was left is dropped
    }
  }
  if (met == Opened::failed) return end(net::EndReason::tls_failed, std::exchange(busy_->detail, {}));
  if (met == Opened::finished) in_state_ = In::finished;
  if (in_state_ != In::flows) in.clear();  // behind close_notify nothing counts
  lower_holds_ = met == Opened::full && !in.empty();
  if (!plain.empty()) busy().in = std::move(plain);
  if (lower_finished_ && !lower_holds_ && in_state_ == In::flows) in_state_ = In::cut;
  tell_eof();
}

// ---- By our own hand: TLS 1.3 ----

TlsTransport::Opened TlsTransport::open_records(net::ByteQueue& in, net::ByteQueue& plain) {
  const size_t full = plain.size() + pass_bytes;
  while (plain.size() < full) {
    if (const std::uint8_t alert = header_fault(in); alert != 0) return refuse(alert, words_of(alert));
    const size_t size = record_size(in);
    if (size == 0 || size > in.size()) return Opened::dry;
    if (const Opened met = open_record(in, size, plain); met != Opened::full) return met;
  }
  return Opened::full;
}

// Opened::full: go on.
TlsTransport::Opened TlsTransport::open_record(net::ByteQueue& in, size_t size, net::ByteQueue& plain) {
  const std::string_view record = in.flatten(size);
  const net::Slice front = in.front();  // keeps the bytes while we look
  Records::Content content;
  std::uint8_t alert = 0;
  net::Chunk* target = nullptr;
  char* to = front.home()->data() + front.at() + record_header_bytes;
  if (size < open_in_place_bytes) {
    target = read_target(plain, static_cast<std::uint32_t>(std::max<size_t>(size, read_room_min)));
    to = target->data() + target->used();
  }
  const bool good = records_.open(record, to, content, alert);
  if (good && content.type == RecordType::application && content.size != 0 && !handshake_stream_.within()) {
    empty_records_ = warnings_ = 0;
    key_updates_.bytes_received(content.size);
    if (target != nullptr) {
      append_fresh(plain, *target, content.size);
    } else {
      plain.append(
          net::Slice(front.home(), front.at() + record_header_bytes, static_cast<std::uint32_t>(content.size)));
    }
  }
  const Opened met = good ? on_record(content.type, {to, content.size}) : refuse(alert, words_of(alert));
  if (target != nullptr) target->unref();
  in.drop(size);
  return met;
}

// What is not plain application data; Opened::full: go on.
TlsTransport::Opened TlsTransport::on_record(RecordType type, std::string_view content) {
  // RFC 8446 5.4; of application data empty ones are allowed.
  if (content.empty() && type != RecordType::application) return refuse(SSL_AD_UNEXPECTED_MESSAGE, "empty record");
  if (content.empty() && ++empty_records_ > empty_records_max)
    return refuse(SSL_AD_UNEXPECTED_MESSAGE, "too many empty records");
  if (!content.empty()) empty_records_ = 0;
  if (type == RecordType::alert) return on_alert(content);
  warnings_ = 0;
  if (type == RecordType::handshake) return on_handshake_message(content);
  // RFC 8446 5.1
  return handshake_stream_.within()
             ? refuse(SSL_AD_UNEXPECTED_MESSAGE, "a record between two parts of a handshake message")
             : Opened::full;
}

// RFC 8446 6: the level means nothing any more; user_canceled is followed by close_notify.
TlsTransport::Opened TlsTransport::on_alert(std::string_view content) {
  if (content.size() != 2) return refuse(SSL_AD_DECODE_ERROR, "malformed alert");
  const auto alert = static_cast<std::uint8_t>(content[1]);
  if (alert == SSL_AD_CLOSE_NOTIFY) return Opened::finished;
  if (alert == SSL_AD_USER_CANCELLED) {
    return ++warnings_ > warnings_max ? refuse(SSL_AD_UNEXPECTED_MESSAGE, "too many warnings") : Opened::full;
  }
  busy().detail = std::string("the peer sent alert: ") + SSL_alert_desc_string_long(alert);
  return Opened::failed;
}

TlsTransport::Opened TlsTransport::on_handshake_message(std::string_view content) {
  const bool between = !handshake_stream_.within();
  const unsigned key_updates = handshake_stream_.take(content);
  for (unsigned i = 0; i < key_updates; ++i) {
    if (!key_updates_.spend(loop_.now())) return refuse(SSL_AD_UNEXPECTED_MESSAGE, "too many key updates");
  }
  net::ByteQueue answer;
  std::uint8_t alert = 0;
  // BoringSSL counts KeyUpdates between two application records, and those it does not see: it is shown one.
  bool good = key_updates == 0 || !between || hand_over(RecordType::application, "x", answer, alert);
  good = good && hand_over(RecordType::handshake, content, answer, alert);
  if (!good) {
    std::string detail = describe(take_error());
    if (records_.writes()) return refuse(alert != 0 ? alert : SSL_AD_INTERNAL_ERROR, std::move(detail));
    busy().detail = std::move(detail);
    busy().out.take_all(answer);  // its alert, as nobody but it has sealed anything so far
    return Opened::failed;
  }
  ERR_clear_error();
  if (!records_.follow(*ssl_)) return refuse(SSL_AD_INTERNAL_ERROR, "no new keys");
  if (records_.owes_key_update()) lower_->touch();
  return Opened::full;
}

// Gives BoringSSL a record. False: it has refused it, with `alert` (0: without), which stands sealed by it in `answer`.
bool TlsTransport::hand_over(RecordType type, std::string_view content, net::ByteQueue& answer, std::uint8_t& alert) {
  net::ByteQueue record;
  records_.wrap(*ssl_, type, content, record);
  Wire wire;
  wire.in = &record;
  wire.out = &answer;
  wire.sessions = sessions_;
  wire.context_id = context_id_;
  ERR_clear_error();
  SSL_set_info_callback(ssl_.get(), note_alert);
  char nothing;
  const int n = SSL_read(ssl_.get(), &nothing, 1);
  alert = wire.alert;
  return type == RecordType::application ? n == 1 : n <= 0 && SSL_get_error(ssl_.get(), n) == SSL_ERROR_WANT_READ;
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
    busy().out.take_all(answer);  // the alert; end() sees to it
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
  if (state_ != State::open || reading_ == net::Reading::paused || in_state_ == In::flows || in_state_ == In::told)
    return;
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
    case State::handshake:
      return handshake_failed(HandshakeError::eof, net::EndReason::tls_failed, "the peer closed during the handshake");
    case State::open: break;
  }
  if (lower_holds_) return;  // receive() will find it
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
  return state_ == State::open && in_state_ == In::flows && out_state_ == Out::flows && nothing_left &&
         lower_->quiet_now();
}

}  // namespace sluice::tls

// TlsTransport, reading: all records that one read of the lower transport brought are opened, then the user is called once.
#include <openssl/err.h>

#include "base/check.h"
#include "tls/errors.h"
#include "tls/transport_impl.h"

namespace sluice::tls {
namespace {

constexpr size_t pass_bytes = 64 * 1024;            // opened before the user is called
constexpr std::uint32_t read_room_min = 1024;       // with less room behind the unread bytes, a fresh chunk is taken

// Where the next bytes go: behind those that the user left, if there is room, so that they join.
net::Chunk* read_target(const net::ByteQueue& plain) {
  if (!plain.empty()) {
    const net::Slice& last = plain.back();
    net::Chunk* const home = last.home();
    if (last.at() + last.size() == home->used() && home->room() >= read_room_min && !home->is_scratch()) {
      home->ref();
      return home;
    }
  }
  return net::Chunk::make();
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
  while (reading_ == net::Reading::allowed && in_state_ == In::flows) {
    const size_t before = plain.size();
    const Opened met = open_records(in, plain);
    if (plain.size() != before) {
      user_->on_bytes(plain);
      if (state_ != State::open) return;            // closed; what was left is dropped
    }
    if (met == Opened::failed) {
      if (!plain.empty()) busy().in = std::move(plain);
      return end(net::EndReason::tls_failed, describe(read_error_));
    }
    if (met == Opened::finished) in_state_ = In::finished;
    if (met != Opened::full) break;
  }
  if (in_state_ != In::flows) in.clear();           // behind close_notify nothing counts
  lower_holds_ = !in.empty();
  if (!plain.empty()) busy().in = std::move(plain);
  if (lower_finished_ && !lower_holds_ && in_state_ == In::flows) in_state_ = In::cut;
  if (busy_ == nullptr || busy_->in.empty() || in_state_ != In::flows) tell_eof();
}

TlsTransport::Opened TlsTransport::open_records(net::ByteQueue& in, net::ByteQueue& plain) {
  net::ByteQueue answer;
  Wire wire;
  wire.in = &in;
  wire.out = &answer;
  wire.sessions = sessions_;
  wire.context_id = context_id_;
  const size_t full = plain.size() + pass_bytes;
  while (!in.empty() || SSL_pending(ssl_.get()) > 0) {
    if (plain.size() >= full && SSL_pending(ssl_.get()) == 0) break;
    net::Chunk* const target = read_target(plain);
    const int n = SSL_read(ssl_.get(), target->data() + target->used(), static_cast<int>(target->room()));
    if (n > 0) {
      net::Slice fresh(target, target->used(), static_cast<std::uint32_t>(n));
      target->grow_used(static_cast<std::uint32_t>(n));
      plain.append(std::move(fresh));
    }
    target->unref();
    if (n > 0) continue;
    const int error = SSL_get_error(ssl_.get(), n);
    if (error == SSL_ERROR_WANT_READ) break;
    if (error == SSL_ERROR_ZERO_RETURN) return Opened::finished;
    read_error_ = take_error();
    if (!answer.empty()) busy().out.take_all(answer);  // the alert; end() sees to it
    return Opened::failed;
  }
  if (!answer.empty()) {                            // BoringSSL answered a KeyUpdate
    busy().out.take_all(answer);
    lower_->touch();
  }
  return in.empty() ? Opened::dry : Opened::full;
}

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
    case State::handshake:
      return handshake_failed(HandshakeError::eof, net::EndReason::tls_failed, "the peer closed during the handshake");
    case State::open: break;
  }
  if (lower_holds_) return;                         // receive() will find it
  if (in_state_ == In::flows) in_state_ = In::cut;
  tell_eof();
  settle();
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

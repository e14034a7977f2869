// TlsTransport, writing: everything the user gives in one flush is sealed into records, and the lower transport writes it at once.
#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"
#include "tls/transport_impl.h"

namespace sluice::tls {
namespace {

// A slice of this size is sealed where it lies, as a record of its own; smaller ones are gathered into one record first.
constexpr std::uint32_t gather_below = 8 * 1024;

thread_local std::array<char, record_bytes_max> gathered;

}  // namespace

void TlsTransport::touch() {
  if (state_ == State::open && (out_state_ == Out::flows || out_state_ == Out::shut_asked)) lower_->touch();
}

size_t TlsTransport::unsent() const { return lower_->unsent() + (busy_ == nullptr ? 0 : busy_->out.size()); }

void TlsTransport::fill(net::ByteQueue& out, size_t room) {
  if (busy_ != nullptr && !busy_->out.empty()) out.take_all(busy_->out);
  if (state_ == State::open && user_ != nullptr && (out_state_ == Out::flows || out_state_ == Out::shut_asked)) {
    net::ByteQueue plain;
    user_->fill(plain, room);
    gave_bytes_ = gave_bytes_ || !plain.empty();
    if (!plain.empty() && (state_ == State::open || state_ == State::closing)) seal(plain, out);
  }
  if (out_state_ == Out::shut_asked && (state_ == State::open || state_ == State::closing)) seal_close_notify(out);
}

void TlsTransport::seal_close_notify(net::ByteQueue& out) {
  Wire wire;
  wire.out = &out;
  ERR_clear_error();
  SSL_shutdown(ssl_.get());                          // 0: sent, the peer's has yet to come; errors leave nothing to send
  ERR_clear_error();
  out_state_ = Out::shut_sealed;
  loop_.run_later(busy());
}

std::uint32_t TlsTransport::record_limit() const { return run_bytes_ < small_records_for_bytes ? small_record_bytes : record_bytes_max; }

void TlsTransport::seal(net::ByteQueue& plain, net::ByteQueue& out) {
  const base::Micros now = loop_.now();
  if (wrote_at_.count < 0 || now - wrote_at_ >= base::Micros(idle_before_small)) run_bytes_ = 0;
  wrote_at_ = now;
  Wire wire;
  wire.out = &out;
  while (!plain.empty()) {
    const auto size = static_cast<std::uint32_t>(std::min<size_t>(record_limit(), plain.size()));
    const net::Slice& front = plain.front();
    std::string_view record = front.view().substr(0, size);
    if (front.size() < size && front.size() < gather_below) {
      std::uint32_t n = 0;                           // small ones together, up to a large one that does not fit
      for (size_t i = 0; i < plain.slices() && n < size; ++i) {
        const net::Slice& next = plain.slice(i);
        if (next.size() >= gather_below && next.size() > size - n) break;
        n += std::min(next.size(), size - n);
      }
      plain.peek(gathered.data(), n);
      record = {gathered.data(), n};
    }
    if (!seal_record(record)) {
      busy().detail = "sealing a record failed";
      busy().tell_failure = true;
      loop_.run_later(*busy_);
      return;
    }
    run_bytes_ = std::min(run_bytes_ + static_cast<std::uint32_t>(record.size()), small_records_for_bytes);
    plain.drop(record.size());
  }
}

bool TlsTransport::seal_record(std::string_view record) {
  const int n = SSL_write(ssl_.get(), record.data(), static_cast<int>(record.size()));
  if (n == static_cast<int>(record.size())) return true;
  ERR_clear_error();
  return false;
}

void TlsTransport::on_drained() {
  if (std::exchange(gave_bytes_, false) && state_ == State::open && user_ != nullptr) user_->on_drained();
}

}  // namespace sluice::tls

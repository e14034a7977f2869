// TlsTransport, writing: everything the user gives in one flush is sealed into records, and the lower transport writes
// it at once.
#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"
#include "tls/transport_impl.h"

namespace sluice::tls {
namespace {

thread_local std::array<char, record_bytes_max> gathered;

static_assert(record_bytes_max + record_overhead_bytes == net::Chunk::usual_bytes);

// Where sealed records go: chunks that fit what is still to come.
class Target {
 public:
  explicit Target(net::ByteQueue& out) : out_(out) {}
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;
  ~Target() { leave(); }

  // Room for `bytes` more; `to_come`: of all records together.
  char* room(size_t bytes, size_t to_come) {
    if (chunk_ != nullptr && chunk_->room() >= bytes) return chunk_->data() + chunk_->used();
    leave();
    if (to_come <= net::ByteQueue::small_slice_bytes) {
      chunk_ = &net::Chunk::scratch(static_cast<std::uint32_t>(to_come));
      chunk_->ref();
    } else {
      chunk_ = net::Chunk::make(to_come > net::Chunk::usual_bytes ? net::Chunk::bulk_bytes : net::Chunk::usual_bytes);
    }
    return chunk_->data() + chunk_->used();
  }
  void filled(size_t bytes) {
    const auto n = static_cast<std::uint32_t>(bytes);
    out_.append(net::Slice(chunk_, chunk_->used(), n));
    chunk_->grow_used(n);
  }

 private:
  void leave() {
    if (chunk_ != nullptr) std::exchange(chunk_, nullptr)->unref();
  }
  net::ByteQueue& out_;
  net::Chunk* chunk_ = nullptr;
};

}  // namespace

void TlsTransport::touch() {
  if (state_ == State::open && (out_state_ == Out::flows || out_state_ == Out::shut_asked)) lower_->touch();
}

size_t TlsTransport::unacknowledged() const {
  return lower_->unacknowledged() + (busy_ == nullptr ? 0 : busy_->out.size());
}

size_t TlsTransport::unsent() const { return lower_->unsent() + (busy_ == nullptr ? 0 : busy_->out.size()); }

void TlsTransport::fill(net::ByteQueue& out, size_t room) {
  if (busy_ != nullptr && !busy_->out.empty()) out.take_all(busy_->out);
  if (state_ == State::open && user_ != nullptr && (out_state_ == Out::flows || out_state_ == Out::shut_asked)) {
    if (records_.owes_key_update() && !records_.answer(*ssl_, out)) return sealing_failed();
    net::ByteQueue plain;
    // Full records only, if there is room for one: a rest of some bytes would cost as much as a record again.
    user_->fill(plain, room > record_bytes_max ? room - room % record_bytes_max : room);
    gave_bytes_ = gave_bytes_ || !plain.empty();
    if (!plain.empty() && (state_ == State::open || state_ == State::closing)) seal(plain, out);
  }
  if (out_state_ == Out::shut_asked && (state_ == State::open || state_ == State::closing)) {
    if (!failed_) send_alert(SSL3_AL_WARNING, SSL_AD_CLOSE_NOTIFY, out);
    out_state_ = Out::shut_sealed;
    loop_.run_later(busy());
  }
  settle();
}

void TlsTransport::send_alert(std::uint8_t level, std::uint8_t alert, net::ByteQueue& out) {
  if (records_.writes()) {
    const char content[] = {static_cast<char>(level), static_cast<char>(alert)};
    return records_.seal(RecordType::alert, {content, sizeof content}, out);
  }
  Wire wire;
  wire.out = &out;
  ERR_clear_error();
  if (alert == SSL_AD_CLOSE_NOTIFY) {
    SSL_shutdown(ssl_.get());  // 0: sent, the peer's has yet to come
  } else {
    SSL_send_fatal_alert(ssl_.get(), alert);
  }
  ERR_clear_error();  // what cannot be sent is not missed: we are leaving
}

std::uint32_t TlsTransport::record_limit() const {
  return run_bytes_ < small_records_for_bytes ? small_record_bytes : record_bytes_max;
}

void TlsTransport::seal(net::ByteQueue& plain, net::ByteQueue& out) {
  const base::Micros now = loop_.now();
  if (wrote_at_.count < 0 || now - wrote_at_ >= base::Micros(idle_before_small)) run_bytes_ = 0;
  wrote_at_ = now;
  Target target(out);
  while (!plain.empty()) {
    const std::uint32_t limit = record_limit();
    const auto size = static_cast<std::uint32_t>(std::min<size_t>(limit, plain.size()));
    std::string_view record = plain.front().view().substr(0, size);
    if (record.size() < size) {  // several slices: one record
      plain.peek(gathered.data(), size);
      record = {gathered.data(), size};
    }
    if (records_.writes()) {
      const size_t records_to_come = (plain.size() + limit - 1) / limit;
      char* const to =
          target.room(size + record_overhead_bytes, plain.size() + records_to_come * record_overhead_bytes);
      target.filled(records_.seal(RecordType::application, record, to));
    } else if (!seal_by_library(record, out)) {
      return sealing_failed();
    }
    key_updates_.record_sent();
    run_bytes_ = std::min(run_bytes_ + size, small_records_for_bytes);
    plain.drop(size);
  }
}

void TlsTransport::sealing_failed() {
  busy().detail = "sealing a record failed";
  busy().tell_failure = true;
  loop_.run_later(*busy_);
}

// TLS 1.2; and the first record of TLS 1.3, which brings along what BoringSSL has still to say (tickets).
bool TlsTransport::seal_by_library(std::string_view record, net::ByteQueue& out) {
  Wire wire;
  wire.out = &out;
  const int n = SSL_write(ssl_.get(), record.data(), static_cast<int>(record.size()));
  if (n != static_cast<int>(record.size())) {
    ERR_clear_error();
    return false;
  }
  records_.take_writing(*ssl_);
  return true;
}

void TlsTransport::on_drained() {
  if (std::exchange(gave_bytes_, false) && state_ == State::open && user_ != nullptr) user_->on_drained();
}

}  // namespace sluice::tls

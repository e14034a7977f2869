// TcpSocket, second part: one flush, one write; what the kernel does not take waits in one leased request. And write
// stalls.
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "base/unwritten.h"
#include "net/tcp_socket_impl.h"

namespace sluice::net {
namespace {

constexpr size_t vectors_max = 32;  // of one write
constexpr size_t request_vectors_max = 4;  // of a write request: libuv allocates above that
constexpr base::Millis linger_stall = base::seconds(30);  // a closing socket without a write limit of its own
constexpr base::Millis stall_look_max = base::seconds(1);

static_assert(sizeof(uv_buf_t) == sizeof(iovec) && offsetof(uv_buf_t, base) == offsetof(iovec, iov_base) &&
              offsetof(uv_buf_t, len) == offsetof(iovec, iov_len));
const uv_buf_t* as_buffers(const iovec* vectors) { return reinterpret_cast<const uv_buf_t*>(vectors); }

size_t sum(std::span<const iovec> vectors) {
  size_t bytes = 0;
  for (const iovec& v : vectors) bytes += v.iov_len;
  return bytes;
}

}  // namespace

size_t TcpSocket::unsent() const { return busy_ == nullptr ? 0 : busy_->out.size(); }

size_t TcpSocket::unacknowledged() const {
  if (state_ != State::open) return unsent();
  int queued = 0;
  ::ioctl(fd(), SIOCOUTQ, &queued);
  size_t waiting = unsent();
  if (waiting != 0 && busy_->write != nullptr) {  // the kernel may have taken a part of what is under way
    const size_t left = uv_stream_get_write_queue_size(reinterpret_cast<const uv_stream_t*>(&handle_));
    waiting -= busy_->in_flight - std::min(busy_->in_flight, left);
  }
  return waiting + static_cast<size_t>(std::max(queued, 0));
}

void TcpSocket::flush() {
  Busy& b = *busy_;
  if (std::exchange(b.stop_reads, false) && state_ == State::open && reading_ == Reading::paused && poll_ == Poll::on)
    stop_reads();
  Given given = Given::all;
  const bool can_write = out_state_ == Out::flows || out_state_ == Out::shut_asked;
  if (b.out.size() >= high_mark) {
    given = Given::maybe_more;  // the user could not be asked in this flush
  } else if (state_ == State::open && can_write && user_ != nullptr) {
    const size_t before = b.out.size();
    const size_t room = high_mark - before;
    user_->fill(b.out, room);
    if (before != 0 || b.out.size() - before >= room / 2) given = Given::maybe_more;
  }
  if (stream_alive() && can_write && b.write == nullptr) write_some(given);
  // A big fill that went out at once: there may be more, in the next turn, after the others.
  if (given == Given::maybe_more && state_ == State::open && b.out.empty()) loop_.flush_later(b);
  settle();
}

void TcpSocket::write_some(Given given) {
  Busy& b = *busy_;
  const bool had = !b.out.empty();
  while (!b.out.empty()) {
    UNWRITTEN std::array<iovec, vectors_max> space;
    const auto vectors = b.out.gather(space);
    const int n = uv_try_write(stream(), as_buffers(vectors.data()), static_cast<unsigned>(vectors.size()));
    if (n < 0 && n != UV_EAGAIN) return write_failed(n);
    const size_t taken = n < 0 ? 0 : static_cast<size_t>(n);
    const size_t offered = sum(vectors);
    b.written += taken;
    b.out.drop(taken);
    if (taken < offered) return write_rest();
  }
  if (had) drained();
  if (given == Given::all) shut_if_asked();
}

void TcpSocket::write_rest() {
  Busy& b = *busy_;
  std::array<iovec, request_vectors_max> space;
  const auto vectors = b.out.gather(space);
  b.in_flight = sum(vectors);
  b.write = tcp_slabs().writes.make();
  b.write->data = this;
  const auto done = [](uv_write_t* request, int status) { static_cast<TcpSocket*>(request->data)->wrote(status); };
  const int error =
      uv_write(b.write, stream(), as_buffers(vectors.data()), static_cast<unsigned>(vectors.size()), done);
  if (error != 0) {
    tcp_slabs().writes.recycle(std::exchange(b.write, nullptr));
    return write_failed(error);
  }
  watch_stall();
}

void TcpSocket::wrote(int status) {
  Busy& b = *busy_;
  tcp_slabs().writes.recycle(std::exchange(b.write, nullptr));
  if (!stream_alive()) return b.out.clear();  // closed meanwhile
  loop_.before_event();
  if (status != 0) {
    write_failed(status);
  } else {
    b.written += b.in_flight;
    b.out.drop(b.in_flight);
    loop_.flush_later(b);
  }
  b.in_flight = 0;
  settle();
  loop_.after_event();
}

// All that fill() gave is with the kernel.
void TcpSocket::drained() {
  busy_->limit.disarm();
  busy_->progress_at = base::Micros{-1};
  if (state_ == State::lingering) return close_handle();
  if (user_ != nullptr) user_->on_drained();
}

void TcpSocket::shut_if_asked() {
  if (state_ != State::open || out_state_ != Out::shut_asked || unsent() != 0) return;
  out_state_ = Out::shut;
  ::shutdown(fd(), SHUT_WR);  // can only fail if the peer is gone already: reading tells
  finish_if_done();
}

void TcpSocket::shut_write() {
  if (out_state_ != Out::flows || (state_ != State::open && state_ != State::connecting)) return;
  out_state_ = Out::shut_asked;
  loop_.flush_later(busy());
}

void TcpSocket::write_failed(int error) {
  Busy& b = *busy_;
  b.out.clear();
  b.limit.disarm();
  out_state_ = Out::broken;
  error_ = error;
  if (state_ == State::lingering) return close_handle();
  // What the peer sent before it closed is still there: reading goes on and finds the end itself.
  const bool reading_finds_it =
      (error == UV_EPIPE || error == UV_ECONNRESET) && poll_ == Poll::on && reading_ == Reading::allowed;
  if (!reading_finds_it) end(EndReason::reset, error);
}

void TcpSocket::watch_stall() {
  Busy& b = busy();
  if (b.limit.armed() || (stall_ms_ == 0 && state_ != State::lingering)) return;
  const base::Millis limit = stall_ms_ != 0 ? base::Millis{stall_ms_} : linger_stall;
  b.limit.arm(loop_, std::clamp(base::Millis{limit.count / 4}, base::millis(1), stall_look_max));
}

// Progress is what the peer acknowledged: the kernel takes more from us only when a good part of its buffer is free
// again, which for a slow but honest reader may take longer than the limit.
void TcpSocket::limit_over() {
  if (state_ == State::connecting) {
    end(EndReason::connect_timeout, UV_ETIMEDOUT);
    return settle();
  }
  if (!stream_alive() || unsent() == 0 || (stall_ms_ == 0 && state_ != State::lingering)) return settle();
  Busy& b = *busy_;
  const base::Millis limit = stall_ms_ != 0 ? base::Millis{stall_ms_} : linger_stall;
  int queued = 0;
  ::ioctl(fd(), SIOCOUTQ, &queued);
  const uint64_t sent =
      b.written +
      (b.write == nullptr ? 0 : b.in_flight - std::min(b.in_flight, uv_stream_get_write_queue_size(stream())));
  const int64_t acked = static_cast<int64_t>(sent) - queued;
  if (b.progress_at.count < 0 || acked > b.acked) {
    b.acked = acked;
    b.progress_at = loop_.now();
  } else if (loop_.now() - b.progress_at >= base::Micros{limit}) {
    reset_on_close();
    if (state_ == State::lingering) {
      close_handle();
    } else {
      end(EndReason::write_stalled, UV_ETIMEDOUT);
    }
    return settle();
  }
  watch_stall();
}

Acks TcpSocket::acks() const {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (state_ != State::open || ::getsockopt(fd(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return {};
  return {info.tcpi_unacked, info.tcpi_retransmits, base::Micros{int64_t{info.tcpi_last_ack_recv} * 1000}};
}

}  // namespace sluice::net

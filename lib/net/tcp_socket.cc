// TcpSocket, first part: life from connect to reap, and reading. Writing is in tcp_write.cc.
#include "net/tcp_socket.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "base/pages.h"
#include "net/tcp_socket_impl.h"
#include "net/uv_driver.h"

namespace sluice::net {
namespace {

constexpr uint32_t read_room_min = 1024;           // with less room behind the unread bytes, a fresh chunk is taken
constexpr base::Millis look_again = base::seconds(1);
constexpr int keepalive_probes = 3;                // a third of the silence before the first one apart

TcpSocket& self(void* data) { return *static_cast<TcpSocket*>(data); }

EndReason connect_reason(int error) {
  switch (error) {
    case UV_ECONNREFUSED:
    case UV_EAGAIN: return EndReason::refused;     // EAGAIN: the accept queue of a Unix socket is full
    case UV_ECONNRESET:
    case UV_EPIPE: return EndReason::reset;
    case UV_ETIMEDOUT: return EndReason::connect_timeout;
    case UV_EMFILE:
    case UV_ENFILE: return EndReason::no_descriptor;
    case UV_EADDRNOTAVAIL:
    case UV_EADDRINUSE: return EndReason::no_local_port;
    case UV_ENOBUFS:
    case UV_ENOMEM: return EndReason::no_resources;
    default: return EndReason::unreachable;
  }
}

int set_option(int fd, int level, int name, int value) {
  return ::setsockopt(fd, level, name, &value, sizeof value) == 0 ? 0 : -errno;
}

int seconds_of(base::Millis span) {
  return static_cast<int>(std::clamp<int64_t>((span.count + 999) / 1000, 1, 32'767));
}

// A dead peer is noticed while the connection is idle (keepalive), and while something is on its way (user timeout).
int set_patience(int fd, const DialOptions& options) {
  int error = set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (error == 0 && options.keepalive.count > 0) {
    const int idle = seconds_of(options.keepalive);
    error = set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    if (error == 0) error = set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle);
    if (error == 0) error = set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, std::max(1, idle / 3));
    if (error == 0) error = set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, keepalive_probes);
  }
  if (error == 0 && options.user_timeout.count > 0) {
    const auto millis = static_cast<int>(std::min<int64_t>(options.user_timeout.count, INT_MAX));
    error = set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, millis);
  }
  return error;
}

class PackedSocket final : public Packed {
 public:
  PackedSocket(Fd fd, const Peer& peer) : fd_(std::move(fd)), peer_(peer) {}
  TransportPtr unpack(Loop& loop) override {
    TransportPtr socket = accepted_socket(loop, std::move(fd_), peer_.socket_remote, peer_.local);
    socket->set_peer(peer_.remote, peer_.local);
    return socket;
  }

 private:
  Fd fd_;
  Peer peer_;
};

}  // namespace

TcpSlabs& tcp_slabs() {
  thread_local TcpSlabs slabs;
  return slabs;
}

TransportPtr accepted_socket(Loop& loop, Fd fd, const Address& remote, const Address& local) {
  TcpSocket* const socket = tcp_slabs().sockets.make(loop, remote, local);
  socket->adopt(std::move(fd));
  return TransportPtr(socket);
}

TransportPtr dial_socket(Loop& loop, const Address& to, const DialOptions& options) {
  TcpSocket* const socket = tcp_slabs().sockets.make(loop, to, Address());
  socket->dial(to, options);
  return TransportPtr(socket);
}

void close_lingering(void* handle_data) { self(handle_data).abandon(); }

size_t idle_socket_bytes() { return sizeof(TcpSocket); }
size_t sockets_live() { return tcp_slabs().sockets.in_use(); }
size_t sockets_busy() { return tcp_slabs().busy.in_use(); }

TcpSocket::Busy::~Busy() {
  if (target != nullptr) target->unref();
  if (write != nullptr) tcp_slabs().writes.recycle(write);
  if (connect != nullptr) tcp_slabs().connects.recycle(connect);
}

bool TcpSocket::Busy::idle() const {
  const auto& flushing = static_cast<const base::ListHook<FlushTag>&>(*this);
  const auto& running = static_cast<const base::ListHook<RunTag>&>(*this);
  const auto& dying = static_cast<const base::ListHook<ReapTag>&>(*this);
  return in.empty() && out.empty() && write == nullptr && connect == nullptr && target == nullptr && !limit.armed() &&
         !again.armed() && !stop_reads && !flushing.linked() && !running.linked() && !dying.linked();
}

TcpSocket::TcpSocket(Loop& loop, const Address& remote, const Address& local) : loop_(loop) {
  peer_.remote = remote;
  peer_.socket_remote = remote;
  peer_.local = local;
  CHECK(uv_tcp_init(raw(loop.driver()), &handle_) == 0);
  handle_.data = this;
}

TcpSocket::Busy& TcpSocket::busy() {
  if (busy_ == nullptr) busy_ = tcp_slabs().busy.make(*this);
  return *busy_;
}

void TcpSocket::settle() {
  if (busy_ != nullptr && busy_->idle()) tcp_slabs().busy.recycle(std::exchange(busy_, nullptr));
}

int TcpSocket::fd() const {
  uv_os_fd_t fd = -1;
  return uv_fileno(reinterpret_cast<const uv_handle_t*>(&handle_), &fd) == 0 ? fd : -1;
}

void TcpSocket::adopt(Fd fd) {
  const int error = uv_tcp_open(&handle_, fd.value());
  CHECK(error == 0);
  fd.release();
  state_ = State::open;
}

// ---- Connecting ----

void TcpSocket::dial(const Address& to, const DialOptions& options) {
  bool bound = true;
  const int error = connect(to, options, bound);
  if (error == 0) return;
  error_ = error;
  end_reason_ = bound ? connect_reason(error) : EndReason::no_resources;  // the address, not its ports
  tell_ = Tell::end;
  close_handle();
}

int TcpSocket::connect(const Address& to, const DialOptions& options, bool& bound) {
  sockaddr_storage raw_to;
  const socklen_t length = to.to_sockaddr(raw_to);
  if (length == 0) return UV_EADDRNOTAVAIL;
  Fd fd(::socket(raw_to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return -errno;
  if (!may_take(fd.value(), options.takes)) return UV_EMFILE;
  if (to.is_ip()) {
    if (const int error = set_patience(fd.value(), options); error != 0) return error;
  }
  if (options.source.is_ip()) {
    sockaddr_storage from;
    const socklen_t from_length = options.source.to_sockaddr(from);
    // The port is chosen at connect, so that ports are shared between destinations.
    if (const int error = set_option(fd.value(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1); error != 0) return error;
    bound = ::bind(fd.value(), reinterpret_cast<const sockaddr*>(&from), from_length) == 0;
    if (!bound) return -errno;
  }
  const auto* const address = reinterpret_cast<const sockaddr*>(&raw_to);
  // A Unix socket connects at once or not at all.
  if (!to.is_ip() && ::connect(fd.value(), address, length) != 0) return -errno;
  if (const int error = uv_tcp_open(&handle_, fd.value()); error != 0) return error;
  fd.release();
  Busy& b = busy();
  if (!to.is_ip()) {
    state_ = State::open;
    tell_ = Tell::open;
    return 0;
  }
  b.connect = tcp_slabs().connects.make();
  b.connect->data = this;
  const int error = uv_tcp_connect(b.connect, &handle_, address, [](uv_connect_t* request, int status) {
    TcpSocket& s = self(request->data);
    tcp_slabs().connects.recycle(std::exchange(s.busy_->connect, nullptr));
    if (s.state_ != State::connecting) return;  // closed meanwhile
    s.loop_.before_event();
    s.busy_->limit.disarm();
    if (status == 0) {
      s.opened();
    } else {
      s.end(connect_reason(status), status);
    }
    s.settle();
    s.loop_.after_event();
  });
  if (error != 0) {
    tcp_slabs().connects.recycle(std::exchange(b.connect, nullptr));
    return error;
  }
  b.limit.arm(loop_, options.connect_timeout);
  return 0;
}

void TcpSocket::opened() {
  state_ = State::open;
  sockaddr_storage local;
  socklen_t length = sizeof local;
  if (::getsockname(fd(), reinterpret_cast<sockaddr*>(&local), &length) == 0) {
    peer_.local = Address::from_sockaddr(reinterpret_cast<sockaddr*>(&local), length);
  }
  tell_ = Tell::open;
  if (user_ != nullptr) run();
}

// ---- The user ----

void TcpSocket::start(User& user) {
  CHECK(owner_ == Owner::holds);
  user_ = &user;
  if (in_state_ == In::fin_told) in_state_ = In::fin_seen;  // this user has not heard of it
  fin_behind_told_ = false;
  if (state_ == State::open) {
    if (tell_ != Tell::open) poll_reads();
    loop_.flush_later(busy());                              // what the user touched before it was bound
  }
  if (tell_ != Tell::nothing || in_state_ == In::fin_seen || (busy_ != nullptr && !busy_->in.empty()))
    loop_.run_later(busy());
}

void TcpSocket::run() {
  if (user_ == nullptr) return settle();
  switch (std::exchange(tell_, Tell::nothing)) {
    case Tell::nothing: break;
    case Tell::open:
      poll_reads();
      user_->on_open();
      if (state_ == State::open) loop_.flush_later(busy());
      break;
    case Tell::end: std::exchange(user_, nullptr)->on_end(end_reason_); return settle();
  }
  offer();
  settle();
}

void TcpSocket::offer() {
  User* const user = user_;
  if (state_ == State::open && reading_ == Reading::allowed && busy_ != nullptr && !busy_->in.empty())
    user->on_bytes(busy_->in);
  if (user_ != user) return;  // closed, or handed over: the next one is served by run()
  if (state_ == State::open && reading_ == Reading::allowed && in_state_ == In::fin_seen) {
    in_state_ = In::fin_told;
    user_->on_eof(true);
  }
  finish_if_done();
}

void TcpSocket::finish_if_done() {
  if (state_ == State::open && in_state_ == In::fin_told && out_state_ == Out::shut) end(EndReason::closed, 0);
}

void TcpSocket::touch() {
  const bool can_write = out_state_ == Out::flows || out_state_ == Out::shut_asked;
  if (can_write && (state_ == State::connecting || state_ == State::open)) loop_.flush_later(busy());
}

void TcpSocket::limit_write_stall(base::Millis after) {
  if (stall_ms_ == 0 && busy_ != nullptr) busy_->progress_at = base::Micros{-1};   // nobody has looked meanwhile
  stall_ms_ = static_cast<uint32_t>(std::clamp<int64_t>(after.count, 0, UINT32_MAX));
  if (busy_ != nullptr && stream_alive() && busy_->write != nullptr) watch_stall();
}

void TcpSocket::set_peer(const Address& remote, const Address& local) {
  peer_.remote = remote;
  peer_.local = local;
}

std::string_view TcpSocket::end_detail() const {
  return error_ == 0 ? std::string_view() : std::string_view(uv_err_name(error_));
}

bool TcpSocket::quiet_now() {
  if (state_ != State::open || in_state_ != In::flows || out_state_ != Out::flows) return false;
  if (busy_ != nullptr && !busy_->in.empty()) return false;
  char byte;
  return ::recv(fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

// ---- Reading ----

void TcpSocket::allow_reading(Reading how) {
  reading_ = how;
  if (how == Reading::paused || state_ != State::open || user_ == nullptr) return;
  poll_reads();
  if ((busy_ != nullptr && !busy_->in.empty()) || in_state_ == In::fin_seen) loop_.run_later(busy());
}

void TcpSocket::poll_reads() {
  if (state_ != State::open || poll_ == Poll::on || in_state_ != In::flows || reading_ == Reading::paused) return;
  const auto provide = [](uv_handle_t* h, size_t, uv_buf_t* buffer) { self(h->data).provide(buffer); };
  const auto received = [](uv_stream_t* h, ssize_t n, const uv_buf_t* buffer) { self(h->data).received(n, buffer); };
  CHECK(uv_read_start(stream(), provide, received) == 0);
  poll_ = Poll::on;
  if (busy_ != nullptr) busy_->again.disarm();
}

// libuv does not look at the socket any more, so we do, now and then.
void TcpSocket::stop_reads() {
  poll_ = Poll::off;
  uv_read_stop(stream());
  busy().again.arm(loop_, look_again);
}

void TcpSocket::provide(uv_buf_t* buffer) {
  *buffer = uv_buf_init(nullptr, 0);               // paused: ends this pass of reading with UV_ENOBUFS
  if (state_ != State::open || reading_ == Reading::paused) return;
  Busy& b = busy();
  if (b.target == nullptr && !b.in.empty()) {
    const Slice& last = b.in.back();
    Chunk* const home = last.home();
    if (last.at() + last.size() == home->used() && home->room() >= read_room_min && !home->is_scratch()) {
      home->ref();
      b.target = home;
    }
  }
  if (b.target == nullptr)
    b.target = Chunk::make(bulk_ && base::MemoryLimit::ample() ? Chunk::bulk_bytes : Chunk::usual_bytes);
  *buffer = uv_buf_init(b.target->data() + b.target->used(), b.target->room());
}

void TcpSocket::received(ssize_t n, const uv_buf_t* buffer) {
  loop_.before_event();
  Chunk* const target = busy_ == nullptr ? nullptr : std::exchange(busy_->target, nullptr);
  if (n > 0) {
    CHECK(target != nullptr);
    const auto size = static_cast<uint32_t>(n);
    bulk_ = size == buffer->len;
    Slice fresh(target, target->used(), size);
    target->grow_used(size);
    target->unref();
    busy_->in.append(std::move(fresh));
    offer();
  } else {
    if (target != nullptr) target->unref();
    if (n == UV_ENOBUFS && state_ == State::open) {
      busy().stop_reads = true;
      loop_.flush_later(*busy_);
    } else if (n == UV_EOF && state_ == State::open) {
      stop_reads();
      in_state_ = In::fin_seen;
      if (out_state_ == Out::broken) {
        end(EndReason::reset, error_);
      } else if (was_reset()) {
        end(EndReason::reset, UV_ECONNRESET);
      } else {
        offer();
      }
    } else if (n < 0 && n != UV_ENOBUFS && state_ == State::open) {
      end(EndReason::reset, static_cast<int>(n));
    }
  }
  settle();
  loop_.after_event();
}

// libuv says EOF for any hang-up behind bytes that did not fill its buffer, a reset too: what was cut would look whole.
// A reset behind a FIN is EPIPE, and no harm: all had come.
bool TcpSocket::was_reset() const {
  int error = 0;
  socklen_t size = sizeof error;
  return ::getsockopt(fd(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == ECONNRESET;
}

void TcpSocket::look() {
  if (state_ == State::open && poll_ == Poll::off) {
    pollfd p{fd(), POLLRDHUP, 0};
    const int events = ::poll(&p, 1, 0) == 1 ? p.revents : 0;
    if ((events & POLLERR) != 0 || out_state_ == Out::broken) {
      end(EndReason::reset, error_ != 0 ? error_ : UV_ECONNRESET);
    } else {
      busy().again.arm(loop_, look_again);
      const bool fin = (events & (POLLRDHUP | POLLHUP)) != 0 && in_state_ != In::fin_told;
      if (fin && reading_ == Reading::paused && user_ != nullptr && !std::exchange(fin_behind_told_, true))
        user_->on_fin_behind();
    }
  }
  settle();
}

// ---- To another thread ----

// By a second descriptor of the connection: libuv closes the first one, and has forgotten it in this turn.
std::unique_ptr<Packed> TcpSocket::pack() {
  if (owner_ != Owner::holds || tell_ != Tell::nothing || unsent() != 0 || !quiet_now()) return nullptr;
  // dup() and not F_DUPFD, which the thread sanitizer does not know: to it the taker would use a socket of whichever
  // thread had this number before.
  Fd fd(::dup(this->fd()));
  if (!fd || ::fcntl(fd.value(), F_SETFD, FD_CLOEXEC) != 0) return nullptr;
  auto packed = std::make_unique<PackedSocket>(std::move(fd), peer_);
  close(Close::now);
  return packed;
}

// ---- The end ----

void TcpSocket::end(EndReason why, int error) {
  if (!stream_alive() && state_ != State::connecting) return;
  error_ = error;
  end_reason_ = why;
  close_handle();
  if (user_ != nullptr) {
    std::exchange(user_, nullptr)->on_end(why);
  } else {
    tell_ = Tell::end;
  }
}

void TcpSocket::close(Close how) {
  user_ = nullptr;
  tell_ = Tell::nothing;
  if (state_ == State::closing || state_ == State::closed || state_ == State::lingering) {
    if (state_ == State::lingering && how != Close::after_flush) {
      if (how == Close::reset) reset_on_close();
      close_handle();
    }
    return;
  }
  if (how == Close::reset) reset_on_close();
  const bool waits = how == Close::after_flush && state_ == State::open && out_state_ != Out::broken && unsent() != 0;
  if (!waits) return close_handle();
  state_ = State::lingering;
  if (poll_ == Poll::on) uv_read_stop(stream());
  poll_ = Poll::off;
  busy_->in.clear();
  busy_->again.disarm();
  if (busy_->write == nullptr) loop_.flush_later(*busy_);
  watch_stall();
}

void TcpSocket::reset_on_close() {
  const linger hard{1, 0};
  if (const int s = fd(); s >= 0)
    ::setsockopt(s, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);  // no effect on Unix sockets
}

void TcpSocket::close_handle() {
  state_ = State::closing;
  poll_ = Poll::off;
  if (busy_ != nullptr) {
    busy_->limit.disarm();
    busy_->again.disarm();
    busy_->in.clear();
    if (busy_->write == nullptr) busy_->out.clear();  // else libuv still points to it, until the write's callback
    busy_->stop_reads = false;
  }
  uv_close(reinterpret_cast<uv_handle_t*>(&handle_), [](uv_handle_t* h) {
    TcpSocket& s = self(h->data);
    s.state_ = State::closed;
    if (s.owner_ == Owner::gone) {
      s.reap();
    } else {
      s.settle();
    }
  });
}

void TcpSocket::retire() noexcept {
  if (state_ != State::lingering) close(Close::now);
  user_ = nullptr;
  owner_ = Owner::gone;
  if (state_ == State::closed) reap();
}

void TcpSocket::abandon() {
  if (state_ == State::lingering) close_handle();
}

void TcpSocket::reap() { loop_.reap_later(busy()); }

void TcpSocket::dispose() {
  tcp_slabs().busy.recycle(busy_);
  tcp_slabs().sockets.recycle(this);
}

}  // namespace sluice::net

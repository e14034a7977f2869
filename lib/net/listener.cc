// Listener: accept4 on readiness. Ours and not libuv's, which at EMFILE accepts and closes clients without telling, and
// which throws the peer's address away.
#include "net/listener.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "base/check.h"
#include "net/listeners_elsewhere.h"
#include "net/tcp_socket.h"

namespace sluice::net {
namespace {

constexpr int backlog_max = 4096;  // the kernel caps it at net.core.somaxconn

constexpr int looks_for_a_close = 100;
constexpr std::chrono::milliseconds look_again{10};

using Share = ListenOptions::Share;

base::Error failed(std::string_view what, const Address& address, int error) {
  std::string message = fmt::format("cannot {} {}: {}", what, address.text(), std::strerror(error));
  switch (error) {
    case EADDRINUSE:
      if (address.is_ip()) {
        message +=
            fmt::format("; it is taken (\"ss -ltnp 'sport = :{}'\" tells by whom): stop that or choose another port",
                        address.port());
      } else {
        message += "; another process serves it: stop it or choose another path";
      }
      break;
    case EACCES:
      if (address.is_ip()) {
        message += "; ports below 1024 need CAP_NET_BIND_SERVICE";
      } else {
        message += "; the folder must be writable for this user";
      }
      break;
    case EADDRNOTAVAIL: message += "; no interface of this machine has it"; break;
    case ENOENT: message += "; the folder does not exist"; break;
    default: break;
  }
  return base::Error{std::move(message)};
}

int enable(int fd, int level, int name) {
  const int one = 1;
  return ::setsockopt(fd, level, name, &one, sizeof one);
}

bool has_file(const Address& address) {
  return address.family() == Address::Family::unix_path && !address.path().starts_with('@');
}

// What the system refused, and errno.
struct Refusal {
  std::string_view what;
  int error = 0;
};

std::expected<Fd, Refusal> bind_socket(const Address& address, const ListenOptions& options) {
  sockaddr_storage raw;
  const socklen_t length = address.to_sockaddr(raw);
  CHECK(length != 0);
  Fd fd(::socket(raw.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return std::unexpected(Refusal{"open a socket for", errno});
  int bad = 0;
  if (address.is_ip()) {
    bad |= enable(fd.value(), SOL_SOCKET, SO_REUSEADDR);
    bad |= enable(fd.value(), IPPROTO_TCP, TCP_NODELAY);
    if (options.share == Share::yes) bad |= enable(fd.value(), SOL_SOCKET, SO_REUSEPORT);
  }
  if (address.family() == Address::Family::ipv6) bad |= enable(fd.value(), IPPROTO_IPV6, IPV6_V6ONLY);
  // The file gets this mode less what the umask takes away (unix(7)): never more. Changing the umask would hit other
  // threads' files.
  if (has_file(address)) bad |= ::fchmod(fd.value(), options.unix_mode);
  if (bad != 0) return std::unexpected(Refusal{"set up a socket for", errno});
  if (::bind(fd.value(), reinterpret_cast<const sockaddr*>(&raw), length) != 0)
    return std::unexpected(Refusal{"bind to", errno});
  return fd;
}

// Who answers at the path of a Unix socket.
enum class Server : uint8_t { none, ourselves, another };

Server server_at(const sockaddr_storage& raw, socklen_t length) {
  const Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return Server::another;  // not known
  if (::connect(fd.value(), reinterpret_cast<const sockaddr*>(&raw), length) != 0) {
    return errno == ECONNREFUSED || errno == ENOENT ? Server::none : Server::another;  // EAGAIN: its queue is full
  }
  ucred who{};  // of the process that called listen(2)
  socklen_t size = sizeof who;
  const bool known = ::getsockopt(fd.value(), SOL_SOCKET, SO_PEERCRED, &who, &size) == 0;
  return known && who.pid == ::getpid() ? Server::ourselves : Server::another;
}

// The file of a Unix socket stays behind when its process dies. Removes it if nobody answers there. A listener of ours
// that the reload before took away may still be about to close.
base::Result<void> remove_stale(const Address& address) {
  const std::string path(address.path());
  struct stat info{};
  if (path.starts_with('@') || ::lstat(path.c_str(), &info) != 0) return {};
  if (!S_ISSOCK(info.st_mode)) {
    return base::fail(fmt::format(
        "cannot bind to {}: a file that is no socket is in the way; remove it or choose another path", address.text()));
  }
  sockaddr_storage raw;
  const socklen_t length = address.to_sockaddr(raw);
  Server server = server_at(raw, length);
  for (int n = 0; server == Server::ourselves && n < looks_for_a_close; ++n) {
    std::this_thread::sleep_for(look_again);
    server = server_at(raw, length);
  }
  switch (server) {
    case Server::another: return std::unexpected(failed("bind to", address, EADDRINUSE));
    case Server::ourselves:
      return base::fail(fmt::format(
          "cannot bind to {}: this process serves it, maybe as [admin], whose address changes at a restart only",
          address.text()));
    case Server::none: break;
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    return std::unexpected(failed("replace the old socket", address, errno));
  return {};
}

// A connection whose handshake ends between our last accept4 and the close would be reset, although its client has sent
// its request already. So SYNs are dropped first: sent again a second later they meet a closed port, or whoever serves
// it then. The filter (socket(7), SO_ATTACH_FILTER) sees each segment from its TCP header on; in its byte 13 bit 1 is
// SYN (RFC 9293 3.1).
bool hold_new_clients(const Fd& socket) {
  constexpr uint32_t flags_at = 13;
  constexpr uint32_t syn = 0x02;
  constexpr uint32_t all_of_it = 0xffffffff;
  std::array<sock_filter, 4> program{{BPF_STMT(BPF_LD | BPF_B | BPF_ABS, flags_at),
                                      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, syn, 0, 1), BPF_STMT(BPF_RET | BPF_K, 0),
                                      BPF_STMT(BPF_RET | BPF_K, all_of_it)}};
  const sock_fprog filter{.len = program.size(), .filter = program.data()};
  return ::setsockopt(socket.value(), SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) == 0;
}

}  // namespace

base::Result<void> probe_address(const Address& address) {
  if (!address.is_ip()) return remove_stale(address);
  if (address.port() == 0) return {};
  auto socket = bind_socket(address, {.share = Share::no});
  // With SO_REUSEADDR two sockets may bind as long as neither listens.
  if (socket && ::listen(socket->value(), 1) != 0) socket = std::unexpected(Refusal{"listen on", errno});
  if (socket || (socket.error().error == EADDRINUSE && !another_listens(address))) return {};
  return std::unexpected(failed(socket.error().what, address, socket.error().error));
}

base::Result<Fd> open_socket(const Address& address, const ListenOptions& options) {
  if (!address.is_ip()) {
    if (auto ready = remove_stale(address); !ready) return std::unexpected(std::move(ready.error()));
  }
  auto socket = bind_socket(address, options);
  if (!socket) return std::unexpected(failed(socket.error().what, address, socket.error().error));
  const auto give_up = [&](base::Error error) {
    remove_unix_file(address);
    return std::unexpected(std::move(error));
  };
  if (auto done = set_unix_mode(address, options.unix_mode); !done) return give_up(std::move(done.error()));
  if (::listen(socket->value(), backlog_max) != 0) return give_up(failed("listen on", address, errno));
  return std::move(*socket);
}

// Only if it is not so already: a file system that knows no modes is no obstacle. Never through a link that stands
// there meanwhile.
base::Result<void> set_unix_mode(const Address& address, uint32_t mode) {
  if (!has_file(address)) return {};
  const std::string path(address.path());
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) return std::unexpected(failed("find", address, errno));
  if ((info.st_mode & 07777) == mode) return {};
  if (::fchmodat(AT_FDCWD, path.c_str(), mode, AT_SYMLINK_NOFOLLOW) != 0) {
    return std::unexpected(failed("set the mode of", address, errno));
  }
  return {};
}

void remove_unix_file(const Address& address) {
  if (has_file(address)) ::unlink(std::string(address.path()).c_str());
}

base::Result<Address> bound_address(const Fd& socket) {
  sockaddr_storage raw;
  socklen_t length = sizeof raw;
  if (::getsockname(socket.value(), reinterpret_cast<sockaddr*>(&raw), &length) != 0) {
    return base::fail(fmt::format("cannot read the address of a socket: {}", std::strerror(errno)));
  }
  return Address::from_sockaddr(reinterpret_cast<sockaddr*>(&raw), length);
}

Listener::Listener(Loop& loop, Fd socket, Host& host, Takes takes)
    : loop_(loop), host_(host), socket_(std::move(socket)), takes_(takes) {
  if (auto bound = bound_address(socket_)) address_ = *bound;  // else the kernel is out of memory: none is named
  const auto ip = address_.ip_bytes();
  wildcard_ = std::all_of(ip.begin(), ip.end(), [](uint8_t b) { return b == 0; }) && address_.is_ip();
  watch_.emplace(loop_, socket_.value(), static_cast<FdWatch::User&>(*this)).watch(FdWatch::For::reading);
}

// Reads as many as came last time: a lone connection costs one accept4, and a crowd no poll each.
void Listener::on_ready(FdWatch::For) {
  for (uint32_t n = 0; n < batch_; ++n) {
    if (!accept_one()) {
      batch_ = std::max(n, 1U);
      return;
    }
  }
  batch_ = std::min(batch_ * 2, accepts_per_event_max);
}

bool Listener::accept_one() {
  sockaddr_storage raw;
  socklen_t length = sizeof raw;
  Fd fd(::accept4(socket_.value(), reinterpret_cast<sockaddr*>(&raw), &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!fd) {
    switch (errno) {
      case EAGAIN:
      case EINVAL: return false;  // a Unix socket that was shut down: its queue is empty
      case EMFILE:
      case ENFILE:
      case ENOBUFS:
      case ENOMEM: paused_by(errno); return false;
      default: return true;  // that client is gone already (ECONNABORTED, EPROTO, ENETDOWN, ...)
    }
  }
  const Address remote = Address::from_sockaddr(reinterpret_cast<sockaddr*>(&raw), length);
  Address local = address_;
  if (wildcard_) {
    if (auto asked = bound_address(fd)) local = *asked;
  }
  const bool too_many = state_ == State::accepting && !may_take(fd.value(), takes_);  // this one has it now
  host_.on_accept(accepted_socket(loop_, std::move(fd), remote, local));
  if (too_many) paused_by(EMFILE);
  return !too_many;
}

// The readiness does not go away, so without a pause we would spin.
void Listener::paused_by(int error) {
  if (watch_) watch_->watch(FdWatch::For::nothing);
  if (state_ == State::accepting) pause_.arm(loop_, accept_pause);
  host_.on_accept_error(error);
}

void Listener::pause_over() {
  if (state_ == State::accepting) {
    if (!one_is_left(socket_, takes_)) return paused_by(EMFILE);
    return watch_->watch(FdWatch::For::reading);
  }
  watch_.reset();
  run();
}

void Listener::stop_accepting() {
  if (state_ != State::accepting) return;
  state_ = State::stopping;
  if (address_.is_ip() && hold_new_clients(socket_)) {
    watch_->watch(FdWatch::For::reading);
    return pause_.arm(loop_, handshake_grace);
  }
  // A Unix socket has no handshake: connect(2) fails from now on, what stands in the queue can be accepted. TCP would
  // reset the queue.
  if (address_.family() == Address::Family::unix_path) ::shutdown(socket_.value(), SHUT_RD);
  pause_.disarm();
  watch_.reset();
  loop_.run_later(*this);
}

void Listener::run() {
  for (uint32_t n = 0; socket_ && n < accepts_per_event_max; ++n) {
    if (accept_one()) continue;
    socket_.reset();
  }
  if (socket_) return loop_.run_later(*this);  // a long queue: the rest in the next turn
  state_ = State::stopped;
  host_.on_stopped();
}

}  // namespace sluice::net

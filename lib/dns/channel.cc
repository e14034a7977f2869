#include "dns/channel.h"

// c-ares 1.34 marks what 1.18 has nothing else for; both must compile.
#define CARES_NO_DEPRECATED
#include <ares.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <span>
#include <vector>

#include "base/check.h"
#include "net/fd_watch.h"

namespace sluice::dns {

class Channel::Impl {
 public:
  Impl(net::Loop& loop, const std::string& name, Type type, net::Runnable& call)
      : loop_(loop), done_call_(call), name_(name), type_(type) {}
  ~Impl() {
    closing_ = true;
    if (channel_ != nullptr) ares_destroy(channel_);
  }

  void start(const net::Address& server) {
    if (!open(server)) {
      finish(Outcome::unreachable);
      return;
    }
    constexpr int class_in = 1;
    ares_query(channel_, name_.c_str(), class_in, static_cast<int>(type_), on_answer, this);
  }

  bool done = false;
  Outcome outcome = Outcome::unreachable;
  Answer answer;
  IgnoredCounts ignored{};

 private:
  struct Socket final : net::FdWatch::User {
    Socket(Impl& of, int descriptor) : owner(of), fd(descriptor), watch(of.loop_, descriptor, *this) {}
    void on_ready(net::FdWatch::For what) override { owner.process(fd, what); }   // which may destroy us
    Impl& owner;
    int fd;
    net::FdWatch watch;
  };

  // Every setting that c-ares would look up in files or the environment is given, so it reads none.
  bool open(const net::Address& server) {
    ares_options options{};
    options.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_NOCHECKRESP | ARES_FLAG_EDNS;
    options.timeout = 3'600'000;   // the resolver's timer decides
    options.tries = 1;
    options.ndots = 1;
    options.ednspsz = edns_size;
    char lookups[] = "b";
    options.lookups = lookups;
    in_addr placeholder{};         // replaced below: this list cannot say a port
    options.servers = &placeholder;
    options.nservers = 1;
    options.sock_state_cb = on_socket;
    options.sock_state_cb_data = this;
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS | ARES_OPT_EDNSPSZ |
               ARES_OPT_LOOKUPS | ARES_OPT_SERVERS | ARES_OPT_SOCK_STATE_CB | ARES_OPT_DOMAINS | ARES_OPT_SORTLIST;
// 1.20: what a channel a query gives us anyway; kept for an attempt that c-ares repeats by itself.
#ifdef ARES_OPT_UDP_MAX_QUERIES
    options.udp_max_queries = 1;
    mask |= ARES_OPT_UDP_MAX_QUERIES;
#endif
    if (ares_init_options(&channel_, &options, mask) != ARES_SUCCESS) {
      channel_ = nullptr;
      return false;
    }
    static const ares_socket_functions functions{open_socket, close_socket, connect_socket, receive, send};
    ares_set_socket_functions(channel_, &functions, this);
    return ares_set_servers_ports_csv(channel_, server.text().c_str()) == ARES_SUCCESS;
  }

  void process(int fd, net::FdWatch::For what) {
    const auto bits = static_cast<unsigned>(what);
    ares_process_fd(channel_, (bits & 1) != 0 ? fd : ARES_SOCKET_BAD, (bits & 2) != 0 ? fd : ARES_SOCKET_BAD);
  }

  void finish(Outcome how) {
    outcome = how;
    done = true;
    loop_.run_later(done_call_);
  }

  // ---- what c-ares calls ----

  static void on_answer(void* self, int status, int /*timeouts*/, unsigned char* bytes, int size) noexcept {
    Impl& me = *static_cast<Impl*>(self);
    if (me.closing_) return;
    if (bytes != nullptr && size > 0) {
      me.take({bytes, static_cast<std::size_t>(size)});
    } else if (status == ARES_EBADRESP) {  // c-ares 1.34 has parsed it before us and keeps the bytes
      me.take_unparsed();
    } else {
      me.finish(status == ARES_ETIMEOUT ? Outcome::timeout : Outcome::unreachable);
    }
  }

  void take(std::span<const std::uint8_t> message) {
    answer = parse_answer(message, name_, type_, id_);
    for (std::size_t i = 0; i < ignored_reasons; ++i) ignored[i] += answer.ignored[i];
    finish(answer.outcome);
  }
  void take_unparsed() {
    if (!datagram_.empty()) take(datagram_);
    if (outcome == Outcome::malformed) return;
    answer = {};
    answer.refusal = Ignored::bad_record;
    ++ignored[static_cast<std::size_t>(Ignored::bad_record)];
    finish(Outcome::malformed);
  }

  static void on_socket(void* self, ares_socket_t fd, int readable, int writable) noexcept {
    auto& me = *static_cast<Impl*>(self);
    const auto found =
        std::find_if(me.sockets_.begin(), me.sockets_.end(), [fd](const auto& s) { return s->fd == fd; });
    const auto what = static_cast<net::FdWatch::For>((readable != 0 ? 1U : 0U) | (writable != 0 ? 2U : 0U));
    if (what == net::FdWatch::For::nothing) {  // it is about to be closed
      if (found != me.sockets_.end()) me.sockets_.erase(found);
      return;
    }
    Socket& socket = found != me.sockets_.end() ? **found : *me.sockets_.emplace_back(std::make_unique<Socket>(me, fd));
    socket.watch.watch(what);
  }

  static ares_socket_t open_socket(int family, int type, int protocol, void* self) noexcept {
    const int fd = ::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    Impl& me = *static_cast<Impl*>(self);
    me.datagram_.clear();
    if (type == SOCK_DGRAM) me.udp_ = fd;
    return fd;
  }
  static int close_socket(ares_socket_t fd, void* self) noexcept {
    Impl& me = *static_cast<Impl*>(self);
    if (fd == me.udp_) me.udp_ = -1;
    return ::close(fd);
  }
  static int connect_socket(ares_socket_t fd, const sockaddr* to, ares_socklen_t size, void*) noexcept {
    return ::connect(fd, to, size);
  }
  static ares_ssize_t send(ares_socket_t fd, const iovec* parts, int count, void* self) noexcept {
    Impl& me = *static_cast<Impl*>(self);
    if (fd == me.udp_ && count > 0 && parts[0].iov_len >= 2) {
      const auto* const head = static_cast<const std::uint8_t*>(parts[0].iov_base);
      me.id_ = static_cast<std::uint16_t>(head[0] << 8 | head[1]);
    }
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(parts);  // NOLINT: sendmsg does not write to it
    message.msg_iovlen = static_cast<std::size_t>(count);
    return ::sendmsg(fd, &message, MSG_NOSIGNAL);
  }
  static ares_ssize_t receive(ares_socket_t fd, void* to, std::size_t room, int flags, sockaddr* from,
                              ares_socklen_t* from_size, void* self) noexcept {
    Impl& me = *static_cast<Impl*>(self);
    if (fd != me.udp_) return ::recvfrom(fd, to, room, flags, from, from_size);
    const ares_socklen_t from_room = from_size != nullptr ? *from_size : 0;
    for (unsigned i = 0; i < datagrams_a_wake; ++i) {
      if (from_size != nullptr) *from_size = from_room;
      const ssize_t n = ::recvfrom(fd, to, room, flags, from, from_size);
      if (n < 0) return n;
      const auto why =
          refuses({static_cast<const std::uint8_t*>(to), static_cast<std::size_t>(n)}, me.name_, me.type_, me.id_);
      if (!why) {
        me.datagram_.assign(static_cast<const std::uint8_t*>(to), static_cast<const std::uint8_t*>(to) + n);
        return n;
      }
      ++me.ignored[static_cast<std::size_t>(*why)];
    }
    errno = EAGAIN;
    return -1;
  }

  net::Loop& loop_;
  net::Runnable& done_call_;
  const std::string& name_;
  const Type type_;
  ares_channel channel_ = nullptr;
  int udp_ = -1;
  std::optional<std::uint16_t> id_;
  std::vector<std::uint8_t> datagram_;  // the last one that answers the query
  bool closing_ = false;
  std::vector<std::unique_ptr<Socket>> sockets_;  // UDP, and TCP if need be
};

Channel::Channel(net::Loop& loop, const net::Address& server, const std::string& name, Type type, net::Runnable& done)
    : impl_(std::make_unique<Impl>(loop, name, type, done)) {
  impl_->start(server);
}
Channel::~Channel() = default;
bool Channel::done() const { return impl_->done; }
Outcome Channel::outcome() const { return impl_->outcome; }
const Answer& Channel::answer() const { return impl_->answer; }
const IgnoredCounts& Channel::ignored() const { return impl_->ignored; }

}  // namespace sluice::dns

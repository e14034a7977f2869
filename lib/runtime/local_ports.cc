#include "runtime/local_ports.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "base/file.h"
#include "base/text.h"

namespace sluice::runtime {
namespace {

struct Hash {
  std::size_t operator()(const net::Address& a) const { return a.hash(); }
};
struct Pair {
  net::Address source, destination;
  bool operator==(const Pair&) const = default;
};
struct PairHash {
  std::size_t operator()(const Pair& p) const { return p.source.hash() * 31 + p.destination.hash(); }
};
using Addresses = std::unordered_set<net::Address, Hash>;
using Queues = std::unordered_map<net::Address, AcceptQueue, Hash>;
using Uses = std::unordered_map<Pair, PortUse, PairHash>;

base::Error system_error(std::string_view what) { return base::Error{std::string(what) + ": " + std::strerror(errno)}; }

net::Address address_of(int family, const __be32* words, std::uint16_t port) {
  if (family == AF_INET) return net::Address::ipv4(ntohl(words[0]), port);
  std::array<std::uint8_t, 16> bytes{};
  std::memcpy(bytes.data(), words, bytes.size());
  return net::Address::ipv6(bytes, port).unmapped();
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

// One dump of all TCP sockets of a family.
class Dump {
 public:
  Dump(const PortsWanted& wanted, const PortRange& range)
      : destinations_(wanted.destinations.begin(), wanted.destinations.end()),
        listening_(wanted.listening.begin(), wanted.listening.end()),
        range_(range) {}
  Uses& uses() { return uses_; }
  Queues& queues() { return queues_; }

  base::Result<bool> read(int family) {
    const Descriptor socket(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
    if (socket.get() < 0) return std::unexpected(system_error("a socket of sock_diag"));
    const timeval patience{2, 0};  // the kernel answers at once; but never for ever
    if (::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0)
      return std::unexpected(system_error("a time limit of sock_diag"));
    struct {
      nlmsghdr head;
      inet_diag_req_v2 body;
    } question{};
    question.head.nlmsg_len = sizeof question;
    question.head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    question.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    question.body.sdiag_family = static_cast<std::uint8_t>(family);
    question.body.sdiag_protocol = IPPROTO_TCP;
    question.body.idiag_states = ~(1U << TCP_CLOSE);
    sockaddr_nl kernel{};
    kernel.nl_family = AF_NETLINK;
    if (::sendto(socket.get(), &question, sizeof question, 0, reinterpret_cast<const sockaddr*>(&kernel),
                 sizeof kernel) < 0)
      return std::unexpected(system_error("a question to sock_diag"));
    const auto buffer = std::make_unique<std::array<char, 64 * 1024>>();
    while (true) {
      const ssize_t got = ::recv(socket.get(), buffer->data(), buffer->size(), 0);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return std::unexpected(system_error("an answer of sock_diag"));
      auto more = take({buffer->data(), static_cast<std::size_t>(got)});
      if (!more) return std::unexpected(std::move(more.error()));
      if (!*more) return true;
    }
  }

 private:
  // False: that was the last of them.
  base::Result<bool> take(std::string_view messages) {
    while (messages.size() >= sizeof(nlmsghdr)) {
      nlmsghdr head;
      std::memcpy(&head, messages.data(), sizeof head);
      if (head.nlmsg_len < sizeof head || head.nlmsg_len > messages.size())
        return base::fail("sock_diag: a torn message");
      const std::string_view body = messages.substr(sizeof head, head.nlmsg_len - sizeof head);
      if (head.nlmsg_type == NLMSG_DONE) return false;
      if (head.nlmsg_type == NLMSG_ERROR) return refused(body);
      if (++seen_ > sockets_most) return base::fail("sock_diag: more sockets than are looked at");
      if (head.nlmsg_type == SOCK_DIAG_BY_FAMILY && body.size() >= sizeof(inet_diag_msg)) count(body);
      messages.remove_prefix(std::min<std::size_t>(NLMSG_ALIGN(head.nlmsg_len), messages.size()));
    }
    return true;
  }

  static base::Result<bool> refused(std::string_view body) {
    nlmsgerr error{};
    std::memcpy(&error, body.data(), std::min(body.size(), sizeof error));
    return base::fail(std::string("sock_diag: ") + std::strerror(-error.error));
  }

  void count(std::string_view body) {
    inet_diag_msg socket;
    std::memcpy(&socket, body.data(), sizeof socket);
    if (socket.idiag_state == TCP_LISTEN) return count_waiting(socket);
    if (!range_.has(ntohs(socket.id.idiag_sport))) return;
    const net::Address to = address_of(socket.idiag_family, socket.id.idiag_dst, ntohs(socket.id.idiag_dport));
    if (!destinations_.contains(to)) return;
    const Pair pair{address_of(socket.idiag_family, socket.id.idiag_src, 0), to};
    auto it = uses_.find(pair);
    if (it == uses_.end()) {
      if (uses_.size() == port_pairs_most) return;
      it = uses_.emplace(pair, PortUse{pair.source, pair.destination}).first;
    }
    ++it->second.used;
    it->second.time_wait += socket.idiag_state == TCP_TIME_WAIT ? 1 : 0;
  }

  // Of a listener the two queues are what waits to be accepted, and how much may.
  void count_waiting(const inet_diag_msg& socket) {
    const net::Address at = address_of(socket.idiag_family, socket.id.idiag_src, ntohs(socket.id.idiag_sport));
    if (!listening_.contains(at)) return;
    AcceptQueue& queue = queues_.try_emplace(at, AcceptQueue{at}).first->second;
    queue.waiting += socket.idiag_rqueue;
    queue.most += socket.idiag_wqueue;
  }

  const Addresses destinations_;
  const Addresses listening_;
  const PortRange& range_;
  Uses uses_;
  Queues queues_;
  std::uint32_t seen_ = 0;
};

std::string file(const char* name) {
  auto text = base::read_file(name, 64 * 1024, "too large");
  return text ? std::move(*text) : std::string();
}

}  // namespace

std::uint32_t PortRange::size() const {
  const auto taken = static_cast<std::uint32_t>(std::ranges::count(reserved, true));
  return last - first + 1 - taken;
}

PortRange parse_port_range(std::string_view range, std::string_view reserved) {
  PortRange made;
  const auto number = [](std::string_view text) -> std::uint32_t {
    const auto value = base::parse_u64(text);
    return value && *value <= 65'535 ? static_cast<std::uint32_t>(*value) : 0;
  };
  const std::string_view digits = "0123456789";
  const std::size_t first_end = range.find_first_not_of(digits);
  if (first_end != std::string_view::npos) {
    std::string_view rest = range.substr(first_end);
    rest.remove_prefix(std::min(rest.find_first_of(digits), rest.size()));
    const std::uint32_t first = number(range.substr(0, first_end));
    const std::uint32_t last = number(rest.substr(0, rest.find_first_not_of(digits)));
    if (first != 0 && first <= last) {
      made.first = first;
      made.last = last;
    }
  }
  while (!reserved.empty()) {
    const std::size_t end = reserved.find_first_of(",\n");
    const std::string_view item = reserved.substr(0, end);
    reserved = end == std::string_view::npos ? std::string_view() : reserved.substr(end + 1);
    const std::size_t dash = item.find('-');
    const std::uint32_t from = number(item.substr(0, dash));
    const std::uint32_t to = dash == std::string_view::npos ? from : number(item.substr(dash + 1));
    for (std::uint32_t port = std::max(from, made.first); from != 0 && port <= std::min(to, made.last); ++port) {
      made.reserved.resize(made.last - made.first + 1);
      made.reserved[port - made.first] = true;
    }
  }
  return made;
}

base::Result<PortsSeen> read_local_ports(const PortsWanted& wanted) {
  const PortRange range = parse_port_range(file("/proc/sys/net/ipv4/ip_local_port_range"),
                                           file("/proc/sys/net/ipv4/ip_local_reserved_ports"));
  Dump dump(wanted, range);
  for (const int family : {AF_INET, AF_INET6}) {
    if (auto done = dump.read(family); !done) return std::unexpected(std::move(done.error()));
  }
  PortsSeen seen;
  seen.available = range.size();
  seen.uses.reserve(dump.uses().size());
  for (auto& [pair, use] : dump.uses()) seen.uses.push_back(std::move(use));
  for (auto& [at, queue] : dump.queues()) seen.queues.push_back(std::move(queue));
  return seen;
}

}  // namespace sluice::runtime

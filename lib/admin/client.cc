#include "admin/client.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/text.h"
#include "net/fd.h"

namespace sluice::admin {
namespace {

std::unexpected<base::Error> failed(const net::Address& admin, std::string_view what) {
  return base::fail("admin at " + admin.text() + ": " + std::string(what));
}

base::Result<net::Fd> connect_to(const net::Address& admin, base::Millis patience) {
  sockaddr_storage raw{};
  const socklen_t length = admin.to_sockaddr(raw);
  net::Fd socket(::socket(raw.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket.value() < 0) return failed(admin, std::strerror(errno));
  const timeval limit{patience.count / 1'000, patience.count % 1'000 * 1'000};
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO})
    setsockopt(socket.value(), SOL_SOCKET, option, &limit, sizeof limit);
  // SO_SNDTIMEO is connect's limit, too (socket(7)).
  if (::connect(socket.value(), reinterpret_cast<const sockaddr*>(&raw), length) != 0)
    return failed(admin, std::string(std::strerror(errno)) + "; is sluice running, and is this its [admin] address?");
  return socket;
}

base::Result<std::string> read_all(const net::Fd& socket, const net::Address& admin) {
  std::string all;
  std::array<char, 64 << 10> piece{};
  for (;;) {
    const ssize_t n = ::recv(socket.value(), piece.data(), piece.size(), 0);
    if (n == 0) return all;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed(admin, errno == EAGAIN ? "no answer in time" : std::strerror(errno));
    all.append(piece.data(), static_cast<std::size_t>(n));
    if (all.size() > fetched_most) return failed(admin, "the answer is too long");
  }
}

}  // namespace

base::Result<Answer> ask(const net::Address& admin, std::string_view path, std::string_view accept,
                         base::Millis patience) {
  auto socket = connect_to(admin, patience);
  if (!socket) return std::unexpected(std::move(socket.error()));
  std::string request = "GET " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept: ";
  request += std::string(accept) + "\r\n\r\n";
  if (::send(socket->value(), request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size()))
    return failed(admin, std::strerror(errno));
  auto answer = read_all(*socket, admin);
  if (!answer) return std::unexpected(std::move(answer.error()));
  const std::string_view all = *answer;
  const std::size_t head = all.find("\r\n\r\n");
  constexpr std::string_view begin = "HTTP/1.1 ";
  const auto status = all.starts_with(begin) ? base::parse_u64(all.substr(begin.size(), 3)) : std::nullopt;
  if (head == std::string::npos || !status) return failed(admin, "this is no HTTP");
  return Answer{static_cast<int>(*status), answer->substr(head + 4)};
}

base::Result<std::string> fetch(const net::Address& admin, std::string_view path, std::string_view accept,
                                base::Millis patience) {
  auto answer = ask(admin, path, accept, patience);
  if (!answer) return std::unexpected(std::move(answer.error()));
  if (answer->status != 200) return failed(admin, "it says " + answer->body.substr(0, answer->body.find('\n')));
  return std::move(answer->body);
}

}  // namespace sluice::admin

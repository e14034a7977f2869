#include "runtime/listen_socket.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace sluice::runtime {

base::Result<std::shared_ptr<ListenSocket>> ListenSocket::open(const net::Address& address, uint32_t workers,
                                                               const net::ListenOptions& options) {
  if (auto free = net::probe_address(address); !free) return std::unexpected(std::move(free.error()));
  auto made = std::make_shared<ListenSocket>();
  made->address_ = address;
  for (uint32_t i = 0; i < workers; ++i) {
    if (i > 0 && address.family() == net::Address::Family::unix_path) {
      made->sockets_.push_back(made->sockets_.front().duplicate());
      if (!made->sockets_.back())
        return base::fail("no file descriptor is left for a listener; raise the limit of open files");
      continue;
    }
    auto socket = net::open_socket(made->address_, options);
    if (!socket) return std::unexpected(std::move(socket.error()));
    if (i == 0) {
      auto bound = net::bound_address(*socket);
      if (!bound) return std::unexpected(std::move(bound.error()));
      made->address_ = *bound;                    // port 0: the others take the port that the first one got
    }
    made->sockets_.push_back(std::move(*socket));
  }
  return made;
}

ListenSocket::~ListenSocket() {
  const std::lock_guard lock(mutex_);
  const bool taken = sockets_.empty() || std::ranges::any_of(sockets_, [](const net::Fd& fd) { return !fd; });
  if (!taken) net::remove_unix_file(address_);
}

net::Fd ListenSocket::take(uint32_t worker) {
  const std::lock_guard lock(mutex_);
  CHECK(worker < sockets_.size() && sockets_[worker]);
  return std::move(sockets_[worker]);
}

}  // namespace sluice::runtime

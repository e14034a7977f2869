// ListenSocket: one address we listen on, with a descriptor for every worker (SO_REUSEPORT; a Unix socket is bound once
// and duplicated). Opened by control, taken by the workers; its identity is what a reload keeps.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "base/error.h"
#include "net/fd.h"
#include "net/listener.h"

namespace sluice::runtime {

class ListenSocket {
 public:
  // Refuses an address that another process serves: with SO_REUSEPORT we would get half of its clients. Not for a loop.
  static base::Result<std::shared_ptr<ListenSocket>> open(const net::Address& address, uint32_t workers,
                                                          const net::ListenOptions& options);
  ListenSocket() = default;
  ListenSocket(const ListenSocket&) = delete;
  ListenSocket& operator=(const ListenSocket&) = delete;
  // One that nobody took was never served: the file of a Unix socket goes with it.
  ~ListenSocket();

  const net::Address& address() const { return address_; }  // as bound: with the port that port 0 became
  // The descriptor of that worker; once each. Any thread.
  net::Fd take(uint32_t worker);

 private:
  net::Address address_;
  std::mutex mutex_;
  std::vector<net::Fd> sockets_;
};

}  // namespace sluice::runtime

// ListenSocket: one address we listen on, with a descriptor for every worker (SO_REUSEPORT; a Unix socket is bound once and
// duplicated). Opened by control, taken by the workers; its identity is what a reload keeps.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "base/error.h"
#include "net/fd.h"
#include "net/listener.h"

namespace sluice::runtime {

enum class Probe : uint8_t { no, yes };

class ListenSocket {
 public:
  // Probe::yes: refuse an address that somebody else serves (a second instance would get half of the traffic).
  static base::Result<std::shared_ptr<ListenSocket>> open(const net::Address& address, uint32_t workers, Probe probe);

  const net::Address& address() const { return address_; }   // as bound: with the port that port 0 became
  // The descriptor of that worker; once each. Any thread.
  net::Fd take(uint32_t worker);

 private:
  net::Address address_;
  std::mutex mutex_;
  std::vector<net::Fd> sockets_;
};

}  // namespace sluice::runtime

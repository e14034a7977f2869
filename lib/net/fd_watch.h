// FdWatch: tells when a file descriptor of somebody else is ready (listening sockets, the resolver's sockets, a
// signalfd). Level-triggered: the call comes again until the condition is gone or the watch is stopped.
#pragma once

#include <cstdint>

#include "net/loop.h"

namespace sluice::net {

class FdWatch {
 public:
  enum class For : uint8_t { nothing = 0, reading = 1, writing = 2, both = 3 };

  class User {
   public:
    // At the loop. An error on the descriptor counts as ready for what was watched. May stop or destroy the watch.
    virtual void on_ready(For what) = 0;

   protected:
    ~User() = default;
  };

  // `fd` is not owned and outlives the watch; it is set to non-blocking. A loop on make_uv_driver() only. If the kernel
  // refuses the watch (it has no room), that is logged and on_ready() never comes.
  FdWatch(Loop& loop, int fd, User& user);
  FdWatch(const FdWatch&) = delete;
  FdWatch& operator=(const FdWatch&) = delete;
  ~FdWatch();
  void watch(For what);  // nothing = stop

 private:
  struct Cell;  // outlives us until libuv has closed the handle
  Cell* cell_;
};

}  // namespace sluice::net

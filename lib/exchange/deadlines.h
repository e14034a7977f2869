// All time limits of one request behind one timer. A limit that moves often (idle) only notes its time; the timer that
// fires early looks again, so a byte costs no re-arming.
#pragma once

#include <array>
#include <cstdint>

#include "net/loop.h"

namespace sluice::exchange {

enum class Limit : uint8_t {
  answer,     // route.timeout: from the request's last byte to the response head
  one_try,    // retry.per_try_timeout: likewise, or from when the try has its stream if that is later
  idle,       // route.stream_idle_timeout: no byte in either direction of a body
  call,       // grpc-timeout: from the request's head to the end of the answer
  go_ahead,   // 1 s without 100 or answer: we send the 100 ourselves (threats.md row 19)
  pause,      // the body of a request that is held back pauses: it may go without the rest
  backoff,    // retry.backoff: the next try
  stream,     // route.max_stream_duration: from the answer's head
  told,       // access_log.long_every: what goes on has another line
};
inline constexpr unsigned limits = static_cast<unsigned>(Limit::told) + 1;

class Deadlines {
 public:
  class User {
   public:
    virtual void on_deadline(Limit which) = 0;   // at the loop; that limit is off when it is called

   protected:
    ~User() = default;
  };

  Deadlines(net::Loop& loop, User& user) : loop_(loop), user_(user) {}
  void set(Limit which, base::Millis after);     // 0 ms: off. Replaces the former one.
  void clear(Limit which) { due_[index(which)] = base::Micros{}; }
  void clear_all();
  base::Micros due(Limit which) const { return due_[index(which)]; }  // 0 = off

 private:
  static constexpr size_t index(Limit which) { return static_cast<size_t>(which); }
  void on_timer();

  net::Loop& loop_;
  User& user_;
  std::array<base::Micros, limits> due_{};       // 0 = off
  net::Timer timer_{this, net::timer_call<&Deadlines::on_timer>};
};

}  // namespace sluice::exchange

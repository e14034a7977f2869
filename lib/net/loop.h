// Loop: one per thread; gives the turn its order. Events come from a driver (libuv, or a simulation), then the
// run_later list, then flush, then reap. Code above never sees libuv. The five sentences of README.md are kept here:
// upcalls start only at the loop, writes are pulled once per flush, memory dies only in reap.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "base/clock.h"
#include "base/list.h"
#include "net/lateness.h"
#include "net/timer.h"

namespace sluice::net {

class Loop;

// Something to be called at the loop, once per run_later(). Leaves the list when it dies.
class Runnable : public base::ListHook<class RunTag> {
 public:
  virtual void run() = 0;

 protected:
  ~Runnable() = default;
};

// Something that writes at flush time.
class Flushable : public base::ListHook<class FlushTag> {
 public:
  virtual void flush() = 0;

 protected:
  ~Flushable() = default;
};

// Something whose memory goes back at the end of the turn. reclaim() gives it to its slab; `this` is dead afterwards.
class Reapable : public base::ListHook<class ReapTag> {
 public:
  virtual void reclaim() noexcept = 0;

 protected:
  ~Reapable() = default;
};

// Told how long each turn took, from the end of the wait to the last reclaim().
class TurnWatch {
 public:
  virtual void on_turn(base::Micros took) = 0;

 protected:
  ~TurnWatch() = default;
};

// A driver waits for events and runs their handlers, for at most `timeout` (negative: until one comes).
class LoopDriver {
 public:
  virtual ~LoopDriver() = default;
  virtual void poll(base::Micros timeout) = 0;  // each handler is bracketed by Loop::before_event() and after_event()
  virtual void wake() noexcept = 0;  // from any thread: the current or the next poll() returns soon
  // How long the loop's thread was runnable without a CPU, in all; from that thread. Negative: not known.
  virtual base::Micros run_delay() { return base::Micros{-1}; }
};

class Loop {
 public:
  static constexpr uint32_t run_later_max_per_turn = 1024;  // the rest waits for the next turn, so I/O is never starved
  static constexpr uint32_t flush_at_dirty = 32;  // a burst of ready sockets must not delay the first answer

  explicit Loop(const base::Clock& clock, std::unique_ptr<LoopDriver> driver);
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  ~Loop();

  base::Micros now() const { return now_; }  // read once per turn, when the wait for events is over
  base::Micros wall() const { return clock_.wall(); }
  const base::Clock& clock() const { return clock_; }  // for other threads; outlives the loop
  // How late this turn handles what it does: what stood at its beginning, and so far since then (a look at the clock).
  const Lateness& lateness() const { return lateness_; }
  base::Micros turn_so_far() const { return clock_.now() - now_; }
  uint32_t turns() const { return turns_; }  // begun so far (it wraps): did the loop look at its sockets meanwhile?

  void run_later(Runnable& what);  // joins the list at most once
  void flush_later(Flushable& what);  // joins the dirty list at most once
  void reap_later(Reapable& what);  // once

  // Turns until stop(). turn() is one turn: poll, due timers, run_later, flush, reap.
  void run();
  void turn(base::Micros longest_wait);
  void stop() { stopped_ = true; }  // from its own thread
  void watch_turns(TurnWatch* watch) { watch_ = watch; }  // nullptr: no longer
  // I/O trampolines (what a driver calls inside poll()) bracket each event with these two: the first event after a wait
  // reads the clock; a burst of ready sockets is flushed early, when `flush_at_dirty` transports are dirty.
  void before_event() {
    if (waiting_) wait_over();
  }
  void after_event() {
    if (dirty_count_ >= flush_at_dirty) flush();
  }

  TimerWheel& timers() { return timers_; }
  LoopDriver& driver() { return *driver_; }
  bool work_left() const { return !later_.empty() || !dirty_.empty() || !dead_.empty(); }

 private:
  friend class Mail;
  void wait_over();
  void run_pending();
  void deliver_mail();
  void flush();
  void reap();

  const base::Clock& clock_;
  std::unique_ptr<LoopDriver> driver_;
  base::Micros now_;
  Lateness lateness_;
  TimerWheel timers_;
  base::List<Runnable, RunTag> later_;
  base::List<Flushable, FlushTag> dirty_;
  base::List<Reapable, ReapTag> dead_;
  base::List<class Mail, class MailTag> mailboxes_;
  std::atomic<bool> mail_{false};  // set by any thread, before wake()
  uint32_t turns_ = 0;
  uint32_t dirty_count_ = 0;  // joins since the last flush (some may have left by dying)
  TurnWatch* watch_ = nullptr;
  bool waiting_ = false;  // inside poll(), before its first event
  bool stopped_ = false;
};

// unique_ptr whose owner lets go now while memory is returned at the end of the turn.
struct ReapLater {
  template <class T>
  void operator()(T* object) const noexcept {
    object->retire();  // cuts links, then loop.reap_later(*this)
  }
};
template <class T>
using Owned = std::unique_ptr<T, ReapLater>;

}  // namespace sluice::net

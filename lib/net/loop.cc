// The turn: poll, mail, due timers, run_later, flush, reap.
#include "net/loop.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "net/mailbox.h"

namespace sluice::net {

Loop::Loop(const base::Clock& clock, std::unique_ptr<LoopDriver> driver)
    : clock_(clock), driver_(std::move(driver)), now_(clock.now()), lateness_(now_), timers_(now_) {}

Loop::~Loop() {
  reap();
  driver_.reset();  // runs the close callbacks of its handles, which reap their sockets
  reap();
}

void Loop::run_later(Runnable& what) {
  if (!what.linked()) later_.push_back(what);
}

void Loop::flush_later(Flushable& what) {
  if (what.linked()) return;
  dirty_.push_back(what);
  ++dirty_count_;
}

void Loop::reap_later(Reapable& what) { dead_.push_back(what); }

void Loop::run() {
  stopped_ = false;
  while (!stopped_) turn(base::Micros{-1});
}

void Loop::turn(base::Micros longest_wait) {
  base::Micros wait = longest_wait;
  if (work_left()) {
    wait = base::Micros{0};
  } else if (const base::Micros next = timers_.until_next(clock_.now());
             next.count >= 0 && (wait.count < 0 || next < wait)) {
    wait = next;
  }
  waiting_ = true;
  ++turns_;
  driver_->poll(wait);
  before_event();
  if (mail_.exchange(false, std::memory_order_acquire)) deliver_mail();
  timers_.run_due(now_);
  run_pending();
  flush();
  reap();
  const base::Micros end = clock_.now();
  lateness_.end_turn(end);
  if (watch_ != nullptr) watch_->on_turn(end - now_);
}

void Loop::wait_over() {
  waiting_ = false;
  now_ = clock_.now();
  lateness_.begin_turn(now_, lateness_.due(now_) ? driver_->run_delay() : base::Micros{-1});
}

void Loop::deliver_mail() {
  for (Mail* box = mailboxes_.front(); box != nullptr;) {
    Mail& now = *box;
    box = mailboxes_.next(now);
    now.deliver();
  }
}

void Loop::run_pending() {
  base::List<Runnable, RunTag> now;  // what is queued from here on is for the next turn
  now.take_all(later_);
  for (uint32_t n = 0; n < run_later_max_per_turn; ++n) {
    Runnable* const r = now.pop_front();
    if (r == nullptr) return;
    r->run();
  }
  now.take_all(later_);
  later_.take_all(now);
}

void Loop::flush() {
  base::List<Flushable, FlushTag> now;  // who gets dirty while we flush is flushed in the next turn
  now.take_all(dirty_);
  dirty_count_ = 0;
  while (Flushable* f = now.pop_front()) f->flush();
}

void Loop::reap() {
  while (Reapable* r = dead_.pop_front()) r->reclaim();
}

}  // namespace sluice::net

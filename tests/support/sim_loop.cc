// SimLoop: the driver is a queue of events by time.
#include "support/sim_loop.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/check.h"

namespace sluice::support {

class SimLoop::Driver final : public net::LoopDriver {
 public:
  explicit Driver(base::FakeClock& clock) : clock_(clock) {}

  void poll(base::Micros timeout) override {
    if (const bool woken = std::exchange(woken_, false); !woken && !has_due()) {
      const bool next_first = !events_.empty() && (timeout.count < 0 || next() - clock_.now() < timeout);
      const base::Micros wait = next_first ? next() - clock_.now() : timeout;
      if (wait.count > 0) clock_.advance(wait);
    }
    clock_.advance(std::exchange(starved_, base::Micros{0}));
    size_t due = 0;  // what the events post is for a later poll, also if it is for now
    for (auto it = events_.begin(); it != events_.end() && it->first <= clock_.now(); ++it) ++due;
    for (; due != 0; --due) {
      const auto event = std::move(events_.begin()->second);
      events_.erase(events_.begin());
      loop_->before_event();
      event();
      loop_->after_event();
    }
  }
  void wake() noexcept override { woken_ = true; }
  base::Micros run_delay() override { return run_delay_; }
  void starve(base::Micros span) {
    starved_ = starved_ + span;
    run_delay_ = run_delay_ + span;
  }

  void post(base::Micros at, std::function<void()> event) { events_.emplace(at, std::move(event)); }
  base::Micros until_next() const {
    return events_.empty() ? base::Micros{-1} : std::max(base::Micros{0}, next() - clock_.now());
  }
  bool has_due() const { return woken_ || (!events_.empty() && next() <= clock_.now()); }
  void bind(net::Loop& loop) { loop_ = &loop; }

 private:
  base::Micros next() const { return events_.begin()->first; }

  base::FakeClock& clock_;
  net::Loop* loop_ = nullptr;
  std::multimap<base::Micros, std::function<void()>> events_;  // equal times keep their order
  bool woken_ = false;
  base::Micros starved_{0};  // still to come: when the next wait is over
  base::Micros run_delay_{0};
};

SimLoop::SimLoop() : SimLoop(own_clock_) {}

SimLoop::SimLoop(base::FakeClock& shared) : clock_(shared) {
  auto driver = std::make_unique<Driver>(clock_);
  driver_ = driver.get();
  loop_ = std::make_unique<net::Loop>(clock_, std::move(driver));
  driver_->bind(*loop_);
}

SimLoop::~SimLoop() = default;

void SimLoop::post(base::Micros after, std::function<void()> event) {
  driver_->post(clock_.now() + after, std::move(event));
}

void SimLoop::burn(base::Micros span) { clock_.advance(span); }

void SimLoop::starve(base::Micros span) { driver_->starve(span); }

bool SimLoop::work_now() const {
  return loop_->work_left() || driver_->has_due() || loop_->timers().until_next(clock_.now()) == base::Micros{0};
}

base::Micros SimLoop::until_next() const {
  if (work_now()) return base::Micros{0};
  const base::Micros event = driver_->until_next();
  const base::Micros timer = loop_->timers().until_next(clock_.now());
  if (event.count < 0 || timer.count < 0) return std::max(event, timer);
  return std::min(event, timer);
}

void SimLoop::turn(base::Micros longest_wait) {
  ++turns_;
  loop_->turn(longest_wait);
}

void SimLoop::settle() {
  uint64_t spins = 0;
  do {
    turn(base::Micros{0});
    CHECK(++spins < 1'000'000);
  } while (work_now());
}

void SimLoop::run_for(base::Millis span) {
  const base::Micros end = clock_.now() + span;
  settle();
  while (clock_.now() < end) {
    turn(end - clock_.now());
    settle();
  }
}

bool SimLoop::until(const std::function<bool()>& done, base::Millis limit) {
  const base::Micros end = clock_.now() + limit;
  while (!done()) {
    if (clock_.now() >= end) return false;
    turn(work_now() ? base::Micros{0} : end - clock_.now());
  }
  return true;
}

}  // namespace sluice::support

// What a waiter does by itself: its time runs, it gives up, it is looked at. See cluster.h; the rest is WaitQueue's.
#include <algorithm>

#include "base/check.h"
#include "upstream/pool.h"
#include "upstream/queue.h"

namespace sluice::upstream {

Waiter::Waiter() : timer_(this, net::timer_call<&Waiter::on_timer>) {}

Waiter::~Waiter() { unlink(); }

void Waiter::unlink() {
  if (queue_ != nullptr) queue_->give_up(*this);
}

void Waiter::on_timer() {
  CHECK(queue_ != nullptr);
  queue_->note_lost(*this);
  queue_->refuse(*this, queue_->no_place(), nullptr);
}

bool Waiter::past(base::Micros now) const {
  return (want_.until.count != 0 && want_.until <= now) || (timer_.armed() && timer_.due() < now);
}

WaitLook Waiter::look(base::Micros now) const {
  if (!refusal_.clean()) return {"refusal", {}, since_, base::Micros{0}};
  if (dial_ != nullptr) return {"connect", endpoint_name(dial_->endpoint()), since_, left_};
  return {class_queue_ != nullptr ? "pool_class" : "pool",
          {},
          since_,
          timer_.armed() ? std::max(timer_.due() - now, base::Micros{0}) : left_};
}

}  // namespace sluice::upstream

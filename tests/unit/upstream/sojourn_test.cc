// The controlled delay: what it calls calm, and, by simulation, whom it serves at loads from half to three times the
// capacity. docs/queueing.md has the table, which the last case prints.
#include "upstream/sojourn.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <iostream>
#include <iterator>
#include <queue>
#include <random>
#include <vector>

namespace {

using namespace sluice;
using upstream::Sojourn;

constexpr base::Micros at(std::int64_t ms) { return base::Micros{ms * 1'000}; }

struct Told : Sojourn {
  Told() { configure(base::millis(5), base::millis(100), base::seconds(1)); }
  void come(int count, std::int64_t ms, std::optional<std::int64_t> oldest) {
    for (int i = 0; i < count; ++i) comes(at(ms), oldest.has_value() ? std::optional(at(*oldest)) : std::nullopt);
  }
};

TEST_CASE("a queue that was not calm for an interval and grew has an excess; at the bounds it has none") {
  for (const std::int64_t late : {99, 100}) {
    CAPTURE(late);
    Told s;
    s.come(1, 0, std::nullopt);
    s.come(80, 6, 0);
    s.come(1, late, 0);
    CHECK(s.grows() == (late == 100));
    CHECK(s.excess(65, 0) == (late == 100 ? 1 : 0));
    CHECK(s.newest_first() == (late == 100));
    CHECK(s.excess(64, 0) == 0);
    CHECK(s.excess(200, 1'000) == (late == 100 ? 100 : 0));  // what an interval serves is kept
  }
}

TEST_CASE("nobody is shed while all who wait can be served within their budget, however long it stands") {
  for (const std::uint32_t waiting : {200u, 201u}) {
    CAPTURE(waiting);
    Told s;
    s.come(1, 0, std::nullopt);
    std::int64_t ms = 0;
    for (int interval = 0; interval < 3; ++interval) {  // 20 places in each, and a few more come
      for (int i = 0; i < 20; ++i) s.placed();
      ms += 100;
      s.come(23, ms, ms - 90);
    }
    CHECK(s.grows());
    CHECK(s.excess(waiting, 0) == (waiting == 201 ? 201 - 64 : 0));  // by its own count
    CHECK(s.newest_first() == (waiting == 201));
  }
  Told s;
  s.come(80, 0, std::nullopt);
  s.come(1, 100, 0);
  CHECK(s.excess(500, 500) == 0);  // as measured by all
  CHECK(s.excess(501, 500) == 501 - 64);
}

TEST_CASE("if one in twenty of those who came left without a place, the budget is not what clients wait for") {
  for (const int left : {3, 4}) {
    CAPTURE(left);
    Told s;
    s.come(1, 0, std::nullopt);
    s.come(80, 6, 0);
    for (int i = 0; i < 20; ++i) s.placed();
    for (int i = 0; i < left; ++i) s.left();
    s.come(1, 100, 0);
    CHECK(s.grows());
    CHECK(s.excess(100, 200) == (left == 4 ? 100 - 64 : 0));
  }
}

TEST_CASE("calm is who has waited for the target, not longer") {
  for (const std::int64_t age : {5, 6}) {
    CAPTURE(age);
    Told s;
    s.come(1, 0, std::nullopt);
    s.come(80, 1, 0);
    s.come(1, 90, 90 - age);
    s.come(1, 110, 0);
    CHECK(s.grows() == (age == 6));
  }
}

TEST_CASE("who is served as quickly as others come does not make it grow; who waits again does") {
  Told s;
  s.come(1, 0, std::nullopt);
  s.come(4, 10, 0);
  for (int i = 0; i < 5; ++i) s.placed();
  s.come(1, 100, 0);
  CHECK_FALSE(s.grows());
  s.come(4, 110, 0);
  for (int i = 0; i < 5; ++i) s.placed();
  s.not_placed();
  s.come(1, 200, 0);
  CHECK(s.grows());
}

TEST_CASE("it stays newest first until it is calm, also while it shrinks") {
  Told s;
  s.come(80, 0, std::nullopt);
  s.come(1, 100, 0);
  CHECK(s.excess(81, 0) == 17);
  for (int i = 0; i < 20; ++i) s.placed();
  s.come(1, 200, 0);
  CHECK_FALSE(s.grows());
  CHECK(s.excess(81, 0) == 0);
  CHECK(s.newest_first());
  s.come(1, 210, 208);
  CHECK_FALSE(s.newest_first());
}

TEST_CASE("a target of 0 turns it off, also while it stands") {
  Told s;
  s.come(80, 0, std::nullopt);
  s.come(1, 100, 0);
  CHECK(s.excess(81, 0) != 0);
  s.configure(base::millis(0), base::millis(100), base::seconds(1));
  CHECK_FALSE(s.newest_first());
  s.come(80, 500, 0);
  CHECK(s.excess(1'000, 0) == 0);
}

// ---- By simulation: one queue in front of `servers`, times of service and arrival at random (M/M/c)

struct Load {
  double rho = 1;  // arrivals over capacity
  double seconds = 20;
  bool shedding = true;
  int burst = 0;  // more of them, together, after 5 s
  double pause = 0;  // seconds after 5 s in which nothing ends
  bool impatient = false;  // clients leave after 200 to 600 ms; otherwise they wait for ever
  int servers = 20;
  double mean = 0.05;  // seconds of service
};

struct Outcome {
  double refused = 0;  // share of all
  double good = 0;  // answers in time over what could be served, or over all below the capacity
  double wait_ms = 0;  // of half of the served
  double refused_ms = 0;  // after how long half of the refused were told
};

double middle(std::vector<double> v) {
  if (v.empty()) return 0;
  const auto half = v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2);
  std::nth_element(v.begin(), half, v.end());
  return *half * 1'000;
}

class Model {
 public:
  explicit Model(const Load& load) : load_(load) {
    sojourn_.configure(base::millis(load.shedding ? 5 : 0), base::millis(100), base::seconds(1));
  }

  Outcome run() {
    std::exponential_distribution<double> gap(load_.rho * rate());
    for (double t = gap(random_); t < load_.seconds; t += gap(random_)) events_.push({t, comes});
    for (int i = 0; i < load_.burst; ++i) events_.push({5, comes});
    int all = 0;
    while (!events_.empty()) {
      const Event e = events_.top();
      events_.pop();
      now_ = e.at;
      expire();
      all += e.what == comes ? 1 : 0;
      e.what == comes ? come() : end();
    }
    const double possible = std::min<double>(all, rate() * load_.seconds);
    return {static_cast<double>(told_.size()) / all, good_ / possible, middle(waits_), middle(told_)};
  }

 private:
  enum What : int { comes, ends };
  struct Event {
    double at;
    What what;
    bool operator<(const Event& o) const { return at > o.at; }
  };
  struct Request {
    double since;
    double leaves;
  };
  static constexpr double acquire_timeout = 1;
  double rate() const { return load_.servers / load_.mean; }
  base::Micros clock() const { return base::Micros{std::llround(now_ * 1e6)}; }

  void expire() {
    std::erase_if(queue_, [this](const Request& r) {
      if (now_ >= r.since + acquire_timeout) told_.push_back(acquire_timeout);
      if (now_ >= std::min(r.leaves, r.since + acquire_timeout)) sojourn_.left();
      return now_ >= std::min(r.leaves, r.since + acquire_timeout);
    });
  }
  void come() {
    std::uniform_real_distribution<double> patience(0.2, 0.6);
    const Request r{now_, load_.impatient ? now_ + patience(random_) : 1e9};
    if (busy_ < load_.servers && queue_.empty()) return serve(r);
    sojourn_.comes(
        clock(), queue_.empty() ? std::nullopt : std::optional(base::Micros{std::llround(queue_.front().since * 1e6)}));
    queue_.push_back(r);
    while (!served_.empty() && served_.front() < now_ - 8) served_.pop_front();
    const double recent = static_cast<double>(served_.size()) / std::clamp(now_, 0.5, 8.0);
    for (auto n = sojourn_.excess(static_cast<std::uint32_t>(queue_.size()), recent); n > 0; --n) {
      told_.push_back(now_ - queue_.front().since);
      queue_.pop_front();
    }
  }
  void end() {
    --busy_;
    if (queue_.empty()) return;
    const Request r = sojourn_.newest_first() ? queue_.back() : queue_.front();
    sojourn_.newest_first() ? queue_.pop_back() : queue_.pop_front();
    sojourn_.placed();
    serve(r);
  }
  void serve(const Request& r) {
    ++busy_;
    served_.push_back(now_);
    waits_.push_back(now_ - r.since);
    double over = now_ + std::exponential_distribution<double>(1 / load_.mean)(random_);
    if (now_ < 5 + load_.pause && over > 5) over += 5 + load_.pause - std::max(now_, 5.0);
    good_ += over <= r.leaves ? 1 : 0;
    events_.push({over, ends});
  }

  Load load_;
  Sojourn sojourn_;
  std::mt19937_64 random_{1};  // the same arrivals whatever the policy
  std::priority_queue<Event> events_;
  std::deque<Request> queue_;
  std::deque<double> served_;
  std::vector<double> waits_;
  std::vector<double> told_;  // refused, after
  double now_ = 0;
  double good_ = 0;
  int busy_ = 0;
};

Outcome outcome(const Load& load) { return Model(load).run(); }

TEST_CASE("below the capacity nobody is refused, and a burst or a pause that fits into acquire_timeout loses nobody") {
  for (const double rho : {0.5, 0.8, 0.9, 0.95}) {
    CAPTURE(rho);
    CHECK(outcome({.rho = rho}).refused < 0.0005);
  }
  CHECK(outcome({.rho = 0.5, .burst = 200}).refused == 0);
  CHECK(outcome({.rho = 0.5, .burst = 350}).refused == 0);
  CHECK(outcome({.rho = 0.7, .pause = 0.2}).refused == 0);
  CHECK(outcome({.rho = 0.8, .seconds = 200, .servers = 20, .mean = 1}).refused <
        0.001);  // slow answers: nobody too many
}

TEST_CASE("above the capacity the served wait no time, the others are told soon, and the work is not less") {
  for (const double rho : {1.5, 2.0, 3.0}) {
    CAPTURE(rho);
    const Outcome with = outcome({.rho = rho});
    const Outcome without = outcome({.rho = rho, .shedding = false});
    CHECK(with.wait_ms < 10);
    CHECK(without.wait_ms > 900);
    CHECK(with.refused_ms < 400);
    CHECK(without.refused_ms > 900);
    CHECK(with.good > without.good - 0.06);  // the queue that remains at the end is all that first come has more
  }
}

TEST_CASE("above the capacity clients that leave after 200 to 600 ms get answers, where first come wastes them") {
  for (const double rho : {1.1, 1.5, 2.0, 3.0}) {
    CAPTURE(rho);
    const Outcome with = outcome({.rho = rho, .impatient = true});
    CHECK(with.good > 0.95);
    CHECK(with.good > outcome({.rho = rho, .shedding = false, .impatient = true}).good + 0.05);
  }
}

double tenths(double percent) { return std::round(percent * 1'000) / 10; }

TEST_CASE("print the table of docs/queueing.md" * doctest::skip()) {
  for (const double rho : {0.5, 0.8, 0.9, 0.95, 1.0, 1.1, 1.5, 2.0, 3.0}) {
    std::cout << "| " << rho;
    for (const bool shedding : {false, true}) {
      const Outcome o = outcome({.rho = rho, .shedding = shedding});
      const Outcome i = outcome({.rho = rho, .shedding = shedding, .impatient = true});
      std::cout << " | " << tenths(o.refused) << " % | " << std::round(o.wait_ms) << " ms | "
                << std::round(o.refused_ms) << " ms | " << tenths(i.good) << " %";
    }
    std::cout << " |\n";
  }
}

}  // namespace

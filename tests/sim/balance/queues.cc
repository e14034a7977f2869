#include "queues.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <optional>
#include <queue>
#include <vector>

#include "upstream/adaptive_limit.h"
#include "upstream/random.h"
#include "upstream/sojourn.h"

namespace sluice::sim {
namespace {

using base::Micros;

constexpr double service_mean = 20'000;  // microseconds
constexpr Micros patience{1'000'000};  // of clients; likewise acquire_timeout
constexpr std::uint32_t max_waiting = 1'024;
constexpr Micros rate_over{8'000'000};  // as ServiceRate measures

double middle(std::vector<double>& values, double share) {
  if (values.empty()) return 0;
  const auto at = static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return values[static_cast<std::size_t>(at)] / 1'000;
}

class Queueing {
 public:
  explicit Queueing(const QueueStory& story) : story_(story), random_(story.seed) {
    sojourn_.configure(base::Millis{story.policy == Policy::shedding ? 5 : 0}, base::Millis{100}, base::Millis{1'000});
  }

  QueueResult run() {
    const double rate = story_.places / service_mean;  // a microsecond
    const auto end = static_cast<std::int64_t>(story_.seconds * 1e6);
    auto next = gap(rate);
    std::uint64_t all = 0;
    while (next < end || !ends_.empty()) {
      if (next < end && (ends_.empty() || next < ends_.top().at)) {
        now_ = Micros{next};
        next += gap(rate);
        ++all;
        expire();
        come();
      } else {
        const Ended ended = ends_.top();
        ends_.pop();
        now_ = Micros{ended.at};
        expire();
        answered(ended);
      }
    }
    return summary(all, rate * static_cast<double>(end));
  }

 private:
  struct Sent {
    Micros came{};
    Micros sent{};
  };
  struct Ended {
    std::int64_t at = 0;
    Sent request;
    double work = 0;
    bool operator<(const Ended& o) const { return at > o.at; }
  };

  std::int64_t exponential(double mean) {
    const double unit = static_cast<double>(random_.next() >> 11) * 0x1.0p-53;
    return static_cast<std::int64_t>(-std::log(1 - unit) * mean) + 1;
  }
  std::int64_t gap(double rate) { return exponential(1 / (rate * story_.load)); }
  std::uint32_t limit() const { return story_.limit != 0 ? story_.limit : adaptive_.limit(); }

  void expire() {
    while (!waiting_.empty() && now_ - waiting_.front() >= patience) refuse_oldest(true);
  }
  void refuse_oldest(bool late) {
    told_.push_back(static_cast<double>((now_ - waiting_.front()).count));
    waiting_.pop_front();
    if (late) sojourn_.left();
  }

  void come() {
    if (in_flight_ < limit() && waiting_.empty()) return send({now_, now_});
    sojourn_.comes(now_, waiting_.empty() ? std::nullopt : std::optional(waiting_.front()));
    waiting_.push_back(now_);
    while (!placed_.empty() && now_ - placed_.front() > rate_over) placed_.pop_front();
    const double over = std::clamp(static_cast<double>(now_.count), 5e5, static_cast<double>(rate_over.count)) / 1e6;
    const double rate = static_cast<double>(placed_.size()) / over;
    for (auto n = sojourn_.excess(static_cast<std::uint32_t>(waiting_.size()), rate); n > 0; --n) refuse_oldest(false);
    if (waiting_.size() <= max_waiting) return;
    if (story_.policy != Policy::first_come) return refuse_oldest(false);
    waiting_.pop_back();
    told_.push_back(0);
  }

  void send(const Sent& request) {
    ++in_flight_;
    placed_.push_back(now_);
    at_server_.push_back(request);
    if (busy_ < story_.places) work();
  }
  void work() {
    ++busy_;
    const auto took = exponential(service_mean);
    ends_.push({now_.count + took, at_server_.front(), static_cast<double>(took)});
    at_server_.pop_front();
  }

  void answered(const Ended& ended) {
    --busy_;
    worked_ += ended.work;
    const Micros whole = now_ - ended.request.came;
    whole <= patience ? times_.push_back(static_cast<double>(whole.count)) : void(wasted_ += ended.work);
    adaptive_.answered(now_ - ended.request.sent, in_flight_, now_);
    --in_flight_;
    if (!at_server_.empty()) work();
    while (in_flight_ < limit() && !waiting_.empty()) place_one();
  }
  void place_one() {
    const bool newest = story_.policy == Policy::last_come || sojourn_.newest_first();
    const Micros came = newest ? waiting_.back() : waiting_.front();
    newest ? waiting_.pop_back() : waiting_.pop_front();
    sojourn_.placed();
    send({came, now_});
  }

  QueueResult summary(std::uint64_t all, double capacity) {
    QueueResult result;
    result.good = static_cast<double>(times_.size()) / std::min(static_cast<double>(all), capacity);
    result.time_p50 = middle(times_, 0.5);
    result.time_p99 = middle(times_, 0.99);
    result.told_p50 = middle(told_, 0.5);
    result.wasted = worked_ == 0 ? 0 : wasted_ / worked_;
    return result;
  }

  const QueueStory& story_;
  upstream::Random random_;
  upstream::Sojourn sojourn_;
  upstream::AdaptiveLimit adaptive_;
  std::deque<Micros> waiting_;  // in sluice, by when they came
  std::deque<Sent> at_server_;  // sent, but not worked on yet
  std::priority_queue<Ended> ends_;
  std::deque<Micros> placed_;
  Micros now_{};
  std::uint32_t in_flight_ = 0;
  std::uint32_t busy_ = 0;
  double worked_ = 0;
  double wasted_ = 0;
  std::vector<double> times_;
  std::vector<double> told_;
};

}  // namespace

QueueResult run(const QueueStory& story) { return Queueing(story).run(); }

}  // namespace sluice::sim

// HeldWatch: requests that are held for far longer than their route usually takes are told of, once each: where a leak
// or a hang begins. One a worker; looks every ten seconds while there are any that old.
#pragma once

#include "base/list.h"
#include "metrics/registry.h"
#include "net/loop.h"
#include "net/timer.h"

namespace sluice::exchange {

class Exchange;
class HeldTag;
struct Look;

class HeldWatch {
 public:
  // A request is held when it is older than `least` and than `factor` times the 99th percentile of its route, and no
  // byte of it moved for `least`. A tunnel never is: it lives as long as its ends like.
  static constexpr base::Millis least{10'000};
  static constexpr int64_t factor = 20;
  // With fewer requests a percentile says nothing: `least` alone decides.
  static constexpr uint64_t samples_least = 100;
  static constexpr base::Millis look_every{10'000};  // while there is one that old
  static constexpr unsigned looks_most = 4'096;  // in one turn, oldest first; more than that wait until those have gone

  HeldWatch(net::Loop& loop, metrics::Registry& registry, unsigned worker);
  HeldWatch(const HeldWatch&) = delete;
  HeldWatch& operator=(const HeldWatch&) = delete;

  void add(Exchange& exchange);  // a request that begins now; it leaves by itself (ListHook)

 private:
  void on_timer();
  void tell(const Look& look, base::Micros now, base::Micros usual);

  net::Loop& loop_;
  metrics::Registry& registry_;
  unsigned worker_;
  metrics::Gauge& oldest_;
  base::List<Exchange, HeldTag> all_;  // oldest first; no tunnels among those that were looked at
  net::Timer timer_;
};

// The bound of the bucket that `share` (0..1) of all that was observed does not pass; 0 = fewer than `samples` were.
base::Micros quantile(const metrics::Histogram& of, double share, uint64_t samples);

}  // namespace sluice::exchange

// Departures: the addresses that left an upstream's answer, until the last connection to them has closed. Feeds
// upstream_connections_leaving and dns_propagation_seconds. Control thread; only the gauges are read by the scrape.
//
// A look at the shared counts every few milliseconds, while anything leaves, is all it takes: no message and no lock
// when a connection closes on a worker. A count of zero says something only after every worker has the new set
// (applied()).
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "metrics/registry.h"
#include "net/loop.h"
#include "net/timer.h"
#include "upstream/shared.h"

namespace sluice::runtime {

class Departures {
 public:
  static constexpr base::Millis look_first{5};  // how often it looks: at first,
  static constexpr base::Millis look_most{1'000};  // and at most, when connections (WebSockets) stay for hours
  static constexpr std::int64_t look_share = 500;  // in between: this part of the time that has passed

  using Endpoints = std::vector<std::shared_ptr<upstream::SharedEndpoint>>;
  // One change of one upstream. Whoever publishes the new set calls applied() once for each worker that has it.
  class Change {
   public:
    void applied();

   private:
    friend class Departures;
    base::Micros changed{};
    std::uint32_t workers_to_go = 0;
    Endpoints endpoints;  // constant once it is in the list
  };

  Departures(net::Loop& loop, metrics::Registry& registry);
  Departures(const Departures&) = delete;
  Departures& operator=(const Departures&) = delete;
  ~Departures();

  // The gauge of this upstream; again after its series were retired.
  void watch(const std::string& upstream);
  // It left the configuration: its connections are no news of DNS any more.
  void forget(const std::string& upstream);
  // `endpoints` left at `changed` (loop time).
  std::shared_ptr<Change> begin(const std::string& upstream, Endpoints endpoints, base::Micros changed,
                                std::uint32_t workers);

 private:
  struct Open;
  void look();

  net::Loop& loop_;
  metrics::Registry& registry_;
  net::Timer timer_;
  std::unordered_map<std::string, std::shared_ptr<Open>> open_;
};

}  // namespace sluice::runtime

// A fleet of proxies in front of unequal servers, on a clock of events: the real pickers (Balancer, SharedUpstream,
// ServiceTime), one of each per instance as in a process, and servers that are a queue with a few places each. What is
// not modelled: pools, the network, and that several workers of one process pick at the same moment.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "upstream/options.h"

namespace sluice::sim {

// What befalls server 0; the others are well. `lost` and `returns`: it is away in the second quarter of the time.
enum class Trouble : std::uint8_t { none, slow, lost, returns, fails };

struct Story {
  std::string name;
  upstream::Balance balance = upstream::Balance::p2c;
  Trouble trouble = Trouble::none;
  base::Millis slow_start{0};
  std::uint32_t instances = 20;
  std::uint32_t servers = 20;
  std::uint32_t places = 8;  // requests that a server works on at a time; more wait there, first come first served
  double load = 0.7;  // offered, as a share of what all servers can do when they are well
  double spread = 1;  // servers' service times lie between 1 / spread and spread of the mean
  std::uint32_t keys = 20'000;  // for ring_hash, all asked for alike
  std::uint32_t requests = 100'000;
  std::uint64_t seed = 1;
};

struct Result {
  double wait_p50 = 0;  // ms that requests waited at a server for a place
  double wait_p99 = 0;
  double time_p99 = 0;  // ms from the request to its answer, failed connects included
  double busiest = 0;  // the highest load of a healthy server (share of its places busy) over the mean of them
  double share = 0;  // of all requests that server 0 got, over an equal share: 1 = its fair share
  double tries = 0;  // connects a request
  std::vector<double> over_time;  // time_p99 in each twentieth of the run
};

Result run(const Story& story);

}  // namespace sluice::sim

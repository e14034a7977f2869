// Invariants: what is true of the process whatever happens (control-path.md 6). Each throws Broken.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "house.h"

namespace sluice::house {

class Invariants {
 public:
  // `without`: names of invariants that are not looked at: "cap taken gauges".
  Invariants(House& house, std::string without) : house_(house), without_(std::move(without)) { note_ways(); }
  void after_step();                               // cheap ones at once, the others every some steps
  void reloaded();                                 // a reload was answered: it is in force
  void at_rest();                                  // no client, and time has passed

 private:
  void cap();
  void turns();
  void gauges() const;
  void pools() const;
  void slots();
  void note_ways();
  void nothing_left() const;
  void registration() const;
  void no_dead_series() const;

  bool off(std::string_view name) const { return without_.find(name) != std::string::npos; }

  House& house_;
  std::string without_;
  uint32_t connections_ = 0;                       // after the step before
  runtime::GenerationPtr noted_;                   // what ways_ is of
  std::map<std::string, std::string> ways_;        // by upstream: what decides whether its connections can be kept
  std::map<uint64_t, std::weak_ptr<const upstream::SharedEndpoint>> endpoints_;  // by id, all that ever were in a set
  std::set<std::string> rewired_;  // upstreams whose connections a reload had a reason to close
};

}  // namespace sluice::house

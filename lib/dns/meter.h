// Meter: what the directory tells its metrics. The runtime implements it (dns knows no metrics library).
#pragma once

#include <string_view>

#include "base/clock.h"
#include "dns/answer.h"

namespace sluice::dns {

class Meter {
 public:
  // One lookup ended: dns_lookups_total{name,outcome} and dns_lookup_seconds. `name` is canonical; the label is
  // outcome_name(outcome). Called at the loop; must not call the directory.
  virtual void on_lookup(std::string_view name, Outcome outcome, base::Micros took) = 0;
  // Packets or records that were not taken: `count` of them (dns_lookups_total{name,outcome="ignored"}).
  virtual void on_ignored(std::string_view name, Ignored reason, std::uint32_t count) = 0;

 protected:
  ~Meter() = default;
};

}  // namespace sluice::dns

// PortForecast: how many of the local ports towards each destination are taken, and when there will be none, from looks
// a few seconds apart. Pure: who looks, and who tells, is port_watch.h.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "runtime/local_ports.h"

namespace sluice::runtime {

struct PortRow {
  std::string source, destination;  // "10.0.0.1", "10.0.0.2:80"
  std::uint32_t used = 0;  // time_wait included
  std::uint32_t time_wait = 0;
  std::uint32_t available = 0;
  std::optional<base::Micros> runs_out;  // from now, if it goes on as in the last minute; none: it does not rise
  bool short_of = false;  // over 80 %, or full within ten minutes
  std::string subject() const { return source + ">" + destination; }
};

// What to try first when ports are short.
std::string first_fix(const PortRow& row);

class PortForecast {
 public:
  static constexpr std::size_t subjects_most = 64;  // the fullest
  static constexpr base::Micros window{60'000'000};  // of the slope
  static constexpr base::Micros window_least{30'000'000};  // a burst is no trend
  static constexpr base::Micros soon{600'000'000};
  static constexpr std::uint32_t full_percent = 80;
  static constexpr std::uint32_t well_percent = 60;  // below it, and not full soon: what was short is well again
  static constexpr std::uint32_t trend_percent = 25;  // below it a slope says nothing

  // Another look; the rows of it, the fullest first.
  const std::vector<PortRow>& look(const PortsSeen& seen, base::Micros now);
  const std::vector<PortRow>& rows() const { return rows_; }

 private:
  struct Subject {
    std::deque<std::pair<base::Micros, std::uint32_t>> looks;  // of the window
    bool short_of = false;  // at the look before
  };
  std::map<std::string, Subject, std::less<>> subjects_;  // those of rows_
  std::vector<PortRow> rows_;
};

}  // namespace sluice::runtime

// Repeats: what the process log leaves out because it was just said, and its sums. For log_event.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/log.h"

namespace sluice::base {

// What was written of a subject last, and what was left out since.
struct Repeat {
  LogLevel level{};
  LogFormat format{};
  std::string line;  // without its newline
  Micros since{};
  uint64_t left_out = 0;
};

// From any thread. `kind`: a hash of the event and its subject.
class Repeats {
 public:
  static constexpr size_t subjects_max = 1024;  // at a time; further ones are written each time
  static constexpr Micros window{10'000'000};

  bool first(uint64_t kind, Micros now);  // true: it is to be written, and keep() follows; else it is counted
  void keep(uint64_t kind, Repeat&& repeat);
  std::vector<Repeat> over(Micros now);  // those whose window has ended, with what was left out in it

 private:
  std::mutex mutex_;
  std::unordered_map<uint64_t, Repeat> all_;
};

// The line of the first one, with the time of now and how many there were.
std::string repeat_summary(const Repeat& repeat, Micros wall);

}  // namespace sluice::base

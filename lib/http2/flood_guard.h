// FloodGuard: what one peer may cost us without getting anything done (threats.md rows 33 to 37). Plain counters on the time
// that it is told; the first budget that is overdrawn is the verdict, Detail::none = go on.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/clock.h"
#include "http/failure.h"
#include "http2/frame.h"

namespace sluice::http2 {

// So many at once, so many more a second.
class Budget {
 public:
  Budget(uint32_t burst, uint32_t a_second, base::Micros now)
      : burst_(burst), a_second_(a_second), left_(int64_t{burst} * unit), at_(now) {}
  bool spend(base::Micros now);     // false: there was none left
  void earn(uint32_t n);

 private:
  static constexpr int64_t unit = 1'000'000;   // so that a microsecond of `a_second_` is a whole number
  uint32_t burst_;
  uint32_t a_second_;
  int64_t left_;
  base::Micros at_;
};

class FloodGuard {
 public:
  // Row 33. Streams that the peer cancels so soon after it opened them count.
  static constexpr base::Millis early{1'000};
  static constexpr base::Millis reset_window{10'000};
  // Row 34: streams that we had to reset.
  static constexpr uint32_t own_resets_burst = 200;
  static constexpr uint32_t own_resets_a_second = 10;
  // Row 35: of one header block.
  static constexpr uint32_t continuations_max = 8;
  // Row 37: frames that do nothing for a request.
  static constexpr uint32_t control_burst = 1000;
  static constexpr uint32_t control_a_second = 100;
  // A frame that does something earns some of these back: peers open windows, and acknowledge, as work is done.
  static constexpr uint32_t earned_by_head = 2;
  static constexpr uint32_t earned_by_answer = 2;   // each time that bytes of one leave, and by each so many bytes
  static constexpr size_t sent_to_earn = 4096;
  static constexpr uint32_t bytes_to_earn = 1024;   // of DATA received

  FloodGuard(uint32_t max_resets, uint64_t max_header_bytes, base::Micros now);

  http::Detail frame(const Frame& frame, base::Micros now);       // each one that comes in, before anything is done with it
  void stream_opened(base::Micros now);
  http::Detail reset_by_peer(base::Micros opened, base::Micros now);
  http::Detail reset_by_us(base::Micros now);
  void data_sent(size_t bytes) { control_.earn(earned_by_answer + static_cast<uint32_t>(bytes / sent_to_earn)); }

  bool in_header_block() const { return in_block_; }

 private:
  void roll(base::Micros now);
  http::Detail header_block(const Frame& frame);

  Budget control_;
  Budget own_resets_;
  uint64_t max_header_bytes_;
  uint64_t block_bytes_ = 0;
  base::Micros window_since_;
  uint32_t max_resets_;
  uint32_t opened_ = 0;             // in the window
  uint32_t early_resets_ = 0;
  uint32_t continuations_ = 0;
  uint32_t data_bytes_ = 0;         // not turned into tokens yet
  bool in_block_ = false;
};

}  // namespace sluice::http2

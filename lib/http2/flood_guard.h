// FloodGuard: what one peer may cost us without getting anything done (threats.md rows 33 to 37, 55, 56). Plain
// counters on the time that it is told; the first budget that is overdrawn is the verdict, Detail::none = go on. A peer
// earns by what it gets done, so that the busiest honest one spends nothing in the long run: the table in README.md.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/clock.h"
#include "http/failure.h"
#include "http2/frame.h"

namespace sluice::http2 {

// So many at once, so many more a second. Prices are in units of `one`.
class Budget {
 public:
  static constexpr int64_t one = 1'000'000;  // so that a microsecond of `a_second` is a whole number
  Budget(uint32_t burst, uint32_t a_second, base::Micros now)
      : burst_(burst), a_second_(a_second), left_(int64_t{burst} * one), at_(now) {}
  bool spend(base::Micros now, int64_t price = one);  // false: there was not so much left
  void earn(int64_t units) { left_ = std::min(int64_t{burst_} * one, left_ + units); }

 private:
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
  // Row 55: those whose request had gone to an upstream: max_resets at once and as many in each reset_window, whatever
  // else was opened. Answers of upstreams pay for some: where one request in five is cancelled there is nothing to
  // gain.
  static constexpr int64_t earned_by_work = Budget::one / 4;
  // A call that ends at its own deadline (grpc-timeout) has kept its place among max_streams for so long, which bounds
  // how many there can be. Its price is (full_price_below / deadline)^2: above 250 ms a connection whose 128 calls all
  // pass their deadlines again and again spends no more than comes back (128 / 0.25 s / 25 = 20.5 a second), so no
  // brown-out trips it; at 100 ms it does after 850 calls, unless half of them are answered.
  static constexpr base::Millis full_price_below{50};
  // Shorter ones count as cancels in the share of what was opened, too.
  static constexpr base::Millis deadline_believed{100};
  // Row 34: streams that we had to reset.
  static constexpr uint32_t own_resets_burst = 200;
  static constexpr uint32_t own_resets_a_second = 10;
  // A refusal that the peer could not foresee costs so little of it. It costs us two frames: nothing was begun for it.
  static constexpr int64_t unforeseen_price = Budget::one / 10;
  // Row 35: of one header block.
  static constexpr uint32_t continuations_max = 8;
  // Row 37: frames that do nothing for a request.
  static constexpr uint32_t control_burst = 1000;
  static constexpr uint32_t control_a_second = 100;
  // A request may have its priority changed, an empty DATA at its end, and be cancelled with a PING behind it.
  static constexpr uint32_t earned_by_head = 4;
  static constexpr uint32_t earned_by_answer = 2;  // each time that bytes of one leave: a PING may measure their way
  static constexpr uint32_t bytes_to_earn = 1024;  // of DATA received

  // A stream that the client gave up.
  struct Cancel {
    base::Micros held;  // since it was opened
    base::Micros deadline;  // of the call, if it was met; 0 = none
    bool upstream;  // its request had gone to an upstream, which had not answered it
  };

  FloodGuard(uint32_t max_resets, uint64_t max_header_bytes, base::Micros now);

  http::Detail frame(const Frame& frame,
                     base::Micros now);  // each one but those below, before anything is done with it
  http::Detail data(size_t content, bool live, base::Micros now);  // `live`: its stream is known and not over
  http::Detail window_update(uint32_t more, base::Micros now);
  void data_sent(size_t bytes);
  void stream_opened(base::Micros now);
  http::Detail cancelled(const Cancel& cancel, base::Micros now);  // by RST_STREAM
  http::Detail recalled(const Cancel& cancel, base::Micros now);  // by us, for what the client did, or its deadline
  void answered() { cancels_.earn(earned_by_work); }  // an upstream's answer is whole
  http::Detail reset_by_us(base::Micros now);
  http::Detail refused(bool foreseen, base::Micros now);  // by us, above max_streams; it knew and could count?

  bool in_header_block() const { return in_block_; }

 private:
  void roll(base::Micros now);
  http::Detail header_block(const Frame& frame);

  Budget control_;
  Budget own_resets_;
  Budget cancels_;  // of what an upstream worked on
  uint64_t returnable_ = 0;  // credit for what we sent, to a stream and to the connection, that has not come back
  uint64_t max_header_bytes_;
  uint64_t block_bytes_ = 0;
  base::Micros window_since_;
  uint32_t max_resets_;
  uint32_t opened_ = 0;  // in the window
  uint32_t early_resets_ = 0;
  uint32_t continuations_ = 0;
  uint32_t data_bytes_ = 0;  // not turned into tokens yet
  bool in_block_ = false;
};

}  // namespace sluice::http2

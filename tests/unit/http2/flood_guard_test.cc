// Every budget of the guard, at its limit and one above, on a clock of the test (threats.md rows 33 to 37, 55, 56).
#include "http2/flood_guard.h"

#include <doctest/doctest.h>

using namespace sluice;
using http::Detail;
using http2::FloodGuard;
using http2::Frame;
using http2::FrameType;

namespace {

constexpr uint32_t max_resets = 200;
constexpr base::Micros start{1'000'000};
constexpr base::Micros second{1'000'000};

Frame frame(FrameType type, uint32_t length = 0, uint8_t flags = 0) {
  return {length, 1, static_cast<uint8_t>(type), flags};
}

FloodGuard guard() { return {max_resets, 64 * 1024, start}; }

// How many of `f` pass before the first that does not; at most `most`.
uint32_t pass(FloodGuard& g, const Frame& f, base::Micros now, uint32_t most = 100'000) {
  for (uint32_t n = 0; n < most; ++n) {
    if (g.frame(f, now) != Detail::none) return n;
  }
  return most;
}

// How often `act` passes before it does not.
template <class Act>
uint32_t times(uint32_t most, Act act) {
  for (uint32_t n = 0; n < most; ++n) {
    if (act() != Detail::none) return n;
  }
  return most;
}

using Cancel = FloodGuard::Cancel;
constexpr Cancel at_once{{}, {}, false};
constexpr Cancel upstream_at_once{{}, {}, true};

}  // namespace

TEST_CASE("control frames: 1000 at once, 100 a second, whatever their kind") {
  for (const auto type :
       {FrameType::ping, FrameType::settings, FrameType::priority, FrameType::rst_stream, FrameType::priority_update,
        FrameType::goaway, FrameType::push_promise, static_cast<FrameType>(0xfb)}) {
    FloodGuard g = guard();
    CHECK(pass(g, frame(type, 8), start) == FloodGuard::control_burst);
    CHECK(g.frame(frame(type, 8), start) == Detail::control_flood);
    CHECK(pass(g, frame(type, 8), start + second) == FloodGuard::control_a_second);
    CHECK(pass(g, frame(type, 8), start + base::Micros{second.count * 1000}) == FloodGuard::control_burst);
  }
}

TEST_CASE("a steady 100 a second never ends, 101 do") {
  for (const uint32_t rate : {100U, 105U}) {
    FloodGuard g = guard();
    bool flood = false;
    for (uint32_t s = 0; s < 1000 && !flood; ++s) {
      for (uint32_t i = 0; i < rate && !flood; ++i) {
        flood = g.frame(frame(FrameType::ping, 8), start + base::Micros{second.count * s + second.count / rate * i}) !=
                Detail::none;
      }
    }
    CHECK(flood == (rate > FloodGuard::control_a_second));
  }
}

TEST_CASE("DATA: what bears nothing is a control frame, at the end of a request too; what bears a byte is not") {
  FloodGuard empty = guard();
  CHECK(times(10'000, [&] { return empty.data(0, true, start); }) == FloodGuard::control_burst);
  FloodGuard bears = guard();
  CHECK(times(10'000, [&] { return bears.data(1, true, start); }) == 10'000);
  CHECK(times(10'000, [&] { return bears.data(0, true, start); }) == FloodGuard::control_burst);
}

TEST_CASE("DATA on a stream that is over is worth its bytes") {
  FloodGuard small = guard();
  CHECK(times(10'000, [&] { return small.data(1, false, start); }) < FloodGuard::control_burst + 10);
  FloodGuard large = guard();
  CHECK(times(10'000, [&] { return large.data(FloodGuard::bytes_to_earn, false, start); }) == 10'000);
  CHECK(times(10'000, [&] { return large.data(FloodGuard::bytes_to_earn / 2, false, start); }) <
        2 * FloodGuard::control_burst + 10);
}

TEST_CASE("WINDOW_UPDATE: credit for what was sent comes back twice, for nothing; all else is a control frame") {
  FloodGuard g = guard();
  CHECK(times(10'000, [&] { return g.window_update(1, start); }) == FloodGuard::control_burst);
  g.data_sent(5000);                                    // earns two by itself
  CHECK(times(20'000, [&] { return g.window_update(1, start); }) == 10'000 + FloodGuard::earned_by_answer);
  g.data_sent(5000);
  CHECK(times(10, [&] { return g.window_update(10'001, start); }) == FloodGuard::earned_by_answer);
  CHECK(g.window_update(10'000, start) == Detail::none);
  CHECK(g.window_update(1, start) == Detail::control_flood);
}

TEST_CASE("work earns control frames back, never above the burst") {
  FloodGuard g = guard();
  const Frame ping = frame(FrameType::ping, 8);
  for (int i = 0; i < 1000; ++i)
    CHECK(g.frame(frame(FrameType::headers, 20, Frame::end_headers), start) == Detail::none);
  CHECK(pass(g, ping, start) == FloodGuard::control_burst);
  CHECK(g.frame(frame(FrameType::headers, 20, Frame::end_headers), start) == Detail::none);
  CHECK(pass(g, ping, start) == FloodGuard::earned_by_head);
  CHECK(g.data(10 * FloodGuard::bytes_to_earn, true, start) == Detail::none);
  CHECK(pass(g, ping, start) == 10);
  g.data_sent(1);
  CHECK(pass(g, ping, start) == FloodGuard::earned_by_answer);
}

TEST_CASE("CONTINUATION: 8 frames and 64 KiB, in one block") {
  FloodGuard g = guard();
  CHECK(g.frame(frame(FrameType::headers, 10), start) == Detail::none);
  CHECK(g.in_header_block());
  CHECK(pass(g, frame(FrameType::continuation, 1), start) == FloodGuard::continuations_max);
  FloodGuard ends = guard();
  for (int block = 0; block < 100; ++block) {          // each block anew
    CHECK(ends.frame(frame(FrameType::headers, 10), start) == Detail::none);
    for (uint32_t i = 1; i < FloodGuard::continuations_max; ++i)
      CHECK(ends.frame(frame(FrameType::continuation, 1), start) == Detail::none);
    CHECK(ends.frame(frame(FrameType::continuation, 1, Frame::end_headers), start) == Detail::none);
    CHECK_FALSE(ends.in_header_block());
  }
  for (const uint32_t over : {0U, 1U}) {
    FloodGuard bytes = guard();
    CHECK(bytes.frame(frame(FrameType::headers, 16 * 1024), start) == Detail::none);
    for (int i = 0; i < 2; ++i) CHECK(bytes.frame(frame(FrameType::continuation, 16 * 1024), start) == Detail::none);
    CHECK(bytes.frame(frame(FrameType::continuation, 16 * 1024 + over), start) ==
          (over == 0 ? Detail::none : Detail::continuation_flood));
  }
}

TEST_CASE("rapid reset: above 200 early cancels, if they are more than half of what was opened") {
  FloodGuard g = guard();
  for (uint32_t i = 1; i <= max_resets + 1; ++i) {
    g.stream_opened(start);
    CHECK(g.cancelled(at_once, start) == (i <= max_resets ? Detail::none : Detail::reset_flood));
  }
  FloodGuard half = guard();
  for (uint32_t i = 0; i < 2 * (max_resets + 1); ++i) half.stream_opened(start);
  for (uint32_t i = 1; i <= max_resets + 2; ++i)
    CHECK(half.cancelled(at_once, start) == (i <= max_resets + 1 ? Detail::none : Detail::reset_flood));
}

TEST_CASE("what is cancelled a second after it was opened is no rapid reset") {
  for (const bool upstream : {false, true}) {
    FloodGuard g = guard();
    for (uint32_t i = 0; i < 10 * max_resets; ++i) {
      g.stream_opened(start);
      CHECK(g.cancelled({FloodGuard::early, {}, upstream}, start) == Detail::none);
    }
    const Cancel just_early{base::Micros{FloodGuard::early} - base::Micros{1}, {}, upstream};
    for (uint32_t i = 1; i <= max_resets; ++i) {
      g.stream_opened(start);
      CHECK(g.cancelled(just_early, start) == Detail::none);
    }
    if (upstream) CHECK(g.cancelled(just_early, start) == Detail::reset_flood);
  }
}

// The share does not see these: any number of streams that we answered ourselves stand beside them.
TEST_CASE("cancels of what an upstream worked on: 200, then 20 a second, whatever else was opened") {
  FloodGuard g = guard();
  for (int i = 0; i < 100'000; ++i) g.stream_opened(start);
  CHECK(times(1000, [&] { return g.cancelled(upstream_at_once, start); }) == max_resets);
  CHECK(times(1000, [&] { return g.cancelled(upstream_at_once, start + second); }) == max_resets / 10);
  CHECK(times(1000, [&] { return g.recalled(upstream_at_once, start + second + second); }) == max_resets / 10);
  CHECK(g.cancelled(at_once, start + second + second) == Detail::none);   // answered here
  FloodGuard few{10, 64 * 1024, start};
  for (int i = 0; i < 100'000; ++i) few.stream_opened(start);
  CHECK(times(1000, [&] { return few.cancelled(upstream_at_once, start); }) == 10);
  CHECK(times(1000, [&] { return few.cancelled(upstream_at_once, start + second); }) == 1);
}

TEST_CASE("where one request in five is cancelled, answers pay for it; one in four is too many") {
  for (const int answers : {4, 3}) {
    FloodGuard g = guard();
    const uint32_t passed = times(100'000, [&] {
      for (int i = 0; i <= answers; ++i) g.stream_opened(start);
      for (int i = 0; i < answers; ++i) g.answered();
      return g.cancelled(upstream_at_once, start);
    });
    CHECK(passed == (answers == 4 ? 100'000 : 4 * (max_resets - 1) + 1));
  }
}

namespace {

// A client whose calls all end at their own deadline, with `open` of them under way all the time: how many are
// cancelled in a minute.
uint32_t deadlines(base::Millis deadline, uint32_t open, bool half_answered) {
  FloodGuard g = guard();
  uint32_t cancelled = 0;
  base::Micros now = start;
  const Cancel cancel{deadline, deadline, true};
  while (now < start + base::Micros{second.count * 60}) {
    now = now + base::Micros{deadline};
    for (uint32_t i = 0; i < open; ++i) {
      g.stream_opened(now);
      if (half_answered && i % 2 == 0) {
        g.answered();
      } else if (g.cancelled(cancel, now) != Detail::none) {
        return cancelled;
      } else {
        ++cancelled;
      }
    }
  }
  return cancelled;
}

}  // namespace

TEST_CASE("deadlines that pass: a brown-out does not trip it, calls that are only made to be cancelled do") {
  constexpr uint32_t all = 128;
  for (const int64_t ms : {250, 300, 500, 900, 5000})
    CHECK(deadlines(base::millis(ms), all, false) >= all * (60'000 / ms - 1));
  for (const int64_t ms : {100, 150, 200}) CHECK(deadlines(base::millis(ms), all, true) >= all / 2 * (60'000 / ms - 1));
  CHECK(deadlines(base::millis(100), 8, false) >= 8 * 599);  // 80 a second
  CHECK(deadlines(base::millis(100), all, false) < 1000);
  CHECK(deadlines(base::millis(50), all, false) < 300);
  CHECK(deadlines(base::millis(1), all, false) < 210);
}

TEST_CASE("a deadline below 100 ms is not believed: its cancel counts in the share") {
  for (const int64_t ms : {99, 100}) {
    FloodGuard g = guard();
    const Cancel cancel{base::millis(ms), base::millis(ms), false};
    CHECK(times(1000, [&] { return g.cancelled(cancel, start); }) == (ms < 100 ? max_resets : 1000));
  }
}

TEST_CASE("the window of the share is 10 s") {
  FloodGuard g = guard();
  for (int round = 0; round < 5; ++round) {
    const base::Micros now = start + base::Micros{FloodGuard::reset_window.count * 1000 * round};
    for (uint32_t i = 0; i < max_resets; ++i) {
      g.stream_opened(now);
      CHECK(g.cancelled(at_once, now) == Detail::none);
    }
  }
}

TEST_CASE("our own resets: 200, then 10 a second") {
  FloodGuard g = guard();
  uint32_t n = 0;
  while (g.reset_by_us(start) == Detail::none) ++n;
  CHECK(n == FloodGuard::own_resets_burst);
  for (uint32_t i = 0; i < FloodGuard::own_resets_a_second; ++i) CHECK(g.reset_by_us(start + second) == Detail::none);
  CHECK(g.reset_by_us(start + second) == Detail::own_reset_flood);
}

// Every budget of the guard, at its limit and one above, on a clock of the test (threats.md rows 33 to 37).
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

Frame frame(FrameType type, uint32_t length = 0, uint8_t flags = 0) { return {length, 1, static_cast<uint8_t>(type), flags}; }

FloodGuard guard() { return {max_resets, 64 * 1024, start}; }

// How many of `f` pass before the first that does not; at most `most`.
uint32_t pass(FloodGuard& g, const Frame& f, base::Micros now, uint32_t most = 100'000) {
  for (uint32_t n = 0; n < most; ++n) {
    if (g.frame(f, now) != Detail::none) return n;
  }
  return most;
}

}  // namespace

TEST_CASE("control frames: 1000 at once, 100 a second, whatever their kind") {
  for (const auto type : {FrameType::ping, FrameType::settings, FrameType::priority, FrameType::window_update, FrameType::rst_stream,
                          FrameType::priority_update, FrameType::goaway, FrameType::push_promise, static_cast<FrameType>(0xfb)}) {
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
        flood = g.frame(frame(FrameType::ping, 8), start + base::Micros{second.count * s + second.count / rate * i}) != Detail::none;
      }
    }
    CHECK(flood == (rate > FloodGuard::control_a_second));
  }
}

TEST_CASE("DATA: empty and all-padding frames are control frames, others earn") {
  FloodGuard empty = guard();
  CHECK(pass(empty, frame(FrameType::data, 0), start) == FloodGuard::control_burst);
  FloodGuard padded = guard();
  CHECK(pass(padded, frame(FrameType::data, 256, Frame::padded), start) == FloodGuard::control_burst);
  FloodGuard bears = guard();
  CHECK(pass(bears, frame(FrameType::data, 257, Frame::padded), start, 10'000) == 10'000);
  CHECK(pass(bears, frame(FrameType::data, 1), start, 10'000) == 10'000);
  FloodGuard last = guard();
  CHECK(pass(last, frame(FrameType::data, 0, Frame::end_stream), start, 10'000) == 10'000);
}

TEST_CASE("work earns control frames back, never above the burst") {
  FloodGuard g = guard();
  for (int i = 0; i < 1000; ++i) CHECK(g.frame(frame(FrameType::headers, 20, Frame::end_headers), start) == Detail::none);
  CHECK(pass(g, frame(FrameType::window_update, 4), start) == FloodGuard::control_burst);
  CHECK(g.frame(frame(FrameType::headers, 20, Frame::end_headers), start) == Detail::none);
  CHECK(pass(g, frame(FrameType::window_update, 4), start) == FloodGuard::earned_by_head);
  CHECK(g.frame(frame(FrameType::data, 10 * FloodGuard::bytes_to_earn), start) == Detail::none);
  CHECK(pass(g, frame(FrameType::window_update, 4), start) == 10);
  g.data_sent(10 * FloodGuard::sent_to_earn);
  CHECK(pass(g, frame(FrameType::window_update, 4), start) == FloodGuard::earned_by_answer + 10);
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
    CHECK(bytes.frame(frame(FrameType::continuation, 16 * 1024 + over), start) == (over == 0 ? Detail::none : Detail::continuation_flood));
  }
}

TEST_CASE("rapid reset: above 200 early cancels, if they are more than half of what was opened") {
  FloodGuard g = guard();
  for (uint32_t i = 1; i <= max_resets + 1; ++i) {
    g.stream_opened(start);
    CHECK(g.reset_by_peer(start, start) == (i <= max_resets ? Detail::none : Detail::reset_flood));
  }
  FloodGuard half = guard();
  for (uint32_t i = 0; i < 2 * (max_resets + 1); ++i) half.stream_opened(start);
  for (uint32_t i = 1; i <= max_resets + 2; ++i)
    CHECK(half.reset_by_peer(start, start) == (i <= max_resets + 1 ? Detail::none : Detail::reset_flood));
}

TEST_CASE("what is cancelled a second after it was opened is no rapid reset") {
  FloodGuard g = guard();
  const base::Micros late = start + base::Micros{FloodGuard::early};
  for (uint32_t i = 0; i < 10 * max_resets; ++i) {
    g.stream_opened(start);
    CHECK(g.reset_by_peer(start, late) == Detail::none);
  }
  const base::Micros just_early = late + base::Micros{FloodGuard::early} - base::Micros{1};
  for (uint32_t i = 1; i <= max_resets; ++i) {
    g.stream_opened(late);
    CHECK(g.reset_by_peer(late, just_early) == Detail::none);
  }
}

// gRPC deadlines of 100 ms pass, one after the other, for a minute: half of the calls are cancelled.
TEST_CASE("a brown-out does not trip it") {
  FloodGuard g = guard();
  for (int i = 0; i < 60'000; ++i) {
    const base::Micros now = start + base::Micros{i * 1000};
    g.stream_opened(now);
    if (i % 2 == 1) CHECK(g.reset_by_peer(now - base::Micros{100'000}, now) == Detail::none);
  }
}

TEST_CASE("the window of resets is 10 s") {
  FloodGuard g = guard();
  for (int round = 0; round < 5; ++round) {
    const base::Micros now = start + base::Micros{FloodGuard::reset_window.count * 1000 * round};
    for (uint32_t i = 0; i < max_resets; ++i) {
      g.stream_opened(now);
      CHECK(g.reset_by_peer(now, now) == Detail::none);
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

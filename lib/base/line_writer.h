// LineWriter: lines of several threads on their way to one descriptor. Each producer has a ring of its own (no lock, no
// system call); one thread takes them to the output. An output that takes nothing (a full pipe or disk, a reader that
// is gone) fills the rings and drops lines, counted; nobody but that thread ever waits for it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "base/clock.h"

namespace sluice::base {

// Lines on their way from one thread to the writer: single producer, single consumer.
class LineRing {
 public:
  explicit LineRing(size_t bytes) : space_(std::make_unique_for_overwrite<char[]>(bytes)), bytes_(bytes) {}
  bool push(std::string_view line);  // false: full
  // Appends what stands in the ring to `to`; returns the bytes.
  size_t pop_all(std::string& to);

 private:
  std::unique_ptr<char[]> space_;
  size_t bytes_;
  alignas(64) std::atomic<size_t> head_{0};  // bytes ever written
  alignas(64) std::atomic<size_t> tail_{0};  // bytes ever taken
};

class LineWriter {
 public:
  // At the end, for an output that takes nothing.
  static constexpr Millis last_wait = seconds(1);

  struct Options {
    uint32_t producers = 1;
    size_t ring_bytes = 256 * 1024;  // of each producer
    Millis pause{0};  // between two batches while lines come: many lines a write(2)
  };
  // Called on the writer's thread, maybe after the LineWriter has gone: they own what they use. All may be left out.
  struct Hooks {
    std::function<int()> reopen;  // gives the next descriptor; -1: the one in use stays
    std::function<void(int error)> failed;  // an errno: the output cannot be written, what was to go there is dropped
    std::function<std::string(uint64_t lines)>
        lost;  // the output takes lines again, so many were dropped: what to write of it
  };

  // `fd` is closed when the thread ends.
  LineWriter(int fd, const Options& options, Hooks hooks);
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;
  // Writes what is queued. An output that is stuck is given up after last_wait; its thread is left behind, in its
  // write(2).
  ~LineWriter();

  // The line with its '\n'. False: the ring is full, it is dropped. `producer`: below Options::producers, one thread
  // each.
  bool push(uint32_t producer, std::string_view line);
  void reopen();  // any thread: lines that are pushed after it go to what Hooks::reopen gives
  uint64_t dropped() const;  // lines so far; any thread

 private:
  struct State;
  std::shared_ptr<State> state_;  // the thread's, too
  std::thread thread_;
};

}  // namespace sluice::base

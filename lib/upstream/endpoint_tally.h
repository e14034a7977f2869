// EndpointTally: what one worker counts of one endpoint, for upstream_endpoint_*_total. A line of its own for each
// worker, so that counting costs a load and a store and no worker waits for another; the scrape sums them
// (export_tallies.cc). It outlives the worker's Endpoint, so that a counter never goes back.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "base/clock.h"
#include "http/failure.h"
#include "metrics/cell.h"

namespace sluice::upstream {

class alignas(64) EndpointTally {
 public:
  EndpointTally() = default;
  EndpointTally(const EndpointTally&) = delete;
  EndpointTally& operator=(const EndpointTally&) = delete;

  static constexpr std::size_t classes = 5;  // 1xx (101 alone) to 5xx
  // Of an endpoint's connections in this worker.
  enum class State : std::uint8_t { connecting, idle, active, tunnel };
  static constexpr std::size_t states = 4;

  // That worker's thread.
  // The final head of an answer: its status, and how long it took from the request.
  void answered(std::uint16_t status, base::Micros took) {
    const std::size_t at = status / 100u - 1u;
    if (at < classes) answers_[at].add();
    head_micros_.add(took.count > 0 ? static_cast<std::uint64_t>(took.count) : 0);
  }
  // Most endpoints never fail: the first failure makes room for its kind and the others.
  void failed(http::Kind kind) {
    if (own_errors_ == nullptr) {
      own_errors_ = std::make_unique<Errors>();
      errors_.store(own_errors_.get(), std::memory_order_release);
    }
    (*own_errors_)[static_cast<std::size_t>(kind)].add();
  }
  void set(State state, std::uint32_t connections) {
    connections_[static_cast<std::size_t>(state)].store(connections, std::memory_order_relaxed);
  }

  // Any thread.
  std::uint64_t answers(std::size_t of_class) const { return answers_[of_class].value(); }
  std::uint64_t head_micros() const { return head_micros_.value(); }  // of all answers
  std::uint64_t errors(http::Kind kind) const {
    const Errors* const errors = errors_.load(std::memory_order_acquire);
    return errors == nullptr ? 0 : (*errors)[static_cast<std::size_t>(kind)].value();
  }
  // Of every kind.
  std::uint64_t errors() const {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < http::kinds; ++i) sum += errors(static_cast<http::Kind>(i));
    return sum;
  }
  std::uint32_t connections(State state) const {
    return connections_[static_cast<std::size_t>(state)].load(std::memory_order_relaxed);
  }

 private:
  using Errors = std::array<metrics::Counter, http::kinds>;
  std::array<metrics::Counter, classes> answers_;
  metrics::Counter head_micros_;
  std::array<std::atomic<std::uint32_t>, states> connections_{};
  std::unique_ptr<Errors> own_errors_;  // the worker's
  std::atomic<const Errors*> errors_{nullptr};  // for the others
};

}  // namespace sluice::upstream

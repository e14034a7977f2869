// PoolClass: the part of an upstream's pool that the requests of some routes may have at most
// ([[upstream.pool_class]]): those in flight in the whole process, and who waits for a place among them. One per
// process, upstream and name; it lives as long as anybody counts in it. Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "upstream/circuit.h"
#include "upstream/options.h"
#include "upstream/wait_board.h"

namespace sluice::upstream {

class ClassQueue;

class PoolClass {
 public:
  PoolClass(std::string name, std::uint32_t workers) : board_(workers), name_(std::move(name)) {}

  const std::string& name() const { return name_; }
  // By the options in force, as who looked last found it. Lowered, it sends nobody away.
  void set_limit(std::uint32_t limit) {
    if (limit_.load(std::memory_order_relaxed) != limit) limit_.store(limit);
  }
  std::uint32_t limit() const { return limit_.load(); }
  // Empty: `limit` are in flight. Exact, as Circuit is.
  Circuit::Pass enter() { return circuit_.enter(limit()); }
  std::uint32_t in_flight() const { return circuit_.in_flight(); }

  bool enter_queue(std::uint32_t max_waiting);  // false: full
  void count_waiting() { waiting_.fetch_add(1, std::memory_order_relaxed); }  // past the limit: another one leaves
  void leave_queue() { waiting_.fetch_sub(1, std::memory_order_relaxed); }
  std::uint32_t waiting() const { return waiting_.load(std::memory_order_relaxed); }
  WaitBoard& board() { return board_; }

 private:
  Circuit circuit_;
  WaitBoard board_;
  std::atomic<std::uint32_t> limit_{0};
  std::atomic<std::uint32_t> waiting_{0};
  std::string name_;
};

// How many requests it may have while the usable endpoints may have `connections` together; one at least.
std::uint32_t class_limit(const PoolClassOptions& options, std::uint64_t connections);

// One place of a class, which a request keeps over its tries, until it is given back, dies or is moved from. Of one
// worker; its queue outlives it.
class ClassPass {
 public:
  ClassPass() = default;
  ClassPass(Circuit::Pass&& place, ClassQueue& home);
  ClassPass(ClassPass&& o) noexcept : place_(std::move(o.place_)), home_(std::exchange(o.home_, nullptr)) {}
  ClassPass& operator=(ClassPass&& o) noexcept;
  ~ClassPass() { give_back(); }
  explicit operator bool() const { return home_ != nullptr; }
  void give_back() {
    if (home_ != nullptr) leave();
  }

 private:
  void leave();
  Circuit::Pass place_;
  ClassQueue* home_ = nullptr;
};

// A place that one worker hands to another, whose oldest one has waited for longer. It goes back if nobody takes it.
struct ClassPlace {
  std::shared_ptr<PoolClass> of;  // outlives the pass
  Circuit::Pass pass;
};

}  // namespace sluice::upstream

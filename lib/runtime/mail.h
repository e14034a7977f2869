// WorkerMail: what a worker is told by others: a closed list of what workers say to each other, and tasks of control. What workers
// say may get lost: it is asked again, given back, or found out in another way.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <variant>

#include "upstream/shared.h"

namespace sluice::runtime {

class Worker;

// `upstream` only tells which one is meant: nothing happens if the worker does not know it any more.
struct GiveUpIdle {                               // lost: asked for again, while somebody waits
  const upstream::SharedUpstream* upstream;
  uint32_t wanted;
};
struct TakeSlot {                                 // lost: the slot goes back
  const upstream::SharedUpstream* upstream;
  std::shared_ptr<upstream::PassedSlot> slot;
};
struct EndpointDown {                             // lost: each idle connection is looked at before use anyhow
  const upstream::SharedUpstream* upstream;
  uint64_t endpoint;
};

class WorkerMail {
 public:
  using Task = std::function<void(Worker&)>;      // of control: rare, never lost

  WorkerMail() = default;                         // says nothing
  WorkerMail(GiveUpIdle what) : what_(what) {}                  // NOLINT: one word for the message and its envelope
  WorkerMail(TakeSlot what) : what_(std::move(what)) {}         // NOLINT
  WorkerMail(EndpointDown what) : what_(what) {}                // NOLINT
  template <std::invocable<Worker&> Work>
  WorkerMail(Work task) : what_(Task(std::move(task))) {}       // NOLINT

  void operator()(Worker& to) const;              // at its loop
  bool may_get_lost() const { return !std::holds_alternative<Task>(what_); }

 private:
  std::variant<std::monostate, GiveUpIdle, TakeSlot, EndpointDown, Task> what_;
};

}  // namespace sluice::runtime

// Looks: GET /debug/... as control gathers it: every worker looks at a part of its clients in a turn, and is asked
// again until the page is full or nothing is left. One page at a time, as workers remember one place to go on from.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "runtime/crew.h"
#include "runtime/look.h"

namespace sluice::runtime {

// A page: rows of all workers in their order.
struct LookPage {
  std::vector<ConnectionLook> connections;
  std::vector<RequestLook> requests;
  std::optional<Place> next;  // there may be more behind this one
};

// The first `limit` rows of what the workers said, but none that one of them may still have rows before. Pure.
LookPage merge_looks(const Question& question, std::vector<Looked> workers);

class Looks {
 public:
  static constexpr size_t waiting_max = 8;  // pages behind the one that is being made
  // Then the page is what there is: with Looked::clients_max a turn, over a million clients of a worker.
  static constexpr uint32_t rounds_max = 256;

  using Done = std::function<void(LookPage)>;
  explicit Looks(Crew& crew) : crew_(crew) {}
  // False: too many wait. Else `done` follows at control's loop.
  bool ask(const Question& question, Done done);

 private:
  struct Job {
    Question question;
    Done done;
    std::vector<Looked> workers;
    uint32_t rounds = 0;
  };
  void round();
  void go_on();
  bool asks(const Job& job, uint32_t worker) const;

  Crew& crew_;
  std::deque<Job> jobs_;  // the first one is under way
};

}  // namespace sluice::runtime

// Crew: the workers of the process as control and the workers themselves reach them: threads in production, loops of
// one thread in a simulation. A message runs at the receiver's loop; messages of one sender to one receiver keep their
// order.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "runtime/mail.h"

namespace sluice::runtime {

class Worker;

// How one worker reaches the others (caps of endpoints are per process).
class Peers {
 public:
  using Message = WorkerMail;
  virtual void post(uint32_t worker, Message message) = 0;  // any thread; dropped if that worker has gone

 protected:
  ~Peers() = default;
};

class Crew : public Peers {
 public:
  virtual uint32_t size() const = 0;
  virtual void to_control(std::function<void()> message) = 0;  // any thread: runs at control's loop

  // From control. `message` is shared by the workers: it must be callable on several threads at once.
  void to_all(const Message& message) {
    for (uint32_t i = 0; i < size(); ++i) post(i, message);
  }
  // From control: every worker answers `question`, then `then` runs at control's loop, once, with the answers by
  // worker. A question belongs to its own round: answers of an earlier one never count.
  template <class T>
  void ask_all(std::function<T(Worker&)> question, std::function<void(std::vector<T>)> then) {
    struct Round {
      std::vector<T> answers;
      uint32_t missing;
    };
    const auto round = std::make_shared<Round>(Round{std::vector<T>(size()), size()});
    for (uint32_t i = 0; i < size(); ++i) {
      post(i, [this, i, round, question, then](Worker& worker) {
        auto answer = std::make_shared<T>(question(worker));
        to_control([i, round, then, answer] {
          round->answers[i] = std::move(*answer);
          if (--round->missing == 0) then(std::move(round->answers));
        });
      });
    }
  }

 protected:
  ~Crew() = default;
};

}  // namespace sluice::runtime

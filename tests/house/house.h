// House: the whole process in simulated time: Control and its workers, each on a loop of its own, on one clock. What
// threads do at once happens here one step after the other, in an order drawn from a seed: a turn of one loop, a
// message that arrives, a job of the helper. One sender's messages to one receiver keep their order; nothing else is
// promised, as in the real process.
#pragma once

#include <deque>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "config/load.h"
#include "runtime/control.h"
#include "support/dns_script.h"
#include "support/random.h"
#include "support/sim_loop.h"
#include "support/sim_network.h"

namespace sluice::house {

// An invariant does not hold.
struct Broken {
  std::string what;
};

class House final : private runtime::Crew, private admin::Helper {
 public:
  static constexpr uint32_t workers = 3;

  // `toml`: the configuration; listeners are never bound. Throws Broken if it is not valid.
  House(uint64_t seed, std::string toml);
  ~House();
  House(const House&) = delete;
  House& operator=(const House&) = delete;

  // Whose turn the last step was, and what it cost: calls of malloc, which whatever is made, copied or queued takes.
  // That of a helper has no bound; simulated peers count with the loop they are at.
  enum class Runner : uint8_t { worker, control, helper };
  struct Turn {
    Runner runner = Runner::helper;
    uint64_t work = 0;
  };
  Turn last_turn() const { return turn_; }
  static inline uint64_t (*work_so_far)() = [] { return uint64_t{0}; };

  // One step, or, when nothing is left to do now, the time until something is. False: nothing ever will be.
  bool step();
  // Steps until nothing is left to do now (then `after_step` has seen each of them).
  void settle();
  void run_for(base::Millis span);
  // Called after every step.
  std::function<void()> after_step;

  // The file; the next reload reads it.
  std::string file;
  // Asks for a reload; the answer comes in later steps.
  void reload(std::function<void(admin::Page)> done, std::optional<base::Millis> confirm = std::nullopt) {
    control->pages().reload(confirm, std::move(done));
  }
  // A client of a listener that stands at `listener` on that worker. nullptr: the worker has no such listener now.
  std::unique_ptr<support::ScriptedPeer> client(uint32_t worker, uint32_t listener);
  // For all networks: each worker's and that of control.
  void each_network(const std::function<void(support::SimNetwork&)>& what);
  runtime::Worker& worker(uint32_t index) { return *members_[index].worker; }
  uint32_t connections() const { return shared.places.taken.load(); }
  bool quiet() const;  // no step is left but by time
  bool no_mail() const;  // nothing is on its way between threads
  base::Micros now() const { return clock_.now(); }
  uint64_t steps() const { return steps_; }

  metrics::Registry registry{workers};
  runtime::Shared shared{registry, nullptr, "house"};
  std::unique_ptr<support::DnsScript> dns;
  std::unique_ptr<runtime::Control> control;

 private:
  struct Member {  // one loop with what lives on it; the last one is control's
    std::unique_ptr<support::SimLoop> sim;
    std::unique_ptr<support::SimNetwork> network;
    std::unique_ptr<runtime::Worker> worker;
  };
  using Letter = std::function<void()>;
  struct Job {
    std::function<void()> work, then;
  };
  static constexpr uint32_t at_control = workers;
  static constexpr uint32_t members = workers + 1;

  // runtime::Crew
  uint32_t size() const override { return workers; }
  void post(uint32_t worker, Message message) override;
  void to_control(std::function<void()> message) override { mail_[sender_][at_control].push_back(std::move(message)); }
  // admin::Helper
  bool submit(std::function<void()> work, std::function<void()> then) override;
  void submit_always(std::function<void()> work, std::function<void()> then) override;

  void take(uint32_t choice);
  static Runner runner_of(uint32_t choice);
  void deliver(uint32_t from, uint32_t to);
  bool pass_time();
  std::expected<config::Loaded, config::Problems> load() const;

  base::FakeClock clock_;
  support::Random random_;
  std::vector<Member> members_;
  std::deque<Letter> mail_[members][members];
  std::deque<Job> jobs_;
  uint32_t sender_ = at_control;  // who runs now
  uint64_t steps_ = 0;
  Turn turn_;
  uint64_t awake_at_[members] = {};  // a thread that does not get the processor until then; in steps
};

}  // namespace sluice::house

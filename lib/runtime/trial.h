// Trial: a configuration that is in force until POST /confirm makes it stay (confirmation.h says for how long, and what
// answers must not become). Asks the workers how they answer, and gives the former configuration back when it is to
// come back.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "net/timer.h"
#include "runtime/confirmation.h"
#include "runtime/control_env.h"

namespace sluice::runtime {

class Trial {
 public:
  using Former = std::shared_ptr<const config::Snapshot>;
  class User {
   public:
    virtual bool may_reload() const = 0;  // false: we are leaving, nothing changes any more
    // False: not now, it is asked again.
    virtual bool roll_back(const Former& former, const std::string& why) = 0;

   protected:
    ~User() = default;
  };
  Trial(ControlEnv& env, User& user) : env_(env), user_(user), timer_(this, net::timer_call<&Trial::look>) {}

  // What has just been published is on trial for `span`; `former` comes back after it.
  void begin(Former former, base::Millis span);
  bool confirm();  // false: nothing waits for it
  // nullopt: nothing is on trial.
  const std::optional<Confirmation>& now() const { return confirmation_; }

 private:
  struct Reading {  // of a worker
    Confirmation::Counts lately, ever;
  };
  void look();
  void judge();
  void end();

  ControlEnv& env_;
  User& user_;
  net::Timer timer_;
  Former former_;
  std::optional<Confirmation> confirmation_;
  Confirmation::Counts ever_;  // as last heard
  uint64_t number_ = 0;  // of the trial: answers to questions of an earlier one are not heard
  bool asked_ = false;
};

}  // namespace sluice::runtime

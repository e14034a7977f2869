// Observer: looks at the whole process once a second and keeps what an operator should know of it: Advice with the time
// since when it holds. Every place that tells it (log, metric advice, /advice, /status, the page) asks here, so that
// they cannot disagree. On control's loop; what it looks at are atomics and control's own rooms, so no worker is asked.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "net/timer.h"
#include "runtime/activity.h"
#include "runtime/advice.h"
#include "runtime/control_env.h"
#include "runtime/discovery.h"
#include "runtime/generation.h"
#include "runtime/leaving.h"
#include "runtime/port_watch.h"
#include "runtime/rates.h"
#include "runtime/reloads.h"

namespace sluice::runtime {

class Observer {
 public:
  static constexpr base::Millis every{1'000};
  // What is said stays for so long after its cause was seen last, so that a cause that comes and goes is one advice.
  static constexpr base::Millis lingers{3'000};
  static constexpr std::size_t most = 256;  // pieces of advice at a time; what comes then is counted

  struct Rooms {
    const GenerationPtr& in_force;
    const Discovery& discovery;
    const Leaving& leaving;
    const Reloads& reloads;
    const PortWatch& ports;
  };
  struct Given {
    Advice advice;
    base::Micros since{};  // on control's clock: when its cause was seen first
    base::Micros seen{};  // and last
    bool said = false;
  };

  Observer(ControlEnv& env, const Rooms& rooms);
  // Once, when the first generation is in force.
  void begin();
  // What holds now, warnings first, the oldest of them first.
  std::vector<Given> given() const;
  const Rates& rates() const { return rates_; }
  std::vector<LimitFacts> limits() const;  // now

 private:
  using Key = std::pair<std::string_view, std::string>;  // code, subject
  void tick();
  void count();
  AdviceFacts look();
  void show_limits();
  void keep(std::vector<Advice> all);
  void say(Given& given);
  void forget_old();

  ControlEnv& env_;
  Rooms rooms_;
  net::Timer timer_;
  std::map<Key, Given> given_;
  Rates rates_;
  Activity activity_;
  bool counting_ = false;
  double dropped_ = 0;  // lines of logs, when looked at last
};

// One line each for people, "" if there is nothing to say.
std::string advice_text(const std::vector<Observer::Given>& given, base::Micros now);
// A list of {code, subject, text, grade, seconds}.
std::string advice_json(const std::vector<Observer::Given>& given, base::Micros now);

}  // namespace sluice::runtime

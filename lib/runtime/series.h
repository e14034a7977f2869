// Series: metric series of what left the configuration leave the scrape at once; their cells go to others only when no
// worker uses anything of the time in which the name was in force.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "config/snapshot.h"
#include "runtime/control_env.h"
#include "runtime/epochs.h"

namespace sluice::runtime {

class Series {
 public:
  Series(ControlEnv& env, const Epochs& epochs) : env_(env), epochs_(epochs) {}
  // The names in force from now on (epochs.now()): listeners, routes, upstreams. Before the workers ask for their
  // cells.
  void publish(const config::Snapshot& snapshot);
  // After a worker's news: cells that nobody uses any more go back.
  void look();

 private:
  using Names = std::map<std::string, Life, std::less<>>;
  struct Kind {
    std::string_view label;
    Names live;  // end is not set
    Names gone;
  };
  void publish(Kind& kind, const std::vector<std::string_view>& names);

  ControlEnv& env_;
  const Epochs& epochs_;
  Kind kinds_[3] = {{"listener", {}, {}}, {"route", {}, {}}, {"upstream", {}, {}}};
};

}  // namespace sluice::runtime

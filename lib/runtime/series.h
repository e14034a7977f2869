// Series: metric series of what came and went with a reload. What left the configuration leaves the scrape at once; its
// cells go to others only when no worker uses anything of the time in which the name was in force. A large
// configuration has hundreds of thousands of series, so the books are kept, and the work is done, on the helper's
// thread: one job after the other, in the order of the calls.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/control_env.h"
#include "runtime/epochs.h"
#include "runtime/generation.h"

namespace sluice::runtime {

class Series {
 public:
  Series(ControlEnv& env, const Epochs& epochs);
  // The names in force from now on (epochs.now()): listeners, routes, upstreams. `then` is called at control's loop
  // when the scrape knows them, and workers may be told: they ask for cells.
  void publish(GenerationPtr next, std::function<void()> then);
  // The same within the call; before anything else is in force.
  void publish_first(const Generation& next);
  // After a worker's news: cells that nobody uses any more go back, a little later.
  void look();

 private:
  class Books;
  ControlEnv& env_;
  const Epochs& epochs_;
  std::shared_ptr<Books> books_;  // jobs hold it, and they alone use it
  bool gone_ = false;  // there may be names whose cells are still to be given back
  bool looking_ = false;  // a job is under way,
  bool again_ = false;  // and there was news since
  uint64_t published_ = 0;
};

}  // namespace sluice::runtime

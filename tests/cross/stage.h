// Stage: a whole worker between a client and an origin of given versions, in simulated time; and the loop over all four
// pairs.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ends.h"
#include "rig.h"

namespace sluice::cross {

struct Pair {
  Version client = Version::http1;
  Version origin = Version::http1;
  std::string text() const;
};

// Lines of configuration put into the tables.
struct Options {
  std::string route{};
  std::string upstream{};
  std::string listener{};
  std::string extra{};
};

class Stage {
 public:
  explicit Stage(const Pair& pair, const Options& options = {});
  ~Stage();  // no end has seen the protocol broken

  Client& client();  // a new connection
  Call& ask(const Ask& ask) { return client().ask(ask); }  // on a new connection, and settles
  // The request number `i` that the origin got, over all connections in the order of their making; settles first, and
  // lets a body pause if it must, for a request that is held back until more of it is here.
  Turn& turn(size_t i = 0);
  size_t turns();
  void settle() { rig.sim.settle(); }
  uint64_t dials() const;

  const Pair pair;
  bool enable_connect = true;  // of origins of HTTP/2 to come: RFC 8441
  sim::Rig rig;

 private:
  std::vector<Turn*> all_turns();
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::unique_ptr<Link>> links_;
};

// Runs `script` for each pair. What it returns - all that the ends saw, as text - must be `expected`, whatever the
// pair.
void for_all_pairs(std::string_view expected, const std::function<std::string(Stage&)>& script,
                   const Options& options = {});
// Likewise, with the script's own checks only.
void for_all_pairs(const std::function<void(Stage&)>& script, const Options& options = {});

}  // namespace sluice::cross

// Story: one run of the House from a seed: what operators, clients, servers and DNS do, and what must be true after
// every step. Each event draws from a generator of its own, so that a story without some of its events (see shrink())
// is still the same story otherwise.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "house.h"
#include "invariants.h"
#include "model.h"

namespace sluice::house {

struct Plot {
  uint64_t seed = 1;
  std::vector<bool> left_out;  // by number of event; shorter: nothing
  bool told = false;  // print what happens
  std::string without;  // see Invariants
};

class Story {
 public:
  static constexpr uint32_t events = 60;

  explicit Story(const Plot& plot);
  ~Story();
  // To its end. Throws Broken.
  void run();

 private:
  struct Client;
  void event(uint32_t number);
  void end();
  void say(const std::string& what) const;

  void reload(support::Random& random);
  void confirm();
  void register_or_not(support::Random& random);
  void arrive(support::Random& random);
  void shake_hands(Client& client, support::Random& random);
  void ask(Client& client, support::Random& random);
  void storm(support::Random& random);
  void client_acts(support::Random& random);
  void server_acts(support::Random& random);
  void dns_changes(support::Random& random);
  void serve(uint32_t host, uint64_t how);

  Plot plot_;
  support::Random first_;
  Model model_;
  House house_;
  Invariants invariants_;
  std::vector<std::unique_ptr<Client>> clients_;
  uint32_t asked_ = 0;  // of the admin listener
  uint32_t answered_ = 0;
};

}  // namespace sluice::house

// Model: a configuration as operations change it, and its text.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "support/random.h"

namespace sluice::house {

struct UpstreamModel {
  std::string name;
  std::string endpoints;                           // the value of the key: names, addresses
  std::string protocol = "http/1.1";
  uint32_t connect_timeout_ms = 2'000;
  uint32_t acquire_timeout_ms = 1'000;
  uint32_t idle_timeout_s = 30;
  uint32_t max_connections = 4;
  uint32_t min_idle = 0;
  bool health = false;
  uint32_t health_interval_ms = 1'000;
};

struct ListenerModel {
  std::string name;                                // "": left out
  uint32_t port = 0;
  bool both = true;                                // h2 and http/1.1
  bool proxy_protocol = false;
  bool tls = false;
  uint32_t certificate = 0;
  uint32_t handshake_timeout_s = 10;
  uint32_t idle_timeout_s = 75;
  uint32_t max_age_s = 0;
};

struct RouteModel {
  std::string name;
  std::string prefix;
  std::string upstream;
};

class Model {
 public:
  explicit Model(support::Random& random);
  std::string toml() const;
  // One change, in words. Every key that stands in the text may change; things come, go and change their names.
  std::string change(support::Random& random);

  uint32_t max_connections = 12;                   // of clients
  uint32_t deregister_wait_ms = 500;
  std::vector<UpstreamModel> upstreams;
  std::vector<ListenerModel> listeners;
  std::vector<RouteModel> routes;

 private:
  UpstreamModel upstream(support::Random& random);
  ListenerModel listener(support::Random& random);
  RouteModel route(support::Random& random);
  void mend();                                     // every route leads somewhere
  std::string change_upstream(support::Random& random);
  std::string change_listener(support::Random& random);

  uint32_t next_ = 0;                              // for names
};

inline constexpr std::array names{"app.test", "shop.test"};   // what DNS is asked for
inline constexpr uint32_t hosts = 6;                          // addresses 10.0.0.1 to 10.0.0.6, port 80

}  // namespace sluice::house

// Rig: a whole worker in simulated time: real configuration text, router, clusters, sessions and exchanges; the wires
// to clients and upstreams are in memory and driven by the test.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/worker.h"
#include "support/pipe.h"
#include "support/sim_loop.h"
#include "support/sim_network.h"

namespace sluice::sim {

class Rig {
 public:
  // `toml`: a whole configuration; its listeners' addresses are never bound.
  explicit Rig(std::string_view toml, exchange::AccessLog* log = nullptr);
  ~Rig();

  // A client of listener `index`; from `address` ("127.0.0.1" counts as trusted for x-sluice-reason).
  support::ScriptedPeer& client(uint32_t listener = 0, const char* address = "192.0.2.7");
  void reload(std::string_view toml);
  void begin_reload(std::string_view toml);  // without a turn after it
  runtime::Held held() const { return held_; }  // what the worker said last
  // Sends `request` on a new connection and returns all that came back, with what simulated time it takes.
  std::string ask(std::string_view request);
  double metric(metrics::Name name,
                std::vector<std::string> labels = {}) const;  // summed over series that match (empty: all)

  support::SimLoop sim;
  support::SimNetwork network{sim};
  metrics::Registry registry{1};
  runtime::Shared shared{registry, nullptr, "sim"};
  std::unique_ptr<runtime::Worker> worker;
  runtime::GenerationPtr generation;

 private:
  struct NoPeers final : runtime::Peers {
    void post(uint32_t, Message) override {}
  };
  NoPeers peers_;
  runtime::Epoch epoch_ = 0;
  runtime::Held held_;
  std::vector<std::unique_ptr<support::ScriptedPeer>> clients_;
};

// An upstream that answers every request it has read whole (no body, or Content-Length) with `answer`.
support::SimNetwork::OnPeer answering(std::string answer);

}  // namespace sluice::sim

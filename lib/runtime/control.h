// Control: what is in force, and the way of a change to the workers. It alone changes endpoint sets and health bits,
// and it alone decides when the process ends. Its rooms: series, checks, readiness, registration, leaving, reloads,
// pages. Knows no thread, no descriptor and no clock of its own, so that all of it runs in a simulation too.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "dns/queries.h"
#include "runtime/checks.h"
#include "runtime/control_cells.h"
#include "runtime/control_env.h"
#include "runtime/discovery.h"
#include "runtime/epochs.h"
#include "runtime/fleet.h"
#include "runtime/generation.h"
#include "runtime/leaving.h"
#include "runtime/observer.h"
#include "runtime/pages.h"
#include "runtime/port_watch.h"
#include "runtime/readiness.h"
#include "runtime/registration.h"
#include "runtime/reloads.h"
#include "runtime/series.h"

namespace sluice::runtime {

class Control final : private Discovery::User, private Reloads::User {
 public:
  struct Setup {
    net::Loop& loop;
    net::Network& network;  // of health checks
    dns::Queries& queries;
    Crew& crew;
    admin::Helper& helper;
    metrics::Registry& registry;
    Shared& shared;
    uint64_t seed;
    std::function<uint32_t(uint32_t)>
        fit_connections;  // how many of the max_connections wanted there are descriptors for
    Reloads::Setup reloads;
    PortWatch::Read read_ports = {};  // empty: nobody looks
  };
  // All that `setup` refers to outlives it. Nothing is in force until publish().
  Control(const Setup& setup, std::shared_ptr<const config::Snapshot> first);
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;
  ~Control();

  // For `required_at_start`, before publish(): turns the loop until every name is resolved; one problem for each that
  // is not. Less is awaited once `given_up` is true.
  config::Problems await_names(const std::function<bool()>& given_up) { return discovery_.await_all(given_up); }
  // The first generation is in force from now on: to the workers, the health checks, the scrape.
  void publish(GenerationPtr first);
  const GenerationPtr& generation() const { return generation_; }
  ControlCells& cells() { return cells_; }
  Pages& pages() { return pages_; }
  Leaving& leaving() { return leaving_; }
  const Reloads& reloads() const { return reloads_; }

 private:
  // Discovery::User
  void send_endpoints(const upstream::SharedUpstream& upstream, const upstream::EndpointSetPtr& set,
                      std::function<void()> applied) override;
  void on_held(uint32_t worker, Held held);
  // Reloads::User
  bool may_reload() const override { return leaving_.phase() == DrainPhase::serving; }
  const GenerationPtr& in_force() const override { return generation_; }
  void publish(GenerationPtr next, std::function<void()> done) override;

  Epoch begin(const Generation& next);
  void put_in_force(GenerationPtr next, Epoch epoch);
  void apply_process(const config::Snapshot& next);
  void free_former();

  std::function<uint32_t(uint32_t)> fit_connections_;
  ControlCells cells_;
  exchange::Random random_;
  ControlEnv env_;
  // Held until no worker uses it, so that the helper's thread frees it: that takes long, and gives memory back.
  struct Former {
    GenerationPtr generation;
    Life life;
  };
  GenerationPtr generation_;
  Epoch began_ = 0;  // the life of generation_
  std::vector<Former> former_;
  Epochs epochs_;
  Series series_;
  Checks checks_;
  Discovery discovery_;
  Fleet fleet_;
  Readiness readiness_;
  Registration registration_;
  Leaving leaving_;
  Reloads reloads_;
  PortWatch port_watch_;
  Observer observer_;
  Pages pages_;
};

}  // namespace sluice::runtime

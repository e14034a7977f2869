// Pages: what the admin listener shows and does, from the rooms of control.
#pragma once

#include "admin/backend.h"
#include "runtime/control_env.h"
#include "runtime/discovery.h"
#include "runtime/generation.h"
#include "runtime/leaving.h"
#include "runtime/looks.h"
#include "runtime/observer.h"
#include "runtime/port_watch.h"
#include "runtime/readiness.h"
#include "runtime/registration.h"
#include "runtime/reloads.h"
#include "runtime/snapshots.h"

namespace sluice::runtime {

class Pages final : public admin::Backend {
 public:
  struct Rooms {
    const GenerationPtr& in_force;
    Discovery& discovery;
    Readiness& readiness;
    Registration& registration;
    Leaving& leaving;
    Reloads& reloads;
    const Observer& observer;
    PortWatch& ports;
  };
  static constexpr base::Millis log_level_default = base::minutes(10);
  static constexpr base::Millis log_level_most = base::hours(24);
  Pages(ControlEnv& env, const Rooms& rooms);

  void configuration_changed();  // another one is in force

  admin::Readiness ready() override;
  std::span<const std::string> hosts() override;
  void metrics(admin::Form form, Done done) override;
  void pack(admin::Page page, Done done) override;
  void status(admin::Form form, const admin::Query& query, Done done) override;
  void config(Done done) override;
  void advice(admin::Form form, Done done) override;
  void recent(admin::Form form, const admin::Query& query, Done done) override;
  void debug(admin::Debug page, const admin::Query& query, Done done) override;
  void reload(std::optional<base::Millis> confirm, Done done) override {
    rooms_.reloads.reload(confirm, std::move(done));
  }
  admin::Page set_log_level(const admin::Query& query) override;
  admin::Page confirm() override { return rooms_.reloads.confirm(); }
  void drain() override { rooms_.leaving.begin(Ask::admin); }
  void deregister(Done done) override;
  void register_again(Done done) override;
  void switch_endpoint(const admin::EndpointOrder& order, Done done) override;

 private:
  Snapshot snapshot(const GenerationPtr& generation, std::vector<WorkerWord> words);
  StatusFacts status_facts(std::vector<WorkerWord> words);
  void log_as_configured();
  void on_helper(std::function<admin::Page()> make, const Done& done);

  ControlEnv& env_;
  Rooms rooms_;
  Looks looks_;
  Snapshots snapshots_;
  net::Timer log_timer_{this, net::timer_call<&Pages::log_as_configured>};
};

}  // namespace sluice::runtime

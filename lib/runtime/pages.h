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
#include "runtime/status.h"

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
  Pages(ControlEnv& env, const Rooms& rooms) : env_(env), rooms_(rooms), looks_(env.crew) {}

  admin::Readiness ready() override;
  std::span<const std::string> hosts() override;
  void metrics(admin::Form form, Done done) override;
  void pack(admin::Page page, Done done) override;
  void status(admin::Form form, Done done) override;
  void config(Done done) override;
  void advice(admin::Form form, Done done) override;
  void recent(admin::Form form, const admin::Query& query, Done done) override;
  void debug(admin::Debug page, const admin::Query& query, Done done) override;
  void reload(std::optional<base::Millis> confirm, Done done) override {
    rooms_.reloads.reload(confirm, std::move(done));
  }
  admin::Page confirm() override { return rooms_.reloads.confirm(); }
  void drain() override { rooms_.leaving.begin(Ask::admin); }
  void deregister(Done done) override;
  void register_again(Done done) override;
  void switch_endpoint(const admin::EndpointOrder& order, Done done) override;

 private:
  StatusFacts status_facts(std::vector<WorkerStatus> workers);
  void on_helper(std::function<admin::Page()> make, const Done& done);

  ControlEnv& env_;
  Rooms rooms_;
  Looks looks_;
};

}  // namespace sluice::runtime

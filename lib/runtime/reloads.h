// Reloads: the file is read and a generation built on the helper's thread, one reload at a time; what comes of it is
// told to all who asked.
#pragma once

#include <expected>
#include <functional>
#include <string>
#include <vector>

#include "admin/backend.h"
#include "config/load.h"
#include "runtime/control_env.h"
#include "runtime/generation.h"
#include "runtime/plan.h"

namespace sluice::runtime {

class Reloads {
 public:
  class User {
   public:
    virtual bool may_reload() const = 0;  // false: we are leaving
    virtual const GenerationPtr& in_force() const = 0;
    virtual void publish(GenerationPtr next, std::function<void()> done) = 0;  // `done`: it is in force

   protected:
    ~User() = default;
  };
  struct Setup {
    std::string file;  // its name, for people
    std::function<std::expected<config::Loaded, config::Problems>(base::Micros wall)> load;  // on the helper's thread
    Sockets sockets = Sockets::open;
  };
  Reloads(ControlEnv& env, Setup setup, User& user) : env_(env), setup_(std::move(setup)), user_(user) {}

  // `done` is called once, maybe inside the call. While one is under way the next is put off, and all who ask then
  // share it: the file may have changed since the one under way was read.
  void reload(admin::Backend::Done done);

 private:
  void finish(std::expected<Plan, config::Problems> outcome, const admin::Backend::Done& done);
  void over();
  void take(Plan plan, const admin::Backend::Done& done);
  void refuse(const config::Problems& problems, const admin::Backend::Done& done);

  ControlEnv& env_;
  Setup setup_;
  User& user_;
  bool under_way_ = false;
  std::vector<admin::Backend::Done> again_;
};

// Each in a line of the log.
void log_all(const config::Problems& problems);

}  // namespace sluice::runtime

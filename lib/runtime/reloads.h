// Reloads: the file is read and a generation built on the helper's thread, one reload at a time; what comes of it is
// told to all who asked.
#pragma once

#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "admin/backend.h"
#include "config/load.h"
#include "runtime/control_env.h"
#include "runtime/generation.h"
#include "runtime/plan.h"
#include "runtime/trial.h"

namespace sluice::runtime {

class Reloads final : private Trial::User {
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
  Reloads(ControlEnv& env, Setup setup, User& user)
      : env_(env), setup_(std::move(setup)), user_(user), trial_(env, *this) {}

  // `done` is called once, maybe inside the call. While one is under way the next is put off, and all who ask the
  // same then share it: the file may have changed since the one under way was read.
  // `confirm`: what it brings is on trial for so long (trial.h); until that is over no other reload is taken.
  void reload(std::optional<base::Millis> confirm, admin::Backend::Done done);
  admin::Page confirm();
  const std::optional<Confirmation>& trial() const { return trial_.now(); }
  bool file_in_force() const { return file_in_force_; }  // false: what the file said was rolled back
  const std::string& changes() const { return changes_; }  // what the last one that was taken changed; "" = none was
  const std::string& refused() const { return refused_; }  // what was wrong with the last one; "" = it was taken

 private:
  struct Asked {
    std::optional<base::Millis> confirm;
    admin::Backend::Done done;
  };
  struct WayBack {
    std::expected<Plan, config::Problems> plan;
    bool file_is_former;
  };
  // Trial::User
  bool may_reload() const override { return user_.may_reload(); }
  bool roll_back(const Trial::Former& former, const std::string& why) override;
  void finish_way_back(WayBack way);
  void rolled_back(bool file_is_former, const std::string& words);
  void over();
  void finish(std::expected<Plan, config::Problems> outcome, const Asked& asked);
  void take(Plan plan, const Asked& asked);
  void taken(const Asked& asked, const Trial::Former& former, std::string text);
  void refuse(const config::Problems& problems, const admin::Backend::Done& done);

  ControlEnv& env_;
  Setup setup_;
  User& user_;
  Trial trial_;
  bool under_way_ = false;
  bool file_in_force_ = true;
  std::string changes_;
  std::string refused_;
  std::vector<Asked> again_;
};

// Each in a line of the log.
void log_all(const config::Problems& problems);

}  // namespace sluice::runtime

#include "runtime/reloads.h"

#include <memory>
#include <utility>

#include "base/log.h"

namespace sluice::runtime {
namespace {

using admin::Backend;
using config::Problems;

constexpr const char* plain_text = "text/plain; charset=utf-8";

std::string text_of(const Problems& problems) {
  std::string text;
  for (const base::Error& problem : problems) text += base::to_text(problem) + "\n";
  return text;
}

}  // namespace

void log_all(const Problems& problems) {
  for (const base::Error& problem : problems) {
    if (problem.severity == base::Severity::warning) {
      base::warn("{}", base::to_text(problem));
    } else {
      base::error("{}", base::to_text(problem));
    }
  }
}

void Reloads::reload(Backend::Done done) {
  if (!user_.may_reload()) return done({409, plain_text, "409: draining, nothing is loaded any more\n"});
  if (under_way_) {
    again_.push_back(std::move(done));
    return;
  }
  under_way_ = true;
  using Outcome = std::expected<Plan, Problems>;
  auto outcome = std::make_shared<Outcome>();
  const auto work = [this, outcome, running = user_.in_force(), wall = env_.loop.wall()] {
    auto loaded = setup_.load(wall);
    *outcome = loaded ? make_plan(std::move(*loaded), *running, env_.crew.size(), wall, setup_.sockets)
                      : Outcome(std::unexpected(std::move(loaded.error())));
  };
  if (!env_.helper.submit(work, [this, outcome, done] { finish(std::move(*outcome), done); })) {
    under_way_ = false;
    done({503, plain_text, "503: busy, try again\n"});
  }
}

void Reloads::finish(std::expected<Plan, Problems> outcome, const Backend::Done& done) {
  if (outcome && user_.may_reload()) return take(std::move(*outcome), done);
  refuse(outcome ? Problems{base::Error{"draining, nothing is loaded any more"}} : outcome.error(), done);
  over();
}

// What it will do is told before it is done.
void Reloads::take(Plan plan, const Backend::Done& done) {
  log_all(plan.warnings);
  base::info("reload of {}: {}", setup_.file, plan.words);
  for (const config::Waiting& one : plan.next->waiting) {
    base::warn("{} has changed, but only a restart takes it: the running value stays", one.key);
  }
  user_.publish(std::move(plan.next), [this, done, text = plan.words + "\n" + text_of(plan.warnings)] {
    env_.cells.reloaded(true);
    base::info("reloaded {}", setup_.file);
    done({200, plain_text, "reloaded: " + text});
    over();
  });
}

void Reloads::over() {
  under_way_ = false;
  if (again_.empty()) return;
  reload([waiting = std::exchange(again_, {})](const admin::Page& page) {
    for (const Backend::Done& one : waiting) one(page);
  });
}

void Reloads::refuse(const Problems& problems, const Backend::Done& done) {
  env_.cells.reloaded(false);
  log_all(problems);
  base::error("reload of {} failed: nothing has changed", setup_.file);
  done({400, plain_text, text_of(problems) + "nothing has changed\n"});
}

}  // namespace sluice::runtime

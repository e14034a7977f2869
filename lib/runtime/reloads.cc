#include "runtime/reloads.h"

#include <memory>
#include <utility>

#include "base/log.h"
#include "config/diff.h"

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

struct Reloads::Outcome {
  std::expected<GenerationPtr, Problems> generation;
  Problems warnings;
};

void Reloads::reload(Backend::Done done) {
  if (!user_.may_reload()) return done({409, plain_text, "409: draining, nothing is loaded any more\n"});
  if (under_way_) {
    again_.push_back(std::move(done));
    return;
  }
  under_way_ = true;
  auto outcome = std::make_shared<Outcome>();
  const auto work = [this, outcome, before = user_.in_force(), wall = env_.loop.wall()] {
    auto loaded = setup_.load(wall);
    if (!loaded) {
      outcome->generation = std::unexpected(std::move(loaded.error()));
      return;
    }
    outcome->warnings = loaded->warnings;
    outcome->generation = build_generation(*loaded, before.get(), env_.crew.size(), wall, outcome->warnings, setup_.sockets);
  };
  if (!env_.helper.submit(work, [this, outcome, done] { finish(*outcome, done); })) {
    under_way_ = false;
    done({503, plain_text, "503: busy, try again\n"});
  }
}

void Reloads::finish(Outcome& outcome, const Backend::Done& done) {
  under_way_ = false;
  log_all(outcome.warnings);
  if (!outcome.generation) {
    refuse(outcome.generation.error(), done);
  } else if (!user_.may_reload()) {
    refuse({base::Error{"draining, nothing is loaded any more"}}, done);
  } else {
    take(std::move(*outcome.generation), outcome.warnings, done);
  }
  if (again_.empty()) return;
  reload([waiting = std::exchange(again_, {})](const admin::Page& page) {
    for (const Backend::Done& one : waiting) one(page);
  });
}

void Reloads::take(GenerationPtr next, const Problems& warnings, const Backend::Done& done) {
  for (const std::string& key : config::diff(*user_.in_force()->snapshot, *next->snapshot).restart) {
    base::warn("{} has changed, but only a restart takes it: the running value stays", key);
  }
  user_.publish(std::move(next));
  env_.cells.reloaded(true);
  base::info("reloaded {}", setup_.file);
  done({200, plain_text, "reloaded\n" + text_of(warnings)});
}

void Reloads::refuse(const Problems& problems, const Backend::Done& done) {
  env_.cells.reloaded(false);
  log_all(problems);
  base::error("reload of {} failed: nothing has changed", setup_.file);
  done({400, plain_text, text_of(problems) + "nothing has changed\n"});
}

}  // namespace sluice::runtime

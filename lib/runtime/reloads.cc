#include "runtime/reloads.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "base/log_event.h"

namespace sluice::runtime {
namespace {

using admin::Backend;
using config::Problems;

constexpr const char* plain_text = "text/plain; charset=utf-8";

// Without the line of the file and the caret below it.
std::string in_one_line(const base::Error& problem) {
  if (problem.span.file.empty()) return problem.message;
  if (problem.span.line == 0) return problem.span.file + ": " + problem.message;
  return fmt::format("{}:{}: {}", problem.span.file, problem.span.line, problem.message);
}

std::string text_of(const Problems& problems) {
  std::string text;
  for (const base::Error& problem : problems) text += base::to_text(problem) + "\n";
  return text;
}

}  // namespace

void log_all(const Problems& problems) {
  for (const base::Error& problem : problems) {
    const bool warning = problem.severity == base::Severity::warning;
    base::log_event(warning ? base::LogLevel::warn : base::LogLevel::error, warning ? "config_warning" : "config_error",
                    {{"file", problem.span.file}, {"line", problem.span.line}, {"message", base::to_text(problem)}});
  }
}

void Reloads::reload(std::optional<base::Millis> confirm, Backend::Done done) {
  if (!user_.may_reload()) return done({409, plain_text, "409: draining, nothing is loaded any more\n"});
  if (trial_.now()) {
    const double left = trial_.now()->left(env_.loop.now()).seconds();
    base::log_event(
        base::LogLevel::error, "reload_refused",
        {{"file", setup_.file}, {"why", fmt::format("the last one waits for POST /confirm, {:.0f} s more", left)}});
    return done(
        {409, plain_text,
         fmt::format("409: the last reload waits for POST /confirm, {:.0f} s more; confirm it, or wait\n", left)});
  }
  if (under_way_) {
    again_.push_back({confirm, std::move(done)});
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
  const auto then = [this, outcome, asked = Asked{confirm, done}] { finish(std::move(*outcome), asked); };
  if (!env_.helper.submit(work, then)) {
    under_way_ = false;
    done({503, plain_text, "503: busy, try again\n"});
  }
}

void Reloads::finish(std::expected<Plan, Problems> outcome, const Asked& asked) {
  if (outcome && user_.may_reload()) return take(std::move(*outcome), asked);
  refuse(outcome ? Problems{base::Error{"draining, nothing is loaded any more"}} : outcome.error(), asked.done);
  over();
}

// What it will do is told before it is done.
void Reloads::take(Plan plan, const Asked& asked) {
  log_all(plan.warnings);
  changes_ = plan.words;
  base::log_event(base::LogLevel::info, "reload_begins",
                  {{"file", setup_.file}, {"hash", plan.next->hash}, {"changes", plan.words}});
  for (const config::Waiting& one : plan.next->waiting) {
    base::log_event(base::LogLevel::warn, "restart_needed", {{"key", one.key}, {"value", one.value}});
  }
  const auto done = [this, asked, former = user_.in_force()->snapshot,
                     text = "reloaded: " + plan.words + "\n" + text_of(plan.warnings)] { taken(asked, former, text); };
  user_.publish(std::move(plan.next), done);
}

void Reloads::taken(const Asked& asked, const Trial::Former& former, std::string text) {
  env_.cells.reloaded(true, env_.loop.wall());
  file_in_force_ = true;
  refused_.clear();
  base::log_event(base::LogLevel::info, "reloaded", {{"file", setup_.file}, {"hash", user_.in_force()->hash}});
  if (asked.confirm) {
    trial_.begin(former, *asked.confirm);
    const std::string stays =
        fmt::format("it stays if POST /confirm comes within {:g} s", base::Micros(*asked.confirm).seconds());
    base::log_event(base::LogLevel::info, "confirmation_awaited", {{"message", stays}});
    text += stays + "\n";
  }
  asked.done({200, plain_text, std::move(text)});
  over();
}

// Those who asked for the same meanwhile share the next; the others come after it.
void Reloads::over() {
  under_way_ = false;
  if (again_.empty()) return;
  const std::optional<base::Millis> confirm = again_.front().confirm;
  std::vector<Asked> waiting = std::exchange(again_, {});
  const auto others = std::ranges::stable_partition(waiting, [&](const Asked& a) { return a.confirm == confirm; });
  again_.assign(others.begin(), others.end());
  waiting.erase(others.begin(), others.end());
  reload(confirm, [this, waiting = std::move(waiting)](const admin::Page& page) {
    for (const Asked& one : waiting) one.done(page);
    if (!under_way_) over();  // it was refused at once
  });
}

// ---- back -------------------------------------------------------------------------------------------------------

admin::Page Reloads::confirm() {
  if (!trial_.confirm()) return {409, plain_text, "409: no reload waits for a confirmation\n"};
  return {200, plain_text, "confirmed\n"};
}

// A reload like any other, to what was in force before; the file only tells whether it says the same by now.
bool Reloads::roll_back(const Trial::Former& former, const std::string& why) {
  auto way = std::make_shared<WayBack>(WayBack{Plan{}, false});
  const auto work = [this, way, former, running = user_.in_force(), wall = env_.loop.wall()] {
    if (const auto on_disk = setup_.load(wall)) {
      config::Snapshot says = *on_disk->snapshot;
      config::keep_until_restart(*former, says);
      way->file_is_former = says == *former;
    }
    way->plan = make_plan({former, {}, {}, setup_.file}, *running, env_.crew.size(), wall, setup_.sockets);
  };
  if (under_way_) return false;
  under_way_ = true;
  env_.helper.submit_always(work, [this, way] { finish_way_back(std::move(*way)); });
  base::log_event(base::LogLevel::error, "rolling_back",
                  {{"why", why}, {"message", "back to the configuration before the last reload"}});
  return true;
}

void Reloads::finish_way_back(WayBack way) {
  if (way.plan && user_.may_reload()) {
    log_all(way.plan->warnings);
    const auto done = [this, file_is_former = way.file_is_former, words = way.plan->words] {
      rolled_back(file_is_former, words);
    };
    return user_.publish(std::move(way.plan->next), done);
  }
  if (!way.plan) {
    log_all(way.plan.error());
    env_.cells.reloaded(false, env_.loop.wall());
    base::log_event(base::LogLevel::error, "roll_back_failed",
                    {{"message", "the configuration before the last reload does not come back: what runs stays"}});
  } else {
    base::log_event(base::LogLevel::warn, "roll_back_failed",
                    {{"message", "draining: what was reloaded last stays to the end"}});
  }
  over();
}

void Reloads::rolled_back(bool file_is_former, const std::string& words) {
  env_.cells.rolled_back();
  file_in_force_ = file_is_former;
  changes_ = "rolled back: " + words;
  base::log_event(
      base::LogLevel::warn, "rolled_back",
      {{"hash", user_.in_force()->hash},
       {"changes", words},
       {"message",
        file_in_force_ ? std::string() : setup_.file + " is not what runs: a reload or a restart takes it again"}});
  over();
}

void Reloads::refuse(const Problems& problems, const Backend::Done& done) {
  env_.cells.reloaded(false, env_.loop.wall());
  const auto first = std::ranges::find(problems, base::Severity::error, &base::Error::severity);
  refused_ = first == problems.end() ? "see the log" : in_one_line(*first);
  log_all(problems);
  base::log_event(base::LogLevel::error, "reload_refused",
                  {{"file", setup_.file}, {"why", refused_}, {"message", "nothing has changed"}});
  done({400, plain_text, text_of(problems) + "nothing has changed\n"});
}

}  // namespace sluice::runtime

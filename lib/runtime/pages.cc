#include "runtime/pages.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <utility>

#include "admin/gzip.h"
#include "base/check.h"
#include "base/log.h"
#include "base/log_event.h"
#include "config/dump.h"
#include "config/value.h"
#include "metrics/exposition.h"
#include "runtime/look_page.h"
#include "runtime/status.h"
#include "runtime/status_text.h"

namespace sluice::runtime {
namespace {

constexpr std::string_view words_of_levels[] = {"debug", "info", "warn", "error"};  // base::LogLevel

constexpr const char* plain_text = "text/plain; charset=utf-8";
constexpr size_t endpoints_at_once = 500;  // in a page that control's loop writes itself: about a millisecond

admin::Page status_page(admin::Form form, const Snapshot& of, const StatusView& view) {
  if (form != admin::Form::text) return {200, "application/json", status_json(*of.generation, of.facts, view)};
  return {200, plain_text, status_text(*of.generation, of.facts, of.more, view)};
}

bool is_long(const Snapshot& of, const StatusView& view) {
  if (!view.upstream.empty() || !view.shows("upstreams")) return false;
  size_t endpoints = of.facts.names.size();
  for (const auto& cluster : of.facts.workers.front()) endpoints += 1 + cluster.endpoints.size();
  return endpoints > endpoints_at_once;
}

}  // namespace

Pages::Pages(ControlEnv& env, const Rooms& rooms)
    : env_(env),
      rooms_(rooms),
      looks_(env.crew),
      snapshots_(env, rooms.in_force, [this](const GenerationPtr& generation, std::vector<WorkerWord> words) {
        return snapshot(generation, std::move(words));
      }) {}

admin::Readiness Pages::ready() {
  const exchange::Standing standing = env_.shared.standing;
  if (standing == exchange::Standing::ready) return {true, ""};
  return {false, std::string(exchange::standing_word(standing))};
}

void Pages::deregister(Done done) {
  if (rooms_.leaving.phase() != DrainPhase::serving) return done({200, plain_text, "draining: deregistered already\n"});
  rooms_.registration.deregister(
      [done] { done({200, plain_text, "deregistered: everything is served; POST /register undoes it\n"}); });
}

void Pages::register_again(Done done) {
  if (rooms_.leaving.phase() != DrainPhase::serving)
    return done({409, plain_text, "409: draining, that cannot be undone\n"});
  rooms_.registration.register_again([done] { done({200, plain_text, "registered\n"}); });
}

std::span<const std::string> Pages::hosts() { return rooms_.in_force->snapshot->admin.hosts; }

namespace {

constexpr auto too_many = "503: too many requests for this page are under way\n";

admin::Page recent_page(const RecentQuestion& question, const RecentAnswer& answer, uint32_t workers,
                        admin::Form form) {
  const int status = answer.ends.empty() && question.about_one() ? 404 : 200;
  if (form == admin::Form::json) return {status, "application/json", recent_json(answer, workers)};
  return {status, plain_text, recent_text(answer, workers)};
}

Subject subject_of(admin::Debug page) {
  switch (page) {
    case admin::Debug::connections: return Subject::connections;
    case admin::Debug::requests: return Subject::requests;
    case admin::Debug::waiting: return Subject::waiting;
  }
  UNREACHABLE();
}

}  // namespace

void Pages::on_helper(std::function<admin::Page()> make, const Done& done) {
  auto page = std::make_shared<admin::Page>();
  const bool taken =
      env_.helper.submit([page, make = std::move(make)] { *page = make(); }, [page, done] { done(std::move(*page)); });
  if (!taken) done({503, plain_text, too_many});
}

void Pages::pack(admin::Page page, Done done) {
  const auto shared = std::make_shared<admin::Page>(std::move(page));
  const auto work = [shared] {
    auto packed = admin::gzip(shared->body);
    if (!packed) return;
    shared->body = std::move(*packed);
    shared->encoding = "gzip";
  };
  const bool taken = env_.helper.submit(work, [shared, done] { done(std::move(*shared)); });
  if (!taken) done(std::move(*shared));
}

void Pages::metrics(admin::Form form, Done done) {
  rooms_.discovery.set_gauges();
  const auto format = form == admin::Form::openmetrics ? metrics::Format::openmetrics : metrics::Format::prometheus;
  const auto make = [&registry = env_.registry, format] {
    return admin::Page{200, metrics::content_type(format), metrics::exposition(registry, format)};
  };
  on_helper(make, done);
}

void Pages::config(Done done) {
  const auto make = [generation = rooms_.in_force] {
    std::string text;
    for (const config::Waiting& one : generation->waiting) {
      text += "# waits for a restart: " + one.key + " = " + one.value + "\n";
    }
    return admin::Page{200, "application/toml", text + config::dump(*generation->snapshot)};
  };
  on_helper(make, done);
}

void Pages::advice(admin::Form form, Done done) {
  const std::vector<Observer::Given> given = rooms_.observer.given();
  const base::Micros now = env_.loop.now();
  if (form == admin::Form::json) return done({200, "application/json", advice_json(given, now) + "\n"});
  const std::string text = advice_text(given, now);
  done({200, plain_text, text.empty() ? "nothing to do\n" : text});
}

void Pages::debug(admin::Debug page, const admin::Query& query, Done done) {
  const auto question = read_question(subject_of(page), query, env_.crew.size());
  if (!question) return done({400, plain_text, "400: " + question.error() + "\n"});
  const auto then = [this, subject = question->subject, done](LookPage rows) {
    const auto shared = std::make_shared<const LookPage>(std::move(rows));
    on_helper([subject, shared] { return admin::Page{200, "application/json", look_json(subject, *shared)}; }, done);
  };
  if (!looks_.ask(*question, then)) done({503, plain_text, too_many});
}

void Pages::recent(admin::Form form, const admin::Query& query, Done done) {
  auto question = read_recent(query);
  if (!question) return done({400, plain_text, "400: " + question.error() + "\n"});
  const auto shared = std::make_shared<const RecentQuestion>(std::move(*question));
  const auto ask = [shared](Worker& worker) { return worker.recent(*shared); };
  const auto then = [this, shared, form, done](std::vector<RecentAnswer> answers) {
    const auto workers = static_cast<uint32_t>(answers.size());
    const auto all = std::make_shared<const RecentAnswer>(merge_recent(*shared, std::move(answers)));
    const auto make = [shared, all, workers, form] { return recent_page(*shared, *all, workers, form); };
    on_helper(make, done);
  };
  env_.crew.ask_all<RecentAnswer>(ask, then);
}

void Pages::status(admin::Form form, const admin::Query& query, Done done) {
  auto read = read_status_view(query, *rooms_.in_force);
  if (!read) return done({400, plain_text, "400: " + read.error() + "\n"});
  snapshots_.ask(query.value("now").has_value(), [this, form, view = std::move(*read), done](const SnapshotPtr& of) {
    StatusView now = view;
    now.age = env_.loop.now() - of->facts.now;
    const auto make = [form, now, of] { return status_page(form, *of, now); };
    // A long one would hold control's loop; a short one need not wait behind what the helper does.
    is_long(*of, now) ? on_helper(make, done) : done(make());
  });
}

Snapshot Pages::snapshot(const GenerationPtr& generation, std::vector<WorkerWord> words) {
  TextFacts more{rooms_.observer.given()};
  StatusFacts facts = status_facts(std::move(words));
  for (const Backing& backing : generation->upstreams) facts.upstreams.push_back(view_of(backing, facts.now));
  return {generation, std::move(facts), std::move(more)};
}

admin::Page Pages::set_log_level(const admin::Query& query) {
  const auto& words = words_of_levels;
  const auto word = std::ranges::find(words, query.value("level").value_or(""));
  if (word == std::end(words)) return {400, plain_text, "400: level is one of debug info warn error\n"};
  const auto text = query.value("for");
  const auto span = text ? config::parse_duration(*text) : log_level_default;
  if (!span || *span < base::seconds(1) || *span > log_level_most)
    return {400, plain_text, "400: for is a time of 1s to 24h: POST /log-level?level=debug&for=10m\n"};
  const config::LogOptions& log = rooms_.in_force->snapshot->log;
  base::set_log(static_cast<base::LogLevel>(word - words), static_cast<base::LogFormat>(log.format));
  log_timer_.arm(env_.loop, *span);
  const std::string says = fmt::format("log level {} for {:.0f} s, then {}", *word, base::Micros(*span).seconds(),
                                       words[static_cast<size_t>(log.level)]);
  base::log_event(base::LogLevel::warn, "log_level",
                  {{"to", *word}, {"for_s", base::Micros(*span).seconds()}, {"by", "operator"}});
  return {200, plain_text, says + "\n"};
}

void Pages::log_as_configured() {
  const config::LogOptions& log = rooms_.in_force->snapshot->log;
  base::set_log(static_cast<base::LogLevel>(log.level), static_cast<base::LogFormat>(log.format));
  base::log_event(base::LogLevel::warn, "log_level",
                  {{"to", words_of_levels[static_cast<size_t>(log.level)]}, {"by", "configuration"}});
}

// A reload has set it anew.
void Pages::configuration_changed() { log_timer_.disarm(); }

namespace {

std::string_view log_level() {
  using enum base::LogLevel;
  return base::log_enabled(debug)  ? "debug"
         : base::log_enabled(info) ? "info"
         : base::log_enabled(warn) ? "warn"
                                   : "error";
}

}  // namespace

StatusFacts Pages::status_facts(std::vector<WorkerWord> words) {
  StatusFacts facts;
  for (WorkerWord& word : words) {
    facts.worker_ages.push_back(word.at.count < 0 ? word.at : env_.loop.now() - word.at);
    facts.workers.push_back(std::move(word.status.clusters));
    facts.listener_connections.push_back(std::move(word.status.listener_connections));
    facts.arrivals.add(word.status.arrivals);
    facts.holders.add(std::move(word.status.holders));
  }
  facts.log_level = log_level();
  if (log_timer_.armed()) facts.log_level_left = log_timer_.due() - env_.loop.now();  // a reload ends it
  facts.ready = ready();
  facts.registered = rooms_.registration.registered();
  facts.deregistered_for = rooms_.registration.deregistered_for();
  facts.trial = rooms_.reloads.trial();
  facts.now = env_.loop.now();
  facts.file_in_force = rooms_.reloads.file_in_force();
  facts.names = rooms_.discovery.status();
  facts.ports = rooms_.ports.rows();
  facts.advice = advice_json(rooms_.observer.given(), facts.now);
  facts.wall = env_.loop.wall();
  facts.phase = rooms_.leaving.phase();
  facts.uptime = env_.loop.now() - rooms_.readiness.started();
  facts.drain_left = rooms_.leaving.time_left();
  facts.connections = env_.shared.places.taken.load();
  facts.connections_most = env_.shared.places.most.load(std::memory_order_relaxed);
  facts.all = rooms_.observer.rates().all();
  facts.routes = rooms_.observer.rates().routes(StatusFacts::routes_most);
  facts.limits = rooms_.observer.limits();
  const ControlCells::Loaded& loaded = env_.cells.loaded();
  facts.configuration = {loaded.generation, loaded.at, loaded.tried, rooms_.reloads.changes(),
                         rooms_.reloads.refused()};
  return facts;
}

}  // namespace sluice::runtime

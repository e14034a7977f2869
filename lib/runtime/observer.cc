#include "runtime/observer.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <memory>

#include "base/log_event.h"
#include "base/log_thread.h"
#include "base/pages.h"
#include "exchange/access_log.h"
#include "runtime/json.h"

namespace sluice::runtime {
namespace {

using upstream::Away;

// nullptr: requests go there.
const char* why_out(const upstream::SharedEndpoint& endpoint, base::Micros now) {
  const upstream::Standing s = endpoint.standing();
  if (s.disabled()) return "disabled (by an operator)";
  if (s.down != 0) return "down (its checks fail)";
  if (!s.kept_away(now)) return nullptr;
  switch (s.why()) {
    case Away::no: return nullptr;
    case Away::aside: return "set aside (a connect failed)";
    case Away::ejected: return "ejected (its requests failed)";
    case Away::paused: return "paused (it asked for it)";
  }
  return nullptr;
}

bool unremarkable(const UpstreamFacts& u) {
  return u.endpoints != 0 && u.out == 0 && u.failing == 0 && !u.panic && u.held == 0 &&
         u.pool == upstream::Advice::none;
}

void look_at_left(const upstream::SharedUpstream& shared, base::Micros now, UpstreamFacts& u) {
  for (const upstream::SharedUpstream::Left& one : shared.left()) {
    const auto endpoint = one.endpoint.lock();
    if (endpoint == nullptr) continue;
    const std::uint32_t open = endpoint->connections() + endpoint->tunnels();
    if (open == 0) continue;
    u.held += open;
    if (now - one.at <= u.held_for) continue;
    u.held_for = now - one.at;
    u.held_by = endpoint->name();
  }
}

UpstreamFacts look_at(const Backing& backing, base::Micros now) {
  upstream::SharedUpstream& shared = *backing.shared;
  const upstream::EndpointSet& set = *shared.endpoints();
  UpstreamFacts u;
  u.endpoints = set.entries.size();
  for (const upstream::EndpointEntry& entry : set.entries) {
    const upstream::SharedEndpoint& e = *entry.endpoint;
    if (e.standing().failures != 0 || e.standing().away != 0) ++u.failing;
    const char* const why = why_out(e, now);
    if (why == nullptr) continue;
    if (u.listed.size() < UpstreamFacts::listed_most) u.listed.push_back({e.name(), why});
    ++u.out;
  }
  u.panic = shared.panic();
  u.pool = shared.advisor().given();
  look_at_left(shared, now, u);
  if (unremarkable(u)) return u;
  u.name = shared.name();
  u.panic_threshold = backing.options->panic_threshold;
  u.checked = backing.options->health.has_value();
  u.waiting = shared.waiting();
  u.load = shared.advisor().look();
  u.capacity = shared.capacity(set, backing.options->pool.max_connections);
  return u;
}

std::vector<NameFacts> failing_names(const std::vector<dns::NameStatus>& all) {
  std::vector<NameFacts> failing;
  for (const dns::NameStatus& name : all) {
    const auto worst = std::ranges::max_element(name.records, {}, &dns::RecordStatus::failures);
    if (worst == name.records.end() || worst->failures == 0) continue;
    const bool known = std::ranges::any_of(name.records, [](const auto& r) { return !r.records.empty(); });
    failing.push_back({name.name, worst->last_error, worst->failures, known, worst->stale_for});
  }
  return failing;
}

}  // namespace

Observer::Observer(ControlEnv& env, const Rooms& rooms)
    : env_(env), rooms_(rooms), timer_(this, net::timer_call<&Observer::tick>) {}

// What comes in the first second is compared with what there is before it.
void Observer::begin() {
  count();
  timer_.arm(env_.loop, every);
}

void Observer::tick() {
  base::tell_repeats();
  timer_.arm(env_.loop, every);
  keep(advise(look()));
  show_limits();
  count();
}

// Thousands of routes take the helper longer than control's loop may wait; a count that is late counts more.
void Observer::count() {
  if (counting_) return;
  struct Seen {
    base::Micros at;
    Counted routes{};
    ActivityCounts activity{};
  };
  const auto seen = std::make_shared<Seen>(env_.loop.now());
  const auto work = [seen, &registry = env_.registry] {
    seen->routes = count_routes(registry);
    seen->activity = count_activity(registry);
  };
  counting_ = env_.helper.submit(work, [this, seen] {
    counting_ = false;
    rates_.add(seen->at, std::move(seen->routes));
    activity_.add(seen->at, std::move(seen->activity));
  });
}

AdviceFacts Observer::look() {
  const base::Micros now = env_.loop.now();
  const Generation& generation = *rooms_.in_force;
  AdviceFacts facts;
  facts.now = env_.loop.wall().count / 1'000'000;
  for (const Backing& backing : generation.upstreams) {
    UpstreamFacts u = look_at(backing, now);
    if (!unremarkable(u)) facts.upstreams.push_back(std::move(u));
  }
  facts.names = failing_names(rooms_.discovery.status());
  facts.stale_max = generation.snapshot->dns.stale_max;
  for (const auto& listening : generation.listeners) {
    if (listening->tls == nullptr) continue;
    for (const tls::CertificateFacts& c : listening->tls->certificates())
      facts.certificates.push_back({c.name, c.file, c.not_before, c.not_after});
  }
  facts.limits = limits();
  facts.waiting = generation.waiting;
  facts.refused = rooms_.reloads.refused();
  facts.file_in_force = rooms_.reloads.file_in_force();
  if (rooms_.reloads.trial()) facts.trial_left = rooms_.reloads.trial()->left(now);
  const double dropped =
      static_cast<double>(base::log_dropped()) +
      (env_.shared.access_log == nullptr ? 0.0 : static_cast<double>(env_.shared.access_log->dropped()));
  facts.log_dropped = static_cast<std::uint64_t>(std::max(dropped - dropped_, 0.0));
  dropped_ = dropped;
  facts.draining = rooms_.leaving.phase() != DrainPhase::serving;
  facts.drain_connections = env_.shared.places.taken.load(std::memory_order_relaxed);
  facts.drain_left = rooms_.leaving.time_left();
  facts.activity = activity_.window();
  facts.routes = rates_.window();
  return facts;
}

std::vector<LimitFacts> Observer::limits() const {
  const Places& places = env_.shared.places;
  std::vector<LimitFacts> all;
  all.push_back({"client_connections", "process", "raise [runtime] max_connections",
                 static_cast<double>(places.taken.load(std::memory_order_relaxed)),
                 static_cast<double>(places.most.load(std::memory_order_relaxed)), std::nullopt});
  all.push_back({"memory", "process", "raise [runtime] max_memory", static_cast<double>(base::Pages::held()),
                 static_cast<double>(base::MemoryLimit::bytes()), std::nullopt});
  for (const PortRow& row : rooms_.ports.rows())
    all.push_back({"ports", row.subject(), first_fix(row), static_cast<double>(row.used),
                   static_cast<double>(row.available), row.runs_out});
  for (const PortWatch::Queue& queue : rooms_.ports.queues())
    all.push_back({"accept_queue", queue.listener,
                   "workers accept too late (worker_busy_seconds_total): add [runtime] workers, or CPU; for bursts "
                   "raise net.core.somaxconn",
                   static_cast<double>(queue.waiting), static_cast<double>(queue.most), std::nullopt});
  return all;
}

// The kernel's are PortWatch's.
void Observer::show_limits() {
  for (const LimitFacts& limit : limits()) {
    if (limit.resource == "ports" || limit.resource == "accept_queue") continue;
    const unsigned writer = env_.registry.control();
    env_.registry.gauge(metrics::Name::limit_used, {limit.resource, limit.subject}, writer).set(limit.used);
    env_.registry.gauge(metrics::Name::limit_max, {limit.resource, limit.subject}, writer).set(limit.most);
  }
}

void Observer::keep(std::vector<Advice> all) {
  const base::Micros now = env_.loop.now();
  for (Advice& advice : all) {
    const Key key{advice.code, advice.subject};
    auto it = given_.find(key);
    if (it == given_.end()) {
      if (given_.size() >= most) continue;
      it = given_.emplace(key, Given{{}, now, now}).first;
    }
    Given& given = it->second;
    given.seen = now;
    given.advice = std::move(advice);
    if (!given.said && now - given.since >= base::Micros(given.advice.after)) say(given);
  }
  forget_old();
}

void Observer::say(Given& given) {
  given.said = true;
  env_.registry.gauge(metrics::Name::advice, {given.advice.code, given.advice.subject}, env_.registry.control()).set(1);
  const bool warning = given.advice.grade == Grade::warning;
  base::log_event(warning ? base::LogLevel::warn : base::LogLevel::info, "advice",
                  {{"code", given.advice.code}, {"subject", given.advice.subject}, {"text", given.advice.text}});
}

void Observer::forget_old() {
  const base::Micros now = env_.loop.now();
  std::erase_if(given_, [&](const auto& entry) {
    const Given& given = entry.second;
    // What was never said goes at once: its cause has to last without a break.
    if (now - given.seen < (given.said ? base::Micros(lingers) : base::Micros{1})) return false;
    if (!given.said) return true;
    env_.registry.remove(metrics::Name::advice, {given.advice.code, given.advice.subject});
    base::log_event(base::LogLevel::info, "advice_over",
                    {{"code", given.advice.code},
                     {"subject", given.advice.subject},
                     {"lasted_s", (given.seen - given.since).seconds()}});
    return true;
  });
}

std::vector<Observer::Given> Observer::given() const {
  std::vector<Given> all;
  for (const auto& [key, given] : given_) {
    if (given.said) all.push_back(given);
  }
  std::ranges::sort(all, [](const Given& a, const Given& b) {
    return a.advice.grade != b.advice.grade ? a.advice.grade > b.advice.grade : a.since < b.since;
  });
  return all;
}

std::string advice_text(const std::vector<Observer::Given>& given, base::Micros now) {
  std::string text;
  for (const Observer::Given& one : given) {
    text += fmt::format("{} {} (for {:.0f} s): {}\n", one.advice.grade == Grade::warning ? "!" : "-", one.advice.code,
                        (now - one.since).seconds(), one.advice.text);
  }
  return text;
}

std::string advice_json(const std::vector<Observer::Given>& given, base::Micros now) {
  Joined all;
  for (const Observer::Given& one : given) {
    all.add(fmt::format(R"({{"code":{},"subject":{},"text":{},"grade":{},"seconds":{:.3f}}})", quoted(one.advice.code),
                        quoted(one.advice.subject), quoted(one.advice.text),
                        one.advice.grade == Grade::warning ? R"("warning")" : R"("notice")",
                        (now - one.since).seconds()));
  }
  return "[" + all.text() + "]";
}

}  // namespace sluice::runtime

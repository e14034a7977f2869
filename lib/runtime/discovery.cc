// Subscriptions, and the way of a change from the directory to the workers. See discovery.h.
#include "runtime/discovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/log_event.h"
#include "upstream/metrics.h"

namespace sluice::runtime {
namespace {

constexpr std::string_view ignored = "ignored";   // the outcome of packets that are not believed

}  // namespace

// One name of one upstream.
class Discovery::Name final : public dns::Follower {
 public:
  Name(Discovery& home, Followed& upstream) : home_(home), upstream_(upstream) {}
  Name(const Name&) = delete;
  Name& operator=(const Name&) = delete;

  enum class First : std::uint8_t { awaited, good, bad };
  void follow(const dns::Target& target) {
    auto subscription = home_.directory_.follow(target, *this);
    if (subscription) {
      subscription_.emplace(std::move(*subscription));
      if (!subscription_->resolved().endpoints.empty()) first_ = First::good;
    } else {
      fail(subscription.error().message);
    }
  }
  const dns::Resolved* known() const { return subscription_.has_value() ? &subscription_->resolved() : nullptr; }
  First first() const { return first_; }
  const std::string& why() const { return why_; }

 private:
  void on_resolved(const dns::Resolved& resolved) override {
    if (resolved.endpoints.empty() && first_ == First::awaited) fail("there is no such name, or it has no addresses");
    if (!resolved.endpoints.empty()) first_ = First::good;
    home_.changed(upstream_);
  }
  void on_unresolved(std::string_view why) override {
    if (first_ == First::awaited) fail(std::string(why));
  }
  void fail(std::string why);

  Discovery& home_;
  Followed& upstream_;
  std::optional<dns::Subscription> subscription_;   // none: it could not be followed
  First first_ = First::awaited;
  std::string why_;
};

struct Discovery::Followed {
  Backing backing;  // nothing is shared until published
  std::vector<Source> sources;
  std::vector<std::unique_ptr<Discovery::Name>> names;   // by source; nullptr for an address
  std::vector<upstream::EndpointSpec> published;
  bool complete = false;                                 // every name was resolved when it was published last
  bool dirty = false;

  const std::string& name() const { return backing.options->name; }
  bool all(bool (*what)(const Discovery::Name&)) const {
    return std::ranges::all_of(names, [what](const auto& n) { return n == nullptr || what(*n); });
  }
};

void Discovery::Name::fail(std::string why) {
  first_ = First::bad;
  why_ = std::move(why);
  for (std::size_t i = 0; i < upstream_.names.size(); ++i) {
    if (upstream_.names[i].get() != this) continue;
    base::log_event(base::LogLevel::warn, "name_unresolved",
                    {{"upstream", upstream_.name()}, {"name", upstream_.sources[i].text}, {"why", why_}});
  }
}

Discovery::Discovery(const Setup& setup)
    : loop_(setup.loop),
      registry_(setup.registry),
      workers_(setup.workers),
      user_(setup.user),
      lookup_seconds_(setup.registry.histogram(metrics::Name::dns_lookup_seconds, {}, setup.registry.control())),
      departures_(setup.loop, setup.registry),
      directory_(setup.loop, setup.queries, setup.seed, this) {}

Discovery::~Discovery() = default;

// ---- Configurations

std::unique_ptr<Discovery::Followed> Discovery::followed(UpstreamOptionsPtr options) {
  auto made = std::make_unique<Followed>();
  made->sources = sources_of(*options);
  made->backing.options = std::move(options);
  for (const Source& source : made->sources) {
    made->names.push_back(source.fixed.has_value() ? nullptr : std::make_unique<Name>(*this, *made));
  }
  for (std::size_t i = 0; i < made->sources.size(); ++i) {
    if (made->names[i] != nullptr) made->names[i]->follow(made->sources[i].target);
  }
  return made;
}

void Discovery::follow(const config::Snapshot& snapshot) {
  options_ = snapshot.dns;
  directory_.configure(options_);
  for (const upstream::UpstreamOptions& options : snapshot.upstreams) {
    if (!has_names(options)) continue;
    upstreams_.emplace(options.name, followed(std::make_shared<const upstream::UpstreamOptions>(options)));
  }
}

// The new subscriptions first: a name that both have is never let go of.
void Discovery::follow_names(const Generation& generation) {
  options_ = generation.snapshot->dns;
  directory_.configure(options_);
  Upstreams next;
  for (const Backing& backing : generation.upstreams) {
    const upstream::UpstreamOptions& options = *backing.options;
    backing.shared->set_outlier(options.outlier);
    if (!has_names(options)) continue;
    const auto old = upstreams_.find(options.name);
    const bool stays = old != upstreams_.end() &&
                       (old->second->backing.options == backing.options || *old->second->backing.options == options);
    if (stays) {
      next.insert(upstreams_.extract(old));
    } else {
      next.emplace(options.name, followed(backing.options));
    }
  }
  for (const auto& [name, old] : upstreams_) {
    if (!next.contains(name)) departures_.forget(name);
  }
  upstreams_ = std::move(next);
}

EndpointSets Discovery::publish(const Generation& generation) {
  // An answer may have come of which nobody was told yet: what leaves by it is no doing of the reload, and is followed.
  for (const auto& [name, upstream] : upstreams_) {
    if (upstream->backing.shared != nullptr && std::exchange(upstream->dirty, false)) publish(*upstream);
  }
  follow_names(generation);
  EndpointSets sets;
  sets.reserve(generation.upstreams.size());
  for (const Backing& backing : generation.upstreams) {
    UpstreamOptionsPtr& placed = placed_[backing.shared.get()];
    if (placed != backing.options) place(backing);
    placed = backing.options;
    sets.push_back(backing.shared->endpoints());
  }
  std::erase_if(placed_, [&](const auto& entry) { return generation.backing_of(entry.first) == nullptr; });
  prune_ = true;
  loop_.run_later(*this);  // the directory lets go of names after this turn
  return sets;
}

// New, or with other options than before. A new one without names has its set already.
void Discovery::place(const Backing& backing) {
  const auto named = upstreams_.find(backing.options->name);
  if (named == upstreams_.end()) {
    const bool made = placed_.at(backing.shared.get()) == nullptr && !backing.shared->endpoints()->entries.empty();
    if (!made) set(backing, fixed_endpoints(*backing.options), upstream::Newcomers::at_full_weight);
    return;
  }
  Followed& to = *named->second;
  to.backing = backing;
  resolve(to);
  set(backing, to.published, upstream::Newcomers::at_full_weight);
  departures_.watch(to.name());
}

bool Discovery::settled() const {
  return !linked() && std::ranges::all_of(upstreams_, [](const auto& entry) {
    return !entry.second->dirty && entry.second->all([](const Name& n) { return n.first() != Name::First::awaited; });
  });
}

config::Problems Discovery::await_all(const std::function<bool()>& given_up) {
  // A service takes two rounds of lookups; each has all its attempts, and a little for the turns in between.
  const dns::DnsOptions& options = options_;
  const base::Micros limit = loop_.now() + base::Millis{2 * options.timeout.count * options.attempts + 1'000};
  while (!settled() && !given_up() && loop_.now() < limit) loop_.turn(limit - loop_.now());
  if (given_up()) return {};
  config::Problems problems;
  for (const auto& [of, upstream] : upstreams_) {
    for (std::size_t i = 0; i < upstream->names.size(); ++i) {
      const Name* const name = upstream->names[i].get();
      if (name == nullptr || name->first() == Name::First::good) continue;
      problems.push_back(
          base::Error{fmt::format("upstream {}: {} does not resolve: {} (dns.required_at_start = true)", of,
                                  upstream->sources[i].text, name->why().empty() ? "no answer in time" : name->why())});
    }
  }
  return problems;
}

// ---- Changes

void Discovery::changed(Followed& upstream) {
  upstream.dirty = true;
  loop_.run_later(*this);  // several names, one set
}

void Discovery::run() {
  for (const auto& [name, upstream] : upstreams_) {
    if (std::exchange(upstream->dirty, false) && upstream->backing.shared != nullptr) publish(*upstream);
  }
  if (std::exchange(prune_, false)) prune_series();
}

void Discovery::publish(Followed& upstream) {
  base::Micros changed = loop_.now();
  const bool complete = upstream.complete;
  const std::vector<upstream::EndpointSpec> before_specs = std::exchange(upstream.published, {});
  resolve(upstream);
  if (upstream.published == before_specs) return;
  // Since when: the answer that came last made the difference.
  base::Micros latest{};
  for (const auto& name : upstream.names) {
    if (name != nullptr && name->known() != nullptr) latest = std::max(latest, name->known()->changed);
  }
  if (latest.count != 0) changed = std::min(changed, latest);
  const upstream::EndpointSetPtr before = upstream.backing.shared->endpoints();
  const auto newcomers = complete ? upstream::Newcomers::slow : upstream::Newcomers::at_full_weight;
  upstream.backing.shared->set_by(upstream::SharedUpstream::SetBy::dns);
  const upstream::EndpointSetPtr now = set(upstream.backing, upstream.published, newcomers);
  Departures::Endpoints left;
  for (const upstream::EndpointEntry& old : before->entries) {
    const bool stays =
        std::ranges::any_of(now->entries, [&](const upstream::EndpointEntry& e) { return e.endpoint == old.endpoint; });
    if (!stays) left.push_back(old.endpoint);
  }
  base::log_event(
      base::LogLevel::info, "endpoints_changed",
      {{"upstream", upstream.name()}, {"by", "dns"}, {"endpoints", now->entries.size()}, {"left", left.size()}});
  std::function<void()> applied = [] {};
  if (!left.empty()) {
    applied = [change = departures_.begin(upstream.name(), std::move(left), changed, workers_)] { change->applied(); };
  }
  user_.send_endpoints(*upstream.backing.shared, now, std::move(applied));
  prune_ = true;
}

void Discovery::resolve(Followed& upstream) {
  upstream.published = endpoint_specs(upstream.sources, [&](std::size_t i) {
    return upstream.names[i] == nullptr ? nullptr : upstream.names[i]->known();
  });
  upstream.complete = upstream.all([](const Name& n) { return n.first() == Name::First::good; });
}

upstream::EndpointSetPtr Discovery::set(const Backing& backing, std::span<const upstream::EndpointSpec> specs,
                                        upstream::Newcomers newcomers) {
  const upstream::EndpointSetPtr before = backing.shared->endpoints();
  const upstream::UpstreamOptions& options = *backing.options;
  const upstream::EndpointSetPtr now =
      backing.shared->set_endpoints(specs, options.panic_threshold, newcomers, loop_.now(), options.balance);
  upstream::export_shared(registry_, backing.shared, *before, options, loop_.clock());
  return now;
}

// ---- Metrics

void Discovery::on_lookup(std::string_view name, dns::Outcome outcome, base::Micros took) {
  metered_.emplace(name);
  registry_.counter(metrics::Name::dns_lookups_total, {name, dns::outcome_name(outcome)}, registry_.control()).add();
  lookup_seconds_.observe(took);
}

void Discovery::on_ignored(std::string_view name, dns::Ignored, std::uint32_t count) {
  metered_.emplace(name);
  registry_.counter(metrics::Name::dns_lookups_total, {name, ignored}, registry_.control()).add(count);
}

void Discovery::set_gauges() {
  using metrics::Name;
  const auto set = [this](Name gauge, std::string_view name, double value) {
    registry_.gauge(gauge, {name}, registry_.control()).set(value);
  };
  for (const dns::Directory::Gauges& g : directory_.gauges()) {
    metered_.emplace(g.name);
    set(Name::dns_stale_seconds, g.name, g.stale_for.seconds());
    set(Name::dns_addresses, g.name, static_cast<double>(g.served));
    // Of what never was there is no time.
    if (g.changed_wall.count != 0) set(Name::dns_last_change_timestamp_seconds, g.name, g.changed_wall.seconds());
    if (g.answered.count != 0)
      set(Name::dns_last_success_timestamp_seconds, g.name, (loop_.wall() - (loop_.now() - g.answered)).seconds());
  }
}

// Series of names that nobody asks for any more; targets of services come and go with every deployment.
void Discovery::prune_series() {
  if (metered_.empty()) return;
  std::unordered_set<std::string> known;
  for (const dns::NameStatus& name : directory_.status()) known.insert(name.name);
  std::erase_if(metered_, [&](const std::string& name) {
    if (known.contains(name)) return false;
    for (std::size_t i = 0; i < dns::outcomes; ++i) {
      registry_.remove(metrics::Name::dns_lookups_total, {name, dns::outcome_name(static_cast<dns::Outcome>(i))});
    }
    registry_.remove(metrics::Name::dns_lookups_total, {name, ignored});
    for (const metrics::Name gauge :
         {metrics::Name::dns_stale_seconds, metrics::Name::dns_addresses,
          metrics::Name::dns_last_change_timestamp_seconds, metrics::Name::dns_last_success_timestamp_seconds})
      registry_.remove(gauge, {name});
    return true;
  });
}

}  // namespace sluice::runtime

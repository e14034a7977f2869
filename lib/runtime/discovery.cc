// Subscriptions, and the way of a change from the directory to the workers. See discovery.h.
#include "runtime/discovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/log.h"
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
  std::string name;
  std::vector<Source> sources;
  std::vector<std::unique_ptr<Discovery::Name>> names;   // by source; nullptr for an address
  std::shared_ptr<upstream::SharedUpstream> shared;      // nullptr until published
  const upstream::UpstreamOptions* options = nullptr;    // of the snapshot
  std::vector<upstream::EndpointSpec> published;
  bool complete = false;                                 // every name was resolved when it was published last
  bool dirty = false;

  bool has_names() const {
    return std::ranges::any_of(names, [](const auto& n) { return n != nullptr; });
  }
  bool all(bool (*what)(const Discovery::Name&)) const {
    return std::ranges::all_of(names, [what](const auto& n) { return n == nullptr || what(*n); });
  }
};

void Discovery::Name::fail(std::string why) {
  first_ = First::bad;
  why_ = std::move(why);
  for (std::size_t i = 0; i < upstream_.names.size(); ++i) {
    if (upstream_.names[i].get() != this) continue;
    base::warn("upstream {}: {} does not resolve: {}", upstream_.name, upstream_.sources[i].text, why_);
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

void Discovery::follow(const std::shared_ptr<const config::Snapshot>& snapshot) {
  if (snapshot_ == snapshot) return;
  snapshot_ = snapshot;
  directory_.configure(snapshot->dns);
  // The new subscriptions first: a name that both have is never let go of.
  std::vector<std::unique_ptr<Followed>> next;
  for (const upstream::UpstreamOptions& options : snapshot->upstreams) {
    Followed& to = *next.emplace_back(std::make_unique<Followed>());
    to.name = options.name;
    to.options = &options;
    to.sources = sources_of(options);
    for (const Source& source : to.sources) {
      to.names.push_back(source.fixed.has_value() ? nullptr : std::make_unique<Name>(*this, to));
    }
    for (std::size_t i = 0; i < to.sources.size(); ++i) {
      if (to.names[i] != nullptr) to.names[i]->follow(to.sources[i].target);
    }
  }
  for (const auto& old : upstreams_) {
    if (std::ranges::none_of(next, [&](const auto& n) { return n->name == old->name; })) departures_.forget(old->name);
  }
  upstreams_ = std::move(next);
  prune_ = true;
  loop_.run_later(*this);   // the directory lets go of names after this turn
}

EndpointSets Discovery::publish(const Generation& generation) {
  // An answer may have come of which nobody was told yet: what leaves by it is no doing of the reload, and is followed.
  for (const auto& upstream : upstreams_) {
    if (upstream->shared != nullptr && upstream->has_names()) publish(*upstream);
  }
  follow(generation.snapshot);
  EndpointSets sets;
  for (std::size_t i = 0; i < generation.upstreams.size(); ++i) {
    Followed& to = *upstreams_[i];
    to.shared = generation.upstreams[i].shared;
    sets.push_back(set_of(to, generation.snapshot->upstreams[i], upstream::Newcomers::at_full_weight));
    if (to.has_names()) departures_.watch(to.name);
  }
  return sets;
}

bool Discovery::settled() const {
  return !linked() && std::ranges::all_of(upstreams_, [](const auto& u) {
    return !u->dirty && u->all([](const Name& n) { return n.first() != Name::First::awaited; });
  });
}

config::Problems Discovery::await_all(const std::function<bool()>& given_up) {
  // A service takes two rounds of lookups; each has all its attempts, and a little for the turns in between.
  const dns::DnsOptions& options = snapshot_->dns;
  const base::Micros limit = loop_.now() + base::Millis{2 * options.timeout.count * options.attempts + 1'000};
  while (!settled() && !given_up() && loop_.now() < limit) loop_.turn(limit - loop_.now());
  if (given_up()) return {};
  config::Problems problems;
  for (const auto& upstream : upstreams_) {
    for (std::size_t i = 0; i < upstream->names.size(); ++i) {
      const Name* const name = upstream->names[i].get();
      if (name == nullptr || name->first() == Name::First::good) continue;
      problems.push_back(
          base::Error{fmt::format("upstream {}: {} does not resolve: {} (dns.required_at_start = true)", upstream->name,
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
  for (const auto& upstream : upstreams_) {
    if (std::exchange(upstream->dirty, false) && upstream->shared != nullptr) publish(*upstream);
  }
  if (std::exchange(prune_, false)) prune_series();
}

void Discovery::publish(Followed& upstream) {
  base::Micros changed = loop_.now();
  std::vector<upstream::EndpointSpec> specs = endpoint_specs(upstream.sources, [&](std::size_t i) {
    return upstream.names[i] == nullptr ? nullptr : upstream.names[i]->known();
  });
  if (specs == upstream.published) {
    upstream.complete = upstream.all([](const Name& n) { return n.first() == Name::First::good; });
    return;
  }
  // Since when: the answer that came last made the difference.
  base::Micros latest{};
  for (const auto& name : upstream.names) {
    if (name != nullptr && name->known() != nullptr) latest = std::max(latest, name->known()->changed);
  }
  if (latest.count != 0) changed = std::min(changed, latest);
  const upstream::EndpointSetPtr before = upstream.shared->endpoints();
  const auto newcomers = upstream.complete ? upstream::Newcomers::slow : upstream::Newcomers::at_full_weight;
  const upstream::EndpointSetPtr set = set_of(upstream, *upstream.options, newcomers);
  Departures::Endpoints left;
  for (const upstream::EndpointEntry& old : before->entries) {
    const bool stays =
        std::ranges::any_of(set->entries, [&](const upstream::EndpointEntry& e) { return e.endpoint == old.endpoint; });
    if (!stays) left.push_back(old.endpoint);
  }
  base::info("upstream {}: {} addresses, {} left", upstream.name, set->entries.size(), left.size());
  std::function<void()> applied = [] {};
  if (!left.empty()) {
    applied = [change = departures_.begin(upstream.name, std::move(left), changed, workers_)] { change->applied(); };
  }
  user_.send_endpoints(*upstream.shared, set, std::move(applied));
  prune_ = true;
}

upstream::EndpointSetPtr Discovery::set_of(Followed& upstream, const upstream::UpstreamOptions& options,
                                           upstream::Newcomers newcomers) {
  upstream.published = endpoint_specs(upstream.sources, [&](std::size_t i) {
    return upstream.names[i] == nullptr ? nullptr : upstream.names[i]->known();
  });
  upstream.complete = upstream.all([](const Name& n) { return n.first() == Name::First::good; });
  const upstream::EndpointSetPtr before = upstream.shared->endpoints();
  const upstream::EndpointSetPtr set =
      upstream.shared->set_endpoints(upstream.published, options.panic_threshold, newcomers, loop_.now());
  upstream::export_shared(registry_, upstream.shared, *before, options.pool.max_connections);
  return set;
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
  for (const dns::Directory::Staleness& s : directory_.staleness()) {
    metered_.emplace(s.name);
    registry_.gauge(metrics::Name::dns_stale, {s.name}, registry_.control()).set(s.stale_for.seconds());
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
    registry_.remove(metrics::Name::dns_stale, {name});
    return true;
  });
}

}  // namespace sluice::runtime

#include "runtime/fleet.h"

#include <algorithm>
#include <utility>

#include "base/log_event.h"

namespace sluice::runtime {
namespace {

using metrics::Name;

// A replica of two families has an address of each.
std::uint32_t count(const std::vector<dns::Endpoint>& found) {
  const auto v4 = std::ranges::count_if(
      found, [](const dns::Endpoint& e) { return e.address.family() == net::Address::Family::ipv4; });
  const auto all = static_cast<std::ptrdiff_t>(found.size());
  return static_cast<std::uint32_t>(std::max(v4, all - v4));
}

}  // namespace

Fleet::Fleet(dns::Directory& directory, metrics::Registry& registry) : directory_(directory), registry_(registry) {}

void Fleet::publish(const Generation& generation) {
  std::map<std::string, Limited, std::less<>> next;
  for (const Backing& backing : generation.upstreams) {
    if (backing.options->server_limit == 0) continue;
    Limited limited{backing.shared, backing.options};
    if (const auto had = limited_.find(backing.options->name); had != limited_.end()) limited.told = had->second.told;
    next.emplace(backing.options->name, std::move(limited));
  }
  for (const auto& [name, gone] : limited_) {
    if (next.contains(name)) continue;
    registry_.remove(Name::upstream_fleet_connections, {name});
    registry_.remove(Name::upstream_server_limit_connections, {name});
  }
  limited_ = std::move(next);
  const config::RuntimeOptions& options = generation.snapshot->runtime;
  if (options.replicas_dns != name_) follow(options.replicas_dns);
  set_replicas(name_.empty() ? options.replicas : replicas_);
}

// What was known of another name goes on until this one has an answer.
void Fleet::follow(const std::string& name) {
  name_ = name;
  subscription_.reset();
  if (name.empty()) return;
  auto subscription = directory_.follow({dns::Kind::address, name, 0}, *this);
  if (!subscription) return on_unresolved(subscription.error().message);
  subscription_.emplace(std::move(*subscription));
  if (const std::uint32_t known = count(subscription_->resolved().endpoints); known != 0) replicas_ = known;
}

void Fleet::on_resolved(const dns::Resolved& resolved) {
  const std::uint32_t found = count(resolved.endpoints);
  if (found == 0) return on_unresolved("it has no addresses");
  if (found != replicas_)
    base::log_event(base::LogLevel::info, "replicas", {{"name", name_}, {"from", replicas_}, {"to", found}});
  set_replicas(found);
}

void Fleet::on_unresolved(std::string_view why) {
  base::log_event(base::LogLevel::warn, "replicas_unresolved", {{"name", name_}, {"why", why}, {"assumed", replicas_}});
}

void Fleet::set_replicas(std::uint32_t replicas) {
  replicas_ = replicas;
  registry_.gauge(Name::fleet_replicas, {}, registry_.control()).set(replicas);
  look();
}

void Fleet::look() {
  for (auto& [name, upstream] : limited_) judge(upstream);
}

// Endpoints that are down count: they come back with their connections.
void Fleet::judge(Limited& upstream) {
  const upstream::UpstreamOptions& options = *upstream.options;
  const std::uint64_t endpoints = upstream.shared->endpoints()->entries.size();
  const std::uint64_t all = std::uint64_t{options.pool.max_connections} * endpoints * replicas_;
  const auto gauge = [&](Name name, std::uint64_t value) {
    registry_.gauge(name, {options.name}, registry_.control()).set(static_cast<double>(value));
  };
  gauge(Name::upstream_fleet_connections, all);
  gauge(Name::upstream_server_limit_connections, options.server_limit);
  const std::uint64_t told = std::exchange(upstream.told, all > options.server_limit ? all : 0);
  if (told == upstream.told) return;
  if (upstream.told == 0)
    return base::log_event(base::LogLevel::info, "server_limit_kept",
                           {{"upstream", options.name}, {"connections", all}, {"server_limit", options.server_limit}});
  const std::uint64_t fits = options.server_limit / (endpoints * replicas_);
  const std::string todo = fits != 0 ? "set max_connections to " + std::to_string(fits) + " in [upstream.pool]"
                                     : "even 1 is too much: run fewer replicas, or raise what the server bears";
  base::log_event(base::LogLevel::warn, "server_limit_exceeded",
                  {{"upstream", options.name},
                   {"replicas", replicas_},
                   {"endpoints", endpoints},
                   {"max_connections", options.pool.max_connections},
                   {"connections", all},
                   {"server_limit", options.server_limit},
                   {"message", todo}});
}

}  // namespace sluice::runtime

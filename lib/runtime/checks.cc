#include "runtime/checks.h"

#include <utility>

namespace sluice::runtime {

// What stays as it is is not touched. One whose section went away goes on as it learns that: its endpoints are healthy.
void Checks::place(const Generation& generation, const EndpointSets& sets) {
  std::erase_if(checkers_, [&](const auto& entry) { return generation.backing_of(entry.first) == nullptr; });
  for (size_t i = 0; i < generation.upstreams.size(); ++i) {
    const Backing& backing = generation.upstreams[i];
    if (backing.options->health || checkers_.contains(backing.shared.get())) place(backing, sets[i]);
  }
}

void Checks::place(const Backing& backing, const upstream::EndpointSetPtr& set) {
  Placement& placement = checkers_[backing.shared.get()];
  if (placement.options == backing.options && placement.way == backing.way) return;
  if (placement.checker == nullptr) {
    placement.checker = std::make_unique<upstream::HealthChecker>(
        upstream::HealthChecker::Setup{env_.loop, backing.shared, *this, env_.random.next()});
  }
  std::unique_ptr<upstream::Connector> connector;
  if (placement.way != backing.way) {
    placement.way = backing.way;
    connector = upstream::make_connector(
        {.upstream = backing.options->name, .loop = env_.loop, .network = network_, .way = backing.way});
  }
  placement.options = backing.options;
  placement.checker->update(backing.options, set, std::move(connector));
}

void Checks::set_endpoints(const upstream::SharedUpstream& upstream, const upstream::EndpointSetPtr& set) {
  const auto found = checkers_.find(&upstream);
  if (found != checkers_.end()) found->second.checker->set_endpoints(set);
}

void Checks::on_health(const upstream::SharedUpstream& upstream, const upstream::SharedEndpoint& endpoint,
                       upstream::Health health) {
  if (health == upstream::Health::up) return;  // a worker sees it by its bit
  env_.crew.to_all([shared = &upstream, id = endpoint.id()](Worker& worker) { worker.endpoint_is_down(shared, id); });
}

}  // namespace sluice::runtime

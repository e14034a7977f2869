#include "runtime/checks.h"

#include <algorithm>
#include <utility>

namespace sluice::runtime {

void Checks::place(const Generation& generation, const EndpointSets& sets) {
  std::erase_if(checkers_, [&](const auto& entry) {
    return std::ranges::none_of(generation.upstreams, [&](const Backing& b) { return b.shared.get() == entry.first; });
  });
  for (size_t i = 0; i < generation.upstreams.size(); ++i) {
    const Backing& backing = generation.upstreams[i];
    const upstream::UpstreamOptions& options = generation.snapshot->upstreams[i];
    Placement& placement = checkers_[backing.shared.get()];
    if (!options.health && placement.checker == nullptr) continue;
    if (placement.checker == nullptr) {
      placement.checker = std::make_unique<upstream::HealthChecker>(
          upstream::HealthChecker::Setup{env_.loop, backing.shared, *this, env_.random.next()});
    }
    std::unique_ptr<upstream::Connector> connector;
    if (placement.way != backing.way) {
      placement.way = backing.way;
      connector = upstream::make_connector(
          {.upstream = options.name, .loop = env_.loop, .network = network_, .way = backing.way});
    }
    placement.checker->update({generation.snapshot, &options}, sets[i], std::move(connector));
  }
}

void Checks::set_endpoints(const upstream::SharedUpstream& upstream, const upstream::EndpointSetPtr& set) {
  const auto found = checkers_.find(&upstream);
  if (found != checkers_.end() && found->second.checker != nullptr) found->second.checker->set_endpoints(set);
}

void Checks::on_health(const upstream::SharedUpstream& upstream, const upstream::SharedEndpoint& endpoint,
                       upstream::Health health) {
  if (health == upstream::Health::up) {
    env_.crew.to_all([shared = &upstream](Worker& worker) { worker.endpoint_is_up(shared); });
  } else {
    env_.crew.to_all([shared = &upstream, id = endpoint.id()](Worker& worker) { worker.endpoint_is_down(shared, id); });
  }
}

}  // namespace sluice::runtime

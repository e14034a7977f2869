// The part of ClusterImpl that says what those who wait may hope for: a client's share, who gives way, Retry-After.
#include <algorithm>

#include "upstream/cluster_impl.h"

namespace sluice::upstream {

std::uint32_t ClusterImpl::retry_after() {
  const double rate = shared_->service_rate().per_second(loop_.now());
  return stay_away_seconds(shared_->waiting(), rate, balancer_.random().next());
}

// What has become a tunnel says nothing about what the endpoint bears.
std::uint32_t ClusterImpl::in_flight_limit(const SharedEndpoint& endpoint) const {
  const std::uint32_t limit = options_->pool.max_in_flight;
  if (!adapts()) return limit;
  const std::uint32_t found = endpoint.adaptive().limit() + endpoint.tunnels();
  return limit == 0 ? found : std::min(limit, found);
}

void ClusterImpl::learn_limit(SharedEndpoint& endpoint, base::Micros took) {
  const std::uint32_t all = endpoint.in_flight();
  endpoint.adaptive().answered(took, all - std::min(all, endpoint.tunnels()), loop_.now());
}

void ClusterImpl::make_way() {
  if (shared_->waiting() == 0) return;
  if (queue_.anyone_undialled() && !way_timer_.armed()) way_timer_.arm(loop_, Holders::every);
  if (loop_.now() < way_after_) return;
  way_after_ = loop_.now() + Holders::every;
  if (Waiter* const stalled = holders_.longest_stalled(loop_.now()); stalled != nullptr) stalled->on_give_way();
}

bool ClusterImpl::over_share(const Want& want) {
  const std::uint32_t percent = options_->pool.max_client_share;
  if (percent >= 100 || want.client_mark == 0) return false;
  const base::Micros now = loop_.now();
  if (share_at_.count < 0 || now - share_at_ >= base::Micros(share_every)) {
    share_at_ = now;
    std::uint64_t places = 1;  // all are taken while somebody waits, but for the one that is given now
    for (const auto& e : endpoints_) places += e->shared().load() - std::min(e->shared().load(), e->shared().tunnels());
    share_ = static_cast<std::uint32_t>(std::max<std::uint64_t>(1, places * percent / 100));
  }
  return shared_->clients().held(want.client_mark) >= share_;
}

}  // namespace sluice::upstream

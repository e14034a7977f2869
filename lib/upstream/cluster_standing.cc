// The part of ClusterImpl that decides about an endpoint's standing: outcomes, ejection, the trial after it, pauses.
#include <algorithm>
#include <string>
#include <string_view>

#include "base/log_event.h"
#include "upstream/cluster_impl.h"

namespace sluice::upstream {
namespace {

// Labels of upstream_ejections_total.
std::string_view cause_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::gateway: return "gateway";
    case Outcome::timeout: return "timeout";
    default: return "reset";
  }
}

double seconds(base::Millis span) { return static_cast<double>(span.count) / 1e3; }

void log_ejected(const SharedUpstream& upstream, const SharedEndpoint& endpoint, base::Millis span,
                 const std::string& why) {
  base::log_event(base::LogLevel::warn, "endpoint_state",
                  {{"upstream", upstream.name()},
                   {"endpoint", endpoint.name()},
                   {"to", "ejected"},
                   {"by", "traffic"},
                   {"why", why},
                   {"for_s", seconds(span)}});
}

}  // namespace

bool ClusterImpl::admits(Endpoint& endpoint) {
  const Standing standing = endpoint.shared().standing();
  if (standing.disabled()) return false;
  if (standing.why() == Away::no || standing.why() == Away::aside) return true;
  const base::Micros now = loop_.now();
  if (standing.trial_due(now) && endpoint.claim_trial()) return true;
  const Balancer::Pick pick{now, shared_->panic()};
  return !endpoint.shared().shunned(now, pick.panic) || !endpoint.in_set() ||
         !balancer_.another_usable(endpoint.index(), pick);
}

http::CloseCause ClusterImpl::shut_cause(const Endpoint& endpoint) {
  return endpoint.shared().disabled() ? http::CloseCause::disabled : http::CloseCause::health;
}

// What is under way to it ends as it would, but for connects: nobody would be served by them.
void ClusterImpl::endpoint_switched(std::uint64_t endpoint_id) {
  loop_.run_later(*this);  // others may have to take who waits, or this one may again
  class_limits_at_ = base::Micros{-1};
  class_work_ = true;
  Endpoint* const endpoint = here(endpoint_id);
  if (endpoint == nullptr || !endpoint->shared().disabled()) return;
  endpoint->abandon_dials(http::CloseCause::disabled, [this](Waiter& w) { queue_.set_undialled(w); });
  endpoint->close_idle(http::CloseCause::disabled);
}

bool ClusterImpl::shut(Endpoint& endpoint) {
  const Standing standing = endpoint.shared().standing();
  if (standing.disabled()) return true;
  if (standing.down != 0) return !shared_->panic();
  if (!standing.ejected()) return false;
  const Balancer::Pick pick{loop_.now(), shared_->panic()};
  return endpoint.shared().shunned(pick.now, pick.panic) && endpoint.in_set() &&
         balancer_.another_usable(endpoint.index(), pick);
}

void ClusterImpl::on_outcome(Endpoint& endpoint, const Report& report) {
  if (!endpoint.in_set()) return;
  const base::Micros now = loop_.now();
  const SharedEndpoint::Change change =
      endpoint.shared().apply({.kind = Event::Kind::outcome, .trial = report.trial, .outcome = report.outcome}, now);
  if (change.before.ejected() && !change.after.ejected()) returned(endpoint);
  if (report.pause.count > 0 && !change.after.kept_away(now)) pause(endpoint, report.pause);
  if (options_->outlier && options_->outlier->enabled && options_->outlier->success_rate) compare(endpoint, report);
  if (counts_against(report.outcome)) judge(endpoint, cause_of(report.outcome), report.trial);
}

// A pause is not made longer by those who were on their way.
void ClusterImpl::pause(Endpoint& endpoint, base::Millis span) {
  if (!shared_->ejections().pause(endpoint.shared(), span, loop_.now())) return;
  metrics_.pauses.add();
  base::log_event(base::LogLevel::debug, "endpoint_pause",
                  {{"upstream", shared_->name()},
                   {"endpoint", endpoint.shared().name()},
                   {"by", "upstream"},
                   {"for_s", seconds(std::min(span, Standing::pause_most))}});
}

void ClusterImpl::judge(Endpoint& endpoint, std::string_view cause, bool trial) {
  if (!options_->outlier || !options_->outlier->enabled || !endpoint.in_set()) return;
  SharedEndpoint& shared = endpoint.shared();
  const Standing standing = shared.standing();
  const bool again = trial && standing.ejected();
  if (!again && (standing.ejected() || standing.failures < options_->outlier->consecutive_failures)) return;
  const auto span =
      shared_->ejections().eject(shared, again ? Ejections::Cause::trial : Ejections::Cause::row, loop_.now());
  if (!span) return;
  metrics_.ejected(cause);
  log_ejected(*shared_, shared, *span,
              again ? fmt::format("its trial failed: {}", cause)
                    : fmt::format("{} failures in a row, the last: {}", +standing.failures, cause));
  close_idle_everywhere(endpoint);
}

void ClusterImpl::compare(Endpoint& endpoint, const Report& report) {
  Ejections& ejections = shared_->ejections();
  ejections.count(endpoint.shared(), report.outcome, report.took);
  for (const Ejections::Outlier& o : ejections.compare(loop_.now())) {
    metrics_.ejected(o.slow ? "slow" : "error_share");
    const double unit = o.slow ? 1e-3 : 1e2;
    log_ejected(*shared_, *o.endpoint, o.span,
                fmt::format("{} {:.1f} {}, its siblings' median is {:.1f}", o.slow ? "a request takes" : "it fails",
                            o.own * unit, o.slow ? "ms" : "% of its requests", o.median * unit));
    if (Endpoint* const mine = here(o.endpoint); mine != nullptr) close_idle_everywhere(*mine);
  }
}

void ClusterImpl::returned(Endpoint& endpoint) {
  shared_->ejections().returned(endpoint.shared(), loop_.now());
  base::log_event(base::LogLevel::info, "endpoint_state",
                  {{"upstream", shared_->name()},
                   {"endpoint", endpoint.shared().name()},
                   {"from", "ejected"},
                   {"to", "in_use"},
                   {"by", "traffic"},
                   {"why", "its trial went well"}});
}

// Unless it has to serve anyhow.
void ClusterImpl::close_idle_everywhere(Endpoint& endpoint) {
  const Balancer::Pick pick{loop_.now(), shared_->panic()};
  if (!endpoint.in_set() || !balancer_.another_usable(endpoint.index(), pick)) return;
  endpoint.close_idle(http::CloseCause::health);
  if (peers_ != nullptr) peers_->endpoint_down(*shared_, endpoint.shared().id());
}

}  // namespace sluice::upstream

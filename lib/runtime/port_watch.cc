#include "runtime/port_watch.h"

#include <memory>
#include <utility>

#include "base/log.h"

namespace sluice::runtime {
namespace {

using metrics::Name;
constexpr std::string_view resource = "ports";

}  // namespace

PortWatch::PortWatch(ControlEnv& env, Read read, const GenerationPtr& in_force)
    : env_(env), read_(std::move(read)), in_force_(in_force), timer_(this, net::timer_call<&PortWatch::look>) {}

void PortWatch::begin() {
  if (read_) timer_.arm(env_.loop, every);
}

// What is down counts: its connections are about to come back. At most dns::endpoints_max an upstream.
std::vector<net::Address> PortWatch::destinations() const {
  std::vector<net::Address> all;
  for (const Backing& backing : in_force_->upstreams) {
    for (const upstream::EndpointEntry& entry : backing.shared->endpoints()->entries) {
      if (entry.endpoint->address().is_ip()) all.push_back(entry.endpoint->address().unmapped());
    }
  }
  return all;
}

void PortWatch::look() {
  timer_.arm(env_.loop, every);
  auto wanted = destinations();
  if (wanted.empty() && shown_.empty()) return;
  auto seen = std::make_shared<base::Result<PortsSeen>>(PortsSeen{});
  // A helper that is busy is asked the next time.
  static_cast<void>(env_.helper.submit([seen, read = read_, wanted = std::move(wanted)] { *seen = read(wanted); },
                                       [this, seen] { on_seen(*seen); }));
}

void PortWatch::on_seen(const base::Result<PortsSeen>& seen) {
  if (!seen) {
    if (!std::exchange(told_blind_, true))
      base::warn("local ports cannot be looked at, so nobody warns when they run out: {}", seen.error().message);
    return;
  }
  std::set<std::string> shown;
  for (const PortRow& row : forecast_.look(*seen, env_.loop.now())) {
    const std::string subject = row.subject();
    const auto gauge = [&](Name name, double value) {
      env_.registry.gauge(name, {resource, subject}, env_.registry.control()).set(value);
    };
    gauge(Name::limit_used, row.used);
    gauge(Name::limit_max, row.available);
    if (row.runs_out) {
      gauge(Name::limit_runs_out_seconds, row.runs_out->seconds());
    } else {
      env_.registry.remove(Name::limit_runs_out_seconds, {resource, subject});
    }
    shown.insert(subject);
  }
  for (const std::string& subject : shown_) {
    if (shown.contains(subject)) continue;
    for (const Name name : {Name::limit_used, Name::limit_max, Name::limit_runs_out_seconds})
      env_.registry.remove(name, {resource, subject});
  }
  shown_ = std::move(shown);
}

}  // namespace sluice::runtime

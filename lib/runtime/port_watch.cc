#include "runtime/port_watch.h"

#include <memory>
#include <utility>

#include "base/log.h"

namespace sluice::runtime {
namespace {

using metrics::Name;
constexpr std::string_view ports = "ports";
constexpr std::string_view accept_queue = "accept_queue";

}  // namespace

PortWatch::PortWatch(ControlEnv& env, Read read, const GenerationPtr& in_force)
    : env_(env), read_(std::move(read)), in_force_(in_force), timer_(this, net::timer_call<&PortWatch::look>) {}

void PortWatch::begin() {
  if (read_) timer_.arm(env_.loop, every);
}

// What is down counts: its connections are about to come back. At most dns::endpoints_max an upstream.
PortsWanted PortWatch::wanted() const {
  PortsWanted wanted;
  for (const Backing& backing : in_force_->upstreams) {
    for (const upstream::EndpointEntry& entry : backing.shared->endpoints()->entries) {
      const net::Address& address = entry.endpoint->address();
      if (address.is_ip()) wanted.destinations.push_back(address.unmapped());
    }
  }
  for (const auto& listening : in_force_->listeners) {
    for (const auto& socket : listening->sockets) {
      if (socket->address().is_ip()) wanted.listening.push_back(socket->address().unmapped());
    }
  }
  return wanted;
}

void PortWatch::look() {
  timer_.arm(env_.loop, every);
  PortsWanted asked = wanted();
  if (asked.empty() && shown_.empty()) return;
  auto seen = std::make_shared<base::Result<PortsSeen>>(PortsSeen{});
  // A helper that is busy is asked the next time.
  static_cast<void>(env_.helper.submit([seen, read = read_, asked = std::move(asked)] { *seen = read(asked); },
                                       [this, seen] { on_seen(*seen); }));
}

void PortWatch::on_seen(const base::Result<PortsSeen>& seen) {
  if (!seen) {
    if (!std::exchange(told_blind_, true))
      base::warn("local ports cannot be looked at, so nobody warns when they run out: {}", seen.error().message);
    return;
  }
  const std::set<Subject> before = std::exchange(shown_, {});
  for (const PortRow& row : forecast_.look(*seen, env_.loop.now()))
    show({ports, row.subject()}, row.used, row.available, row.runs_out);
  sum_queues(seen->queues);
  for (const Queue& queue : queues_) {
    show({accept_queue, queue.listener}, queue.waiting, queue.most, std::nullopt);
    const unsigned writer = env_.registry.control();
    env_.registry.gauge(Name::listener_accept_queue, {queue.listener}, writer).set(queue.waiting);
    env_.registry.gauge(Name::listener_accept_queue_limit, {queue.listener}, writer).set(queue.most);
  }
  for (const Subject& what : before) {
    if (!shown_.contains(what)) forget(what);
  }
}

// By listener, as it is in force now: the addresses may have become those of another one meanwhile.
void PortWatch::sum_queues(const std::vector<AcceptQueue>& seen) {
  queues_.clear();
  for (const auto& listening : in_force_->listeners) {
    Queue sum{listening->options.name};
    for (const auto& socket : listening->sockets) {
      for (const AcceptQueue& one : seen) {
        if (!socket->address().is_ip() || one.at != socket->address().unmapped()) continue;
        sum.waiting += one.waiting;
        sum.most += one.most;
      }
    }
    if (sum.most != 0) queues_.push_back(std::move(sum));
  }
}

void PortWatch::show(const Subject& what, double used, double most, std::optional<base::Micros> runs_out) {
  const auto& [resource, subject] = what;
  const unsigned writer = env_.registry.control();
  env_.registry.gauge(Name::limit_used, {resource, subject}, writer).set(used);
  env_.registry.gauge(Name::limit_max, {resource, subject}, writer).set(most);
  if (runs_out) {
    env_.registry.gauge(Name::limit_runs_out_seconds, {resource, subject}, writer).set(runs_out->seconds());
  } else {
    env_.registry.remove(Name::limit_runs_out_seconds, {resource, subject});
  }
  shown_.insert(what);
}

void PortWatch::forget(const Subject& what) {
  const auto& [resource, subject] = what;
  for (const Name name : {Name::limit_used, Name::limit_max, Name::limit_runs_out_seconds})
    env_.registry.remove(name, {resource, subject});
  if (resource != accept_queue) return;
  env_.registry.remove(Name::listener_accept_queue, {subject});
  env_.registry.remove(Name::listener_accept_queue_limit, {subject});
}

}  // namespace sluice::runtime

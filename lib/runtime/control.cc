#include "runtime/control.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/pages.h"
#include "runtime/memory.h"

namespace sluice::runtime {
namespace {

// The addresses as bound; after a reload those that are new.
void say_listening(const Generation& now, const Generation* before) {
  for (const auto& listening : now.listeners) {
    for (const auto& socket : listening->sockets) {
      const auto has = [&](const auto& old) { return std::ranges::find(old->sockets, socket) != old->sockets.end(); };
      if (before != nullptr && std::ranges::any_of(before->listeners, has)) continue;
      base::info("listening listener={} address={}", listening->options.name, socket->address().text());
    }
  }
}

}  // namespace

Control::Control(const Setup& setup, std::shared_ptr<const config::Snapshot> first)
    : cells_(setup.registry),
      random_(setup.seed),
      env_{setup.loop, setup.crew, setup.helper, setup.registry, setup.shared, cells_, random_},
      series_(env_),
      checks_(env_, setup.network),
      discovery_({setup.loop, setup.queries, setup.registry, setup.crew.size(), random_.next(), *this}),
      readiness_(env_, discovery_),
      leaving_(env_, first->drain),
      reloads_(env_, setup.reloads, *this),
      pages_(env_, {generation_, discovery_, readiness_, leaving_, reloads_}) {
  discovery_.follow(first);
}

void Control::publish(GenerationPtr next) {
  say_listening(*next, generation_.get());
  if (generation_ != nullptr) {
    series_.retire(*generation_->snapshot, *next->snapshot);
  } else {
    readiness_.begin(next->snapshot->runtime.warm_timeout);
  }
  leaving_.set_options(next->snapshot->drain);
  base::MemoryLimit::set(memory_limit(next->snapshot->runtime.max_memory));
  EndpointSets sets = discovery_.publish(*next);
  cells_.certificates(*next);
  generation_ = std::move(next);
  checks_.place(*generation_, sets);
  env_.crew.to_all([this, generation = generation_, sets = std::move(sets)](Worker& worker) {
    worker.apply(generation, sets);
    env_.crew.to_control([this] { readiness_.applied(); });
  });
}

void Control::send_endpoints(const upstream::SharedUpstream& upstream, const upstream::EndpointSetPtr& set, std::function<void()> applied) {
  env_.crew.to_all([this, shared = &upstream, set, applied = std::move(applied)](Worker& worker) {
    worker.set_endpoints(shared, set, http::CloseCause::dns_removed);
    env_.crew.to_control(applied);
  });
  checks_.set_endpoints(upstream, set);
}

void Control::series_retired() {
  if (generation_ != nullptr) cells_.certificates(*generation_);   // a certificate may bear a name that DNS had, too
  series_.left();
}

}  // namespace sluice::runtime

#include "runtime/control.h"

#include <algorithm>
#include <utility>

#include "base/log_event.h"
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
      base::log_event(base::LogLevel::info, "listening",
                      {{"listener", listening->options.name}, {"address", socket->address().text()}});
    }
  }
}

}  // namespace

Control::Control(const Setup& setup, std::shared_ptr<const config::Snapshot> first)
    : fit_connections_(setup.fit_connections),
      cells_(setup.registry),
      random_(setup.seed),
      env_{setup.loop, setup.crew, setup.helper, setup.registry, setup.shared, cells_, random_},
      epochs_(setup.crew.size()),
      series_(env_, epochs_),
      checks_(env_, setup.network),
      discovery_({setup.loop, setup.queries, setup.registry, setup.crew.size(), random_.next(), *this}),
      fleet_(discovery_.directory(), setup.registry),
      readiness_(env_, discovery_, epochs_),
      registration_(env_, readiness_),
      leaving_(env_, registration_, first->drain),
      reloads_(env_, setup.reloads, *this),
      port_watch_(env_, setup.read_ports, generation_),
      observer_(env_, {generation_, discovery_, leaving_, reloads_, port_watch_}),
      pages_(env_, {generation_, discovery_, readiness_, registration_, leaving_, reloads_, observer_, port_watch_}) {
  env_.loop.watch_turns(&cells_);
  discovery_.follow(*first);
}

Control::~Control() { env_.loop.watch_turns(nullptr); }

void Control::publish(GenerationPtr first) {
  const Epoch epoch = begin(*first);
  readiness_.begin(first->snapshot->runtime.warm_timeout);
  env_.crew.to_all([this](Worker& worker) {
    worker.report_held([this, index = worker.index()](const Held& held) {
      env_.crew.to_control([this, index, held] { on_held(index, held); });
    });
  });
  series_.publish_first(*first);
  put_in_force(std::move(first), epoch);
  observer_.begin();
  port_watch_.begin();
}

void Control::publish(GenerationPtr next, std::function<void()> done) {
  const Epoch epoch = begin(*next);
  series_.publish(next, [this, next, epoch, done = std::move(done)] {
    put_in_force(next, epoch);
    done();
  });
}

Epoch Control::begin(const Generation& next) {
  say_listening(next, generation_.get());
  return epochs_.begin();
}

// Costs what has changed, and a look at each upstream.
void Control::put_in_force(GenerationPtr next, Epoch epoch) {
  apply_process(*next->snapshot);
  auto sets = std::make_shared<const EndpointSets>(discovery_.publish(*next));
  fleet_.publish(*next);
  cells_.in_force(*next, env_.loop.wall());
  checks_.place(*next, *sets);
  if (generation_ != nullptr) former_.push_back({std::move(generation_), {began_, epoch}});
  generation_ = std::move(next);
  began_ = epoch;
  env_.crew.to_all([generation = generation_, sets, epoch](Worker& worker) { worker.apply(generation, sets, epoch); });
}

void Control::free_former() {
  std::vector<GenerationPtr> over;
  for (Former& former : former_) {
    if (epochs_.over(former.life)) over.push_back(std::move(former.generation));
  }
  if (over.empty()) return;
  std::erase_if(former_, [](const Former& former) { return former.generation == nullptr; });
  auto garbage = std::make_shared<std::vector<GenerationPtr>>(std::move(over));
  const auto work = [garbage] {
    garbage->clear();
    give_back_heap();
  };
  env_.helper.submit_always(work, nullptr);
}

// Keys of the process; those of listeners, routes and upstreams come with the generation.
void Control::apply_process(const config::Snapshot& next) {
  pages_.configuration_changed();
  base::set_log(static_cast<base::LogLevel>(next.log.level), static_cast<base::LogFormat>(next.log.format));
  leaving_.set_options(next.drain);
  base::MemoryLimit::set(memory_limit(next.runtime.max_memory));
  env_.shared.max_lateness = base::Micros{next.runtime.max_lateness}.count;
  env_.shared.places.most = fit_connections_(next.runtime.max_connections);
  if (env_.shared.places.too_many()) env_.crew.post(0, ShedClients{});
}

void Control::on_held(uint32_t worker, Held held) {
  epochs_.held(worker, std::move(held));
  series_.look();
  free_former();
}

void Control::send_endpoints(const upstream::SharedUpstream& upstream, const upstream::EndpointSetPtr& set,
                             std::function<void()> applied) {
  env_.crew.to_all([this, shared = &upstream, set, applied = std::move(applied)](Worker& worker) {
    worker.set_endpoints(shared, set, http::CloseCause::dns_removed);
    env_.crew.to_control(applied);
  });
  checks_.set_endpoints(upstream, set);
  fleet_.look();
}

}  // namespace sluice::runtime

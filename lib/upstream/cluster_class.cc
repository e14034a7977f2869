// The part of ClusterImpl that keeps requests within their pool class: who enters, who waits, who is next.
#include <algorithm>
#include <utility>

#include "upstream/cluster_impl.h"

namespace sluice::upstream {

ClassQueue& ClusterImpl::class_called(const std::string& name) {
  const auto known = std::ranges::find_if(classes_, [&](const auto& c) { return c->of().name() == name; });
  if (known != classes_.end()) return **known;
  ClassQueue::User& user = *this;
  return *classes_.emplace_back(
      std::make_unique<ClassQueue>(shared_->pool_class(name), worker_, shared_->workers(), user));
}

// A class that stays keeps its counts and who waits. Who waits for one that has left waits for no place of it any more.
void ClusterImpl::configure_classes() {
  class_of_route_.clear();
  if (classes_.empty() && options_->pool_classes.empty()) return;
  std::vector<ClassQueue*> in_force;
  for (const PoolClassOptions& o : options_->pool_classes) {
    ClassQueue& one = class_called(o.name);
    if (o.percent == 0) one.of().set_limit(class_limit(o, 0));
    for (const std::string& route : o.routes) class_of_route_.emplace(route, &one);
    in_force.push_back(&one);
  }
  std::erase_if(classes_, [&](const std::unique_ptr<ClassQueue>& one) {
    if (std::ranges::find(in_force, one.get()) != in_force.end()) return false;
    while (Waiter* const waiter = one->any()) queue_.admit(*waiter);
    return one->unused();
  });
}

// What the usable endpoints may have together changes with their health, which nobody tells of to each class.
void ClusterImpl::find_class_limits() {
  const base::Micros now = loop_.now();
  if (class_limits_at_.count >= 0 && now - class_limits_at_ < base::Micros(class_limit_every)) return;
  class_limits_at_ = now;
  const auto& all = options_->pool_classes;
  if (std::ranges::none_of(all, [](const PoolClassOptions& o) { return o.percent != 0; })) return;
  const std::uint64_t connections = shared_->capacity(*set_, options_->pool.max_connections).connections;
  for (const PoolClassOptions& o : all) {
    if (o.percent != 0) class_called(o.name).of().set_limit(class_limit(o, connections));
  }
}

bool ClusterImpl::enter_class(const Want& want, Waiter& waiter, http::Sink& sink, base::Millis budget) {
  if (WaitQueue::in_class(waiter)) return true;  // a further try
  const auto found = class_of_route_.find(want.route);
  if (found == class_of_route_.end()) return true;
  find_class_limits();
  ClassQueue& its = *found->second;
  const bool late = want.until.count != 0 && want.until <= loop_.now();  // its owner is about to hear of it
  if (!late && its.enter(waiter)) return true;
  queue_.park(waiter, want, sink, budget, its, late ? ~0U : options_->pool.max_waiting);
  return false;
}

void ClusterImpl::on_class_work() {
  class_work_ = true;
  loop_.run_later(*this);
}

void ClusterImpl::admit_classes() {
  if (!std::exchange(class_work_, false) || classes_.empty()) return;
  find_class_limits();
  for (const auto& one : classes_) {
    while (Waiter* const waiter = one->admit(loop_.now())) queue_.admit(*waiter);
  }
  if (queue_.anyone_parked() && !class_timer_.armed()) class_timer_.arm(loop_, class_look_every);
}

void ClusterImpl::pass_place(std::uint32_t worker, std::shared_ptr<ClassPlace> place) {
  if (peers_ != nullptr) peers_->pass_class_place(*shared_, worker, std::move(place));
}

void ClusterImpl::accept_class_place(ClassPlace& place) {
  on_class_work();  // there may be more places than this one; or nobody here wants it any more
  const auto its = std::ranges::find_if(classes_, [&](const auto& one) { return &one->of() == place.of.get(); });
  if (its == classes_.end()) return;
  Waiter* const waiter = (*its)->take(place, loop_.now());
  if (waiter != nullptr) return queue_.admit(*waiter);
  place.pass.give_back();  // before admit_classes()
}

}  // namespace sluice::upstream

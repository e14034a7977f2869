// Service: SRV records and the hosts behind them. A new set of records is served only when its targets are resolved, so
// that there is no moment without addresses between two sets.
#include <algorithm>

#include "dns/node.h"

#include "base/log_event.h"

namespace sluice::dns {

Service::Service(Env& env, Hosts& hosts, std::string name)
    : Node(std::move(name)), env_(env), hosts_(hosts), srv_(env, this->name(), Type::srv, *this) {
  srv_.start();
}

const Host* Service::Set::find(const std::string& name) const {
  for (const auto& link : links)
    if (link->host.name() == name) return &link->host;
  return nullptr;
}
bool Service::Set::has_addresses() const {
  return std::any_of(links.begin(), links.end(), [](const auto& link) { return !link->host.addresses().empty(); });
}
bool Service::Set::all_tried() const {
  return std::all_of(links.begin(), links.end(), [](const auto& link) { return link->host.tried(); });
}
bool Service::Set::nowhere() const {
  return std::all_of(records.begin(), records.end(), [](const ServiceRecord& r) { return r.target.empty(); });
}

void Service::on_entry(Entry& entry) {
  remember(entry);
  if (entry.phase() == Entry::Knowledge::none) {
    drop_next();
    served_ = {};
    hosts_.sweep_later();
  } else if (entry.phase() == Entry::Knowledge::records) {
    const auto& known = next_ != nullptr ? next_->records : served_.records;
    if (entry.services() != known) take(entry.services());
  }
  promote_if_due();
  notify();
}

void Service::run() {
  promote_if_due();
  notify();
}

void Service::on_wait_over() {
  waited_ = true;
  promote_if_due();
  notify();
}

void Service::drop_next() {
  next_.reset();
  holding_ = waited_ = false;
  wait_.disarm();
}

void Service::take(const std::vector<ServiceRecord>& records) {
  auto set = std::make_unique<Set>();  // made before the older one goes, so that hosts of both stay
  set->records = records;
  std::size_t left_out = 0;
  for (const ServiceRecord& record : records) {
    if (record.target.empty() || set->find(record.target) != nullptr) continue;
    if (Host* const host = hosts_.find_or_make(record.target)) {
      set->links.push_back(std::make_unique<Link>(*this, *host));
    } else {
      ++left_out;
    }
  }
  if (left_out != 0)
    base::log_event(base::LogLevel::warn, "dns_targets_left_out",
                    {{"name", name()}, {"type", "SRV"}, {"left_out", left_out}, {"names", names_max}});
  drop_next();
  next_ = std::move(set);
  next_since_ = env_.loop.now();
  wait_.arm(env_.loop, targets_wait);
  hosts_.sweep_later();
}

void Service::promote_if_due() {
  if (next_ == nullptr) return;
  const bool some = next_->has_addresses(), ready = next_->all_tried() || waited_;
  if (!next_->nowhere()) {
    if (!ready || (!some && !next_->all_tried())) return;
    if (!some && served_.has_addresses()) return hold_next();
  }
  served_ = std::move(*next_);
  drop_next();
  hosts_.sweep_later();
}

// An SRV answer none of whose targets has an address is no better than an empty answer: what serves is kept as long.
void Service::hold_next() {
  const bool failing = std::any_of(next_->links.begin(), next_->links.end(),
                                   [](const auto& l) { return l->host.state() == RecordState::resolving; });
  const base::Micros end = next_since_ + (failing ? env_.options.stale_max : env_.options.nx_hold);
  const base::Micros left = end - env_.loop.now();
  if (!holding_)
    base::log_event(base::LogLevel::warn, "dns_targets_unresolved",
                    {{"name", name()}, {"type", "SRV"}, {"targets", next_->links.size()}, {"left_s", left.seconds()}});
  holding_ = true;
  if (left.count > 0) {
    wait_.arm(env_.loop, base::Millis{(left.count + 999) / 1000});
    return;
  }
  served_ = std::move(*next_);
  drop_next();
  hosts_.sweep_later();
}

RecordState Service::state() const {
  if (srv_.phase() == Entry::Knowledge::unknown) return RecordState::resolving;
  if (srv_.phase() == Entry::Knowledge::none) return RecordState::gone;
  if (served_.has_addresses()) return holding_ || stale_for().count > 0 ? RecordState::stale : RecordState::fresh;
  if (next_ != nullptr) return RecordState::resolving;
  const bool open = std::any_of(served_.links.begin(), served_.links.end(),
                                [](const auto& l) { return l->host.state() == RecordState::resolving; });
  return open ? RecordState::resolving : RecordState::gone;
}

bool Service::tried() const {
  if (srv_.phase() != Entry::Knowledge::records) return srv_.tried();
  return next_ != nullptr ? next_->all_tried() : served_.all_tried();
}

std::string Service::trouble() const {
  if (!srv_.trouble().empty()) return srv_.trouble();
  for (const auto& link : served_.links)
    if (const std::string why = link->host.trouble(); !why.empty()) return link->host.name() + ": " + why;
  return {};
}

base::Micros Service::stale_for() const {
  base::Micros most = srv_.stale_for();
  for (const auto& link : served_.links) most = std::max(most, link->host.stale_for());
  return most;
}

std::vector<Endpoint> Service::endpoints(std::uint16_t) const {
  std::vector<Candidate> candidates;
  for (const ServiceRecord& record : served_.records) {
    const Host* const host = served_.find(record.target);
    candidates.push_back({record, host != nullptr ? host->addresses() : std::vector<net::Address>()});
  }
  return spread(std::move(candidates));
}

}  // namespace sluice::dns

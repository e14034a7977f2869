// Node and Host; services are in service.cc.
#include "dns/node.h"

#include <algorithm>

namespace sluice::dns {

void Node::remember(Entry& entry) {
  auto change = entry.take_change();
  if (!change) return;
  if (history_.size() == history_max) history_.pop_front();
  history_.push_back(std::move(*change));
}

void Node::notify() {
  for (NodeUser* user = users_.front(); user != nullptr; user = users_.next(*user)) user->on_node(*this);
}

Host::Host(Env& env, std::string name)
    : Node(std::move(name)),
      env_(env),
      a_(env, this->name(), Type::a, *this),
      aaaa_(env, this->name(), Type::aaaa, *this) {
  a_.start();
  aaaa_.start();
}

void Host::on_entry(Entry& entry) {
  remember(entry);
  end_hold(a_, aaaa_);
  end_hold(aaaa_, a_);
  if (!published_) {
    const bool some = a_.phase() == Entry::Knowledge::records || aaaa_.phase() == Entry::Knowledge::records;
    const bool none = a_.phase() == Entry::Knowledge::none && aaaa_.phase() == Entry::Knowledge::none;
    published_ = none || (some && a_.tried() && aaaa_.tried());
    if (some && !published_ && !wait_.armed()) wait_.arm(env_.loop, other_family_wait);
    if (published_) wait_.disarm();
  }
  notify();
}

void Host::on_wait_over() {
  published_ = true;
  notify();
}

// "The name is there, but without this type" is believed at once when an answer of the other family that is newer shows
// that the name has addresses: then a family has been taken away, and no zone has been emptied by a slip.
void Host::end_hold(Entry& held, Entry& other) {
  const auto since = held.held_as_empty();
  if (!since || other.phase() != Entry::Knowledge::records) return;
  if (other.answered() > *since) {
    held.give_up("the name has addresses of the other family only");
    remember(held);
  } else if (other.sound()) {  // else it is asked again in its own time
    other.refresh_soon();
  }
}

RecordState Host::state() const {
  if (!published_) return RecordState::resolving;
  if (a_.phase() != Entry::Knowledge::records && aaaa_.phase() != Entry::Knowledge::records) return RecordState::gone;
  return stale_for().count > 0 ? RecordState::stale : RecordState::fresh;
}

std::string Host::trouble() const { return a_.trouble().empty() ? aaaa_.trouble() : a_.trouble(); }

std::vector<net::Address> Host::addresses() const {
  if (!published_) return {};
  std::vector<net::Address> all = a_.addresses();
  all.insert(all.end(), aaaa_.addresses().begin(), aaaa_.addresses().end());
  return all;
}

std::vector<Endpoint> Host::endpoints(std::uint16_t port) const {
  std::vector<Endpoint> all;
  for (net::Address address : addresses()) {
    address.set_port(port);
    all.push_back({address, 0, 1, name()});
  }
  return all;  // entries are sorted, and IPv4 comes before IPv6
}

void Host::options_changed() {
  a_.options_changed();
  aaaa_.options_changed();
}

}  // namespace sluice::dns

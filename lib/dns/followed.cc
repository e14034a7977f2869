#include "dns/followed.h"

#include "base/log_event.h"

namespace sluice::dns {

using News = Watch::News;

void Watch::run() {
  const News what = std::exchange(news, News::none);
  if (what == News::resolved) {
    follower.on_resolved(followed->resolved());
  } else if (what == News::unresolved) {
    told_unresolved = true;
    follower.on_unresolved(followed->node_.trouble());
  }
}

Followed::Followed(net::Loop& loop, Node& node, std::uint16_t port) : loop_(loop), node_(node), port_(port) {
  ++node_.followers;
  node_.attach(*this);
  on_node(node_);
}

void Followed::attach(Watch& watch) {
  watches_.push_back(watch);
  if (settled_) {
    tell(watch, News::resolved);
  } else if (node_.tried()) {
    tell(watch, News::unresolved);
  }
}

void Followed::tell(Watch& watch, News news) {
  if (news == News::unresolved && (watch.told_unresolved || watch.news != News::none)) return;
  watch.news = news;
  loop_.run_later(watch);
}

void Followed::tell_all(News news) {
  for (auto* watch = watches_.front(); watch != nullptr; watch = watches_.next(*watch)) tell(*watch, news);
}

void Followed::on_node(Node&) {
  const RecordState state = node_.state();
  resolved_.state = state;
  if (state == RecordState::resolving && !settled_) {
    if (node_.tried()) tell_all(News::unresolved);
    return;
  }
  std::vector<Endpoint> endpoints = node_.endpoints(port_);
  if (endpoints.size() > endpoints_max) {
    if (limit_site_.admit(1))
      base::log_event(base::LogLevel::warn, "dns_endpoints_left_out",
                      {{"name", node_.name()}, {"endpoints", endpoints.size()}, {"used", endpoints_max}});
    endpoints.resize(endpoints_max);
  }
  if (settled_ && endpoints == resolved_.endpoints) return;
  settled_ = true;
  resolved_.endpoints = std::move(endpoints);
  resolved_.changed = loop_.now();
  resolved_.changed_wall = loop_.wall();
  tell_all(News::resolved);
}

}  // namespace sluice::dns

// Followed: one target (name and port) and who watches it. Owned by the Directory.
#pragma once

#include <memory>
#include <string>

#include "base/list.h"
#include "dns/directory.h"
#include "dns/node.h"

namespace sluice::dns {

class Followed;

// One Subscription's side of a target; calls its follower at the loop.
class Watch final : public base::ListHook<class WatchTag>, public net::Runnable {
 public:
  Watch(Followed& of, Follower& to, Hosts& in) : followed(&of), follower(to), hosts(in) {}
  ~Watch() { hosts.sweep_later(); }
  void run() override;

  Followed* followed;
  Follower& follower;
  Hosts& hosts;
  bool told_unresolved = false;
  enum class News : std::uint8_t { none, resolved, unresolved } news = News::none;
};

class Followed final : public NodeUser {
 public:
  Followed(net::Loop& loop, Node& node, std::uint16_t port);
  ~Followed() { --node_.followers; }

  void on_node(Node& node) override;
  void attach(Watch& watch);
  bool watched() const { return !watches_.empty(); }
  const Resolved& resolved() {
    resolved_.state = node_.state();   // fresh becomes stale by time alone
    return resolved_;
  }
  Node& node() { return node_; }

 private:
  friend class Watch;
  void tell(Watch& watch, Watch::News news);
  void tell_all(Watch::News news);

  net::Loop& loop_;
  Node& node_;
  const std::uint16_t port_;
  Resolved resolved_;
  bool settled_ = false;               // the first resolution is over
  base::List<Watch, WatchTag> watches_;
  base::LogSite limit_site_;
};

}  // namespace sluice::dns

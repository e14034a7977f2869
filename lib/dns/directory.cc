#include "dns/directory.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/check.h"
#include "dns/followed.h"
#include "dns/node.h"

namespace sluice::dns {

class Directory::Impl final : public Hosts, net::Runnable {
 public:
  Impl(net::Loop& loop, Queries& queries, std::uint64_t seed, Meter* meter)
      : env_{loop, queries, meter, Random(seed), {}} {}

  void configure(const DnsOptions& options) {
    const bool same = configured_ && env_.options == options;
    configured_ = true;
    env_.options = options;
    env_.queries.configure(options);
    if (same) return;
    for (auto& [key, node] : nodes_) node->options_changed();
  }

  base::Result<std::unique_ptr<Watch>> follow(const Target& target, Follower& follower) {
    CHECK(configured_);
    const std::string name = canonical(target.name);
    if (name.empty()) return base::fail("\"" + target.name + "\" is no name that DNS can carry");
    const TargetKey key{target.kind, name, target.kind == Kind::service ? std::uint16_t{0} : target.port};
    auto found = followed_.find(key);
    if (found == followed_.end()) {
      if (followed_.size() >= followed_max) sweep();
      if (followed_.size() >= followed_max)
        return base::fail("more than " + std::to_string(followed_max) + " names to follow");
      Node* const node = node_for(target.kind, name);
      if (node == nullptr)
        return base::fail("more than " + std::to_string(names_max) + " names to ask for, targets of services included");
      found = followed_.emplace(key, std::make_unique<Followed>(env_.loop, *node, key.port)).first;
    }
    auto watch = std::make_unique<Watch>(*found->second, follower, *this);
    found->second->attach(*watch);
    return watch;
  }

  Host* find_or_make(const std::string& name) override { return static_cast<Host*>(node_for(Kind::address, name)); }
  void sweep_later() override { env_.loop.run_later(*this); }

  std::vector<NameStatus> status() const {
    std::vector<NameStatus> all;
    for (const auto& [key, node] : nodes_)
      all.push_back({.name = node->name(),
                     .kind = node->kind(),
                     .state = node->state(),
                     .followed = node->followers != 0,
                     .records = node->records(),
                     .history = {node->history().begin(), node->history().end()}});
    return all;
  }

  std::vector<Gauges> gauges() const {
    std::vector<Gauges> all;
    for (const auto& [key, node] : nodes_) {
      if (node->followers == 0) continue;
      const base::Micros changed = node->history().empty() ? base::Micros{} : node->history().back().wall;
      all.push_back({node->name(), node->stale_for(), node->served(), node->answered(), changed});
    }
    return all;
  }

  bool unused() const {
    return std::none_of(followed_.begin(), followed_.end(), [](const auto& f) { return f.second->watched(); });
  }

 private:
  struct TargetKey {
    Kind kind;
    std::string name;
    std::uint16_t port;
    auto operator<=>(const TargetKey&) const = default;
  };
  using NodeKey = std::pair<std::string, Kind>;

  Node* node_for(Kind kind, const std::string& name) {
    if (const auto found = nodes_.find({name, kind}); found != nodes_.end()) return found->second.get();
    if (nodes_.size() >= names_max) return nullptr;
    std::unique_ptr<Node> node;
    if (kind == Kind::service) {
      node = std::make_unique<Service>(env_, *this, name);
    } else {
      node = std::make_unique<Host>(env_, name);
    }
    return nodes_.emplace(NodeKey{name, kind}, std::move(node)).first->second.get();
  }

  void run() override { sweep(); }
  void sweep() {
    std::erase_if(followed_, [](const auto& f) { return !f.second->watched(); });
    // Services first: they let go of hosts.
    std::erase_if(nodes_, [](const auto& n) { return n.second->kind() == Kind::service && !n.second->used(); });
    std::erase_if(nodes_, [](const auto& n) { return !n.second->used(); });
  }

  Env env_;
  bool configured_ = false;
  std::map<NodeKey, std::unique_ptr<Node>> nodes_;
  std::map<TargetKey, std::unique_ptr<Followed>> followed_;   // dies before the nodes
};

Subscription::Subscription(std::unique_ptr<Watch> watch) : watch_(std::move(watch)) {}
Subscription::Subscription() = default;
Subscription::Subscription(Subscription&&) noexcept = default;
Subscription& Subscription::operator=(Subscription&&) noexcept = default;
Subscription::~Subscription() = default;
void Subscription::reset() { watch_.reset(); }
const Resolved& Subscription::resolved() const {
  CHECK(watch_ != nullptr);
  return watch_->followed->resolved();
}

Directory::Directory(net::Loop& loop, Queries& queries, std::uint64_t seed, Meter* meter)
    : impl_(std::make_unique<Impl>(loop, queries, seed, meter)) {}
Directory::~Directory() { CHECK(impl_->unused()); }

void Directory::configure(const DnsOptions& options) { impl_->configure(options); }

base::Result<Subscription> Directory::follow(const Target& target, Follower& follower) {
  auto watch = impl_->follow(target, follower);
  if (!watch) return std::unexpected(watch.error());
  return Subscription(std::move(*watch));
}

std::vector<NameStatus> Directory::status() const { return impl_->status(); }
std::vector<Directory::Gauges> Directory::gauges() const { return impl_->gauges(); }

}  // namespace sluice::dns

// Nodes: the names behind a Directory. A Host has A and AAAA entries; a Service has an SRV entry and uses the Hosts of
// its targets. Owned by the Directory, which drops a node at the end of a turn (run_later) in which nobody uses it any
// more: so nothing dies within its own upcall, and a name that is let go and taken up again in one turn keeps all it
// knows.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/list.h"
#include "dns/entry.h"
#include "dns/weights.h"

namespace sluice::dns {

class Node;
class Host;

// Who uses a node: a followed target, or a service its target's host. Leaves in its destructor.
class NodeUser : public base::ListHook<class NodeUserTag> {
 public:
  virtual void on_node(
      Node& node) = 0;  // something of it may have changed; at the loop; must not add or drop users of it

 protected:
  ~NodeUser() = default;
};

class Node {
 public:
  explicit Node(std::string name) : name_(std::move(name)) {}
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  virtual ~Node() = default;

  virtual Kind kind() const = 0;
  virtual RecordState state() const = 0;
  virtual bool tried() const = 0;  // the first round of lookups has ended
  virtual std::string trouble() const = 0;  // the last failure
  virtual base::Micros stale_for() const = 0;
  virtual base::Micros answered() const = 0;  // when the last answer with records arrived; 0 = never
  virtual std::size_t served() const = 0;  // addresses, or records of a service
  virtual std::vector<Endpoint> endpoints(std::uint16_t port) const = 0;  // sorted
  virtual std::vector<RecordStatus> records() const = 0;
  virtual void options_changed() = 0;

  const std::string& name() const { return name_; }
  const std::deque<Change>& history() const { return history_; }
  void attach(NodeUser& user) { users_.push_back(user); }
  bool used() const { return !users_.empty(); }
  std::uint32_t followers = 0;  // users that are followed targets

 protected:
  void remember(Entry& entry);
  void notify();

 private:
  const std::string name_;
  std::deque<Change> history_;
  base::List<NodeUser, NodeUserTag> users_;
};

class Host final : public Node, Entry::Owner {
 public:
  Host(Env& env, std::string name);

  Kind kind() const override { return Kind::address; }
  RecordState state() const override;
  bool tried() const override { return published_ || (a_.tried() && aaaa_.tried()); }
  std::string trouble() const override;
  base::Micros stale_for() const override { return std::max(a_.stale_for(), aaaa_.stale_for()); }
  base::Micros answered() const override { return std::max(a_.answered(), aaaa_.answered()); }
  std::size_t served() const override { return a_.addresses().size() + aaaa_.addresses().size(); }
  std::vector<Endpoint> endpoints(std::uint16_t port) const override;
  std::vector<RecordStatus> records() const override { return {a_.status(), aaaa_.status()}; }
  void options_changed() override;

  std::vector<net::Address> addresses() const;  // both families; none before the first publication

 private:
  void on_entry(Entry& entry) override;
  void on_wait_over();
  void end_hold(Entry& held, Entry& other);

  Env& env_;
  Entry a_, aaaa_;
  bool published_ = false;  // the first resolution is over
  net::Timer wait_{this, net::timer_call<&Host::on_wait_over>};
};

// Where a service finds the hosts of its targets.
class Hosts {
 public:
  virtual Host* find_or_make(const std::string& name) = 0;  // nullptr: names_max is reached
  virtual void sweep_later() = 0;  // a node may be unused now

 protected:
  ~Hosts() = default;
};

class Service final : public Node, Entry::Owner, net::Runnable {
 public:
  Service(Env& env, Hosts& hosts, std::string name);

  Kind kind() const override { return Kind::service; }
  RecordState state() const override;
  bool tried() const override;
  std::string trouble() const override;
  base::Micros stale_for() const override;
  base::Micros answered() const override { return srv_.answered(); }
  std::size_t served() const override { return served_.records.size(); }
  std::vector<Endpoint> endpoints(std::uint16_t port) const override;
  std::vector<RecordStatus> records() const override { return {srv_.status()}; }
  void options_changed() override { srv_.options_changed(); }

 private:
  struct Link final : NodeUser {
    Link(Service& owner, Host& target) : service(owner), host(target) { target.attach(*this); }
    void on_node(Node&) override { service.env_.loop.run_later(service); }
    Service& service;
    Host& host;
  };
  // SRV records and their targets' hosts, by name.
  struct Set {
    std::vector<ServiceRecord> records;
    std::vector<std::unique_ptr<Link>> links;
    const Host* find(const std::string& name) const;
    bool has_addresses() const;
    bool all_tried() const;
    bool nowhere() const;  // "." only: the service is not there (RFC 2782)
  };
  void on_entry(Entry& entry) override;
  void run() override;  // a target has changed; later, as links of its host may go
  void on_wait_over();
  void take(const std::vector<ServiceRecord>& records);
  void drop_next();
  void promote_if_due();
  void hold_next();

  Env& env_;
  Hosts& hosts_;
  Entry srv_;
  Set served_;
  std::unique_ptr<Set> next_;  // a newer answer whose targets are being resolved
  base::Micros next_since_;
  bool waited_ = false;  // targets_wait is over for next_
  bool holding_ = false;  // no target of next_ has an address, those of served_ have
  net::Timer wait_{this, net::timer_call<&Service::on_wait_over>};
};

}  // namespace sluice::dns

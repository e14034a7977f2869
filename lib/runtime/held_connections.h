// HeldConnections: connections of one worker that stand in a state for longer than every limit that rules it. No peer
// can bring that about: a clock of ours was lost, or whoever should have let go of it. Told of once each, and counted.
// Looks every ten seconds while there are clients.
//
// A client: before it has a session, its first head, idle, lingering. One with a request that is open is told of by
// that request (exchange/held_watch.h), a tunnel too. An upstream's: a connect beyond connect_timeout, an idle one
// beyond idle_timeout, one that is in use and that no request holds. One that is held by a request is told of by that
// one: it names upstream, endpoint and phase.
#pragma once

#include <cstddef>
#include <string_view>

#include "metrics/registry.h"
#include "net/loop.h"
#include "net/timer.h"
#include "upstream/cluster_impl.h"

namespace sluice::runtime {

class Client;
class Clients;

class HeldConnections {
 public:
  class User {  // the worker: the clusters that are in use
   public:
    virtual size_t live_clusters() const = 0;
    virtual upstream::ClusterImpl* live_cluster(size_t index) = 0;  // nullptr: it has gone

   protected:
    ~User() = default;
  };
  static constexpr base::Millis slack{10'000};  // beyond the limit: loops may be late, machines sleep
  static constexpr base::Millis look_every{10'000};
  static constexpr unsigned clients_most = 1'024;  // of a stage, oldest first, in one turn
  static constexpr size_t clusters_a_turn = 64;

  HeldConnections(net::Loop& loop, metrics::Registry& registry, unsigned worker, Clients& clients, User& user);
  HeldConnections(const HeldConnections&) = delete;
  HeldConnections& operator=(const HeldConnections&) = delete;

  void wake();  // a client has come
  bool looks() const { return timer_.armed(); }

 private:
  void on_timer();
  void look_at_clients();
  bool look_at_clusters();  // false: there are more
  void judge(Client& client);
  void tell(std::string_view side, std::string_view phase, std::string_view who, std::string_view peer,
            base::Micros age);

  net::Loop& loop_;
  metrics::Registry& registry_;
  unsigned worker_;
  Clients& clients_;
  User& user_;
  metrics::Gauge& oldest_client_;
  metrics::Gauge& oldest_upstream_;
  size_t next_cluster_ = 0;
  bool any_upstream_ = false;  // in this look
  base::Micros oldest_seen_{};  // in this look
  net::Timer timer_;
};

}  // namespace sluice::runtime

// WaitQueue: the requests of one upstream that wait for a connection in one worker, oldest first. A waiter is either
// dialled (a connection is being made for it; connect_timeout rules) or undialled (every cap is reached; its budget
// runs, and it counts towards max_waiting of the whole process). The cluster owns the queue; waiters are members of
// attempts and leave when they die.
#pragma once

#include "base/list.h"
#include "upstream/cluster.h"
#include "upstream/metrics.h"
#include "upstream/shared.h"

namespace sluice::upstream {

class WaitQueue {
 public:
  class User {
   public:
    virtual void on_queue_work() = 0;  // at the loop: deliver_refusals(), and look who waits now
    virtual void on_dial_orphaned(Connection& dial) = 0;  // the waiter it was made for is served, refused or gone

   protected:
    ~User() = default;
  };

  WaitQueue(net::Loop& loop, SharedUpstream& shared, UpstreamMetrics& metrics, User& user);
  WaitQueue(const WaitQueue&) = delete;
  WaitQueue& operator=(const WaitQueue&) = delete;
  ~WaitQueue();  // CHECKs that nobody waits

  // The waiter, which is out, joins at the end. `budget` > 0.
  void join_dialled(Waiter& waiter, const Want& want, http::Sink& sink, base::Millis budget, Connection& dial);
  // Refuses it with pool_full at `max_waiting`.
  void join_undialled(Waiter& waiter, const Want& want, http::Sink& sink, base::Millis budget,
                      std::uint32_t max_waiting);
  // A waiter that is in, or one that never joined. on_refused() follows at the loop.
  void refuse(Waiter& waiter, const http::Failure& why, const Endpoint* endpoint);
  // It is served: out.
  void take(Waiter& waiter) { leave(waiter); }
  void leave(Waiter& waiter);

  void set_dialled(Waiter& waiter, Connection& dial);  // undialled -> dialled
  void set_undialled(Waiter& waiter);  // dialled -> undialled; goes before the younger undialled ones

  bool empty() { return all_.empty(); }
  Waiter* front() { return all_.front(); }
  Waiter* next(Waiter& waiter) { return all_.next(waiter); }
  Waiter* front_undialled();
  Waiter* next_undialled(Waiter& waiter);

  void deliver_refusals();  // upcalls
  bool refusals_pending() { return !refused_.empty(); }
  void forget_endpoint(const Endpoint& endpoint);  // it is about to die: pending refusals no longer name it

 private:
  void enter(Waiter& waiter, const Want& want, http::Sink& sink, base::Millis budget);
  void count_in(Waiter& waiter);
  void count_out(Waiter& waiter);

  net::Loop& loop_;
  SharedUpstream& shared_;
  UpstreamMetrics& metrics_;
  User& user_;
  base::List<Waiter, WaitTag> all_;
  base::List<Waiter::Undialled, UndialledTag> undialled_;
  base::List<Waiter, WaitTag> refused_;
};

}  // namespace sluice::upstream

// WaitQueue: the requests of one upstream that wait for a connection in one worker: a lane for each priority, the
// oldest of a lane first. A free place goes to the highest lane that waits, but a lane that `passes` places in a row
// went past is next: nobody starves. At max_waiting a newcomer takes the place of the youngest of a lower lane. A
// waiter is either dialled (a connection is being made for it; connect_timeout rules) or undialled (every cap is
// reached; its budget runs, and it counts towards max_waiting of the whole process). The cluster owns the queue;
// waiters are members of attempts and leave when they die. Who takes a free place is decided here alone (next_for,
// place_all); the cluster says what the place is and never walks the queue.
//
// A queue that stands, grows, and holds more than can be served in time (Sojourn) is served newest first, and who
// waited longest is refused, of the lowest lane.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/list.h"
#include "upstream/class_queue.h"
#include "upstream/cluster.h"
#include "upstream/metrics.h"
#include "upstream/shared.h"
#include "upstream/sojourn.h"

namespace sluice::upstream {

// One free place, as the cluster describes it.
class Offer {
 public:
  // ready: a connection that takes a request now: for the dialled too, whose own connect then passes on. connect: one
  // that is being made, or for which a slot is kept: for the undialled.
  enum class Place : std::uint8_t { ready, connect };
  explicit Offer(Place place) : place_(place) {}
  Place place() const { return place_; }
  virtual bool suits(const Want& want) const = 0;  // pure: asked of any number of waiters

 protected:
  ~Offer() = default;

 private:
  Place place_;
};

class WaitQueue {
 public:
  static constexpr std::uint32_t passes = 9;  // of 10 places; the tenth is for who was passed over

  // How a waiter's turn went. upcalled: it was served, and its upcall may have changed the queue; settled: it has a
  // connect now, or a refusal under way; full: it waits on.
  enum class Turn : std::uint8_t { upcalled, settled, full };

  class User {
   public:
    virtual void on_queue_work() = 0;  // at the loop: deliver_refusals(), and look who waits now
    virtual Turn on_turn(Waiter& waiter) = 0;  // of place_all(): find it a connection, or room for one
    virtual bool over_share(const Want& want) = 0;  // its client has all that one may have while others wait
    virtual bool lacks_ports() = 0;  // there is room for connections, but no local port for one
    virtual void on_dial_orphaned(Connection& dial) = 0;  // the waiter it was made for is served, refused or gone

   protected:
    ~User() = default;
  };

  WaitQueue(net::Loop& loop, SharedUpstream& shared, UpstreamMetrics& metrics, User& user);
  WaitQueue(const WaitQueue&) = delete;
  WaitQueue& operator=(const WaitQueue&) = delete;
  ~WaitQueue();  // CHECKs that nobody waits

  // Before it is placed or joins: one more in flight (Circuit). Refuses it if `limit` are. A replay was let in before.
  bool enter_circuit(Waiter& waiter, const Want& want, std::uint32_t limit);
  static Circuit::Pass take_pass(Waiter& waiter) { return std::move(waiter.pass_); }  // for its Lease
  // The waiter, which is out, joins at the end of its lane. `budget` > 0.
  void join_dialled(Waiter& waiter, const Want& want, http::Sink& sink, base::Millis budget, Connection& dial);
  // The waiter asks (anew).
  static void asks(Waiter& waiter) { waiter.refused_as_ = {}; }
  static bool in_class(const Waiter& waiter) { return static_cast<bool>(waiter.class_pass_); }
  // It waits for a place of its class, apart from all others. At `max_waiting` of the class as join_undialled().
  void park(Waiter& waiter, const Want& want, http::Sink& sink, base::Millis budget, ClassQueue& of,
            std::uint32_t max_waiting);
  void admit(Waiter& waiter);  // one that is parked: it has its place, and joins the end of its lane, undialled
  static base::Micros asked(const Waiter& waiter) { return waiter.asked_; }
  // At `max_waiting` refuses with pool_full: the youngest of the lowest lane below its own (a replay stays), or itself.
  void join_undialled(Waiter& waiter, const Want& want, http::Sink& sink, base::Millis budget,
                      std::uint32_t max_waiting);
  void configure(const PoolOptions& pool);  // queue_target, queue_interval
  // A waiter that is in, or one that never joined. on_refused() follows at the loop.
  void refuse(Waiter& waiter, const http::Failure& why, const Endpoint* endpoint);
  // The connect that was made for it failed.
  void refuse_dialled(Waiter& waiter, const http::Failure& why, const Endpoint& endpoint);
  // It is served by `with`: out.
  void take(Waiter& waiter, const Connection* with);
  void leave(Waiter& waiter);
  void give_up(Waiter& waiter);  // leaves of its own: whoever waits for it is gone
  // It has waited, and its wait is over: in that histogram goes how long it did at the caps, if at all.
  void count_wait(const Waiter& waiter, metrics::Histogram& in) const;
  void note_lost(const Waiter& waiter);  // it is about to leave without a place, as its time is over

  void set_dialled(Waiter& waiter, Connection& dial);  // undialled -> dialled
  void set_undialled(Waiter& waiter);  // dialled -> undialled; goes before the younger undialled ones

  // Who takes that place: of the lane whose turn it is, the oldest (newest if the queue stands) whom it suits and who
  // is not past its time; nullptr: nobody. It stays in until take() or set_dialled().
  Waiter* next_for(const Offer& offer);
  // Gives every undialled waiter its turn, until one that takes any connection found none.
  void place_all();
  // An idle connection was closed so that a fresh one for it fits below the cap: once is enough.
  static bool made_room(const Waiter& waiter) { return waiter.made_room_; }
  static void note_room_made(Waiter& waiter) { waiter.made_room_ = true; }
  // Why it got none in time. Not `untouched` where ports are lacking: another try would wait for the same.
  http::Failure no_place() {
    const bool ports = user_.lacks_ports();
    return {ports ? http::Kind::no_local_port : http::Kind::pool_timeout, http::Where::proxy, http::Detail::none,
            !ports};
  }

  bool empty() const;  // but for those that are parked
  bool anyone_parked() const { return parked_ != 0; }
  bool anyone_undialled() { return first_undialled() != nullptr; }
  std::optional<base::Micros> undialled_since();  // of the oldest in the highest lane that waits; empty: nobody does
  std::uint32_t count_undialled(std::uint32_t at_most);
  // How long the queue has waited for what `waiter` takes: another worker's may have waited longer.
  base::Micros claims_since(const Waiter& waiter);

  void deliver_refusals();  // upcalls
  bool refusals_pending() { return !refused_.empty(); }
  void forget_endpoint(const Endpoint& endpoint);  // it is about to die: pending refusals no longer name it

 private:
  void begin(Waiter& waiter, const Want& want, http::Sink& sink, base::Millis budget);
  void enter(Waiter& waiter, const Want& want, http::Sink& sink, base::Millis budget);
  void unpark(Waiter& waiter);
  void begin_dial(Waiter& waiter, Connection& dial);
  void end_dial(Waiter& waiter);
  void count_in(Waiter& waiter);
  void count_out(Waiter& waiter);
  struct Queue {
    base::List<Waiter, WaitTag> all;
    base::List<Waiter::Undialled, UndialledTag> undialled;
    std::uint32_t passed_over = 0;  // places that went to a higher lane since this one had its last, while it waits
  };
  Queue& queue_of(const Waiter& waiter) { return lanes_[static_cast<unsigned>(waiter.want_.lane)]; }
  Queue* due();  // the highest that was passed over often enough
  // Who has more than its share waits until nobody else does.
  enum class Share : std::uint8_t { kept, ignored };
  bool has_turn(const Waiter& waiter, Share share);
  Waiter* next_by(const Offer& offer, Share share);
  Waiter* first_in(Queue& queue, const Offer& offer, Share share);
  bool share_matters();
  Waiter* youngest_over_share();
  Waiter::Undialled* first_of(Queue& queue) const;  // whose turn is first
  Waiter::Undialled* next_of(Queue& queue, Waiter::Undialled& one) const;
  std::optional<base::Micros> oldest();  // of any lane
  void shed();
  Waiter* oldest_from_below(http::Lane lane);
  void count_turn(const Waiter& served);
  Waiter* youngest_below(http::Lane lane);
  Waiter* first_undialled();
  Waiter* next_undialled(Waiter& waiter);  // its own lane, then the lower ones
  enum class Placed : std::uint8_t { all, some, full, upcalled };  // some: who is over its share was not asked
  Placed place_some(Share share);

  net::Loop& loop_;
  SharedUpstream& shared_;
  UpstreamMetrics& metrics_;
  User& user_;
  std::array<Queue, http::lanes> lanes_;
  std::uint32_t undialled_ = 0;
  std::uint32_t parked_ = 0;
  Sojourn sojourn_;
  bool saw_within_share_ = false;  // of the last walk
  bool saw_over_share_ = false;
  base::Micros all_over_share_{-1};  // when all that wait were found to be; negative: not so
  base::List<Waiter, WaitTag> refused_;
};

}  // namespace sluice::upstream

// The queue alone: offers that the test makes up, waiters that nobody dials for.
#include "upstream/queue.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "fakes.h"

namespace {

using namespace sluice;
using namespace sluice::upstream;
using fakes::Request;

// A place for whoever can do with a used connection, or for everybody.
class Made final : public Offer {
 public:
  enum class Connection : std::uint8_t { fresh, used };
  Made(Place place, Connection connection) : Offer(place), connection_(connection) {}
  bool suits(const Want& want) const override { return connection_ == Connection::fresh || !want.fresh; }

 private:
  Connection connection_;
};

const Made fresh_ready{Offer::Place::ready, Made::Connection::fresh};
const Made used_ready{Offer::Place::ready, Made::Connection::used};
const Made fresh_connect{Offer::Place::connect, Made::Connection::fresh};

struct Room : WaitQueue::User {
  void on_queue_work() override { ++works; }
  WaitQueue::Turn on_turn(Waiter& waiter) override {
    turns.push_back(&static_cast<Request&>(waiter));
    if (places == 0) return WaitQueue::Turn::full;
    --places;
    queue.refuse(waiter, {http::Kind::no_endpoint, http::Where::proxy, http::Detail::none, true}, nullptr);
    return WaitQueue::Turn::settled;
  }
  bool lacks_ports() override { return false; }
  bool over_share(const Want& want) override { return std::ranges::find(over, want.client_mark) != over.end(); }
  void on_dial_orphaned(Connection&) override { FAIL("nobody was dialled for"); }

  Request& join(const Want& want = {}, base::Millis budget = base::Millis{1'000}, std::uint32_t most = 1'000) {
    made.push_back(std::make_unique<Request>(sim.now()));
    Request& r = *made.back();
    r.lane = want.lane;
    queue.join_undialled(r, want, r, budget, most);
    return r;
  }
  // As the cluster serves: a grant that holds nothing.
  Request* serve(const Offer& offer) {
    Waiter* const w = queue.next_for(offer);
    if (w == nullptr) return nullptr;
    queue.take(*w, nullptr);
    w->on_stream(Grant{});
    return &static_cast<Request&>(*w);
  }

  support::SimLoop sim;
  metrics::Registry registry{1};
  SharedUpstream shared{"app", 1};
  UpstreamMetrics metrics{registry, "app", 0};
  std::vector<std::unique_ptr<Request>> made;
  WaitQueue queue{sim.loop(), shared, metrics, *this};
  std::vector<Request*> turns;
  std::uint32_t places = 0;
  std::vector<std::uint32_t> over;  // their share
  int works = 0;

  ~Room() { made.clear(); }  // waiters leave before their queue dies
};

constexpr Want wants_fresh{.fresh = true};

TEST_CASE("a free place goes to the oldest whom it suits; nobody is asked to take what does not suit") {
  Room q;
  Request& a = q.join(wants_fresh);
  Request& b = q.join();
  Request& c = q.join(wants_fresh);
  CHECK(q.serve(used_ready) == &b);
  CHECK(q.serve(used_ready) == nullptr);
  CHECK(q.serve(fresh_ready) == &a);
  CHECK(q.serve(fresh_connect) == &c);
  CHECK(q.serve(fresh_ready) == nullptr);
  CHECK(q.queue.empty());
}

TEST_CASE("who was told the next stays in until it is taken") {
  Room q;
  Request& a = q.join();
  CHECK(q.queue.next_for(fresh_ready) == &a);
  CHECK(q.queue.next_for(fresh_ready) == &a);
  CHECK(q.shared.waiting() == 1);
}

TEST_CASE("who left is never offered anything") {
  Room q;
  Request& a = q.join();
  Request& b = q.join();
  Request& c = q.join();
  b.unlink();
  a.unlink();
  CHECK(q.serve(fresh_connect) == &c);
  CHECK(q.serve(fresh_connect) == nullptr);
  CHECK(a.upcalls + b.upcalls == 0);
}

TEST_CASE("whose budget is over is refused and never offered anything") {
  Room q;
  Request& a = q.join({}, base::Millis{10});
  Request& b = q.join({}, base::Millis{20});
  q.sim.run_for(base::millis(15));
  CHECK(q.serve(fresh_ready) == &b);
  CHECK(q.serve(fresh_ready) == nullptr);
  q.queue.deliver_refusals();
  CHECK(a.refused.kind == http::Kind::pool_timeout);
  CHECK(a.upcalls == 1);
}

TEST_CASE("turns: in order of age, to the first that takes any connection and finds none") {
  Room q;
  Request& a = q.join(wants_fresh);
  Request& b = q.join();
  Request& c = q.join();
  q.queue.place_all();
  CHECK(q.turns == std::vector<Request*>{&a, &b});  // what a could not have, b may; what b could not, nobody may
  q.turns.clear();
  q.places = 2;
  q.queue.place_all();
  CHECK(q.turns == std::vector<Request*>{&a, &b, &c});
  CHECK(q.queue.next_for(fresh_connect) == &c);
  q.queue.deliver_refusals();
}

TEST_CASE("whatever comes and goes, each is served or refused once, in order, or still waits") {
  Room q;
  Random random(11);
  std::vector<Request*> waiting;
  const auto forget = [&waiting](Request* r) { std::erase(waiting, r); };
  for (int step = 0; step < 5'000; ++step) {
    switch (random.below(5)) {
      case 0:
      case 1: waiting.push_back(&q.join(random.below(3) == 0 ? wants_fresh : Want{}, base::Millis{30})); break;
      case 2: {
        const Offer& offer = random.below(2) == 0 ? used_ready : fresh_ready;
        const auto due = std::ranges::find_if(waiting, [&](Request* r) { return offer.suits(r->want()); });
        Request* const expected = due == waiting.end() ? nullptr : *due;
        CHECK(q.serve(offer) == expected);
        forget(expected);
        break;
      }
      case 3:
        if (waiting.empty()) break;
        {
          Request* const r = waiting[random.below(static_cast<std::uint32_t>(waiting.size()))];
          r->unlink();
          forget(r);
        }
        break;
      default:
        q.sim.run_for(base::millis(7));
        q.queue.deliver_refusals();
        std::erase_if(waiting, [](Request* r) { return !r->refused.clean(); });
    }
    CHECK(q.shared.waiting() == waiting.size());
    CHECK(q.queue.count_undialled(~0u) == waiting.size());
    CHECK(q.queue.undialled_since().has_value() == !waiting.empty());
  }
  for (const auto& r : q.made) CHECK(r->upcalls <= 1);
}

constexpr Want in(http::Lane lane) { return Want{.lane = lane}; }
constexpr Want high = in(http::Lane::high);
constexpr Want normal = in(http::Lane::normal);
constexpr Want low = in(http::Lane::low);

TEST_CASE("lanes: a free place goes to the highest that waits, the oldest of it first") {
  Room q;
  Request& a = q.join(low);
  Request& b = q.join(normal);
  Request& c = q.join(high);
  Request& d = q.join(high);
  Request& e = q.join(normal);
  CHECK(q.queue.count_undialled(~0u) == 5);
  for (Request* const next : {&c, &d, &b, &e, &a}) CHECK(q.serve(fresh_ready) == next);
  CHECK(q.queue.empty());
}

TEST_CASE("lanes: what suits nobody of the highest goes to a lower one") {
  Room q;
  Request& a = q.join(low);
  Request& b = q.join(Want{.fresh = true, .lane = http::Lane::high});
  CHECK(q.serve(used_ready) == &a);
  CHECK(q.serve(used_ready) == nullptr);
  CHECK(q.serve(fresh_connect) == &b);
}

TEST_CASE("lanes: who was passed over 9 times is next, so that nobody starves") {
  Room q;
  std::vector<http::Lane> served;
  for (int i = 0; i < 40; ++i) {
    q.join(high);
    q.join(normal);
    q.join(low);
  }
  for (int i = 0; i < 33; ++i) served.push_back(q.serve(fresh_ready)->lane);
  for (int i = 0; i < 33; ++i) {
    CAPTURE(i);
    const int at = i % 11;  // 9 for the highest, and one each for the others
    CHECK(served[i] == (at == 9 ? http::Lane::normal : at == 10 ? http::Lane::low : http::Lane::high));
  }
}

TEST_CASE("lanes: what was passed over while nobody of the lane waited does not count") {
  Room q;
  q.join(low).unlink();
  for (int i = 0; i < 20; ++i) {
    q.join(high);
    CHECK(q.serve(fresh_ready)->lane == http::Lane::high);
  }
  Request& late = q.join(low);
  for (int i = 0; i < 9; ++i) {
    q.join(high);
    CHECK(q.serve(fresh_ready)->lane == http::Lane::high);
  }
  q.join(high);
  CHECK(q.serve(fresh_ready) == &late);
}

TEST_CASE("lanes: who was passed over and left hands no turn on to the next of its lane") {
  Room q;
  Request& gone = q.join(low);
  for (int i = 0; i < 9; ++i) {
    q.join(high);
    q.serve(fresh_ready);
  }
  gone.unlink();
  q.join(low);
  Request& first = q.join(high);
  CHECK(q.serve(fresh_ready) == &first);
}

TEST_CASE("lanes: turns by lane; the one that is due has one first") {
  Room q;
  Request& a = q.join(low);
  Request& b = q.join(low);
  Request& c = q.join(high);
  q.places = 3;
  q.queue.place_all();
  CHECK(q.turns == std::vector<Request*>{&c, &a, &b});
  q.turns.clear();
  Request& d = q.join(low);
  Request& e = q.join(low);
  for (int i = 0; i < 9; ++i) {
    q.join(high);
    q.serve(fresh_ready);
  }
  Request& f = q.join(high);
  q.places = 3;
  q.queue.place_all();
  CHECK(q.turns == std::vector<Request*>{&d, &f, &e});
  q.queue.deliver_refusals();
}

TEST_CASE("at max_waiting the youngest of the lowest lane below the newcomer's gives way; the count stays exact") {
  Room q;
  constexpr base::Millis long_enough{1'000};
  Request& a = q.join(low, long_enough, 4);
  Request& b = q.join(low, long_enough, 4);
  Request& c = q.join(normal, long_enough, 4);
  Request& replay = q.join(Want{.fresh = true, .lane = http::Lane::low}, long_enough, 4);
  Request& d = q.join(low, long_enough, 4);  // one too many, and nobody is below it
  Request& e = q.join(high, long_enough, 4);
  Request& f = q.join(normal, long_enough, 4);
  Request& g = q.join(normal, long_enough, 4);  // only a replay is below it now
  Request& h = q.join(high, long_enough, 4);
  q.queue.deliver_refusals();
  for (Request* const out : {&b, &d, &a, &g, &f}) CHECK(out->refused.kind == http::Kind::pool_full);
  for (Request* const in : {&replay, &c, &e, &h}) CHECK(in->upcalls == 0);
  CHECK(q.shared.waiting() == 4);
  for (Request* const next : {&e, &h, &c, &replay}) CHECK(q.serve(fresh_ready) == next);
  CHECK(q.shared.waiting() == 0);
}

// A queue of 5 low ones, then 60 others, that stands for 150 ms, in which nobody is served.
struct Standing : Room {
  explicit Standing(const PoolOptions& options = {}) {
    queue.configure(options);
    for (int i = 0; i < 5; ++i) lows.push_back(&join(low));
    for (int i = 0; i < 60; ++i) normals.push_back(&join(normal));
    sim.run_for(base::millis(150));
  }
  std::vector<Request*> lows;
  std::vector<Request*> normals;
};

TEST_CASE("a queue that stands and grows: the excess is shed, the oldest of the lowest lane first") {
  Standing q;
  std::vector<Request*> added;
  for (int i = 0; i < 7; ++i) added.push_back(&q.join(i == 3 ? high : normal));
  CHECK(q.shared.waiting() == Sojourn::kept_least);
  q.queue.deliver_refusals();
  for (Request* const r : q.lows) CHECK(r->refused.kind == http::Kind::pool_timeout);
  for (int i = 0; i < 60; ++i) CHECK(q.normals[i]->upcalls == (i < 3 ? 1 : 0));
  for (Request* const r : added) CHECK(r->upcalls == 0);
  CHECK(q.registry.collect(metrics::Name::upstream_pool_shed_total)[0].value == 8);
  CHECK(q.registry.collect(metrics::Name::upstream_pool_timeouts_total)[0].value == 8);
}

TEST_CASE("while it stands the newest is next, in its lane; calm again, the oldest") {
  Standing q;
  Request& last_high = q.join(high);
  Request& normal_one = q.join(normal);
  Request& normal_two = q.join(normal);
  CHECK(q.queue.claims_since(normal_two) == q.normals[0]->since());
  CHECK(q.serve(fresh_ready) == &last_high);
  CHECK(q.serve(fresh_connect) == &normal_two);
  q.places = 1;
  q.queue.place_all();
  CHECK(q.turns.front() == &normal_one);
  while (q.serve(fresh_ready) != nullptr) {
  }
  Request& first = q.join(normal);
  q.join(normal);
  CHECK(q.serve(fresh_ready) == &first);
  q.queue.deliver_refusals();
}

TEST_CASE("while it stands a newcomer at max_waiting pushes out the oldest of its own lane or a lower one") {
  Standing q;
  Request& last = q.join(normal, base::Millis{1'000}, 66);  // 65 waited: two of the low ones are shed
  Request& more = q.join(normal, base::Millis{1'000}, 64);
  q.queue.deliver_refusals();
  CHECK(q.lows[2]->refused.kind == http::Kind::pool_full);
  CHECK(last.upcalls == 0);
  CHECK(more.upcalls == 0);
  CHECK(q.shared.waiting() == 64);
}

TEST_CASE("with queue_target 0 nobody is shed, and the oldest is next") {
  Standing q(PoolOptions{.queue_target = base::millis(0)});
  for (int i = 0; i < 20; ++i) q.join(normal);
  CHECK(q.shared.waiting() == 85);
  CHECK(q.serve(fresh_ready) == q.normals[0]);
}

TEST_CASE("who is past its time is offered nothing, waits on for its owner, and holds nobody up") {
  Room q;
  Request& late = q.join(Want{.until = q.sim.now() + base::millis(10)});
  Request& in_time = q.join(Want{.until = q.sim.now() + base::millis(50)});
  Request& any = q.join();
  q.sim.run_for(base::millis(10));
  CHECK(q.queue.next_for(fresh_ready) == &in_time);
  CHECK(q.queue.next_for(fresh_connect) == &in_time);
  q.queue.place_all();
  CHECK(q.turns == std::vector<Request*>{&in_time});
  in_time.set_until(q.sim.now());
  CHECK(q.serve(fresh_ready) == &any);
  CHECK(q.serve(fresh_ready) == nullptr);
  CHECK(q.shared.waiting() == 2);
  CHECK(late.upcalls + in_time.upcalls == 0);
}

TEST_CASE("past its time: nothing that is free is taken, nor what was dialled for it") {
  for (const bool single : {false, true}) {
    CAPTURE(single);
    fakes::World w;
    if (single) w.options->proxy_protocol = net::ProxyProtocolOut::v1;
    w.some_endpoints(1);
    w.start();
    w.connectors[0]->answer = [](const SharedEndpoint&) { return fakes::Answer::hang; };
    Request& r = w.ask(0, Want{.until = w.sim.now() + base::millis(10)});
    w.sim.settle();
    w.sim.run_for(base::millis(20));
    REQUIRE(w.connectors[0]->hanging.size() == 1);
    w.connectors[0]->hanging.front()->succeed();
    w.sim.run_for(base::millis(20));
    CHECK_FALSE(r.served());
    Request& late = w.ask(0, Want{.until = w.sim.now()});
    w.sim.settle();
    CHECK_FALSE(late.served());
    CHECK(late.upcalls == 0);
    w.sim.run_for(base::millis(2'000));
    CHECK(r.refused.kind == http::Kind::pool_timeout);
    CHECK(late.refused.kind == http::Kind::pool_timeout);
  }
}

constexpr Want of(std::uint32_t client) { return Want{.client_mark = client}; }

TEST_CASE("who is over its share has its turn when nobody else waits, in any lane; then in order") {
  Room q;
  q.over = {7};
  Request& a = q.join(Want{.lane = http::Lane::high, .client_mark = 7});
  Request& b = q.join(of(7));
  Request& c = q.join(of(8));
  Request& d = q.join(Want{.lane = http::Lane::low, .client_mark = 9});
  for (Request* const next : {&c, &d, &a, &b}) CHECK(q.serve(fresh_ready) == next);
  q.join(of(7));
  CHECK(q.serve(fresh_connect) != nullptr);
  q.join(of(7));
  Request& e = q.join(of(8));  // is seen at once, though all that waited a moment ago were over theirs
  CHECK(q.serve(fresh_connect) == &e);
}

TEST_CASE("turns: who is over its share has its own after the others") {
  Room q;
  q.over = {7};
  Request& a = q.join(of(7));
  Request& b = q.join(of(8));
  q.places = 1;
  q.queue.place_all();
  CHECK(q.turns == std::vector<Request*>{&b, &a});
  q.queue.deliver_refusals();
}

TEST_CASE("at max_waiting the youngest that is over its share gives way to one that is not, and to no other") {
  Room q;
  q.over = {7};
  constexpr base::Millis long_enough{1'000};
  Request& a = q.join(of(7), long_enough, 2);
  Request& b = q.join(of(7), long_enough, 2);
  Request& c = q.join(of(7), long_enough, 2);
  Request& d = q.join(of(8), long_enough, 2);
  q.queue.deliver_refusals();
  CHECK(c.refused.kind == http::Kind::pool_full);
  CHECK(b.refused.kind == http::Kind::pool_full);
  CHECK(a.upcalls + d.upcalls == 0);
  CHECK(q.shared.waiting() == 2);
}

}  // namespace

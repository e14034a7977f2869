// The balancer: shares by weight, least load, what is set aside or down, panic, and a cost that does not grow.
#include "upstream/balancer.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

namespace {

using namespace sluice;
using namespace sluice::upstream;

constexpr base::Micros now{10'000'000};

struct Field {
  explicit Field(const std::vector<std::uint32_t>& weights, Balance kind, std::uint64_t seed = 1)
      : balancer(seed, shared.turns()) {
    std::vector<EndpointSpec> specs;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const std::string name = "10." + std::to_string(i / 62'500) + "." + std::to_string(i / 250 % 250) + "." +
                               std::to_string(i % 250) + ":80";
      specs.push_back(EndpointSpec{name, *net::Address::parse(name), weights[i]});
    }
    set = shared.set_endpoints(specs, 50, Newcomers::at_full_weight, {}, kind);
    balancer.use(set, base::Millis{0});
  }
  SharedEndpoint& at(std::size_t i) { return *set->entries[i].endpoint; }
  // `failed`: by index, in the order of the failures.
  std::uint32_t pick(const std::vector<std::uint32_t>& failed = {}) {
    AvoidList avoid;
    for (const std::uint32_t i : failed) avoid.add(at(i).id());
    return balancer.pick({now, shared.panic(), &avoid});
  }
  std::vector<int> picks(int n) {
    std::vector<int> counts(set->entries.size());
    for (int i = 0; i < n; ++i) ++counts[pick()];
    return counts;
  }
  void set_aside(std::size_t i) { REQUIRE(at(i).connect_failed(now, SharedEndpoint::Trial::no)); }

  SharedUpstream shared{"app", 1};
  EndpointSetPtr set;
  Balancer balancer;
};

TEST_CASE("the alias table draws by weight") {
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    CAPTURE(seed);
    Random random(seed);
    AliasTable table;
    table.build({1, 2, 3, 10});
    std::vector<int> counts(4);
    for (int i = 0; i < 160'000; ++i) ++counts[table.draw(random)];
    CHECK(counts[0] == doctest::Approx(10'000).epsilon(0.05));
    CHECK(counts[1] == doctest::Approx(20'000).epsilon(0.05));
    CHECK(counts[2] == doctest::Approx(30'000).epsilon(0.05));
    CHECK(counts[3] == doctest::Approx(100'000).epsilon(0.03));
  }
}

TEST_CASE("p2c without load shares by weight; with load takes the lighter per weight") {
  Field f({1, 1, 2}, Balance::p2c);
  const std::vector<int> idle = f.picks(40'000);
  CHECK(idle[0] == doctest::Approx(10'000).epsilon(0.06));
  CHECK(idle[2] == doctest::Approx(20'000).epsilon(0.06));

  Field two({1, 1}, Balance::p2c);
  two.at(0).begin_request();
  CHECK(two.picks(1'000)[0] == 0);       // two distinct ones are always compared
  two.at(1).begin_request();
  two.at(1).begin_request();
  CHECK(two.picks(1'000)[1] == 0);
  for (int i = 0; i < 1; ++i) two.at(0).end_request();
  for (int i = 0; i < 2; ++i) two.at(1).end_request();

  Field weighted({1, 4}, Balance::p2c);  // 3 in flight on weight 4 weigh less than 1 on weight 1
  weighted.at(0).begin_request();
  for (int i = 0; i < 3; ++i) weighted.at(1).begin_request();
  CHECK(weighted.picks(1'000)[0] == 0);
  for (int i = 0; i < 2; ++i) weighted.at(1).begin_request();
  CHECK(weighted.picks(1'000)[1] == 0);
}

TEST_CASE("connects under way count as load") {
  Field f({1, 1}, Balance::p2c);
  f.at(1).begin_connect();
  CHECK(f.picks(200)[1] == 0);
  f.at(1).end_connect();
}

TEST_CASE("p2c keeps the load even when requests take long") {
  Field f(std::vector<std::uint32_t>(20, 1), Balance::p2c);
  for (int i = 0; i < 2'000; ++i) f.at(f.pick()).begin_request();
  for (std::size_t i = 0; i < 20; ++i) {
    CHECK(f.at(i).in_flight() >= 95);
    CHECK(f.at(i).in_flight() <= 105);
  }
}

TEST_CASE("round robin interleaves by weight, evenly") {
  CHECK(interleave({1, 1, 1}) == std::vector<std::uint32_t>{0, 1, 2});
  CHECK(interleave({2, 2}) == std::vector<std::uint32_t>{0, 1});          // the common divisor goes
  CHECK(interleave({2, 1}) == std::vector<std::uint32_t>{0, 1, 0});
  const std::vector<std::uint32_t> unequal = interleave({65'535, 1});
  CHECK(unequal.size() <= sequence_longest + 2);
  CHECK(std::count(unequal.begin(), unequal.end(), 1u) == 1);             // nobody is rounded away
  CHECK(interleave(std::vector<std::uint32_t>(1'000, 7)).size() == 1'000);

  Field f({3, 1}, Balance::round_robin);
  CHECK(f.picks(400) == std::vector<int>{300, 100});
  Field even({1, 1, 1}, Balance::round_robin);
  std::map<std::uint32_t, int> seen;
  for (int i = 0; i < 3; ++i) ++seen[even.pick()];
  CHECK(seen.size() == 3);                                                // each once a round
}

// One upstream under round_robin, as several workers see it.
struct Workers {
  Workers(const std::vector<std::uint32_t>& weights, std::uint32_t n) : field(weights, Balance::round_robin) {
    for (std::uint32_t w = 0; w < n; ++w) {
      each.emplace_back(100 + w, field.shared.turns());
      each.back().use(field.set, base::Millis{0});
    }
  }
  std::uint32_t pick(std::uint32_t worker) { return each[worker].pick({now, field.shared.panic()}); }
  // By workers drawn at random.
  std::vector<int> picks(int n) {
    std::vector<int> counts(field.set->entries.size());
    for (int i = 0; i < n; ++i) ++counts[pick(drawn.below(static_cast<std::uint32_t>(each.size())))];
    return counts;
  }

  Field field;
  Random drawn{5};
  std::vector<Balancer> each;
};

TEST_CASE("round robin takes turns over all workers: three requests meet three endpoints, whoever has them") {
  Workers w({1, 1, 1}, 3);
  for (std::uint32_t who = 0; who < 27; ++who) {
    CAPTURE(who);
    std::map<std::uint32_t, int> seen;
    for (const std::uint32_t worker : {who % 3, who / 3 % 3, who / 9}) ++seen[w.pick(worker)];
    CHECK(seen.size() == 3);
  }
}

TEST_CASE("round robin over several workers keeps weights, and shares what a dead endpoint leaves") {
  CHECK(Workers({3, 1}, 4).picks(400) == std::vector<int>{300, 100});

  Workers down({1, 1, 1}, 4);
  down.field.shared.set_health(down.field.at(0), Health::down);
  CHECK(down.picks(300) == std::vector<int>{0, 150, 150});   // its neighbour in the sequence does not take all of it
  down.field.shared.set_health(down.field.at(0), Health::up);
  CHECK(down.picks(300) == std::vector<int>{100, 100, 100});
}

TEST_CASE("round robin goes on over changes of the set: a new answer does not begin again with the first") {
  Workers w({1, 1, 1}, 2);
  std::map<std::uint32_t, int> seen;
  for (std::uint32_t i = 0; i < 3; ++i) {
    ++seen[w.pick(i % 2)];
    for (Balancer& b : w.each) b.use(w.field.set, base::Millis{0});
  }
  CHECK(seen.size() == 3);
}

TEST_CASE("round robin begins where its upstream says, and loses no turn among threads") {
  SharedUpstream fourth("app", 1, 4);
  CHECK(fourth.turns().take() == 4);
  CHECK(fourth.turns().take() == 5);

  Workers w({1, 1, 1}, 3);
  std::vector<std::vector<int>> counts(3, std::vector<int>(3));
  std::vector<std::thread> threads;
  for (std::uint32_t worker = 0; worker < 3; ++worker) {
    threads.emplace_back([&w, &mine = counts[worker], worker] {
      for (int i = 0; i < 10'000; ++i) ++mine[w.pick(worker)];
    });
  }
  for (std::thread& t : threads) t.join();
  for (std::size_t i = 0; i < 3; ++i) CHECK(counts[0][i] + counts[1][i] + counts[2][i] == 10'000);
}

TEST_CASE("least_requests looks at all of a few, and spreads ties") {
  Field f(std::vector<std::uint32_t>(10, 1), Balance::least_requests);
  for (std::size_t i = 0; i < 10; ++i) {
    if (i != 6) f.at(i).begin_request();
  }
  for (int i = 0; i < 100; ++i) CHECK(f.pick() == 6);
  f.at(6).begin_request();
  const std::vector<int> tied = f.picks(10'000);
  for (const int n : tied) CHECK(n > 700);

  Field many(std::vector<std::uint32_t>(200, 1), Balance::least_requests);
  for (int i = 0; i < 4'000; ++i) many.at(many.pick()).begin_request();
  for (std::size_t i = 0; i < 200; ++i) {
    CHECK(many.at(i).in_flight() >= 18);
    CHECK(many.at(i).in_flight() <= 22);
  }
}

TEST_CASE("what is down, set aside or avoided is passed over while there is another") {
  for (const Balance kind : {Balance::p2c, Balance::p2c_ewma, Balance::round_robin, Balance::least_requests}) {
    CAPTURE(static_cast<int>(kind));
    Field f({1, 1, 1}, kind);
    f.shared.set_health(f.at(0), Health::down);
    CHECK(f.picks(300)[0] == 0);
    f.set_aside(1);
    CHECK(f.picks(300) == std::vector<int>{0, 0, 300});
    for (int i = 0; i < 50; ++i) CHECK(f.pick({2}) == 2);   // avoided, but the only usable one that is not set aside
    f.set_aside(2);
    for (int i = 0; i < 50; ++i) CHECK(f.pick({2}) == 1);   // both set aside: the other than the one to avoid
    for (int i = 0; i < 50; ++i) CHECK(f.pick() != 0);
  }
}

TEST_CASE("what has failed is passed over, however many; when all have, the one that failed longest ago is next") {
  for (const Balance kind :
       {Balance::p2c, Balance::p2c_ewma, Balance::round_robin, Balance::least_requests, Balance::ring_hash}) {
    CAPTURE(static_cast<int>(kind));
    Field f({1, 100, 1, 100}, kind);
    for (int i = 0; i < 50; ++i) {
      CHECK(f.pick({1, 0, 3}) == 2);
      CHECK(f.pick({2, 1, 3}) == 0);
      CHECK(f.pick({3, 1, 0, 2}) == 3);
      CHECK(f.pick({3, 1, 0, 2, 3}) == 1);  // tried again: it is the last one now
    }
    f.set_aside(2);
    for (int i = 0; i < 50; ++i) {
      CHECK(f.pick({3, 1, 0}) == 3);   // rather than one that is set aside
      CHECK(f.pick({2, 3, 1, 0}) == 3);
    }
    for (const std::size_t i : {0u, 1u, 3u}) f.shared.set_health(f.at(i), Health::down);
    if (!f.shared.panic()) CHECK(f.pick({2}) == 2);
  }
}

TEST_CASE("an avoid-list holds as many as tries can fail; above that the oldest is forgotten") {
  AvoidList list;
  CHECK(list.empty());
  for (std::uint64_t id = 1; id <= AvoidList::most; ++id) list.add(id);
  for (std::uint64_t id = 1; id <= AvoidList::most; ++id) CHECK(list.rank(id) == id);
  list.add(3);
  CHECK(list.rank(3) == AvoidList::most);
  CHECK(list.rank(4) == 3);
  CHECK(list.rank(1) == 1);
  list.add(100);
  CHECK(list.rank(1) == 0);
  CHECK(list.rank(2) == 1);
  CHECK(list.rank(100) == AvoidList::most);
  list.clear();
  CHECK(list.empty());
  CHECK(list.rank(2) == 0);
}

TEST_CASE("below the panic threshold health is ignored, at it not") {
  Field f({1, 1, 1, 1}, Balance::p2c);
  f.shared.set_health(f.at(0), Health::down);
  f.shared.set_health(f.at(1), Health::down);
  CHECK_FALSE(f.shared.panic());                           // 50 percent are healthy
  const std::vector<int> half = f.picks(400);
  CHECK(half[0] + half[1] == 0);
  f.shared.set_health(f.at(2), Health::down);
  CHECK(f.shared.panic());
  const std::vector<int> all = f.picks(4'000);
  for (const int n : all) CHECK(n > 800);
  f.shared.set_health(f.at(2), Health::up);
  CHECK_FALSE(f.shared.panic());
}

TEST_CASE("threshold 0: no panic, and nothing is picked when all are down") {
  Field f({1, 1}, Balance::p2c);
  f.shared.set_endpoints(std::vector<EndpointSpec>{}, 0);
  std::vector<EndpointSpec> specs;
  for (const EndpointEntry& e : f.set->entries)
    specs.push_back(EndpointSpec{e.endpoint->name(), e.endpoint->address(), 1});
  f.set = f.shared.set_endpoints(specs, 0);
  f.balancer.use(f.set, base::Millis{0});
  f.shared.set_health(f.at(0), Health::down);
  f.shared.set_health(f.at(1), Health::down);
  CHECK_FALSE(f.shared.panic());
  CHECK(f.pick() == Balancer::none);
}

TEST_CASE("a reload of `balance` alone makes the other tables; the endpoints, with all they count, stay") {
  Field f({3, 1}, Balance::p2c);
  CHECK(f.set->tiers[0].sequence.empty());
  f.at(1).begin_request();
  const std::vector<EndpointSpec> specs{{f.at(0).name(), f.at(0).address(), 3}, {f.at(1).name(), f.at(1).address(), 1}};
  const EndpointSetPtr before = f.set;
  f.set = f.shared.set_endpoints(specs, 50, Newcomers::at_full_weight, now, Balance::round_robin);
  CHECK(&f.at(1) == before->entries[1].endpoint.get());
  CHECK(f.at(1).in_flight() == 1);
  CHECK(f.picks(400)[0] > 350);  // until its message comes a worker goes on with what it has
  f.balancer.use(f.set, base::Millis{0});
  CHECK(f.picks(400) == std::vector<int>{300, 100});
  f.at(1).end_request();
}

TEST_CASE("slow start in every picker: a tenth at first, half at half time, all in the end; nobody builds a table") {
  for (const Balance kind : {Balance::p2c, Balance::p2c_ewma, Balance::round_robin, Balance::least_requests}) {
    CAPTURE(static_cast<int>(kind));
    Field f({2, 1, 1}, kind);
    f.balancer.use(f.set, base::Millis{10'000});
    f.shared.set_health(f.at(0), Health::down, now);
    f.shared.set_health(f.at(0), Health::up, now);
    const auto share = [&](std::int64_t after) {
      const base::Micros then{now.count + after};
      int n = 0;
      for (int i = 0; i < 40'000; ++i) n += f.balancer.pick({then, false}) == 0 ? 1 : 0;
      return n / 40'000.0;
    };
    CHECK(share(0) == doctest::Approx(0.2 / 2.2).epsilon(0.1));
    CHECK(share(5'000'000) == doctest::Approx(1.0 / 3.0).epsilon(0.06));
    CHECK(share(10'000'000) == doctest::Approx(0.5).epsilon(0.05));
    CHECK(f.balancer.full_passes() == 0);
  }
}

TEST_CASE("slow start: where all begin anew together they share alike, and draws decide") {
  for (const Balance kind : {Balance::p2c, Balance::p2c_ewma, Balance::round_robin, Balance::least_requests}) {
    CAPTURE(static_cast<int>(kind));
    Field f(std::vector<std::uint32_t>(20, 1), kind);
    f.balancer.use(f.set, base::Millis{10'000});
    for (std::size_t i = 0; i < 20; ++i) {
      f.shared.set_health(f.at(i), Health::down, now);
      f.shared.set_health(f.at(i), Health::up, now);
    }
    for (const int n : f.picks(20'000)) CHECK(n == doctest::Approx(1'000).epsilon(0.2));
    CHECK(f.balancer.full_passes() == 0);
  }
}

TEST_CASE("an empty set picks nothing") {
  Field f({}, Balance::p2c);
  CHECK(f.pick() == Balancer::none);
}

// Cost as a count, not as time: a pick looks at draws_most + 1 endpoints at most twice, unless a full pass is needed.
TEST_CASE("a thousand endpoints, a tenth of them down: draws decide, and stay fair") {
  for (const Balance kind : {Balance::p2c, Balance::p2c_ewma, Balance::round_robin, Balance::least_requests}) {
    CAPTURE(static_cast<int>(kind));
    Field f(std::vector<std::uint32_t>(1'000, 1), kind);
    for (std::size_t i = 0; i < 1'000; i += 10) f.shared.set_health(f.at(i), Health::down);
    const std::vector<int> counts = f.picks(900'000);
    CHECK(f.balancer.full_passes() < 10);
    int lowest = counts[1];
    int highest = counts[1];
    int down = 0;
    for (std::size_t i = 0; i < 1'000; ++i) {
      if (i % 10 == 0) {
        down += counts[i];
      } else {
        lowest = std::min(lowest, counts[i]);
        highest = std::max(highest, counts[i]);
      }
    }
    CHECK(down == 0);
    CHECK(lowest > 800);
    CHECK(highest < 1'200);
  }
}

TEST_CASE("nearly all down without panic: the full pass shares among the rest by weight") {
  std::vector<std::uint32_t> weights(1'000, 1);
  weights[500] = 3;
  Field f(weights, Balance::p2c);
  for (std::size_t i = 0; i < 1'000; ++i) {
    if (i != 499 && i != 500) f.shared.set_health(f.at(i), Health::down);
  }
  std::vector<int> counts(1'000);
  for (int i = 0; i < 4'000; ++i) ++counts[f.balancer.pick({now, false})];
  CHECK(counts[499] + counts[500] == 4'000);
  CHECK(counts[500] == doctest::Approx(3'000).epsilon(0.08));
  CHECK(f.balancer.full_passes() > 3'000);
}

}  // namespace

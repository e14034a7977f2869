// ring_hash: whose a key is, what moves when the set changes, and the bound on one endpoint's load.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "fakes.h"
#include "upstream/balancer.h"
#include "upstream/maglev.h"
#include "upstream/picker_ring.h"

#include <doctest/doctest.h>

namespace {

using namespace sluice;
using namespace sluice::upstream;

constexpr base::Micros now{10'000'000};

std::string name(std::uint32_t i) { return "10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250) + ":80"; }

std::vector<EndpointSpec> specs(std::uint32_t n, std::uint32_t weight = 1) {
  std::vector<EndpointSpec> made;
  for (std::uint32_t i = 0; i < n; ++i) made.push_back(EndpointSpec{name(i), *net::Address::parse(name(i)), weight});
  return made;
}

// One process that has this upstream.
struct Ring {
  explicit Ring(const std::vector<EndpointSpec>& list, std::uint64_t seed = 1) : balancer(seed, shared.turns()) {
    set_to(list);
  }
  void set_to(const std::vector<EndpointSpec>& list) {
    set = shared.set_endpoints(list, 0, Newcomers::at_full_weight, now, Balance::ring_hash);
    balancer.use(set, base::Millis{0});
  }
  std::uint32_t pick(std::uint64_t key, std::uint32_t failed = Balancer::none) {
    AvoidList avoid;
    if (failed != Balancer::none) avoid.add(at(failed).id());
    return balancer.pick({.now = now, .avoid = &avoid, .key = key, .in_flight = in_flight});
  }
  SharedEndpoint& at(std::uint32_t i) { return *set->entries[i].endpoint; }
  const std::string& owner(std::uint64_t key) { return at(pick(key)).name(); }
  std::uint32_t send(std::uint64_t key) {
    const std::uint32_t i = pick(key);
    at(i).begin_request();
    ++in_flight;
    return i;
  }
  void end_all() {
    for (const EndpointEntry& e : set->entries) {
      while (e.endpoint->in_flight() > 0) e.endpoint->end_request();
    }
    in_flight = 0;
  }
  SharedUpstream shared{"app", 1};
  EndpointSetPtr set;
  Balancer balancer;
  std::uint32_t in_flight = 0;
};

std::vector<std::uint64_t> keys(std::uint32_t n) {
  std::vector<std::uint64_t> made;
  for (std::uint32_t i = 0; i < n; ++i) made.push_back(ring_hash("key " + std::to_string(i)));
  return made;
}

TEST_CASE("ring_hash: processes agree, whatever their seeds and the order of their sets") {
  std::vector<EndpointSpec> list = specs(12);
  Ring one(list);
  std::reverse(list.begin(), list.end());
  Ring other(list, 99);
  for (const std::uint64_t key : keys(5'000)) {
    REQUIRE(one.owner(key) == other.owner(key));
    REQUIRE(one.pick(key) == one.pick(key));
  }
}

TEST_CASE("ring_hash: the tables of two releases agree: a key's place is a fact of its name") {
  CHECK(ring_hash("key 0") != 0);
  Ring r(specs(3));
  std::string owners;
  for (const std::uint64_t key : keys(24)) owners += r.owner(key).substr(7, 1);
  CHECK(owners == "022002222010110210011002");
}

TEST_CASE("ring_hash: keys are spread by weight") {
  for (const std::uint32_t n : {2u, 10u, 100u, 1'000u}) {
    CAPTURE(n);
    Maglev table;
    std::vector<Maglev::Owner> owners;
    for (std::uint32_t i = 0; i < n; ++i) owners.push_back({ring_hash(name(i)), 1 + i % 3, i});
    std::uint64_t total = 0;
    for (const Maglev::Owner& o : owners) total += o.weight;
    table.build(owners);
    std::vector<std::uint32_t> counts(n);
    for (std::uint64_t place = 0; place < table.size(); ++place) ++counts[table.at(place, 0)];
    const double unit = static_cast<double>(table.size()) / static_cast<double>(total);
    for (std::uint32_t i = 0; i < n; ++i) {
      CHECK(std::abs(counts[i] - unit * owners[i].weight) <= std::max(1.0, 0.02 * unit * owners[i].weight));
    }
  }
}

TEST_CASE("ring_hash: nobody is rounded away, and the table has bounds") {
  Maglev table;
  std::vector<Maglev::Owner> owners;
  for (std::uint32_t i = 0; i < 20; ++i) owners.push_back({ring_hash(name(i)), i == 7 ? 1u : weight_max, i});
  table.build(owners);
  std::uint32_t light = 0;
  for (std::uint64_t place = 0; place < table.size(); ++place) light += table.at(place, 0) == 7 ? 1 : 0;
  CHECK(light == 1);
  CHECK(table.size() == Maglev::places_least);
  const auto size_for = [](std::uint32_t n) {
    std::vector<Maglev::Owner> of;
    for (std::uint32_t i = 0; i < n; ++i) of.push_back({Maglev::mix(i + 1), 1, i});
    Maglev made;
    made.build(std::move(of));
    return made.size();
  };
  constexpr std::uint32_t fit = Maglev::places_least / Maglev::places_each;  // 1,024
  CHECK(size_for(fit) == Maglev::places_least);
  CHECK(size_for(fit + 1) > Maglev::places_least);
  CHECK(size_for(fit + 1) / (fit + 1) >= Maglev::places_each);
  table.build({});
  CHECK(table.empty());
}

// Share of keys whose owner is another one after the change.
double moved(const std::vector<EndpointSpec>& before, const std::vector<EndpointSpec>& after) {
  Ring a(before);
  Ring b(after);
  std::uint32_t n = 0;
  const std::vector<std::uint64_t> all = keys(20'000);
  for (const std::uint64_t key : all) n += a.owner(key) != b.owner(key) ? 1 : 0;
  return static_cast<double>(n) / static_cast<double>(all.size());
}

TEST_CASE("ring_hash: when one of n leaves or joins about 1/n of the keys move") {
  for (const std::uint32_t n : {2u, 5u, 10u, 50u, 200u}) {
    for (const std::uint32_t which : {0u, n / 2, n - 1}) {
      CAPTURE(n);
      CAPTURE(which);
      const std::vector<EndpointSpec> all = specs(n);
      std::vector<EndpointSpec> less = all;
      less.erase(less.begin() + which);
      const double share = 1.0 / n;
      CHECK(moved(all, less) <= share * 1.1 + 0.02);
      CHECK(moved(less, all) <= share * 1.1 + 0.02);
      CHECK(moved(all, less) >= share * 0.8);
    }
  }
  std::vector<EndpointSpec> heavy = specs(10);  // weights: that of one of ten doubles, so 1/11 more of the keys are its
  const std::vector<EndpointSpec> even = heavy;
  heavy[3].weight = 2;
  CHECK(moved(even, heavy) <= 1.0 / 11 * 1.1 + 0.02);
}

TEST_CASE("ring_hash: only the keys of one that is lost move, to all the others; back it has them again") {
  Ring r(specs(10));
  const std::vector<std::uint64_t> all = keys(10'000);
  std::vector<std::uint32_t> home;
  for (const std::uint64_t key : all) home.push_back(r.pick(key));
  r.shared.set_health(r.at(4), Health::down, now);
  std::vector<int> taken(10);
  for (std::size_t k = 0; k < all.size(); ++k) {
    const std::uint32_t i = r.pick(all[k]);
    REQUIRE(i != 4);
    if (home[k] != 4) {
      REQUIRE(i == home[k]);
    } else {
      ++taken[i];
    }
  }
  for (std::uint32_t i = 0; i < 10; ++i) {
    if (i != 4) CHECK(taken[i] == doctest::Approx(1'000 / 9).epsilon(0.4));
  }
  r.shared.set_health(r.at(4), Health::up, now);
  for (std::size_t k = 0; k < all.size(); ++k) REQUIRE(r.pick(all[k]) == home[k]);
  for (std::size_t k = 0; k < all.size(); ++k) REQUIRE(r.pick(all[k], home[k]) != home[k]);  // a retry elsewhere
}

TEST_CASE("ring_hash: one hot key fills its endpoint up to 1.25 times the share of all, and not one more") {
  for (const std::uint32_t n : {2u, 3u, 4u, 10u}) {
    CAPTURE(n);
    Ring r(specs(n));
    const std::uint64_t hot = ring_hash("hot");
    const std::uint32_t home = r.pick(hot);
    for (std::uint32_t sent = 1; sent <= 400; ++sent) {
      const std::uint32_t bound = std::max(4u, (sent * 125 + n * 100 - 1) / (n * 100));
      const bool full = r.at(home).in_flight() == bound;
      const std::uint32_t i = r.send(hot);
      CHECK((i == home) == !full);  // at the bound the next one goes elsewhere; below it none does
      CHECK(r.at(i).in_flight() <= bound);
    }
    CHECK(r.at(home).in_flight() == (400 * 125 + n * 100 - 1) / (n * 100));
    r.end_all();
    CHECK(r.pick(hot) == home);
  }
}

TEST_CASE("ring_hash: the bound goes by weight, and by those that are there") {
  std::vector<EndpointSpec> list = specs(3);
  list[1].weight = 4;
  Ring r(list);
  const std::vector<std::uint64_t> all = keys(600);
  for (const std::uint64_t key : all) r.send(key);
  CHECK(r.at(1).in_flight() <= 500);
  CHECK(r.at(1).in_flight() >= 350);
  for (const std::uint32_t i : {0u, 2u}) CHECK(r.at(i).in_flight() <= 125);
  r.end_all();
  r.shared.set_health(r.at(1), Health::down, now);
  for (const std::uint64_t key : all) r.send(key);
  for (const std::uint32_t i : {0u, 2u}) CHECK(r.at(i).in_flight() <= 375);
  CHECK(r.balancer.full_passes() == 0);
  r.end_all();
}

TEST_CASE("ring_hash: connects count, and a request without a key is drawn") {
  Ring r(specs(4));
  const std::uint64_t key = ring_hash("k");
  const std::uint32_t home = r.pick(key);
  for (r.in_flight = 0; r.in_flight < RingHash::room_least; ++r.in_flight) {
    CHECK(r.pick(key) == home);
    r.at(home).begin_connect();
  }
  CHECK(r.pick(key) != home);
  for (std::uint64_t i = 0; i < RingHash::room_least; ++i) r.at(home).end_connect();
  r.in_flight = 0;
  std::vector<int> drawn(4);
  for (int i = 0; i < 4'000; ++i) ++drawn[r.pick(0)];
  for (const int n : drawn) CHECK(n == doctest::Approx(1'000).epsilon(0.15));
}

TEST_CASE("ring_hash: with most of them down a key still meets one and the same") {
  Ring r(specs(1'000));
  for (std::uint32_t i = 0; i < 1'000; ++i) {
    if (i != 17 && i != 400) r.shared.set_health(r.at(i), Health::down, now);
  }
  int first = 0;
  for (const std::uint64_t key : keys(400)) {
    const std::uint32_t i = r.pick(key);
    first += i == 17 ? 1 : 0;
    REQUIRE((i == 17 || i == 400));
    for (int again = 0; again < 3; ++again) REQUIRE(r.pick(key) == i);
  }
  CHECK(first > 120);
  CHECK(first < 280);
}

TEST_CASE("ring_hash: slow start hands keys back bit by bit") {
  Ring r(specs(5));
  const std::vector<std::uint64_t> all = keys(5'000);
  std::vector<std::uint32_t> home;
  for (const std::uint64_t key : all) home.push_back(r.pick(key));
  r.balancer.use(r.set, base::Millis{10'000});
  r.shared.set_health(r.at(2), Health::down, now);
  r.shared.set_health(r.at(2), Health::up, now);
  std::vector<bool> back(all.size());
  for (const std::int64_t after : {0, 2'500'000, 5'000'000, 7'500'000, 10'000'000}) {
    int n = 0;
    for (std::size_t k = 0; k < all.size(); ++k) {
      const bool there = r.balancer.pick({.now = base::Micros{now.count + after}, .key = all[k]}) == 2;
      if (home[k] != 2) continue;
      CHECK((there || !back[k]));  // none goes away again
      back[k] = there;
      n += there ? 1 : 0;
    }
    CHECK(n == doctest::Approx(1'000 * std::max<double>(0.1, static_cast<double>(after) / 1e7)).epsilon(0.25));
  }
}

// ---- in a cluster

using fakes::Request;
using fakes::World;

struct Sticky {
  explicit Sticky(std::uint32_t endpoints, std::uint32_t max_connections) {
    w.options->balance = Balance::ring_hash;
    w.options->pool.max_connections = max_connections;
    w.some_endpoints(endpoints);
    w.start();
    w.sim.settle();
  }
  // A key whose home is endpoint i.
  std::uint64_t key_of(std::uint32_t i, int skip = 0) {
    const EndpointSetPtr& set = w.shared->endpoints();
    for (std::uint64_t n = 0;; ++n) {
      const std::uint64_t key = ring_hash(std::to_string(n));
      if (set->tiers[0].ring.at(key, 0) == i && skip-- == 0) return key;
    }
  }
  Request& ask(std::uint64_t key) { return w.ask(0, {.key = key}); }
  World w;
};

TEST_CASE("ring_hash: a request whose connect is under way is not taken by what falls free elsewhere") {
  Sticky s(2, 10);
  Request& other = s.ask(s.key_of(1));
  s.w.sim.settle();
  REQUIRE(other.endpoint() == s.w.specs[1].name);
  Request& mine = s.ask(s.key_of(0));  // dials its own
  other.finish();
  s.w.sim.settle();
  CHECK(mine.endpoint() == s.w.specs[0].name);
  mine.finish();
}

TEST_CASE("ring_hash: at the caps a place goes first to whose key has its home there, else to whoever waits") {
  Sticky s(2, 1);
  Request& at0 = s.ask(s.key_of(0));
  Request& at1 = s.ask(s.key_of(1));
  s.w.sim.settle();
  Request& first = s.ask(s.key_of(0, 1));
  Request& second = s.ask(s.key_of(1, 1));
  s.w.sim.settle();
  CHECK_FALSE(first.served());
  CHECK_FALSE(second.served());
  at1.finish();
  s.w.sim.settle();
  CHECK(second.endpoint() == s.w.specs[1].name);  // `first` is older, but its own is busy within its bound
  CHECK_FALSE(first.served());
  second.finish();
  s.w.sim.settle();
  CHECK(first.endpoint() == s.w.specs[1].name);  // nobody else wants it: better there than waiting
  first.finish();
  at0.finish();
}

}  // namespace

// What fails at once counts as load: no balancer sends it more than its share. Events on a clock, no worker.
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "upstream/balancer.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

namespace {

using namespace sluice;
using namespace sluice::upstream;

constexpr base::Micros start{10'000'000};

SharedEndpoint an_endpoint() { return {1, "10.0.0.1:80", *net::Address::parse("10.0.0.1:80")}; }

// Three endpoints, and `clients` that each send their next request when they have the answer to the last. The first
// endpoint fails at once, the others serve in about `service`.
struct Story {
  Balance kind = Balance::p2c;
  std::uint32_t clients = 12;
  base::Micros service{20'000};
  std::uint64_t seed = 1;
  std::uint32_t keys = 0;  // ring_hash: that many different ones,
  std::uint64_t first_key = 1;  // from this one on
};

std::vector<std::uint32_t> shares(const Story& story, std::uint32_t requests) {
  SharedUpstream shared("app", 1);
  std::vector<EndpointSpec> specs;
  for (const char* name : {"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"}) {
    specs.push_back(EndpointSpec{name, *net::Address::parse(name), 1});
  }
  const EndpointSetPtr set = shared.set_endpoints(specs, 50, Newcomers::at_full_weight, {}, story.kind);
  Balancer balancer(story.seed, shared.turns());
  balancer.use(set, base::Millis{0});

  struct Request {
    std::uint32_t at;
    base::Micros since;
  };
  constexpr std::uint32_t failing = 0;
  Random random(story.seed + 77);
  ServiceTime usual;
  std::vector<std::uint32_t> counts(3);
  std::multimap<std::int64_t, Request> ends;
  base::Micros now = start;
  const auto send = [&] {
    const std::uint32_t i =
        balancer.pick({.now = now,
                       .half_life = usual.half_life(),
                       .usual_head = usual.usual_head(),
                       .key = story.keys == 0 ? 0 : Maglev::mix(story.first_key + random.below(story.keys)),
                       .in_flight = static_cast<std::uint32_t>(ends.size())});
    ++counts[i];
    set->entries[i].endpoint->begin_request();
    const auto took = static_cast<std::int64_t>(
        i == failing ? 100 : story.service.count / 2 + random.below(static_cast<std::uint32_t>(story.service.count)));
    ends.emplace(now.count + took, Request{i, now});
  };
  for (std::uint32_t c = 0; c < story.clients; ++c) send();
  for (std::uint32_t n = story.clients; n < requests; ++n) {
    const auto next = ends.begin();
    const Request done = next->second;
    now = base::Micros{next->first};
    ends.erase(next);
    SharedEndpoint& endpoint = *set->entries[done.at].endpoint;
    endpoint.end_request();
    endpoint.note_head(now - done.since, done.at != failing, now);
    if (done.at != failing) usual.add_head(endpoint.head_time().micros);
    if (done.at == failing) {
      endpoint.penalise(now, usual.half_life());
    } else {
      usual.add(now - done.since);
    }
    send();
  }
  return counts;
}

TEST_CASE("an endpoint that fails at once gets no more than its share") {
  for (const Balance kind :
       {Balance::p2c, Balance::p2c_ewma, Balance::least_requests, Balance::round_robin, Balance::ring_hash}) {
    for (const std::uint32_t clients : {1u, 2u, 4u, 12u, 60u}) {
      for (const std::int64_t service : {1'000, 20'000, 500'000}) {
        for (const std::uint64_t seed : {1u, 2u, 3u}) {
          CAPTURE(static_cast<int>(kind));
          CAPTURE(clients);
          CAPTURE(service);
          const std::vector<std::uint32_t> got =
              shares({kind, clients, base::Micros{service}, seed, kind == Balance::ring_hash ? 5'000u : 0u}, 6'000);
          // Of ring_hash its share is that of its keys, and a little of what the others are too busy for.
          CHECK(got[0] <= 6'000 * (kind == Balance::ring_hash ? 36u : 35u) / 100);
          CHECK(got[0] > 0);  // asked now and then: it may be well again
        }
      }
    }
  }
}

TEST_CASE("ring_hash: not even one key whose endpoint fails at once gives it more than its bound") {
  for (std::uint64_t key = 1; key <= 8; ++key) {  // the home of some of them is the one that fails
    for (const std::uint32_t clients : {1u, 2u, 12u, 60u}) {
      CAPTURE(key);
      CAPTURE(clients);
      const Story hot{Balance::ring_hash, clients, base::Micros{20'000}, 1, 1, key};
      CHECK(shares(hot, 6'000)[0] <= 6'000 * 42 / 100);
    }
  }
}

TEST_CASE("a penalty decays by half in each half-life, and weighs what one request in flight does in the usual time") {
  SharedEndpoint e = an_endpoint();
  const base::Micros half{10'000};
  CHECK(e.load_units(start, half) == 0);
  e.penalise(start, half);
  e.penalise(start, half);
  CHECK(e.load_units(start, half) == 2 * SharedEndpoint::load_unit);
  CHECK(e.load_units(start + half, half) == SharedEndpoint::load_unit);
  CHECK(e.penalty(start + base::Micros{15'000}, half) == SharedEndpoint::load_unit * 3 / 4);
  CHECK(e.penalty(start - half, half) == 2 * SharedEndpoint::load_unit);  // a worker whose clock is behind
  CHECK(e.penalty(start + base::Micros{1'000'000'000}, half) == 0);
  CHECK(e.load() == 0);  // caps and room go by what is there

  ServiceTime usual;
  for (int i = 0; i < 200; ++i) usual.add(base::Micros{100'000});
  CHECK(usual.usual().count == doctest::Approx(100'000).epsilon(0.01));
  SharedEndpoint other = an_endpoint();
  other.penalise(start, usual.half_life());
  double area = 0;
  for (std::int64_t t = 0; t < 2'000'000; t += 1'000) {
    area += other.penalty(start + base::Micros{t}, usual.half_life()) * 1'000.0 / SharedEndpoint::load_unit;
  }
  CHECK(area == doctest::Approx(100'000).epsilon(0.08));
}

TEST_CASE("penalties and the usual time have bounds") {
  SharedEndpoint e = an_endpoint();
  const base::Micros half{10'000'000};
  for (std::uint32_t i = 0; i < SharedEndpoint::penalties_most; ++i) e.penalise(start, half);
  CHECK(e.penalty(start, half) == SharedEndpoint::penalties_most * SharedEndpoint::load_unit);
  e.penalise(start, half);
  CHECK(e.penalty(start, half) == SharedEndpoint::penalties_most * SharedEndpoint::load_unit);

  ServiceTime usual;
  for (int i = 0; i < 200; ++i) usual.add(base::Micros{3'600'000'000});
  CHECK(usual.usual() <= ServiceTime::most);
  for (int i = 0; i < 200; ++i) usual.add(base::Micros{1});
  CHECK(usual.usual() >= ServiceTime::least);
}

}  // namespace

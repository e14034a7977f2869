// Rates: from counters that only grow to what people ask: how many a second, how many failed, how long they took.
#include "runtime/rates.h"

#include <doctest/doctest.h>

namespace {

using namespace sluice;
using namespace sluice::runtime;

base::Micros at(int seconds) { return base::Micros(base::seconds(100 + seconds)); }

RouteCounts counts(std::uint64_t requests, std::uint64_t failed = 0) {
  RouteCounts c;
  c.requests = c.times[metrics::Histogram::bucket_of(base::millis(7))] = requests;  // 5 to 10 ms
  c.failed = failed;
  return c;
}

TEST_CASE("before two looks nothing is known; then what came in between, a second") {
  Rates rates;
  CHECK(rates.all().per_second == 0);
  rates.add(at(0), {{"a", counts(1'000)}});
  CHECK(rates.all().per_second == 0);
  rates.add(at(1), {{"a", counts(1'100, 50)}, {"b", counts(20)}});
  CHECK(rates.all().per_second == doctest::Approx(120));
  CHECK(rates.all().failed == doctest::Approx(50.0 / 120));
  const auto routes = rates.routes(10);
  REQUIRE(routes.size() == 2);
  CHECK(routes[0].first == "a");
  CHECK(routes[0].second.per_second == doctest::Approx(100));
  CHECK(routes[0].second.p50.count == doctest::Approx(7'500));
  CHECK(rates.routes(1).size() == 1);
}

TEST_CASE("the window is ten looks: what is older is forgotten, and who had nothing in it is left out") {
  Rates rates;
  rates.add(at(0), {{"a", counts(0)}});
  rates.add(at(1), {{"a", counts(100)}});
  for (int s = 2; s <= 10; ++s) rates.add(at(s), {{"a", counts(100)}});
  CHECK(rates.all().per_second == doctest::Approx(10));
  rates.add(at(11), {{"a", counts(100)}});
  CHECK(rates.all().per_second == 0);
  CHECK(rates.routes(10).empty());
}

TEST_CASE("a route that left and came back with new cells counts nothing backwards") {
  Rates rates;
  rates.add(at(0), {{"a", counts(1'000)}});
  rates.add(at(1), {{"a", counts(10)}});
  CHECK(rates.all().per_second == 0);
  rates.add(at(2), {{"a", counts(30)}});
  CHECK(rates.all().per_second == doctest::Approx(10));
}

TEST_CASE("quantiles within a bucket are on a straight line, above the last bound they are the bound") {
  RouteCounts c;
  c.times[0] = 50;  // to 0.1 ms
  c.times[1] = 50;  // to 0.2 ms
  CHECK(quantile(c, 0.5).count == 100);
  CHECK(quantile(c, 0.75).count == 150);
  CHECK(quantile(c, 1).count == 200);
  RouteCounts late;
  late.times.back() = 1;
  CHECK(quantile(late, 0.5).count == static_cast<std::int64_t>(metrics::Histogram::bounds.back()));
}

TEST_CASE("counted from the scrape's registry: by route, failures and clients that left told apart") {
  metrics::Registry registry(1);
  using metrics::Name;
  registry.counter(Name::requests_total, {"main", "cart", "GET", "200"}, 0).add(7);
  registry.counter(Name::requests_total, {"main", "cart", "GET", "503"}, 0).add(2);
  registry.counter(Name::requests_total, {"other", "cart", "POST", "499"}, 0).add(1);
  registry.histogram(Name::request_duration_seconds, {"cart"}, 0).observe(base::Micros{150});
  const Counted all = count_routes(registry);
  REQUIRE(all.contains("cart"));
  const RouteCounts& cart = all.at("cart");
  CHECK(cart.requests == 10);
  CHECK(cart.failed == 2);
  CHECK(cart.left == 1);
  CHECK(cart.times[1] == 1);
}

TEST_CASE("what broke off is a share of the requests, and each phase one of their time") {
  metrics::Registry registry(1);
  using metrics::Name;
  Rates rates;
  rates.add(at(0), count_routes(registry));
  registry.counter(Name::requests_total, {"main", "cart", "GET", "200"}, 0).add(8);
  registry.counter(Name::responses_cut_total, {"cart", "client", "client_closed"}, 0).add(1);
  registry.counter(Name::responses_cut_total, {"cart", "upstream", "reset"}, 0).add(1);
  registry.counter(Name::request_phase_seconds_total, {"cart", "queue"}, 0).add(300'000);  // a counter of microseconds
  registry.counter(Name::request_phase_seconds_total, {"cart", "upstream_head"}, 0).add(700'000);
  rates.add(at(1), count_routes(registry));
  CHECK(rates.all().cut == doctest::Approx(0.25));
  const auto share = [all = rates.all()](exchange::Phase of) { return all.phase[static_cast<std::size_t>(of)]; };
  CHECK(share(exchange::Phase::queue) == doctest::Approx(0.3));
  CHECK(share(exchange::Phase::upstream_head) == doctest::Approx(0.7));
  CHECK(share(exchange::Phase::proxy) == 0);
}

}  // namespace

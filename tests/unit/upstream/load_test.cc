// Offered load, and what is advised from it.
#include "upstream/load.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

using namespace sluice;
using upstream::Advice;
using upstream::Advisor;
using upstream::Load;
using upstream::LoadMeter;

namespace {

constexpr base::Micros at(int64_t ms) { return base::Micros{ms * 1000}; }

// `rate` requests a second, each served in `service_ms` by at most `places` at once, in order; the load at the end.
Load run(int rate, int64_t service_ms, int places, int64_t seconds) {
  LoadMeter meter;
  std::vector<int64_t> free(static_cast<size_t>(places), 0);  // when each place is free again
  std::vector<std::pair<int64_t, int>> events;                // time, 0 arrival, 1 began, 2 ended
  for (int64_t i = 0; i < rate * seconds; ++i) {
    const int64_t came = i * 1000 / rate;
    auto& place = *std::min_element(free.begin(), free.end());
    const int64_t began = std::max(came, place);
    place = began + service_ms;
    events.insert(events.end(), {{came, 0}, {began, 1}, {place, 2}});
  }
  std::ranges::sort(events);
  for (const auto& [time, what] : events) {
    if (time > seconds * 1000) break;
    if (what == 0) meter.arrived(at(time));
    if (what == 1) meter.began(at(time));
    if (what == 2) meter.ended(at(time));
  }
  return meter.look(at(seconds * 1000));
}

}  // namespace

TEST_CASE("offered load is arrivals times service time, also where the pool lets only some of it through") {
  const Load free = run(100, 50, 100, 30);
  CHECK(free.arrivals == doctest::Approx(100).epsilon(0.02));
  CHECK(free.in_service == doctest::Approx(5).epsilon(0.02));
  CHECK(free.offered == doctest::Approx(5).epsilon(0.02));
  const Load tight = run(100, 50, 2, 30);
  CHECK(tight.in_service == doctest::Approx(2).epsilon(0.02));
  CHECK(tight.offered == doctest::Approx(5).epsilon(0.05));
  CHECK(tight.service.count == doctest::Approx(50'000).epsilon(0.05));
}

TEST_CASE("from the first second; requests that have not ended count as they stand") {
  CHECK(run(100, 50, 100, 1).offered == doctest::Approx(5).epsilon(0.1));
  CHECK(run(2, 60'000, 100, 5).offered == doctest::Approx(5).epsilon(0.15));
}

TEST_CASE("ten seconds after the last request there is no load; long gaps are looked at once") {
  using Pace = LoadMeter::Pace;
  LoadMeter meter;
  CHECK(meter.pace(at(0)) == Pace::quiet);
  meter.arrived(at(1'000));
  meter.began(at(1'000));
  meter.ended(at(1'500));
  CHECK(meter.pace(at(10'000)) == Pace::moving);
  CHECK(meter.pace(at(12'000)) == Pace::quiet);
  CHECK(meter.look(at(12'000)).offered == 0);
  meter.began(at(13'000));
  const Load days = meter.look(at(200'000'000));
  CHECK(days.in_service == doctest::Approx(1).epsilon(0.11));
  CHECK(meter.pace(at(200'000'500)) == Pace::steady);
  meter.ended(at(200'001'000));
  CHECK(meter.pace(at(200'020'000)) == Pace::quiet);
}

TEST_CASE("workers add up; recommended is the load and twice its root; service time is weighed by arrivals") {
  Advisor advisor(2);
  CHECK(advisor.look().recommended == 0);
  advisor.tell(0, {.arrivals = 300, .in_service = 3, .service = at(10), .offered = 3});
  advisor.tell(1, {.arrivals = 100, .in_service = 6, .service = at(60), .offered = 6});
  const Advisor::View view = advisor.look();
  CHECK(view.offered == doctest::Approx(9));
  CHECK(view.recommended == doctest::Approx(15));
  CHECK(view.service.count == 22'500);
  CHECK(view.usual.count == 22'500);
}

TEST_CASE("too small a pool is told apart from an upstream that is slower than usual") {
  Advisor advisor(1);
  const auto told = [&advisor](int64_t service_ms, double rate) {
    advisor.tell(
        0, {.arrivals = rate, .service = at(service_ms), .offered = rate * static_cast<double>(service_ms) / 1e3});
    return Advisor::advise(advisor.look(), 20, Advice::none);
  };
  for (int i = 0; i < 600; ++i) CHECK(told(10, 100) == Advice::none);
  CHECK(told(10, 2'000) == Advice::raise_max_connections);
  CHECK(told(200, 100) == Advice::upstream_slow);
  CHECK(told(10, 100) == Advice::none);
}

TEST_CASE("at the limit nothing is advised, above it is; taken back below four fifths of it") {
  Advisor::View view;
  view.recommended = 20;
  CHECK(Advisor::advise(view, 20, Advice::none) == Advice::none);
  view.recommended = 20.1;
  CHECK(Advisor::advise(view, 20, Advice::none) == Advice::raise_max_connections);
  view.recommended = 16.1;
  CHECK(Advisor::advise(view, 20, Advice::raise_max_connections) == Advice::raise_max_connections);
  view.recommended = 16;
  CHECK(Advisor::advise(view, 20, Advice::raise_max_connections) == Advice::none);
}

// What still comes after /readyz said 503: counts of a worker, their sum, and how they are told.
#include "runtime/arrivals.h"

#include <doctest/doctest.h>

using namespace sluice;
using runtime::Arrivals;
using runtime::Wait;
using runtime::words_of;

namespace {
constexpr base::Micros at(int64_t ms) { return base::Micros(base::millis(3'600'000 + ms)); }
constexpr base::Micros span(int64_t ms) { return base::Micros(base::millis(ms)); }
}  // namespace

TEST_CASE("nothing is counted but between the 503 and the next 200") {
  Arrivals arrivals;
  arrivals.request(at(0), false);
  CHECK(arrivals.counts().requests == 0);
  arrivals.begin(at(1'000));
  arrivals.request(at(1'500), false);
  arrivals.request(at(4'000), true);
  arrivals.request(at(6'000), false);
  arrivals.begin(at(7'000));  // a drain, after POST /deregister: goes on
  arrivals.request(at(8'000), false);
  CHECK(arrivals.counts().requests == 4);
  CHECK(arrivals.counts().connections == 1);
  CHECK(arrivals.counts().last_connection == span(3'000));
  CHECK(arrivals.counts().last_request == span(7'000));
  arrivals.end();
  arrivals.request(at(9'000), true);
  CHECK(arrivals.counts().requests == 4);
  arrivals.begin(at(20'000));
  CHECK(arrivals.counts().requests == 0);
  CHECK(arrivals.counts().last_connection.count == 0);
}

TEST_CASE("a question for our health is taken back") {
  Arrivals arrivals;
  arrivals.take_back();
  arrivals.begin(at(0));
  arrivals.request(at(1'000), true);
  arrivals.request(at(2'000), true);
  arrivals.take_back();
  CHECK(arrivals.counts().requests == 1);
  CHECK(arrivals.counts().connections == 1);
  CHECK(arrivals.counts().last_connection == span(1'000));
}

TEST_CASE("workers are summed, and the last of them all is the last") {
  Arrivals::Counts all{1, 10, span(100), span(900)};
  all.add({2, 5, span(300), span(200)});
  all.add({});
  CHECK(all.connections == 3);
  CHECK(all.requests == 15);
  CHECK(all.last_connection == span(300));
  CHECK(all.last_request == span(900));
}

TEST_CASE("how much of the wait was needed") {
  const Wait wait{span(5'000), span(5'010), {}};
  CHECK(words_of(wait, {7, 12, span(3'000), span(4'450)}) ==
        "3 s of the 5 s of deregister_wait were needed: the last new connection came 3 s after /readyz said 503; "
        "7 came, and 12 requests, the last after 4.5 s");
  CHECK(words_of(wait, {}) ==
        "0 s of the 5 s of deregister_wait were needed: no new connection came after /readyz said 503, and no request");
  CHECK(words_of(wait, {0, 1, {}, span(10)}) ==
        "0 s of the 5 s of deregister_wait were needed: no new connection came after /readyz said 503, and 1 request, "
        "the last after 0 s");
}

TEST_CASE("a wait that was cut short, and one that a lame duck began") {
  CHECK(words_of({span(5'000), span(1'200), {}}, {1, 1, span(1'000), span(1'000)})
            .starts_with("1 s of the 5 s of deregister_wait (cut short after 1.2 s) were needed: "));
  const Wait after_ten_minutes{span(5'000), span(5'000), span(600'000)};
  CHECK(words_of(after_ten_minutes, {9, 9, span(12'000), span(12'000)}).starts_with("0 s of the 5 s"));
  CHECK(words_of(after_ten_minutes, {9, 9, span(602'000), span(602'000)}).starts_with("2 s of the 5 s"));
}

// How descriptors are shared out, at usual limits and at every one of small ones.
#include "runtime/descriptors.h"

#include <initializer_list>

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using runtime::DescriptorShares;
using runtime::own_descriptors;
using runtime::share_descriptors;

TEST_CASE("usual limits") {
  const uint32_t own = own_descriptors(2, 2);
  CHECK(share_descriptors(64, own).clients >= 8);
  CHECK(share_descriptors(512, own).clients >= 190);
  CHECK(share_descriptors(1024, own).clients >= 420);
  CHECK(share_descriptors(1'048'576, own).clients >= 520'000);
  CHECK(share_descriptors(UINT64_MAX, own).clients > 2'000'000'000);
}

TEST_CASE("no cliff: one descriptor more is one more for somebody and one less for nobody") {
  for (const uint32_t own : {20U, own_descriptors(1, 1), own_descriptors(64, 8)}) {
    DescriptorShares before = share_descriptors(own + 8, own);
    CHECK(before.clients == 1);                     // nothing is left, yet one is served
    for (uint64_t limit = own + 9; limit < own + 5'000; ++limit) {
      const DescriptorShares now = share_descriptors(limit, own);
      REQUIRE(now.clients >= before.clients);
      REQUIRE(now.clients <= before.clients + 1);
      REQUIRE(now.upstreams >= before.upstreams);
      REQUIRE(now.reserve >= before.reserve);
      REQUIRE(uint64_t{now.clients} + now.upstreams + now.reserve == limit);
      before = now;
    }
  }
}

TEST_CASE("what is kept for others than clients and upstreams is of the reserve") {
  CHECK(runtime::kept_descriptors(64) == 4);
  CHECK(runtime::kept_descriptors(512) == 32);
  CHECK(runtime::kept_descriptors(UINT64_MAX) == 32);
  for (uint64_t limit = 0; limit < 5'000; ++limit)
    REQUIRE(runtime::kept_descriptors(limit) <= share_descriptors(limit, 0).reserve);
}

TEST_CASE("with fewer descriptors than the process holds itself one client is let in") {
  for (const uint64_t limit : {0U, 1U, 8U, 20U}) CHECK(share_descriptors(limit, 40).clients == 1);
}

// A flow-control window at the edges of what it can be (RFC 9113 6.9.1, 6.9.2).
#include "http2/window.h"

#include <doctest/doctest.h>

using namespace sluice;
using http2::Window;

namespace {

constexpr uint32_t most = 0x7fffffff;

}  // namespace

TEST_CASE("a window grows to 2^31-1 and not beyond; what is refused changes nothing") {
  Window w(most - 1);
  CHECK(w.grow(1));
  CHECK_FALSE(w.grow(1));
  CHECK_FALSE(w.grow(UINT32_MAX));
  CHECK(w.open() == most);
  Window zero(0);
  CHECK(zero.grow(most));
  CHECK(zero.open() == most);
}

TEST_CASE("no more is taken than is open") {
  Window w(100);
  CHECK_FALSE(w.take(101));
  CHECK_FALSE(w.take(SIZE_MAX));
  CHECK(w.take(100));
  CHECK(w.open() == 0);
  CHECK(w.take(0));
  CHECK_FALSE(w.take(1));
}

TEST_CASE("SETTINGS take a window below zero, and bring it back") {
  Window w(most);
  CHECK(w.take(most));
  CHECK(w.resize(most, 0));
  CHECK(w.open() == 0);
  CHECK_FALSE(w.resize(most, 0));                // further down than any bytes could be under way
  CHECK(w.grow(most));
  CHECK(w.open() == 0);
  CHECK_FALSE(w.take(1));
  CHECK(w.resize(0, 5));
  CHECK(w.open() == 5);
  CHECK_FALSE(w.resize(0, most));
  CHECK(w.open() == 5);
}

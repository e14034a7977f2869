// `max_memory`: what the files of cgroups say, and what becomes of it.
#include "runtime/memory.h"

#include <unistd.h>

#include <doctest/doctest.h>

using namespace sluice;

TEST_CASE("limits as cgroups of both versions write them") {
  CHECK(runtime::bytes_of_limit("1073741824\n") == 1'073'741'824);
  CHECK(runtime::bytes_of_limit("268435456") == 268'435'456);
  CHECK(runtime::bytes_of_limit("max\n") == UINT64_MAX);
  CHECK(runtime::bytes_of_limit("max") == UINT64_MAX);
  CHECK(runtime::bytes_of_limit("9223372036854771712\n") == 9'223'372'036'854'771'712U);
  CHECK(runtime::bytes_of_limit("") == UINT64_MAX);
}

TEST_CASE("what is configured holds; auto is at most three quarters of the machine") {
  CHECK(runtime::memory_limit(uint64_t{64} << 20) == uint64_t{64} << 20);
  const auto machine = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  CHECK(runtime::memory_limit(0) > 0);
  CHECK(runtime::memory_limit(0) <= machine / 4 * 3);
}

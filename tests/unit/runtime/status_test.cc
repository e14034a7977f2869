// What GET /status makes of what the workers say: endpoints of all of them, in JSON and as text.
#include "runtime/status.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using runtime::EndpointRow;
using upstream::ClusterStatus;
using upstream::EndpointStatus;

namespace {

EndpointStatus endpoint(const char* name, bool leaving, uint32_t active) {
  EndpointStatus e;
  e.name = e.address = name;
  e.leaving = leaving;
  e.active = active;
  return e;
}

ClusterStatus says(std::vector<EndpointStatus> endpoints) {
  ClusterStatus cluster;
  cluster.endpoints = std::move(endpoints);
  return cluster;
}

std::string rows(const std::vector<ClusterStatus>& workers) {
  std::vector<const ClusterStatus*> all;
  for (const ClusterStatus& one : workers) all.push_back(&one);
  std::string text;
  for (const EndpointRow& row : runtime::endpoint_rows(all)) {
    text += row.of->name + (row.of->leaving ? "-" : "+") + std::to_string(row.active) + " ";
  }
  return text;
}

}  // namespace

TEST_CASE("what the workers count is summed by endpoint") {
  CHECK(rows({}) == "");
  CHECK(rows({says({endpoint("a", false, 1), endpoint("b", false, 2)}),
              says({endpoint("a", false, 4), endpoint("b", false, 8)})}) == "a+5 b+10 ");
  CHECK(rows({says({endpoint("a", false, 1), endpoint("b", false, 2)}),
              says({endpoint("b", false, 8), endpoint("a", false, 4)})}) == "a+5 b+10 ");
}

TEST_CASE("an old address that one worker alone still has a connection to is not forgotten, whoever it is") {
  const auto holder = says({endpoint("new", false, 0), endpoint("old", true, 1)});
  const auto other = says({endpoint("new", false, 2)});
  CHECK(rows({holder, other}) == "new+2 old-1 ");
  CHECK(rows({other, holder}) == "new+2 old-1 ");
  // One that left and has come back stands twice.
  CHECK(rows({says({endpoint("a", false, 1)}), says({endpoint("a", false, 0), endpoint("a", true, 3)})}) == "a+1 a-3 ");
}

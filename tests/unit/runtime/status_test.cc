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

TEST_CASE("answers and failures of an endpoint are those of all workers") {
  EndpointStatus e = endpoint("a", false, 0);
  e.answers = 10;
  e.answers_5xx = 3;
  e.errors = 2;
  e.head_micros = 500;
  const ClusterStatus one = says({e}), two = says({e});
  const auto rows = runtime::endpoint_rows({&one, &two});
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].answers == 20);
  CHECK(rows[0].answers_5xx == 6);
  CHECK(rows[0].errors == 4);
  CHECK(rows[0].head_micros == 1'000);
}

TEST_CASE("what is in force, the limits and the rates are told in JSON; what is not known is null") {
  runtime::Generation generation;
  generation.hash = "9f3c";
  generation.waiting = {{"runtime.workers", "2"}};
  runtime::StatusFacts facts;
  facts.configuration = {7, base::Micros{1'000'000}, base::Micros{0}, "+route \"new\"", "line 17"};
  facts.limits = {{"ports", "a>b:80", "", 3, 4, base::Micros{60'000'000}}, {"memory", "process", "", 1, 2, {}}};
  runtime::Rate rate;
  rate.per_second = 1.5;
  rate.cut = 0.25;
  rate.phase[0] = 1;
  facts.routes = {{"ca\"rt", rate}};
  const auto part = [&](const char* name) {
    const std::string text = runtime::status_json(generation, facts, {.part = name, .upstream = {}, .age = {}});
    const size_t at = text.find(std::string("\"") + name + "\":");
    return at == std::string::npos ? text : text.substr(at);
  };
  CHECK(part("configuration") ==
        "\"configuration\":{\"hash\":\"9f3c\",\"generation\":7,\"loaded\":\"1970-01-01T00:00:01.000000Z\","
        "\"tried\":null,\"changes\":\"+route \\\"new\\\"\",\"refused\":\"line 17\","
        "\"restart_pending\":[{\"key\":\"runtime.workers\",\"value\":\"2\"}]}}\n");
  CHECK(part("limits") ==
        "\"limits\":[{\"resource\":\"ports\",\"subject\":\"a>b:80\",\"used\":3,\"max\":4,"
        "\"runs_out_seconds\":60},{\"resource\":\"memory\",\"subject\":\"process\",\"used\":1,\"max\":2,"
        "\"runs_out_seconds\":null}]}\n");
  CHECK(
      part("rates").contains("{\"name\":\"ca\\\"rt\",\"per_second\":1.50,\"failed\":0.00000,\"left\":0.00000,"
                             "\"cut\":0.25000,"));
  CHECK(part("rates").contains("\"phases\":{\"client_request\":1.0000,\"queue\":0.0000,"));
}

TEST_CASE("an old address that one worker alone still has a connection to is not forgotten, whoever it is") {
  const auto holder = says({endpoint("new", false, 0), endpoint("old", true, 1)});
  const auto other = says({endpoint("new", false, 2)});
  CHECK(rows({holder, other}) == "new+2 old-1 ");
  CHECK(rows({other, holder}) == "new+2 old-1 ");
  // One that left and has come back stands twice.
  CHECK(rows({says({endpoint("a", false, 1)}), says({endpoint("a", false, 0), endpoint("a", true, 3)})}) == "a+1 a-3 ");
}

// Advice: every sentence with its evidence, at the limit and above it; nothing without.
#include "runtime/advice.h"

#include <doctest/doctest.h>

#include <string>

namespace {

using namespace sluice;
using namespace sluice::runtime;

constexpr std::int64_t day = 24 * 3'600;

bool has(const std::string& text, std::string_view words) { return text.find(words) != std::string::npos; }

TEST_CASE("all is well: nothing is said") { CHECK(advise({}).empty()); }

TEST_CASE("a certificate is judged by the share of its lifetime that is left, whether it lives six days or a year") {
  for (const std::int64_t life : {6 * day, 360 * day}) {
    CAPTURE(life);
    const auto with = [life](std::int64_t left) {
      return advise({.now = life - left, .certificates = {{"a.test", "a.pem", 0, life}}});
    };
    CHECK(with(life / 3 + 1).empty());
    REQUIRE(with(life / 3).size() == 1);
    CHECK(with(life / 3)[0].grade == Grade::notice);
    CHECK(with(life / 10 + 1)[0].grade == Grade::notice);
    CHECK(with(life / 10)[0].grade == Grade::warning);
    CHECK(has(with(-3 * day)[0].text, "certificate a.test ended 3 d ago: renew a.pem"));
  }
}

TEST_CASE("a limit is near from four fifths of it on; none that is not set") {
  const auto with = [](double used, double most) {
    return advise(
        {.limits = {{"client_connections", "process", "raise [runtime] max_connections", used, most, std::nullopt}}});
  };
  CHECK(with(79, 100).empty());
  REQUIRE(with(80, 100).size() == 1);
  CHECK(with(80, 100)[0].text == "80 % of client_connections are used, 80 of 100: raise [runtime] max_connections");
  CHECK(with(5, 0).empty());
}

TEST_CASE("ports: near, or soon full; with what to try first") {
  const auto with = [](double used, std::optional<base::Micros> runs_out) {
    return advise({.limits = {{"ports", "10.0.0.1>10.0.0.2:80", "widen the range", used, 100, runs_out}}});
  };
  CHECK(with(50, std::nullopt).empty());
  CHECK(with(50, base::Micros(base::seconds(600))).empty());
  REQUIRE(with(50, base::Micros(base::seconds(599))).size() == 1);
  CHECK(with(50, base::Micros(base::seconds(599)))[0].text ==
        "50 % of the local ports 10.0.0.1>10.0.0.2:80 are used, 50 of 100, full in 9 min: widen the range");
}

TEST_CASE("an upstream: who is out and why, panic, no endpoint, nobody looks after who fails") {
  UpstreamFacts u{.name = "shop", .endpoints = 8, .out = 7, .failing = 2, .panic_threshold = 50};
  for (const char* name : {"a", "b", "c", "d", "e"}) u.listed.push_back({name, "down (its checks fail)"});
  std::vector<Advice> all = advise({.upstreams = {u}});
  REQUIRE(all.size() == 2);
  CHECK(has(all[0].text, "7 of 8 endpoints of shop get no requests: a down (its checks fail), b"));
  CHECK(has(all[0].text, ", and 2 more"));
  CHECK(all[1].code == "unchecked");
  u.checked = true;
  u.panic = true;
  all = advise({.upstreams = {u}});
  REQUIRE(all.size() == 2);
  CHECK(has(all[1].text, "fewer than 50 % of the endpoints of shop are healthy"));
  all = advise({.upstreams = {{.name = "void"}}});
  REQUIRE(all.size() == 1);
  CHECK(all[0].code == "no_endpoint");
}

TEST_CASE("a pool: too small told from an upstream that is slow, with the key to set") {
  UpstreamFacts u{.name = "shop", .endpoints = 2, .waiting = 10};
  u.load = {.offered = 4.1, .recommended = 8.15, .service = base::Micros{20'000}, .usual = base::Micros{21'000}};
  u.capacity = {.endpoints = 2, .connections = 2, .requests = 2};
  CHECK(advise({.upstreams = {u}}).empty());
  u.pool = upstream::Advice::raise_max_connections;
  std::vector<Advice> all = advise({.upstreams = {u}});
  REQUIRE(all.size() == 1);
  CHECK(has(all[0].text, "shop needs about 9 connections and may have 2 (10 wait): set pool.max_connections = 5"));
  CHECK(has(all[0].text, "; it answers in 20.0 ms, as usual"));
  u.load.service = base::Micros{0};  // none has ended yet
  CHECK_FALSE(has(advise({.upstreams = {u}})[0].text, "answers"));
  u.pool = upstream::Advice::upstream_slow;
  u.load.service = base::Micros{620'000};
  all = advise({.upstreams = {u}});
  REQUIRE(all.size() == 1);
  CHECK(has(all[0].text, "shop answers in 620.0 ms, usually 21.0 ms, and 10 wait"));
}

TEST_CASE(
    "a name that does not resolve: a notice while its old addresses are young, a warning from half of stale_max") {
  const auto with = [](bool known, std::int64_t stale_s) {
    return advise({.names = {{"app.internal", "timeout from 10.0.0.2:53", 3, known, base::Millis{stale_s * 1'000}}},
                   .stale_max = base::Millis{3'600'000}});
  };
  CHECK(with(true, 1'799)[0].grade == Grade::notice);
  CHECK(with(true, 1'800)[0].grade == Grade::warning);
  CHECK(has(with(true, 1'800)[0].text, "the last addresses are served for 30 min, 60 min at most (dns.stale_max)"));
  CHECK(with(false, 0)[0].code == "name_unresolved");
}

TEST_CASE("the configuration: what waits, what was refused, what is on trial; and warnings come first") {
  AdviceFacts facts{.waiting = {{"runtime.workers", "2"}}, .refused = "s.toml:17: unknown key \"max_conections\""};
  facts.trial_left = base::Micros{30'000'000};
  const std::vector<Advice> all = advise(facts);
  REQUIRE(all.size() == 3);
  CHECK(all[0].code == "reload_refused");
  CHECK(has(all[0].text, "s.toml:17: unknown key"));
  CHECK(all[1].code == "restart_pending");
  CHECK(has(all[1].text, "the file says runtime.workers = 2"));
  CHECK(has(all[2].text, "taken back in 30 s"));
}

TEST_CASE("a drain that waits for clients says for how many and until when; dropped log lines are told") {
  CHECK(advise({.draining = true}).empty());
  const auto all = advise({.log_dropped = 7, .draining = true, .drain_connections = 4, .drain_left = base::seconds(6)});
  REQUIRE(all.size() == 2);
  CHECK(has(all[0].text, "7 lines of the logs"));
  CHECK(has(all[1].text, "draining: 4 connections are left, they are cut in 6 s"));
}

// Ten seconds in which `figures` came of one subject.
AdviceFacts happened(ActivityKey::Kind kind, std::initializer_list<std::pair<Figures::Of, double>> figures) {
  AdviceFacts facts;
  facts.activity.seconds = 10;
  for (const auto& [what, value] : figures) facts.activity.counts[{kind, "shop"}][what] = value;
  return facts;
}

std::string codes(const AdviceFacts& facts) {
  std::string all;
  for (const Advice& advice : advise(facts)) all += std::string(advice.code) + " ";
  return all;
}

TEST_CASE("retries: useless from a tenth of the tries on, if less than a fifth of twenty helps; capped by the budget") {
  using enum ActivityKey::Kind;
  const auto with = [](double tries_, double further, double ended, double helped) {
    return codes(happened(upstream, {{Figures::tries, tries_},
                                     {Figures::further_tries, further},
                                     {Figures::retries_ended, ended},
                                     {Figures::retries_helped, helped}}));
  };
  CHECK(with(199, 20, 20, 3) == "retries_useless ");
  CHECK(with(200, 20, 20, 3).empty());  // a tenth
  CHECK(with(199, 20, 20, 4).empty());  // a fifth
  CHECK(with(199, 20, 19, 3).empty());
  const auto facts = happened(upstream, {{Figures::over_budget, 1}});
  CHECK(codes(facts) == "retries_capped ");
  CHECK(has(advise(facts)[0].text, "1 further tries at shop were refused in the last 10 s"));
}

TEST_CASE("what is out of ports or descriptors is ours, connects that hang are not; each with what to do") {
  using enum ActivityKey::Kind;
  const auto facts =
      happened(upstream, {{Figures::no_local_port, 1}, {Figures::no_descriptor, 2}, {Figures::connect_timeouts, 3}});
  CHECK(codes(facts) == "no_local_port no_descriptor connects_hang ");
  CHECK(has(advise(facts)[0].text, "1 tries at shop in the last 10 s found no local port: widen"));
}

TEST_CASE("slow clients: more than half of a route's second, of ten requests") {
  const auto with = [](std::uint64_t requests, std::uint64_t upstream, std::uint64_t client) {
    AdviceFacts facts;
    facts.activity.seconds = 10;
    RouteCounts& counts = facts.routes["shop"];
    counts.requests = requests;
    counts.phase[static_cast<std::size_t>(exchange::Phase::upstream_head)] = upstream;
    counts.phase[static_cast<std::size_t>(exchange::Phase::client_write)] = client;
    return codes(facts);
  };
  CHECK(with(10, 499'999, 500'001) == "client_slow ");
  CHECK(with(10, 500'000, 500'000).empty());
  CHECK(with(9, 499'999, 500'001).empty());
  CHECK(with(10, 499'998, 500'001).empty());  // less than a second
}

TEST_CASE("a proxy without a processor says so, by worker and by cgroup") {
  using enum ActivityKey::Kind;
  CHECK(codes(happened(worker, {{Figures::run_delay, 0.5}})).empty());
  const auto facts = happened(worker, {{Figures::run_delay, 0.51}});
  CHECK(codes(facts) == "proxy_starved ");
  CHECK(has(advise(facts)[0].text, "worker shop waited 0.5 of the last 10 s for a processor"));
  CHECK(codes(happened(process, {{Figures::throttled, 0.1}})).empty());
  CHECK(codes(happened(process, {{Figures::throttled, 0.11}})) == "proxy_starved ");
}

TEST_CASE("an old address that is held for a minute") {
  UpstreamFacts u{.name = "shop", .endpoints = 1};
  u.held = 2;
  u.held_by = "10.0.0.1:80";
  u.held_for = base::seconds(59);
  CHECK(advise({.upstreams = {u}}).empty());
  u.held_for = base::seconds(60);
  CHECK(advise({.upstreams = {u}}).front().text ==
        "2 connections of shop still use addresses that have left it, 10.0.0.1:80 for 60 s: GET /debug/requests names "
        "who holds them");
}

}  // namespace

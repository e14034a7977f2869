// Services: SRV records, their targets' addresses, priorities and weights, and sets that replace each other.
#include <string>
#include <vector>

#include "dns/directory.h"
#include "dns/weights.h"
#include "world.h"

#include <doctest/doctest.h>

using namespace sluice;
using namespace sluice::dns_test;
using base::millis;
using base::seconds;
using dns::Outcome;
using dns::RecordState;
using dns::Type;

namespace {

const std::string web = "_http._tcp.example";

struct ServiceWorld : World {
  void services(std::vector<dns::ServiceRecord> records, std::uint32_t ttl = 60) {
    script.services(web, std::move(records), ttl);
  }
  void start() { follow(web, dns::Kind::service); }
};

dns::Candidate candidate(std::uint16_t priority, std::uint16_t weight, const std::string& target, Texts addresses,
                         std::uint16_t port = 80) {
  dns::Candidate c{{priority, weight, port, target}, {}};
  for (const auto& a : addresses) c.addresses.push_back(*net::Address::parse_ip(a));
  return c;
}
// "address priority weight host" of each.
Texts rows(const std::vector<dns::Endpoint>& endpoints) {
  Texts all;
  for (const auto& e : endpoints)
    all.push_back(e.address.text() + " " + std::to_string(e.priority) + " " + std::to_string(e.weight) + " " + e.host);
  return all;
}

}  // namespace

TEST_CASE("weights stay as they are when each target has as many addresses") {
  CHECK(rows(dns::spread({candidate(10, 60, "b", {"10.0.0.2"}), candidate(10, 65535, "a", {"10.0.0.1"}, 8080),
                          candidate(0, 1, "c", {"10.0.0.3"})})) ==
        Texts{"10.0.0.3:80 0 1 c", "10.0.0.1:8080 10 65535 a", "10.0.0.2:80 10 60 b"});
}

TEST_CASE("weight 0: drawn rarely beside others, alike among zeros (RFC 2782)") {
  CHECK(rows(dns::spread({candidate(0, 1, "a", {"10.0.0.1"}), candidate(0, 0, "b", {"10.0.0.2"})})) ==
        Texts{"10.0.0.1:80 0 65535 a", "10.0.0.2:80 0 1 b"});
  CHECK(rows(dns::spread({candidate(0, 0, "a", {"10.0.0.1"}), candidate(0, 0, "b", {"10.0.0.2"})})) ==
        Texts{"10.0.0.1:80 0 1 a", "10.0.0.2:80 0 1 b"});
  // Zeros of another priority change nothing here.
  CHECK(rows(dns::spread({candidate(0, 2, "a", {"10.0.0.1"}), candidate(1, 0, "b", {"10.0.0.2"})})) ==
        Texts{"10.0.0.1:80 0 2 a", "10.0.0.2:80 1 1 b"});
}

TEST_CASE("a target's weight is shared by its addresses") {
  CHECK(rows(dns::spread({candidate(0, 10, "a", {"10.0.0.1", "10.0.0.2"}), candidate(0, 10, "b", {"10.0.0.3"})})) ==
        Texts{"10.0.0.1:80 0 32768 a", "10.0.0.2:80 0 32768 a", "10.0.0.3:80 0 65535 b"});
  CHECK(rows(dns::spread({candidate(0, 0, "a", {"10.0.0.1", "10.0.0.2"}), candidate(0, 0, "b", {"10.0.0.3"})})) ==
        Texts{"10.0.0.1:80 0 32768 a", "10.0.0.2:80 0 32768 a", "10.0.0.3:80 0 65535 b"});
  CHECK(
      dns::spread({candidate(0, 65535, "a", {"10.0.0.1"}), candidate(0, 1, "b", {"10.0.0.2", "10.0.0.3"})})[1].weight ==
      1);
}

TEST_CASE("an address that comes twice stands once: the best priority, the sum of its weights there") {
  CHECK(rows(dns::spread({candidate(5, 10, "a", {"10.0.0.1"}), candidate(5, 20, "b", {"10.0.0.1"}),
                          candidate(9, 1, "c", {"10.0.0.1"})})) == Texts{"10.0.0.1:80 5 30 a"});
  CHECK(dns::spread({candidate(0, 65535, "a", {"10.0.0.1"}), candidate(0, 65535, "b", {"10.0.0.1"})})[0].weight ==
        dns::weight_max);
  CHECK(dns::spread({candidate(0, 1, "a", {"10.0.0.1"}, 80), candidate(0, 1, "a", {"10.0.0.1"}, 81)}).size() == 2);
}

TEST_CASE("targets without addresses, and '.', give nothing") {
  CHECK(dns::spread({candidate(0, 1, "a", {}), candidate(0, 1, "", {})}).empty());
}

TEST_CASE("ports, priorities, weights and the host of each endpoint") {
  ServiceWorld w;
  w.services({{20, 0, 8081, "b.example"}, {10, 7, 8080, "a.example"}});
  w.script.addresses("a.example", {"10.0.0.1"}, 60, {"2001:db8::1"});
  w.script.addresses("b.example", {"10.0.0.2"});
  w.start();
  w.run(millis(100));
  CHECK(w.follower.resolutions == 1);
  CHECK(rows(w.follower.last.endpoints) ==
        Texts{"10.0.0.1:8080 10 7 a.example", "[2001:db8::1]:8080 10 7 a.example", "10.0.0.2:8081 20 1 b.example"});
  CHECK(w.follower.last.state == RecordState::fresh);
  CHECK(w.status(web).records[0].records == Texts{"a.example:8080 10 7", "b.example:8081 20 0"});
  CHECK_FALSE(w.status("a.example").followed);
}

TEST_CASE("a weight or a priority that changes is news, another order is none") {
  ServiceWorld w;
  w.services({{0, 1, 80, "a.example"}, {0, 2, 80, "b.example"}}, 1);
  w.script.addresses("a.example", {"10.0.0.1"});
  w.script.addresses("b.example", {"10.0.0.2"});
  w.start();
  w.run(seconds(3));
  w.services({{0, 2, 80, "b.example"}, {0, 1, 80, "a.example"}}, 2);
  w.run(seconds(3));
  CHECK(w.follower.resolutions == 1);
  w.services({{0, 3, 80, "b.example"}, {0, 1, 80, "a.example"}}, 1);
  w.run(seconds(3));
  CHECK(w.follower.resolutions == 2);
  CHECK(w.follower.last.endpoints[1].weight == 3);
}

TEST_CASE("targets are refreshed by their own TTL") {
  ServiceWorld w;
  w.services({{0, 1, 80, "a.example"}}, 300);
  w.script.addresses("a.example", {"10.0.0.1"}, 1);
  w.start();
  w.run(seconds(5));
  w.script.addresses("a.example", {"10.0.0.2"}, 1);
  w.run(millis(1'050));
  CHECK(w.follower.texts() == Texts{"10.0.0.2:80"});
  CHECK(w.script.count(web, Type::srv) == 1);
}

TEST_CASE("a silent target delays the others by a moment only") {
  ServiceWorld w;
  w.services({{0, 1, 80, "a.example"}, {0, 1, 80, "b.example"}});
  w.script.addresses("a.example", {"10.0.0.1"});
  w.script.outcome("b.example", Outcome::timeout);
  for (const Type t : {Type::a, Type::aaaa}) w.script.at("b.example", t).latency = seconds(4);
  w.start();
  w.run(dns::targets_wait);
  CHECK(w.follower.resolutions == 0);
  w.run(millis(10));
  CHECK(w.follower.texts() == Texts{"10.0.0.1:80"});
  w.script.addresses("b.example", {"10.0.0.2"});
  w.run(seconds(10));
  CHECK(w.follower.texts() == Texts{"10.0.0.1:80", "10.0.0.2:80"});
}

TEST_CASE("other targets: no moment without addresses in between") {
  ServiceWorld w;
  w.services({{0, 1, 80, "a.example"}}, 1);
  w.script.addresses("a.example", {"10.0.0.1"});
  w.script.addresses("b.example", {"10.0.0.2"});
  for (const Type t : {Type::a, Type::aaaa}) w.script.at("b.example", t).latency = seconds(2);
  w.start();
  w.run(seconds(3));
  int empty = 0;
  w.follower.on_news = [&] { empty += w.follower.last.endpoints.empty() ? 1 : 0; };
  w.services({{0, 1, 80, "b.example"}}, 1);
  w.run(seconds(2));
  CHECK(w.follower.texts() == Texts{"10.0.0.1:80"});
  w.run(seconds(2));
  CHECK(w.follower.texts() == Texts{"10.0.0.2:80"});
  CHECK(w.follower.resolutions == 2);
  CHECK(empty == 0);
  w.run(seconds(1));
  CHECK(w.directory.status().size() == 2);  // a.example has been let go
}

TEST_CASE("new targets without any address are held as an empty answer is") {
  ServiceWorld w;
  w.services({{0, 1, 80, "a.example"}}, 1);
  w.script.addresses("a.example", {"10.0.0.1"}, 5);
  w.script.outcome("b.example", Outcome::nxdomain, 5);
  w.start();
  w.run(seconds(3));
  w.services({{0, 1, 80, "b.example"}}, 1);
  w.run(seconds(29));
  CHECK(w.follower.texts() == Texts{"10.0.0.1:80"});
  CHECK(w.state() == RecordState::stale);
  CHECK(w.script.count("a.example", Type::a) >= 6);  // what serves is looked after
  SUBCASE("given up in the end") {
    w.run(seconds(3));
    CHECK(w.follower.last.endpoints.empty());
    CHECK(w.state() == RecordState::gone);
  }
  SUBCASE("put right meanwhile") {
    w.services({{0, 1, 80, "a.example"}}, 1);
    w.run(seconds(60));
    CHECK(w.follower.resolutions == 1);
    CHECK(w.state() == RecordState::fresh);
  }
  SUBCASE("the targets are born") {
    w.script.addresses("b.example", {"10.0.0.2"});
    w.run(seconds(10));
    CHECK(w.follower.texts() == Texts{"10.0.0.2:80"});
  }
}

TEST_CASE("new targets that only fail are waited for as long as stale answers serve") {
  ServiceWorld w;
  w.options.stale_max = seconds(100);
  w.configure();
  w.services({{0, 1, 80, "a.example"}}, 1);
  w.script.addresses("a.example", {"10.0.0.1"}, 5);
  w.script.outcome("b.example", Outcome::servfail);
  w.start();
  w.run(seconds(3));
  w.services({{0, 1, 80, "b.example"}}, 1);
  w.run(seconds(95));
  CHECK(w.follower.texts() == Texts{"10.0.0.1:80"});
  w.run(seconds(10));
  CHECK(w.follower.last.endpoints.empty());
}

TEST_CASE("target '.': the service is not there, and nobody waits") {
  ServiceWorld w;
  w.services({{0, 0, 0, ""}}, 1);
  w.start();
  w.run(millis(100));
  CHECK(w.follower.resolutions == 1);
  CHECK(w.follower.last.state == RecordState::gone);
  w.script.addresses("a.example", {"10.0.0.1"});
  w.services({{0, 1, 80, "a.example"}}, 1);
  w.run(seconds(2));
  CHECK(w.follower.texts() == Texts{"10.0.0.1:80"});
  w.services({{0, 0, 0, ""}}, 1);
  w.run(seconds(2));
  CHECK(w.follower.last.endpoints.empty());
  CHECK(w.follower.last.state == RecordState::gone);
}

TEST_CASE("the SRV answer that fails, and the one that is taken back") {
  ServiceWorld w;
  w.services({{0, 1, 80, "a.example"}}, 5);
  w.script.addresses("a.example", {"10.0.0.1"}, 5);
  w.start();
  w.run(seconds(3));
  w.script.at(web, Type::srv).outcome = Outcome::servfail;
  w.run(seconds(100));
  CHECK(w.follower.resolutions == 1);
  CHECK(w.state() == RecordState::stale);
  CHECK(w.directory.gauges().size() == 1);
  CHECK(w.directory.gauges()[0].name == web);
  CHECK(w.directory.gauges()[0].stale_for > base::Micros{seconds(80)});
  w.script.at(web, Type::srv).outcome = Outcome::nxdomain;
  w.run(seconds(25));
  CHECK(w.follower.resolutions == 1);
  w.run(seconds(30));
  CHECK(w.state() == RecordState::gone);
  CHECK(w.directory.status().size() == 1);
}

TEST_CASE("a service that does not resolve at start is told once") {
  ServiceWorld w;
  SUBCASE("its SRV record") { w.script.at(web, Type::srv).outcome = Outcome::servfail; }
  SUBCASE("its target") {
    w.services({{0, 1, 80, "a.example"}});
    w.script.outcome("a.example", Outcome::servfail);
  }
  w.start();
  w.run(seconds(30));
  CHECK(w.follower.unresolved == 1);
  CHECK(w.follower.reason.find("servfail from script:53") != std::string::npos);
  CHECK(w.follower.resolutions == 0);
  CHECK(w.state() == RecordState::resolving);
}

TEST_CASE("a name that is followed and a target, too, is asked for once") {
  ServiceWorld w;
  w.services({{0, 1, 80, "a.example"}});
  w.script.addresses("a.example", {"10.0.0.1"});
  w.start();
  Follower other;
  auto made = w.directory.follow({dns::Kind::address, "A.example", 9}, other);
  REQUIRE(made.has_value());
  w.run(seconds(1));
  CHECK(w.script.count("a.example", Type::a) == 1);
  CHECK(other.texts() == Texts{"10.0.0.1:9"});
  CHECK(w.follower.texts() == Texts{"10.0.0.1:80"});
  CHECK(w.status("a.example").followed);
}

TEST_CASE("names at the limit: a target above is left out, the others serve") {
  World w;
  std::vector<dns::Subscription> all;
  std::vector<Follower> followers(64);
  std::size_t targets = 0;
  for (std::size_t i = 0; targets + i < dns::names_max + 100; ++i) {  // services of services_max targets each
    const std::string name = "s" + std::to_string(i) + ".example";
    std::vector<dns::ServiceRecord> records;
    for (std::size_t t = 0; t < dns::services_max; ++t) {
      const std::string target = "t" + std::to_string(targets++) + ".example";
      records.push_back({0, 1, 80, target});
      w.script.addresses(target, {"10.0.0.1"}, 300);
    }
    w.script.services(name, records, 300);
    auto made = w.directory.follow({dns::Kind::service, name, 0}, followers[i]);
    REQUIRE(made.has_value());
    all.push_back(std::move(*made));
  }
  w.run(seconds(1));
  CHECK(w.directory.status().size() == dns::names_max);
  for (std::size_t i = 0; i + 1 < all.size(); ++i) CHECK(followers[i].last.endpoints.size() == 1);
  CHECK(followers[all.size() - 1].last.endpoints.empty());  // all its targets were left out
  CHECK_FALSE(w.directory.follow({dns::Kind::address, "above.example", 80}, w.follower).has_value());
}

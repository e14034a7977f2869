// Local ports: what the kernel's files say, the forecast, its limits; and one look at the kernel itself.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "runtime/port_forecast.h"

#include <doctest/doctest.h>

namespace {

using namespace sluice;
using namespace sluice::runtime;

PortUse use(std::uint16_t number, std::uint32_t used, std::uint32_t time_wait = 0) {
  return {*net::Address::parse_ip("10.0.0.1"), net::Address::ipv4(0x0A000002, number), used, time_wait};
}
struct Scene {
  // The row of destination port 1 after a look that comes 5 s behind the last one.
  PortRow look(std::uint32_t used, std::uint32_t time_wait = 0) {
    now = now + base::Micros{5'000'000};
    return forecast.look({{use(1, used, time_wait)}, available}, now).front();
  }
  PortForecast forecast;
  base::Micros now{};
  std::uint32_t available = 10'000;
};

TEST_CASE("the range, without what is reserved") {
  CHECK(parse_port_range("32768\t60999\n", "\n").size() == 28'232);
  const PortRange some = parse_port_range("40000\t40049\n", "80,40000-40009,40049-50000,40020\n");
  CHECK(some.size() == 38);
  CHECK_FALSE(some.has(40'009));
  CHECK(some.has(40'010));
  CHECK_FALSE(some.has(40'020));
  CHECK(some.has(40'048));
  CHECK_FALSE(some.has(40'049));
  CHECK_FALSE(some.has(39'999));
  CHECK_FALSE(some.has(40'050));
  for (const char* odd : {"", "x", "5", "9 8", "1 70000", "40000 x"}) {
    CAPTURE(odd);
    CHECK(parse_port_range(odd, "-,,9-,x-y\n").size() == 28'232);
  }
}

TEST_CASE("a rise of a minute leads to an end; what falls, or is too short, does not") {
  Scene s;
  for (int i = 0; i < 6; ++i) CHECK_FALSE(s.look(1'000 + 100 * i).runs_out);  // 25 s so far
  const PortRow row = s.look(1'600);
  REQUIRE(row.runs_out);
  CHECK(row.runs_out->seconds() == doctest::Approx(8'400 / 20.0));
  CHECK_FALSE(row.short_of);  // soon, but less than a quarter is taken: a start
  for (int i = 0; i < 20; ++i) s.look(1'600);
  CHECK_FALSE(s.look(1'600).runs_out);
  CHECK_FALSE(s.look(1'500).runs_out);
}

TEST_CASE("short from 80 percent on, until it is well again") {
  Scene s;
  CHECK_FALSE(s.look(7'999).short_of);
  CHECK(s.look(8'000).short_of);
  CHECK(s.look(6'000).short_of);
  CHECK_FALSE(s.look(5'999).short_of);
  CHECK_FALSE(s.look(7'999).short_of);
}

TEST_CASE("told of when a quarter is taken and none is left within ten minutes") {
  Scene s;
  PortRow row;
  for (int i = 0; i <= 12; ++i) row = s.look(2'500 + 65 * i);  // 13 a second, 6,720 left: 517 s
  CHECK(row.short_of);
  Scene slower;
  for (int i = 0; i <= 12; ++i) row = slower.look(2'500 + 50 * i);  // 10 a second, 6,900 left: 690 s
  REQUIRE(row.runs_out);
  CHECK_FALSE(row.short_of);
}

TEST_CASE("the first fix: connections that live, a wider range, another address") {
  Scene s;
  CHECK(first_fix(s.look(9'000, 4'501)).starts_with("let connections live"));
  CHECK(first_fix(s.look(9'000, 4'500)).starts_with("widen net.ipv4.ip_local_port_range"));
  s.available = 60'000;
  CHECK(first_fix(s.look(50'000)).starts_with("add source_addresses"));
}

TEST_CASE("so many subjects, the fullest, and none more; who leaves is forgotten") {
  PortForecast forecast;
  PortsSeen seen;
  seen.available = 1'000;
  for (std::uint16_t i = 1; i <= PortForecast::subjects_most; ++i) seen.uses.push_back(use(i, i));
  CHECK(forecast.look(seen, base::Micros{1}).size() == PortForecast::subjects_most);
  seen.uses.push_back(use(1'000, 900));
  const auto& rows = forecast.look(seen, base::Micros{2});
  REQUIRE(rows.size() == PortForecast::subjects_most);
  CHECK(rows.front().subject() == "10.0.0.1>10.0.0.2:1000");
  CHECK(rows.back().used == 2);
  CHECK(rows.front().short_of);
  forecast.look({}, base::Micros{3});
  CHECK(forecast.rows().empty());
  seen.uses.back().used = 700;
  CHECK_FALSE(forecast.look(seen, base::Micros{4}).front().short_of);
}

// A real socket: this is what the kernel says, and no simulation can.
TEST_CASE("the kernel tells of a connection by its two ends") {
  const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(server >= 0);
  REQUIRE(client >= 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof at;
  REQUIRE(::bind(server, reinterpret_cast<sockaddr*>(&at), length) == 0);
  REQUIRE(::listen(server, 1) == 0);
  REQUIRE(::getsockname(server, reinterpret_cast<sockaddr*>(&at), &length) == 0);
  REQUIRE(::connect(client, reinterpret_cast<sockaddr*>(&at), length) == 0);
  const net::Address to = net::Address::ipv4(INADDR_LOOPBACK, ntohs(at.sin_port));
  const auto seen = read_local_ports({{to}, {to}});
  REQUIRE(seen.has_value());
  REQUIRE(seen->uses.size() == 1);
  CHECK(seen->uses[0].source.ip_text() == "127.0.0.1");
  CHECK(seen->uses[0].destination == to);
  CHECK(seen->uses[0].used == 1);
  CHECK(seen->uses[0].time_wait == 0);
  CHECK(seen->available > 0);
  REQUIRE(seen->queues.size() == 1);
  CHECK(seen->queues[0].at == to);
  CHECK(seen->queues[0].waiting == 1);  // nobody has accepted it
  CHECK(seen->queues[0].most == 1);
  const auto nobody = read_local_ports({});
  REQUIRE(nobody.has_value());
  CHECK(nobody->uses.empty());
  CHECK(nobody->queues.empty());
  ::close(client);
  ::close(server);
}

}  // namespace

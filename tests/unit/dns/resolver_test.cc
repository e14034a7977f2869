// The resolver against a server of ours on loopback: good answers, forged and broken ones, silence, truncation, several
// servers.
#include "dns/resolver.h"

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/clock.h"
#include "dns/system_files.h"
#include "dns_server.h"
#include "net/uv_driver.h"

#include <doctest/doctest.h>

using namespace sluice;
using namespace sluice::dns_test;
using base::millis;
using base::seconds;
using dns::Ignored;
using dns::Outcome;
using dns::Type;

namespace {

const std::string app = "app.example";
constexpr std::uint32_t ip = 0x0a000001;

struct Asked final : dns::Queries::Asker {
  void on_reply(const dns::Reply& r) override {
    ++replies;
    reply = r;
    if (drop) lookup.reset();
  }
  int replies = 0;
  bool drop = true;
  dns::Reply reply;
  std::unique_ptr<dns::Lookup> lookup;
};

struct World {
  explicit World(std::vector<std::string> servers = {}) : resolver(loop, {.hosts = "", .resolv_conf = ""}) {
    options.servers = std::move(servers);
    options.timeout = seconds(30);  // a test that waits for it shortens it
    resolver.configure(options);
  }
  void configure(std::vector<std::string> servers, base::Millis timeout = seconds(30), std::uint32_t attempts = 2) {
    options.servers = std::move(servers);
    options.timeout = timeout;
    options.attempts = attempts;
    resolver.configure(options);
  }
  template <class Done>
  void until(Done done) {
    const base::Micros start = base::steady_clock().now();
    while (!done()) {
      REQUIRE(base::steady_clock().now() - start < base::Micros{seconds(20)});
      loop.turn(base::Micros{20'000});
    }
  }
  void ask(Asked& asked, const std::string& name = app, Type type = Type::a) {
    asked.lookup = resolver.ask(name, type, asked);
  }
  dns::Reply lookup(const std::string& name = app, Type type = Type::a) {
    Asked asked;
    ask(asked, name, type);
    CHECK(asked.replies == 0);  // never within the call
    until([&] { return asked.replies == 1; });
    return asked.reply;
  }

  net::Loop loop{base::steady_clock(), net::make_uv_driver()};
  dns::DnsOptions options;
  dns::Resolver resolver;
};

void answer(const Query& q) { q.reply(q.answer().add_a("@12", 60, ip).bytes); }
std::uint32_t ignored(const dns::Reply& reply, Ignored why) { return reply.ignored[static_cast<std::size_t>(why)]; }

}  // namespace

TEST_CASE("a question, its answer, and who gave it") {
  World w;
  DnsServer server(w.loop);
  w.configure({server.text()});
  server.on_query = answer;
  const dns::Reply reply = w.lookup();
  CHECK(reply.outcome == Outcome::ok);
  REQUIRE(reply.answer.addresses.size() == 1);
  CHECK(reply.answer.addresses[0].ip_text() == "10.0.0.1");
  CHECK(reply.answer.ttl == 60);
  CHECK(reply.server == server.text());
  CHECK(reply.ended >= reply.asked);
  CHECK(reply.asked == reply.started);
  REQUIRE(server.queries.size() == 1);
  CHECK(server.queries[0].name == app);
  CHECK(server.queries[0].type == 1);
  CHECK(server.queries[0].edns);
}

TEST_CASE("AAAA, SRV, 'no such name' with its SOA, and a name in another case") {
  World w;
  DnsServer server(w.loop);
  w.configure({server.text()});
  server.on_query = [](const Query& q) {
    if (q.type == 28) q.reply(q.answer().add_aaaa("@12", 7, 9).bytes);
    if (q.type == 33) q.reply(q.answer().add_srv("@12", 8, 1, 2, 3, "t.example").bytes);
    if (q.type == 1 && q.name == "gone.example") q.reply(q.answer().rcode(3).add_soa("example", 300, 11).bytes);
    if (q.type == 1 && q.name == app) {
      Query loud = q;
      loud.name = "APP.eXample";
      q.reply(loud.answer().add_a("App.Example", 60, ip).bytes);
    }
  };
  CHECK(w.lookup(app, Type::aaaa).answer.addresses[0].ip_text() == "2001:db8::9");
  const auto srv = w.lookup("_x._tcp.example", Type::srv);
  REQUIRE(srv.answer.services.size() == 1);
  CHECK(srv.answer.services[0] == dns::ServiceRecord{1, 2, 3, "t.example"});
  CHECK(srv.answer.ttl == 8);
  const auto gone = w.lookup("gone.example");
  CHECK(gone.outcome == Outcome::nxdomain);
  CHECK(gone.answer.negative_ttl == 11);
  CHECK(w.lookup().outcome == Outcome::ok);
}

TEST_CASE("datagrams that do not answer the question are dropped and counted; the answer behind them is taken") {
  World w;
  DnsServer server(w.loop);
  w.configure({server.text()});
  server.on_query = [](const Query& q) {
    Query wrong = q;
    wrong.id = static_cast<std::uint16_t>(q.id + 1);
    q.reply(wrong.answer().add_a("@12", 60, 0x0a000009).bytes);
    wrong = q;
    wrong.name = "other.example";
    q.reply(wrong.answer().add_a("@12", 60, 0x0a000009).bytes);
    q.reply(support::DnsMessage(q.id).bytes);
    q.reply(q.bytes);
    q.reply({});
    q.reply({1, 2, 3});
    Bytes torn = q.answer().bytes;
    torn.resize(15);
    q.reply(torn);
    answer(q);
  };
  const dns::Reply reply = w.lookup();
  CHECK(reply.outcome == Outcome::ok);
  CHECK(reply.answer.addresses[0].ip_text() == "10.0.0.1");
  CHECK(ignored(reply, Ignored::wrong_id) == 1);
  CHECK(ignored(reply, Ignored::wrong_question) == 2);
  CHECK(ignored(reply, Ignored::not_a_response) == 1);
  CHECK(ignored(reply, Ignored::short_message) == 3);
  CHECK(server.queries.size() == 1);
}

TEST_CASE("many forged datagrams before the answer") {
  World w;
  DnsServer server(w.loop);
  w.configure({server.text()});
  server.on_query = [](const Query& q) {
    Query wrong = q;
    for (int i = 1; i <= 100; ++i) {
      wrong.id = static_cast<std::uint16_t>(q.id + i);
      q.reply(wrong.answer().add_a("@12", 60, 0x0a000009).bytes);
    }
    answer(q);
  };
  const dns::Reply reply = w.lookup();
  CHECK(reply.answer.addresses[0].ip_text() == "10.0.0.1");
  CHECK(ignored(reply, Ignored::wrong_id) == 100);
}

TEST_CASE("an answer from another source is not heard") {
  World w;
  DnsServer server(w.loop), other(w.loop);
  w.configure({server.text()});
  server.on_query = [&](const Query& q) {
    const sockaddr_in client = DnsServer::loopback(q.port);
    const Bytes forged = q.answer().add_a("@12", 60, 0x0a000009).bytes;
    REQUIRE(::sendto(other.udp_fd(), forged.data(), forged.size(), 0, reinterpret_cast<const sockaddr*>(&client),
                     sizeof client) > 0);
    answer(q);
  };
  CHECK(w.lookup().answer.addresses[0].ip_text() == "10.0.0.1");
}

TEST_CASE("an answer with broken records fails, and says what was wrong") {
  World w;
  DnsServer server(w.loop);
  w.configure({server.text()});
  server.on_query = [](const Query& q) {
    Bytes bytes = q.answer().add_a("@12", 60, ip).bytes;
    bytes.pop_back();
    q.reply(bytes);
  };
  const dns::Reply reply = w.lookup();
  CHECK(reply.outcome == Outcome::malformed);
  CHECK(reply.answer.refusal == Ignored::short_message);
  CHECK(ignored(reply, Ignored::short_message) == 1);
  CHECK(server.queries.size() == 1);
}

TEST_CASE("a silent server: as many attempts as configured, each with an id and a port of its own") {
  World w;
  DnsServer server(w.loop);
  w.configure({server.text()}, millis(50), 4);
  const dns::Reply reply = w.lookup();
  CHECK(reply.outcome == Outcome::timeout);
  CHECK(reply.ended - reply.started >= base::Micros{millis(200)});
  CHECK(reply.asked - reply.started >= base::Micros{millis(150)});
  w.until([&] { return server.queries.size() >= 4; });
  CHECK(server.queries.size() == 4);
  std::set<std::uint16_t> ids, ports;
  for (const Query& q : server.queries) ids.insert(q.id), ports.insert(q.port);
  CHECK(ids.size() >= 3);  // chance may repeat one
  CHECK(ports.size() >= 3);
}

TEST_CASE("a lost datagram: the second attempt is answered") {
  World w;
  DnsServer server(w.loop);
  w.configure({server.text()}, millis(500));
  server.on_query = [&](const Query& q) {
    if (server.queries.size() == 2) answer(q);
  };
  const dns::Reply reply = w.lookup();
  CHECK(reply.outcome == Outcome::ok);
  CHECK(reply.asked > reply.started);
}

TEST_CASE("each look-up leaves from a new port") {
  World w;
  DnsServer server(w.loop);
  w.configure({server.text()});
  server.on_query = answer;
  for (int i = 0; i < 16; ++i) CHECK(w.lookup().outcome == Outcome::ok);
  std::set<std::uint16_t> ports, ids;
  for (const Query& q : server.queries) ports.insert(q.port), ids.insert(q.id);
  CHECK(ports.size() >= 14);
  CHECK(ids.size() >= 14);
}

TEST_CASE("a truncated answer is asked for over TCP: 500 addresses") {
  World w;
  DnsServer server(w.loop);
  w.configure({server.text()});
  server.on_query = [](const Query& q) {
    if (!q.tcp) return q.reply(q.answer(0x8380).bytes);
    support::DnsMessage m = q.answer();
    for (std::uint32_t i = 0; i < 500; ++i) m.add_a("@12", 60, ip + i);
    q.reply(m.bytes);
  };
  const dns::Reply reply = w.lookup();
  CHECK(reply.outcome == Outcome::ok);
  CHECK(reply.answer.addresses.size() == 500);
  REQUIRE(server.queries.size() == 2);
  CHECK(server.queries[1].tcp);
}

TEST_CASE("over TCP: torn, silent, truncated again, or refused") {
  World w;
  DnsServer server(w.loop);
  w.configure({server.text()}, seconds(30), 1);
  const auto over_tcp = [&](std::function<void(const Query&)> what) {
    server.on_query = [what](const Query& q) { q.tcp ? what(q) : q.reply(q.answer(0x8380).bytes); };
    return w.lookup();
  };
  CHECK(over_tcp([](const Query& q) { q.reply(q.answer(0x8380).bytes); }).answer.refusal == Ignored::truncated);
  const auto other = over_tcp([](const Query& q) {
    Query wrong = q;
    wrong.name = "other.example";
    q.reply(wrong.answer().bytes);
    answer(q);
  });
  CHECK(other.outcome == Outcome::ok);
  w.configure({server.text()}, millis(100), 1);
  CHECK(over_tcp([](const Query&) {}).outcome == Outcome::timeout);
  DnsServer without(w.loop, Tcp::no);
  w.configure({without.text()}, seconds(30), 2);
  without.on_query = [](const Query& q) { q.reply(q.answer(0x8380).bytes); };
  CHECK(w.lookup().outcome == Outcome::unreachable);
}

TEST_CASE("a server without EDNS is asked again without it") {
  World w;
  DnsServer server(w.loop);
  w.configure({server.text()});
  server.on_query = [](const Query& q) { q.edns ? q.reply(q.answer().rcode(1).bytes) : answer(q); };
  CHECK(w.lookup().outcome == Outcome::ok);
  REQUIRE(server.queries.size() == 2);
  CHECK_FALSE(server.queries[1].edns);
}

TEST_CASE("a server that answers with an error is not asked again in the same look-up") {
  for (const auto& [rcode, outcome] :
       {std::pair{2, Outcome::servfail}, std::pair{5, Outcome::refused}, std::pair{4, Outcome::refused}}) {
    World w;
    DnsServer server(w.loop);
    w.configure({server.text()}, seconds(30), 5);
    server.on_query = [code = rcode](const Query& q) {
      q.reply(q.answer().rcode(static_cast<std::uint8_t>(code)).bytes);
    };
    CHECK(w.lookup().outcome == outcome);
    CHECK(server.queries.size() == 1);
  }
}

TEST_CASE("another server is asked when the first one fails, and stays the first choice") {
  World w;
  DnsServer bad(w.loop), good(w.loop);
  good.on_query = answer;
  SUBCASE("SERVFAIL") {
    bad.on_query = [](const Query& q) { q.reply(q.answer().rcode(2).bytes); };
    w.configure({bad.text(), good.text()});
  }
  SUBCASE("silence") { w.configure({bad.text(), good.text()}, millis(500)); }
  const dns::Reply reply = w.lookup();
  CHECK(reply.outcome == Outcome::ok);
  CHECK(reply.server == good.text());
  CHECK(bad.queries.size() == 1);
  w.configure({bad.text(), good.text()}, seconds(30));  // a configuration starts anew
  bad.on_query = answer;
  CHECK(w.lookup().server == bad.text());
  bad.on_query = [](const Query& q) { q.reply(q.answer().rcode(2).bytes); };
  CHECK(w.lookup().server == good.text());
  const std::size_t asked = bad.queries.size();
  CHECK(w.lookup().server == good.text());
  CHECK(bad.queries.size() == asked);
}

TEST_CASE("nobody at the server's port, or no server that can be used") {
  World w;
  std::string closed;
  {
    DnsServer server(w.loop);
    closed = server.text();
  }
  w.configure({closed}, seconds(30), 3);
  const dns::Reply reply = w.lookup();
  CHECK(reply.outcome == Outcome::unreachable);
  CHECK(reply.server == closed);
  w.configure({"not an address"});
  CHECK(w.lookup().outcome == Outcome::unreachable);
}

TEST_CASE("a look-up that is dropped is heard of no more, also when its answer comes") {
  World w;
  DnsServer server(w.loop);
  w.configure({server.text()});
  Asked asked, second;
  w.ask(asked);
  w.until([&] { return server.queries.size() == 1; });
  asked.lookup.reset();
  answer(server.queries[0]);
  server.on_query = answer;
  w.ask(second);
  w.until([&] { return second.replies == 1; });
  CHECK(asked.replies == 0);
}

TEST_CASE("a look-up that is kept after its reply, and one that goes before anything is sent") {
  World w;
  DnsServer server(w.loop);
  w.configure({server.text()});
  server.on_query = answer;
  Asked kept, gone;
  kept.drop = false;
  w.ask(kept);
  w.ask(gone);
  gone.lookup.reset();
  w.until([&] { return kept.replies == 1; });
  CHECK(gone.replies == 0);
  CHECK(w.lookup().outcome == Outcome::ok);
  CHECK(kept.replies == 1);
}

TEST_CASE("as many look-ups at once as allowed; the next one waits for its turn") {
  World w;
  DnsServer server(w.loop);
  w.configure({server.text()});
  std::vector<Asked> all(dns::lookups_at_once_max + 1);
  for (std::size_t i = 0; i < all.size(); ++i) w.ask(all[i], "n" + std::to_string(i) + ".example");
  w.until([&] { return server.queries.size() == dns::lookups_at_once_max; });
  for (int i = 0; i < 5; ++i) w.loop.turn(base::Micros{1'000});
  CHECK(server.queries.size() == dns::lookups_at_once_max);
  SUBCASE("one is answered") {
    answer(server.queries[0]);
    w.until([&] { return all[0].replies == 1; });
  }
  SUBCASE("one is dropped") { all[0].lookup.reset(); }
  w.until([&] { return server.queries.size() == all.size(); });
  answer(server.queries.back());
  w.until([&] { return all.back().replies == 1; });
}

TEST_CASE("a server with an IPv6 address") {
  const net::Fd probe(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 name{};
  name.sin6_family = AF_INET6;
  name.sin6_addr = in6addr_loopback;
  if (!probe || ::bind(probe.value(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0)
    return;  // no IPv6 here
  socklen_t size = sizeof name;
  REQUIRE(::getsockname(probe.value(), reinterpret_cast<sockaddr*>(&name), &size) == 0);
  World w({"[::1]:" + std::to_string(ntohs(name.sin6_port))});
  Asked asked;
  w.ask(asked);
  std::uint8_t block[512];
  w.until([&] { return ::recv(probe.value(), block, sizeof block, MSG_DONTWAIT) > 12; });
}

TEST_CASE("/etc/hosts answers without a query, and is read again when it changes") {
  const auto folder = std::filesystem::temp_directory_path() / ("sluice-dns-" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  const std::string path = folder / "hosts";
  const auto write = [&](const std::string& text) { std::ofstream(path) << text; };
  write("10.0.0.7 App.Example other # comment\n::7 six\n");
  net::Loop loop(base::steady_clock(), net::make_uv_driver());
  {
    DnsServer server(loop);
    dns::Resolver resolver(loop, {.hosts = path, .resolv_conf = ""});
    dns::DnsOptions options;
    options.servers = {server.text()};
    resolver.configure(options);
    const auto lookup = [&](const std::string& name, Type type) {
      Asked asked;
      asked.lookup = resolver.ask(name, type, asked);
      while (asked.replies == 0) loop.turn(base::Micros{10'000});
      return asked.reply;
    };
    const auto a = lookup(app, Type::a);
    CHECK(a.outcome == Outcome::ok);
    CHECK(a.server == "/etc/hosts");
    REQUIRE(a.answer.addresses.size() == 1);
    CHECK(a.answer.addresses[0].ip_text() == "10.0.0.7");
    CHECK(lookup(app, Type::aaaa).outcome == Outcome::empty);
    CHECK(lookup("six", Type::aaaa).outcome == Outcome::ok);
    CHECK(lookup("localhost", Type::a).answer.addresses[0].ip_text() == "127.0.0.1");
    CHECK(lookup("x.localhost", Type::aaaa).answer.addresses[0].ip_text() == "::1");
    CHECK(server.queries.empty());
    write("10.0.0.8 app.example\n10.0.0.9 app.example\n");
    CHECK(lookup(app, Type::a).answer.addresses.size() == 2);
    std::filesystem::remove(path);
    server.on_query = answer;
    CHECK(lookup(app, Type::a).server == server.text());
  }
  std::filesystem::remove_all(folder);
}

TEST_CASE("resolv.conf and hosts as people write them") {
  const auto servers = [](std::string_view text) {
    std::string all;
    for (const auto& a : dns::parse_resolv_conf(text)) all += a.text() + " ";
    return all;
  };
  CHECK(servers("") == "127.0.0.1:53 ");
  CHECK(servers("# nameserver 1.1.1.1\n;nameserver 1.1.1.1\nsearch example\n nameserver\t10.0.0.1 # a\r\nnameserver "
                "::1\nnameserver bad\n") == "10.0.0.1:53 [::1]:53 ");
  std::string many;
  for (std::size_t i = 0; i <= dns::servers_max; ++i) many += "nameserver 10.0.0." + std::to_string(i + 1) + "\n";
  CHECK(dns::parse_resolv_conf(many).size() == dns::servers_max);
  const auto hosts = dns::parse_hosts("127.0.0.1 localhost\n10.0.0.1\nbad name\n10.0.0.1 a b..c B.\n10.0.0.2 a");
  CHECK(hosts.size() == 3);
  CHECK(hosts.at("a").size() == 2);
  CHECK(hosts.at("b")[0].ip_text() == "10.0.0.1");
}

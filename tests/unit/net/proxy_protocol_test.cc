// PROXY protocol: what the specification's text says, both ways, whole and torn.
#include "net/proxy_protocol.h"

#include <string>
#include <vector>

#include "support/pipe.h"
#include "support/sim_loop.h"

#include <doctest/doctest.h>

using namespace sluice;
using namespace std::string_literals;
using namespace std::string_view_literals;
using net::parse_proxy_header;
using net::ProxyHeader;
using net::ProxyParse;
using net::ProxyProtocolOut;
using net::ProxyReader;
using Outcome = ProxyParse::Outcome;

namespace {

constexpr std::string_view v2_start = "\r\n\r\n\0\r\nQUIT\n"sv;

std::string v2(unsigned command, unsigned family, const std::string& block) {
  std::string s(v2_start);
  s += static_cast<char>(command);
  s += static_cast<char>(family);
  s += static_cast<char>(block.size() >> 8);
  s += static_cast<char>(block.size() & 0xFF);
  return s + block;
}

const std::string tcp4_block = "\xC0\x00\x02\x01\xC6\x33\x64\x02\x9C\x40\x01\xBB"s.substr(0, 12);

std::string written(ProxyProtocolOut version, const net::Address& from, const net::Address& to) {
  net::ByteQueue queue;
  append_proxy_header(queue, version, from, to);
  std::string s(queue.size(), '\0');
  queue.peek(s.data(), s.size());
  return s;
}

net::Address at(std::string_view text) { return net::Address::parse(text).value(); }

}  // namespace

TEST_CASE("v1: addresses, unknown, and every fault by name") {
  const auto p = parse_proxy_header("PROXY TCP4 192.0.2.1 198.51.100.2 40000 443\r\nGET /");
  REQUIRE(p.outcome == Outcome::header);
  CHECK(p.consumed == 45);
  CHECK(p.header.kind == ProxyHeader::Kind::addresses);
  CHECK(p.header.source == at("192.0.2.1:40000"));
  CHECK(p.header.destination == at("198.51.100.2:443"));
  const auto six = parse_proxy_header("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n");
  REQUIRE(six.outcome == Outcome::header);
  CHECK(six.header.source == at("[2001:db8::1]:0"));
  CHECK(parse_proxy_header("PROXY UNKNOWN\r\n").header.kind == ProxyHeader::Kind::unknown);
  CHECK(parse_proxy_header("PROXY UNKNOWN a b c d e f\r\n").outcome == Outcome::header);

  for (const auto bad : {"PROXY TCP4 192.0.2.1 198.51.100.2 40000 443\n"sv,
                         "PROXY TCP4 192.0.2.1 198.51.100.2 40000\r\n"sv,
                         "PROXY TCP4 192.0.2.1  198.51.100.2 40000 443\r\n"sv,
                         "PROXY TCP4 192.0.2.1 198.51.100.2 40000 443 \r\n"sv,
                         "PROXY TCP4 192.0.2.1 198.51.100.2 040 443\r\n"sv,
                         "PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n"sv,
                         "PROXY TCP4 ::1 ::1 1 2\r\n"sv,
                         "PROXY TCP6 192.0.2.1 192.0.2.1 1 2\r\n"sv,
                         "PROXY TCP4 192.0.2 1.1.1.1 1 2\r\n"sv,
                         "PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n"sv,
                         "PROXY tcp4 192.0.2.1 198.51.100.2 1 2\r\n"sv,
                         "PROXY  \r\n"sv,
                         "PROXY UNKNOWN\r \r\n"sv,
                         "PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n"sv,
                         "PROXY TCP6 [::1] ::1 1 2\r\n"sv,
                         "proxy "sv,
                         "GET / H"sv,
                         "\x16\x03\x01"sv,
                         "\n"sv,
                         "PROXY\r\n"sv}) {
    CAPTURE(bad);
    CHECK(parse_proxy_header(bad).outcome == Outcome::error);
    CHECK(!parse_proxy_header(bad).error.empty());
  }
}

TEST_CASE("v1: 107 bytes are taken, 108 are not") {
  const std::string head = "PROXY UNKNOWN ";
  const std::string longest = head + std::string(net::proxy_v1_bytes_max - head.size() - 2, 'x') + "\r\n";
  CHECK(parse_proxy_header(longest).outcome == Outcome::header);
  CHECK(parse_proxy_header(longest).consumed == net::proxy_v1_bytes_max);
  const std::string above = head + std::string(net::proxy_v1_bytes_max - head.size() - 1, 'x') + "\r\n";
  CHECK(parse_proxy_header(above.substr(0, 106)).outcome == Outcome::need_more);
  CHECK(parse_proxy_header(above.substr(0, 107)).outcome == Outcome::error);
  CHECK(parse_proxy_header(above).outcome == Outcome::error);
}

TEST_CASE("v2: addresses, TLVs skipped, LOCAL and others keep the connection's own") {
  const auto p = parse_proxy_header(v2(0x21, 0x11, tcp4_block) + "rest");
  REQUIRE(p.outcome == Outcome::header);
  CHECK(p.consumed == 28);
  CHECK(p.header.source == at("192.0.2.1:40000"));
  CHECK(p.header.destination == at("198.51.100.2:443"));
  const auto tlv = parse_proxy_header(v2(0x21, 0x11, tcp4_block + "\x04" + std::string(2, '\0') + "junk"));
  CHECK(tlv.consumed == 28 + 7);
  CHECK(tlv.header.source == at("192.0.2.1:40000"));
  std::string six(36, '\0');
  six[15] = six[31] = 1;
  six[33] = 80;
  const auto p6 = parse_proxy_header(v2(0x21, 0x21, six));
  REQUIRE(p6.outcome == Outcome::header);
  CHECK(p6.header.source == at("[::1]:80"));

  CHECK(parse_proxy_header(v2(0x20, 0x11, tcp4_block)).header.kind == ProxyHeader::Kind::local);
  CHECK(parse_proxy_header(v2(0x20, 0xFF, "")).header.kind == ProxyHeader::Kind::local);
  for (const unsigned family : {0x00U, 0x01U, 0x12U, 0x22U, 0x31U, 0x32U}) {
    CAPTURE(family);
    const auto other = parse_proxy_header(v2(0x21, family, std::string(216, 'u')));
    CHECK(other.outcome == Outcome::header);
    CHECK(other.header.kind == ProxyHeader::Kind::unknown);
  }
  for (const std::string& bad :
       {v2(0x11, 0x11, tcp4_block), v2(0x22, 0x11, tcp4_block), v2(0x21, 0x41, tcp4_block), v2(0x21, 0x13, tcp4_block),
        v2(0x21, 0x11, tcp4_block.substr(1)), v2(0x21, 0x21, std::string(35, 'x'))}) {
    CHECK(parse_proxy_header(bad).outcome == Outcome::error);
  }
}

TEST_CASE("v2: a length of 4096 is taken, 4097 is not") {
  CHECK(parse_proxy_header(v2(0x21, 0x11, tcp4_block + std::string(net::proxy_v2_length_max - 12, 'x'))).outcome ==
        Outcome::header);
  const std::string above = v2(0x21, 0x11, tcp4_block + std::string(net::proxy_v2_length_max - 11, 'x'));
  CHECK(parse_proxy_header(above).outcome == Outcome::error);
  CHECK(parse_proxy_header(above.substr(0, 16)).outcome == Outcome::error);
}

TEST_CASE("a prefix of a header asks for more, at every position") {
  for (const std::string& whole :
       {"PROXY TCP4 192.0.2.1 198.51.100.2 40000 443\r\n"s, v2(0x21, 0x11, tcp4_block), v2(0x20, 0, "")}) {
    for (size_t n = 0; n < whole.size(); ++n) {
      CAPTURE(n);
      CHECK(parse_proxy_header(std::string_view(whole).substr(0, n)).outcome == Outcome::need_more);
    }
  }
}

TEST_CASE("what is written reads back") {
  CHECK(written(ProxyProtocolOut::v1, at("1.2.3.4:5"), at("6.7.8.9:10")) == "PROXY TCP4 1.2.3.4 6.7.8.9 5 10\r\n");
  CHECK(written(ProxyProtocolOut::v1, at("[::1]:5"), at("[::2]:10")) == "PROXY TCP6 ::1 ::2 5 10\r\n");
  CHECK(written(ProxyProtocolOut::v1, at("1.2.3.4:5"), at("[::2]:10")) == "PROXY TCP6 ::ffff:1.2.3.4 ::2 5 10\r\n");
  CHECK(written(ProxyProtocolOut::v1, at("unix:/x"), at("6.7.8.9:10")) == "PROXY UNKNOWN\r\n");
  CHECK(written(ProxyProtocolOut::v2, at("192.0.2.1:40000"), at("198.51.100.2:443")) == v2(0x21, 0x11, tcp4_block));
  CHECK(written(ProxyProtocolOut::v2, {}, at("1.1.1.1:1")) == v2(0x20, 0, ""));
}

namespace {

struct Host final : ProxyReader::Host, net::Transport::User {
  net::Owned<ProxyReader> reader;
  net::TransportPtr transport;
  std::vector<ProxyReader::Failed> failures;
  std::string got;
  int eofs = 0;

  void on_proxy_header(ProxyReader&, net::TransportPtr t) override {
    transport = std::move(t);
    transport->start(*this);
    reader.reset();
  }
  void on_proxy_failed(ProxyReader&, const net::Peer&, ProxyReader::Failed why, std::string_view detail) override {
    CHECK(!detail.empty());
    failures.push_back(why);
    reader.reset();
  }
  void on_bytes(net::ByteQueue& in) override {
    got += in.flatten(in.size());
    in.clear();
  }
  void fill(net::ByteQueue&, size_t) override {}
  void on_eof(bool) override { ++eofs; }
  void on_end(net::EndReason) override {}
};

}  // namespace

TEST_CASE("the reader hands the transport on with what follows the header, torn anywhere") {
  const std::string head = "PROXY TCP6 ::ffff:192.0.2.1 ::1 7 8\r\n";
  for (size_t tear = 1; tear <= head.size() + 3; ++tear) {
    CAPTURE(tear);
    support::SimLoop sim;
    auto pair = support::scripted_pair(sim);
    Host host;
    host.reader = ProxyReader::make(sim.loop(), std::move(pair.transport), base::seconds(5), host);
    pair.peer->tear(support::tear_at({tear}));
    pair.peer->send(head + "GET");
    pair.peer->fin();
    sim.settle();
    REQUIRE(host.transport != nullptr);
    CHECK(host.got == "GET");
    CHECK(host.eofs == 1);
    CHECK(host.transport->peer().remote == at("192.0.2.1:7"));
    CHECK(host.transport->peer().socket_remote == support::PipeAddresses{}.far);
  }
}

TEST_CASE("no header, a bad one, a late one, an unfinished one") {
  support::SimLoop sim;
  auto pair = support::scripted_pair(sim);
  Host host;
  host.reader = ProxyReader::make(sim.loop(), std::move(pair.transport), base::seconds(5), host);
  SUBCASE("bad") {
    pair.peer->send("GET / HTTP/1.1\r\n\r\n");
    sim.settle();
    CHECK(host.failures == std::vector{ProxyReader::Failed::malformed});
  }
  SUBCASE("late, although bytes keep coming") {
    pair.peer->send("PROXY ");
    sim.run_for(base::millis(4900));
    pair.peer->send("TCP4");
    sim.settle();
    CHECK(host.failures.empty());
    sim.run_for(base::millis(200));
    CHECK(host.failures == std::vector{ProxyReader::Failed::timeout});
  }
  SUBCASE("FIN") {
    pair.peer->send("PROXY ");
    pair.peer->fin();
    sim.settle();
    CHECK(host.failures == std::vector{ProxyReader::Failed::ended});
  }
  SUBCASE("reset") {
    pair.peer->reset();
    sim.settle();
    CHECK(host.failures == std::vector{ProxyReader::Failed::ended});
  }
  sim.settle();
  CHECK(host.transport == nullptr);
  CHECK(pair.peer->ended());
  CHECK(support::pipes_live() == 0);
}

// The parser of answers: what is taken, what is refused or skipped and under which reason, and that it stays within the
// bytes.
#include "dns/answer.h"

#include <algorithm>
#include <string>
#include <vector>

#include "support/dns_message.h"
#include "support/random.h"

#include <doctest/doctest.h>

using namespace sluice;
using dns::Answer;
using dns::Ignored;
using dns::Outcome;
using dns::Type;
using support::DnsMessage;

namespace {

Answer parse(const DnsMessage& m, Type type = Type::a, std::string_view name = "www.example") {
  return dns::parse_answer(m.bytes, name, type, 0x1234);
}
std::uint32_t ignored(const Answer& answer, Ignored why) { return answer.ignored[static_cast<std::size_t>(why)]; }
std::uint32_t all_ignored(const Answer& answer) {
  std::uint32_t sum = 0;
  for (const auto n : answer.ignored) sum += n;
  return sum;
}
std::vector<std::string> texts(const Answer& answer) {
  std::vector<std::string> all;
  for (const auto& a : answer.addresses) all.push_back(a.ip_text());
  return all;
}
using Texts = std::vector<std::string>;

DnsMessage asked(std::uint16_t type = DnsMessage::a, std::string_view name = "www.example") {
  return DnsMessage().question(name, type);
}

}  // namespace

TEST_CASE("addresses: sorted, each once, the least TTL") {
  const Answer answer = parse(
      asked().add_a("www.example", 60, 0x0a000002).add_a("www.example", 30, 0x0a000001).add_a("@12", 90, 0x0a000002));
  CHECK(answer.outcome == Outcome::ok);
  CHECK(texts(answer) == Texts{"10.0.0.1", "10.0.0.2"});
  CHECK(answer.ttl == 30);
  CHECK(answer.canonical_name == "www.example");
  CHECK(all_ignored(answer) == 0);
  const Answer six = parse(asked(DnsMessage::aaaa).add_aaaa("@12", 5, 2).add_aaaa("@12", 5, 1), Type::aaaa);
  CHECK(texts(six) == Texts{"2001:db8::1", "2001:db8::2"});
}

TEST_CASE("names compare without case, in question and owner (RFC 4343)") {
  const Answer answer = parse(asked(DnsMessage::a, "WwW.eXample").add_a("wWw.EXAMPLE", 60, 1 << 24 | 1));
  CHECK(answer.outcome == Outcome::ok);
  CHECK(answer.addresses.size() == 1);
}

TEST_CASE("a chain of aliases in any order; the TTL is the least of all") {
  const Answer answer = parse(asked()
                                  .add_a("end.example", 60, 0x0a000001)
                                  .add_cname("b.example", 20, "END.example")
                                  .add_cname("@12", 300, "B.example"));
  CHECK(answer.outcome == Outcome::ok);
  CHECK(answer.canonical_name == "end.example");
  CHECK(answer.ttl == 20);
  CHECK(texts(answer) == Texts{"10.0.0.1"});
  CHECK(all_ignored(answer) == 0);
}

TEST_CASE("a chain as long as allowed is followed, a longer one is refused") {
  const auto chain = [](std::size_t length) {
    DnsMessage m = asked();
    std::string at = "www.example";
    for (std::size_t i = 0; i < length; ++i) {
      const std::string next = "n" + std::to_string(i) + ".example";
      m.add_cname(at, 60, next);
      at = next;
    }
    return parse(m.add_a(at, 60, 0x0a000001));
  };
  CHECK(chain(dns::chain_max).outcome == Outcome::ok);
  const Answer above = chain(dns::chain_max + 1);
  CHECK(above.outcome == Outcome::malformed);
  CHECK(above.refusal == Ignored::alias_loop);
}

TEST_CASE("aliases in a circle, or two of one name, are refused") {
  CHECK(parse(asked().add_cname("@12", 1, "b.example").add_cname("b.example", 1, "www.example")).refusal ==
        Ignored::alias_loop);
  CHECK(parse(asked().add_cname("@12", 1, "@12")).refusal == Ignored::alias_loop);
  const Answer two = parse(
      asked().add_cname("@12", 1, "b.example").add_cname("@12", 1, "c.example").add_a("b.example", 1, 0x0a000001));
  CHECK(two.refusal == Ignored::alias_loop);
  CHECK(two.addresses.empty());
  CHECK(
      parse(asked().add_cname("@12", 1, "b.example").add_cname("@12", 1, "b.example").add_a("b.example", 1, 0x0a000001))
          .outcome == Outcome::ok);
}

TEST_CASE("records of another owner are skipped and counted") {
  const Answer answer = parse(asked()
                                  .add_a("www.example", 60, 0x0a000001)
                                  .add_a("evil.example", 60, 0x0a000009)
                                  .add_a("xwww.example", 60, 0x0a000009)
                                  .add_cname("other.example", 1, "evil.example"));
  CHECK(texts(answer) == Texts{"10.0.0.1"});
  CHECK(answer.ttl == 60);
  CHECK(ignored(answer, Ignored::other_owner) == 3);
  // Only records of others: that is an empty answer.
  const Answer none = parse(asked().add_a("evil.example", 60, 0x0a000009));
  CHECK(none.outcome == Outcome::empty);
  CHECK(none.addresses.empty());
  // A label with a dot inside is not two labels.
  DnsMessage dotted = asked();
  dotted.count(DnsMessage::answers)
      .raw(std::string_view("\x0bwww.example\0", 13))
      .u16(1)
      .u16(1)
      .u32(9)
      .u16(4)
      .u32(0x0a000009);
  const Answer trick = parse(dotted);
  CHECK(trick.addresses.empty());
  CHECK(ignored(trick, Ignored::other_owner) == 1);
}

TEST_CASE("what does not answer the question is refused, and nothing of it taken") {
  struct Row {
    const char* what;
    DnsMessage message;
    Ignored why;
  };
  const auto with = [](DnsMessage m) { return m.add_a("www.example", 60, 0x0a000001); };
  const auto cut = [&](std::size_t bytes) {
    DnsMessage m = with(asked());
    m.bytes.resize(bytes);
    return m;
  };
  const std::vector<Row> rows = {
      {"no bytes", cut(0), Ignored::short_message},
      {"less than a header", cut(11), Ignored::short_message},
      {"ends in the question", cut(20), Ignored::short_message},
      {"ends in a record's owner", cut(30), Ignored::short_message},
      {"ends in a record's data", cut(with(asked()).bytes.size() - 1), Ignored::short_message},
      {"another id", with(DnsMessage(0x4321).question("www.example", 1)), Ignored::wrong_id},
      {"an echoed question", with(asked().flags(0x0100)), Ignored::not_a_response},
      {"another opcode", with(asked().flags(0xa980)), Ignored::not_a_response},
      {"no question", with(DnsMessage()), Ignored::wrong_question},
      {"two questions", with(asked().question("www.example", 1)), Ignored::wrong_question},
      {"another name", with(asked(DnsMessage::a, "evil.example")), Ignored::wrong_question},
      {"a longer name", with(asked(DnsMessage::a, "www.example.com")), Ignored::wrong_question},
      {"the root", with(asked(DnsMessage::a, ".")), Ignored::wrong_question},
      {"another type", with(asked(DnsMessage::aaaa)), Ignored::wrong_question},
      {"another class", with(DnsMessage().question("www.example", 1, 3)), Ignored::wrong_question},
      {"a pointer to itself", DnsMessage().count(DnsMessage::questions).name("@12").u16(1).u16(1), Ignored::bad_name},
      {"a pointer into the header", with(DnsMessage().count(DnsMessage::questions).name("@0").u16(1).u16(1)),
       Ignored::bad_name},
      {"a pointer forward", with(asked()).add_a("@64", 1, 0x0a000001), Ignored::bad_name},
      {"a pointer to the labels it ends", with(asked()).add_a("x.@56", 1, 0x0a000001), Ignored::bad_name},
      {"a label of type 01", with(asked()).count(DnsMessage::answers).raw("\x41x"), Ignored::bad_name},
      {"a label of type 10", with(asked()).count(DnsMessage::answers).raw("\x81x"), Ignored::bad_name},
      {"a count beyond the bytes", with(asked()).count(DnsMessage::answers), Ignored::short_message},
      {"an alias longer than its data",
       asked()
           .record("@12", DnsMessage::cname, 1)
           .raw("\x05"
                "abc")
           .end(),
       Ignored::short_message},
      {"an alias shorter than its data", asked().record("@12", DnsMessage::cname, 1).name("b.example").raw("xx").end(),
       Ignored::bad_record},
      {"truncated", with(asked().flags(0x8380)), Ignored::truncated},
      {"addresses of a wrong length only", asked().record("@12", 1, 60).raw("abcde").end(), Ignored::bad_record},
      {"0.0.0.0 only", asked().add_a("@12", 60, 0), Ignored::bad_record},
      {"a multicast address only", asked().add_a("@12", 60, 0xe0000001), Ignored::bad_record},
      {"another class's address only", asked().record("@12", 1, 60, DnsMessage::answers, 3).u32(0x0a000001).end(),
       Ignored::bad_record},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    const Answer answer = parse(row.message);
    CHECK(answer.outcome == Outcome::malformed);
    CHECK(answer.refusal == row.why);
    CHECK(ignored(answer, row.why) >= 1);
    CHECK(answer.addresses.empty());
  }
}

TEST_CASE("a bad record among good ones is skipped") {
  const Answer answer =
      parse(asked().add_a("@12", 60, 0x0a000001).record("@12", 1, 1).raw("abc").end().add_a("@12", 60, 0xffffffff));
  CHECK(texts(answer) == Texts{"10.0.0.1"});
  CHECK(answer.ttl == 60);
  CHECK(ignored(answer, Ignored::bad_record) == 2);
}

TEST_CASE("rcodes: what DNS says of the name, and what says nothing") {
  const auto outcome = [](std::uint8_t code) { return parse(asked().rcode(code)).outcome; };
  CHECK(outcome(0) == Outcome::empty);
  CHECK(outcome(2) == Outcome::servfail);
  CHECK(outcome(3) == Outcome::nxdomain);
  for (const int code : {1, 4, 5, 6, 9, 15}) CHECK(outcome(static_cast<std::uint8_t>(code)) == Outcome::refused);
  CHECK(parse(asked().rcode(3).add_a("@12", 60, 0x0a000001)).addresses.empty());
}

TEST_CASE("negative answers live as the SOA says (RFC 2308)") {
  CHECK(parse(asked().rcode(3).add_soa("example", 300, 60)).negative_ttl == 60);
  CHECK(parse(asked().rcode(3).add_soa("example", 30, 60)).negative_ttl == 30);
  CHECK(parse(asked().add_soa("example", 300, 7)).negative_ttl == 7);
  CHECK(parse(asked().add_soa(".", 300, 7)).negative_ttl == 7);
  CHECK(parse(asked().add_cname("@12", 5, "b.example").add_soa("example", 300, 60)).negative_ttl == 5);
  CHECK(parse(asked().add_soa("example", 300, 0xffffffff)).negative_ttl == 0);
  CHECK_FALSE(parse(asked()).negative_ttl.has_value());
  const Answer foreign = parse(asked().add_soa("ample", 300, 7));  // no zone of the name, though its text is a suffix
  CHECK_FALSE(foreign.negative_ttl.has_value());
  CHECK(ignored(foreign, Ignored::other_owner) == 1);
  const Answer torn =
      parse(asked().record("example", DnsMessage::soa, 9, DnsMessage::authorities).name("a").name("b").u32(1).end());
  CHECK(torn.outcome == Outcome::empty);
  CHECK(ignored(torn, Ignored::bad_record) == 1);
}

TEST_CASE("a TTL with the top bit set is 0 (RFC 2181 8)") {
  CHECK(parse(asked().add_a("@12", 0x80000000, 0x0a000001)).ttl == 0);
  CHECK(parse(asked().add_a("@12", 0x7fffffff, 0x0a000001)).ttl == 0x7fffffff);
}

TEST_CASE("SRV: any weight and priority, a compressed target, '.', what is broken") {
  const auto srv = [] { return asked(DnsMessage::srv, "_http._tcp.example"); };
  const auto take = [](const DnsMessage& m) { return parse(m, Type::srv, "_http._tcp.example"); };
  const Answer answer = take(srv()
                                 .add_srv("@12", 60, 10, 65535, 80, "B.example")
                                 .add_srv("@12", 50, 10, 0, 8080, "a.@23")
                                 .add_srv("@12", 40, 0, 1, 65535, "c.example"));
  REQUIRE(answer.services.size() == 3);
  CHECK(answer.services[0] == dns::ServiceRecord{0, 1, 65535, "c.example"});
  CHECK(answer.services[1] == dns::ServiceRecord{10, 0, 8080, "a.example"});
  CHECK(answer.services[2] == dns::ServiceRecord{10, 65535, 80, "b.example"});
  CHECK(answer.ttl == 40);
  const Answer nowhere = take(srv().add_srv("@12", 60, 0, 0, 0, "."));
  REQUIRE(nowhere.services.size() == 1);
  CHECK(nowhere.services[0].target.empty());
  CHECK(take(srv().add_srv("@12", 60, 0, 0, 0, "a.example")).refusal == Ignored::bad_record);  // port 0
  CHECK(take(srv().record("@12", 33, 60).u16(0).u16(0).u16(80).end()).refusal == Ignored::bad_record);  // no target
  CHECK(take(srv().record("@12", 33, 60).u16(0).u16(0).u16(80).name("a").raw("x").end()).refusal ==
        Ignored::bad_record);
  CHECK(take(srv()
                 .record("@12", 33, 60)
                 .u16(0)
                 .u16(0)
                 .u16(80)
                 .raw(std::string_view("\x03"
                                       "a b\0",
                                       5))
                 .end())
            .refusal == Ignored::bad_record);
}

TEST_CASE("500 addresses, the limit and one above; the cut does not depend on the order") {
  const auto many = [](std::uint32_t count, bool backwards) {
    DnsMessage m = asked();
    for (std::uint32_t i = 0; i < count; ++i) m.add_a("@12", 60, 0x0a000001 + (backwards ? count - 1 - i : i));
    REQUIRE(m.bytes.size() <= 65'535);
    return parse(m);
  };
  CHECK(many(500, false).addresses.size() == 500);
  const Answer at = many(dns::addresses_max, false);
  CHECK(at.addresses.size() == dns::addresses_max);
  CHECK(all_ignored(at) == 0);
  const Answer above = many(dns::addresses_max + 1, false);
  CHECK(above.addresses.size() == dns::addresses_max);
  CHECK(ignored(above, Ignored::over_limit) == 1);
  CHECK(above.addresses == many(dns::addresses_max + 1, true).addresses);
}

TEST_CASE("services at the limit and one above") {
  const auto many = [](std::size_t count) {
    DnsMessage m = asked(DnsMessage::srv);
    for (std::size_t i = 0; i < count; ++i) m.add_srv("@12", 60, 0, 0, static_cast<std::uint16_t>(1 + i), "a.example");
    return parse(m, Type::srv);
  };
  CHECK(many(dns::services_max).services.size() == dns::services_max);
  CHECK(ignored(many(dns::services_max), Ignored::over_limit) == 0);
  CHECK(many(dns::services_max + 1).services.size() == dns::services_max);
  CHECK(ignored(many(dns::services_max + 1), Ignored::over_limit) == 1);
}

TEST_CASE("a name of 253 characters is read, one more is refused") {
  const std::string label(63, 'a');
  const std::string longest = label + "." + label + "." + label + "." + std::string(61, 'b');
  REQUIRE(longest.size() == dns::name_max);
  CHECK(parse(asked(DnsMessage::a, longest).add_a("@12", 60, 0x0a000001), Type::a, longest).outcome == Outcome::ok);
  CHECK(parse(asked(DnsMessage::a, longest + "b"), Type::a, longest).refusal == Ignored::bad_name);
}

TEST_CASE("as many pointers as allowed, and one more") {
  const auto jumps =
      [](std::size_t count) {  // a chain of pointers in the data of a record nobody looks at, used by an owner
        DnsMessage m = asked();
        m.record("@12", 99, 1);
        std::size_t at = 12;
        for (std::size_t i = 0; i + 1 < count; ++i) {
          const std::size_t here = m.bytes.size();
          m.name("@" + std::to_string(at));
          at = here;
        }
        return parse(m.end().add_a("@" + std::to_string(at), 60, 0x0a000001));
      };
  CHECK(jumps(dns::pointers_max).outcome == Outcome::ok);
  CHECK(jumps(dns::pointers_max + 1).refusal == Ignored::bad_name);
}

TEST_CASE("other types, additional records and what stands behind are no fault") {
  DnsMessage m = asked().record("@12", 46, 1).raw("signature").end().add_a("@12", 60, 0x0a000001);
  m.record("x.example", 1, 1, DnsMessage::additionals).u32(0x0a000009).end();
  m.raw("trailing");
  const Answer answer = parse(m);
  CHECK(texts(answer) == Texts{"10.0.0.1"});
  CHECK(answer.ttl == 60);
  CHECK(all_ignored(answer) == 0);
}

TEST_CASE("any prefix and any flipped bytes are read without a fault of ours") {
  const DnsMessage good =
      asked().add_cname("@12", 60, "b.@16").add_a("b.example", 60, 0x0a000001).add_soa("example", 60, 60);
  for (std::size_t size = 0; size < good.bytes.size(); ++size) {
    DnsMessage cut = good;
    cut.bytes.resize(size);
    parse(cut);
  }
  support::Random random(20261126);
  for (int i = 0; i < 20'000; ++i) {
    DnsMessage bent = good;
    for (std::uint64_t n = random.between(1, 4); n != 0; --n)
      bent.bytes[random.below(bent.bytes.size())] = static_cast<std::uint8_t>(random.next());
    const Answer answer = parse(bent);
    CHECK((answer.outcome == Outcome::ok) == !answer.addresses.empty());
    CHECK((answer.outcome == Outcome::malformed) == answer.refusal.has_value());
  }
}

TEST_CASE("canonical names and targets") {
  CHECK(dns::canonical("WWW.Example.") == "www.example");
  CHECK(dns::canonical("") == "");
  CHECK(dns::canonical(".") == "");
  CHECK(dns::canonical("a..b") == "");
  CHECK(dns::canonical(".a") == "");
  CHECK(dns::canonical(std::string(63, 'a')) == std::string(63, 'a'));
  CHECK(dns::canonical(std::string(64, 'a')) == "");
}

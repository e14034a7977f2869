// Row 49: what is kept of a head is bounded by its bytes as the limit counts them (32 a field besides name and value),
// whatever the lines are: heads of requests and answers, heads in front of an answer, trailers.
#include <string>
#include <vector>

#include "http2/head_reader.h"
#include "messages.h"
#include "support/held.h"
#include "support/random.h"

#include <doctest/doctest.h>

using namespace sluice;
using http2::HeadReader;
using http2::Lines;
using http2::Side;

namespace {

// Every byte that HPACK gives is counted, also behind the limit.
struct Reading {
  explicit Reading(Side of) : side(of), reader(of, limits, arena, held) { reader.begin_head(head); }
  void take(const Lines& lines) {
    for (const auto& [name, value] : lines) {
      raw += name.size() + value.size() + HeadReader::field_overhead;
      if (reader.take(name, value, http2::Indexing::allowed) == HeadReader::Taken::bomb) break;
      REQUIRE(arena.bytes_held() <= support::held_max(raw));
    }
  }
  bool finish(http::End end) {
    const bool good = side == Side::request ? reader.finish_request(http::Scheme::http, end).clean()
                                            : reader.finish_response({http::Method::get, {}}, end).clean();
    CHECK(arena.bytes_held() <= support::held_max(raw));
    return good;
  }
  http::HttpLimits limits;
  base::Arena arena;
  http::Head head{arena};
  http::Fields trailers{arena};
  Side side;
  http2::HeldHeads held;
  HeadReader reader;
  size_t raw = 0;
};

Lines first_of(Side side, const char* status = "200") {
  if (side == Side::response) return {{":status", status}};
  return {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}};
}

void check_lines(const Lines& lines) {
  for (const Side side : {Side::request, Side::response}) {
    CAPTURE(static_cast<int>(side));
    Reading r(side);
    r.take(first_of(side));
    r.take(lines);
    if (!r.finish(http::End::no)) continue;
    r.reader.begin_trailers(r.trailers);
    r.take(lines);
    (void)r.reader.finish_trailers(http::End::yes);
    CHECK(r.arena.bytes_held() <= support::held_max(r.raw));
  }
  Reading early(Side::response);
  for (int i = 0; i < 10; ++i) {
    early.take(first_of(Side::response, "103"));
    early.take(lines);
    if (!early.finish(http::End::no)) break;
    early.head.restart();
    early.reader.begin_head(early.head);
  }
}

Lines times(size_t n, std::string_view name, std::string_view value) {
  Lines lines;
  for (size_t i = 0; i < n; ++i) lines.emplace_back(name, value);
  return lines;
}

}  // namespace

TEST_CASE("a head holds at most four times its bytes and 16 KiB") {
  for (const size_t n : {size_t{1}, size_t{99}, size_t{100}, size_t{256}, size_t{257}, size_t{3000}}) {
    for (const size_t size : {size_t{0}, size_t{1}, size_t{80}, size_t{600}, size_t{3900}, size_t{60'000}}) {
      for (const char* name : {"cookie", "via", "x-forwarded-for", "x", "host", "te", "content-length", "priority"}) {
        CAPTURE(n);
        CAPTURE(size);
        CAPTURE(name);
        check_lines(times(n, name, std::string(size, 'v')));
      }
    }
  }
}

TEST_CASE("so do random ones") {
  constexpr const char* names[] = {"cookie", "cookie", "via", "x-a", "x", "host", "accept", "priority", "expect"};
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    support::Random random(seed);
    Lines lines;
    const size_t usual = random.below(2000);
    for (size_t i = random.below(400); i > 0; --i) {
      lines.emplace_back(random.one_in(2) ? names[random.below(std::size(names))] : names[0],
                         std::string(random.one_in(3) ? random.below(4) : usual, 'v'));
    }
    check_lines(lines);
  }
}

TEST_CASE("a browser's worst cookies pass: 95 crumbs, 8 KB") {
  Reading r(Side::request);
  r.take(first_of(Side::request));
  r.take(times(95, "cookie", "name=" + std::string(81, 'v')));
  CHECK(r.finish(http::End::yes));
  CHECK(r.head.fields.value(http::Token::cookie).size() == 95 * 86 + 94 * 2);
}

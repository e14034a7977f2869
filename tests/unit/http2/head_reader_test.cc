// What lines of a header block make a message: every rule of RFC 9113 8.1 to 8.3 and rows 36 and 39 of threats.md, one
// line a case, first against the reader alone; requests_test.cc sends the same tables through whole sessions.
#include "http2/head_reader.h"

#include "messages.h"
#include "support/http_probe.h"

#include <doctest/doctest.h>

using namespace sluice;
using http2::HeadReader;
using http2::Lines;

namespace {

struct Read {
  explicit Read(http2::Side side, const http::HttpLimits& l = {}) : limits(l), reader(side, limits, arena, held) {
    reader.begin_head(head);
  }
  HeadReader::Taken take(const Lines& lines) {
    HeadReader::Taken last = HeadReader::Taken::yes;
    for (const auto& [name, value] : lines) last = reader.take(name, value, http2::Indexing::allowed);
    return last;
  }
  std::string request(const Lines& lines, http::End end = http::End::yes) {
    take(lines);
    return support::text_of(reader.finish_request(http::Scheme::http, end));
  }
  std::string response(const Lines& lines, http::End end = http::End::yes,
                       HeadReader::Asked asked = {http::Method::get, {}}) {
    take(lines);
    return support::text_of(reader.finish_response(asked, end));
  }
  base::Arena arena;
  http::Head head{arena};
  http::HttpLimits limits;  // a reader keeps a reference
  http2::HeldHeads held;
  HeadReader reader;
};

Lines request_with(const Lines& more) {
  Lines lines = {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}};
  lines.insert(lines.end(), more.begin(), more.end());
  return lines;
}

}  // namespace

TEST_CASE("requests, a line a rule") {
  for (const http2::HeadCase& c : http2::request_cases()) {
    CAPTURE(c.name);
    Read r(http2::Side::request);
    CHECK(r.request(c.lines) == (c.verdict.empty() ? "clean" : c.verdict + " untouched"));
  }
}

TEST_CASE("responses, a line a rule") {
  for (const http2::HeadCase& c : http2::response_cases()) {
    CAPTURE(c.name);
    Read r(http2::Side::response);
    CHECK(r.response(c.lines, http::End::no) == (c.verdict.empty() ? "clean" : c.verdict));
  }
}

TEST_CASE("the scheme is that of the listener") {
  Lines lines = request_with({});
  for (const auto listener : {http::Scheme::http, http::Scheme::https}) {
    for (const char* scheme : {"http", "https"}) {
      lines[1].second = scheme;
      Read r(http2::Side::request);
      r.take(lines);
      CHECK(support::text_of(r.reader.finish_request(listener, http::End::yes)) == "clean");
      CHECK(r.head.scheme == http::scheme_word(listener));  // what the client calls it is not believed (row 64)
    }
  }
}

TEST_CASE("a verdict once given is kept, and the first counts") {
  Read r(http2::Side::request);
  CHECK(r.request(request_with({{"Upper", "x"}, {"te", "gzip"}, {"connection", "close"}})) ==
        "bad_request name untouched");
}

TEST_CASE("what a head says in fields of its own is not among its fields") {
  Read r(http2::Side::request);
  Lines lines = request_with(
      {{"host", "A"}, {"content-length", "0007"}, {"te", "trailers"}, {"expect", "100-continue"}, {"x", ""}});
  lines[0].second = "QUERY";
  CHECK(r.request(lines, http::End::no) == "clean");
  CHECK(r.head.method == http::Method::other);
  CHECK(r.head.method_text == "QUERY");
  CHECK(r.head.content_length == 7);
  CHECK(r.head.te_trailers);
  CHECK(r.head.expect_continue);
  CHECK(r.head.authority == "a");
  CHECK(r.head.version == http::Version::http_2);
  REQUIRE(r.head.fields.size() == 1);
  CHECK(r.head.fields[0].name() == "x");
}

TEST_CASE("lengths against END_STREAM on the head") {
  Read r(http2::Side::request);
  CHECK(r.request(request_with({{"content-length", "1"}}), http::End::yes) == "bad_request cl untouched");
  Read zero(http2::Side::request);
  CHECK(zero.request(request_with({{"content-length", "0"}, {"expect", "100-continue"}}), http::End::yes) == "clean");
  CHECK_FALSE(zero.head.expect_continue);  // there is nothing to wait for
  Read body(http2::Side::request);
  CHECK(body.request(request_with({{"content-length", "18446744073709551615"}}), http::End::no) == "clean");
}

TEST_CASE("lengths of answers") {
  const Lines five = {{":status", "200"}, {"content-length", "5"}};
  CHECK(Read(http2::Side::response).response(five, http::End::yes) == "bad_response truncated");
  CHECK(Read(http2::Side::response).response(five, http::End::yes, {http::Method::head, {}}) == "clean");
  CHECK(Read(http2::Side::response).response({{":status", "304"}, {"content-length", "5"}}, http::End::yes) == "clean");
  Read none(http2::Side::response);
  CHECK(none.response({{":status", "204"}, {"content-length", "5"}}, http::End::yes) == "clean");
  CHECK_FALSE(none.head.content_length.has_value());
  CHECK(Read(http2::Side::response)
            .response({{":status", "200"}, {"content-length", "5"}, {"content-length", "05"}}, http::End::no) ==
        "clean");
}

TEST_CASE("1xx: no end, no length") {
  CHECK(Read(http2::Side::response).response({{":status", "103"}}, http::End::yes) == "bad_response framing");
  Read r(http2::Side::response);
  CHECK(r.response({{":status", "103"}, {"content-length", "3"}, {"link", "x"}}, http::End::no) == "clean");
  CHECK_FALSE(r.head.content_length.has_value());
}

TEST_CASE("answers to an extended CONNECT") {
  const HeadReader::Asked asked{http::Method::get, "websocket"};
  Read agreed(http2::Side::response);
  CHECK(agreed.response({{":status", "200"}, {"content-length", "3"}}, http::End::no, asked) == "clean");
  CHECK(agreed.head.status == 101);
  CHECK(agreed.head.upgrade == "websocket");
  CHECK_FALSE(agreed.head.content_length.has_value());
  CHECK(Read(http2::Side::response).response({{":status", "204"}}, http::End::yes, asked) == "bad_response switching");
  Read refused(http2::Side::response);
  CHECK(refused.response({{":status", "403"}}, http::End::yes, asked) == "clean");
  CHECK(refused.head.status == 403);
  CHECK(refused.head.upgrade == "");
  CHECK(Read(http2::Side::response).response({{":status", "101"}}, http::End::no, asked) == "bad_response switching");
}

TEST_CASE("extended CONNECT reads as GET with upgrade; a plain one as it is") {
  const Lines socket = {
      {":method", "CONNECT"}, {":protocol", "WebSocket"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/chat"}};
  Read r(http2::Side::request);
  CHECK(r.request(socket, http::End::no) == "clean");
  CHECK(r.head.method == http::Method::get);
  CHECK(r.head.method_text == "GET");
  CHECK(r.head.upgrade == "websocket");
  CHECK(r.head.target == "/chat");
  CHECK(r.reader.connect());
  Lines with_body = socket;
  with_body.emplace_back("content-length", "3");
  CHECK(Read(http2::Side::request).request(with_body, http::End::no) == "bad_request upgrade untouched");
  Read plain(http2::Side::request);
  CHECK(plain.request({{":method", "CONNECT"}, {":authority", "a:443"}}, http::End::no) == "clean");
  CHECK(plain.head.method == http::Method::connect);
  CHECK(plain.head.target == "a:443");
}

TEST_CASE("cookie crumbs are one field, at most 256 of them") {
  Read r(http2::Side::request);
  CHECK(r.request(request_with(
            {{"cookie", "a=1"}, {"x", "y"}, {"cookie", "b=2"}, {"cookie", ""}, {"cookie", "c=3"}})) == "clean");
  CHECK(r.head.fields.count(http::Token::cookie) == 1);
  CHECK(r.head.fields.value(http::Token::cookie) == "a=1; b=2; c=3");
  for (const auto& [first, second] :
       {std::pair{"a=1", ""}, std::pair{"", "a=1"}}) {  // no value ends or begins with a blank
    Read empty(http2::Side::request);
    CHECK(empty.request(request_with({{"cookie", first}, {"cookie", second}})) == "clean");
    CHECK(empty.head.fields.value(http::Token::cookie) == "a=1");
  }
  http::HttpLimits limits;
  limits.max_header_count = 1;
  for (const size_t n : {size_t{256}, size_t{257}}) {
    Read many(http2::Side::request, limits);
    Lines lines = request_with({});
    for (size_t i = 0; i < n; ++i) lines.emplace_back("cookie", "a=1");
    CHECK(many.request(lines) == (n == 256 ? "clean" : "headers_too_large field_count untouched"));
  }
  Read answer(http2::Side::response);  // Set-Cookie is another thing, and Cookie means nothing in an answer
  CHECK(answer.response({{":status", "200"}, {"cookie", "a"}, {"cookie", "b"}}) == "clean");
  CHECK(answer.head.fields.count(http::Token::cookie) == 2);
}

TEST_CASE("a field that HPACK must not index stays one, cookies too") {
  for (const char* name : {"authorization", "x-secret", "cookie"}) {
    for (const bool twice : {false, true}) {
      CAPTURE(name);
      Read r(http2::Side::request);
      r.take(request_with({}));
      r.reader.take(name, "a", http2::Indexing::never);
      if (twice) r.reader.take(name, "b", http2::Indexing::allowed);
      CHECK(r.reader.finish_request(http::Scheme::http, http::End::yes).clean());
      REQUIRE(r.head.fields.size() >= 1);
      CHECK(r.head.fields[0].flags == http::Field::never_indexed);
    }
  }
}

TEST_CASE("fields at the limit and one above") {
  http::HttpLimits limits;
  for (const uint32_t over : {0U, 1U}) {
    Read r(http2::Side::request, limits);
    Lines lines = request_with({});
    for (uint32_t i = 0; i < limits.max_header_count + over; ++i) lines.emplace_back("x", "y");
    CHECK(r.request(lines) == (over == 0 ? "clean" : "headers_too_large field_count untouched"));
    Read answer(http2::Side::response, limits);
    Lines given = {{":status", "200"}};
    for (uint32_t i = 0; i < limits.max_header_count + over; ++i) given.emplace_back("x", "y");
    CHECK(answer.response(given) == (over == 0 ? "clean" : "bad_response head_size"));
  }
}

TEST_CASE("bytes at the limit, one above, and at and above four times the limit") {
  http::HttpLimits limits;
  limits.max_header_bytes = 1000;
  Lines base_lines = request_with({});
  uint64_t used = 0;
  for (const auto& [name, value] : base_lines) used += name.size() + value.size() + HeadReader::field_overhead;
  const auto filler = [&](uint64_t total) { return std::string(total - used - HeadReader::field_overhead - 1, 'v'); };
  struct Case {
    uint64_t total;
    const char* verdict;
    HeadReader::Taken taken;
  };
  for (const Case& c : {Case{1000, "clean", HeadReader::Taken::yes},
                        Case{1001, "headers_too_large field_size untouched", HeadReader::Taken::yes},
                        Case{4000, "headers_too_large field_size untouched", HeadReader::Taken::yes},
                        Case{4001, "headers_too_large field_size untouched", HeadReader::Taken::bomb}}) {
    CAPTURE(c.total);
    Read r(http2::Side::request, limits);
    r.take(base_lines);
    CHECK(r.reader.take("x", filler(c.total), http2::Indexing::allowed) == c.taken);
    CHECK(support::text_of(r.reader.finish_request(http::Scheme::http, http::End::yes)) == c.verdict);
    CHECK(r.reader.bytes() == c.total);
  }
}

TEST_CASE("a bomb is seen behind another fault, and what is too large is not stored") {
  http::HttpLimits limits;
  limits.max_header_bytes = 10'000;
  Read r(http2::Side::request, limits);
  r.take(request_with({{"Upper", "x"}}));
  HeadReader::Taken last = HeadReader::Taken::yes;
  for (int i = 0; i < 100 && last == HeadReader::Taken::yes; ++i)
    last = r.reader.take("x", std::string(1000, 'y'), http2::Indexing::allowed);
  CHECK(last == HeadReader::Taken::bomb);
  CHECK(r.head.fields.empty());
  CHECK(support::text_of(r.reader.finish_request(http::Scheme::http, http::End::yes)) == "bad_request name untouched");
}

TEST_CASE("the target at its limit and one above") {
  http::HttpLimits limits;
  limits.max_request_line = 100;
  for (const size_t size : {size_t{100}, size_t{101}}) {
    Lines lines = request_with({});
    lines[3].second = "/" + std::string(size - 1, 'p');
    Read r(http2::Side::request, limits);
    CHECK(r.request(lines) == (size == 100 ? "clean" : "uri_too_long line_size untouched"));
  }
}

TEST_CASE("names with underscores, by option") {
  for (const auto option :
       {http::UnderscoreHeaders::drop, http::UnderscoreHeaders::reject, http::UnderscoreHeaders::pass}) {
    http::HttpLimits limits;
    limits.underscore_headers = option;
    Read r(http2::Side::request, limits);
    const std::string verdict = r.request(request_with({{"content_length", "5"}}));
    CHECK(verdict == (option == http::UnderscoreHeaders::reject ? "bad_request underscore untouched" : "clean"));
    CHECK(r.head.fields.size() == (option == http::UnderscoreHeaders::pass ? 1 : 0));
    CHECK_FALSE(r.head.content_length.has_value());
  }
}

TEST_CASE("trailers: checked as fields are, without what frames, routes or authenticates") {
  struct Case {
    Lines lines;
    const char* verdict;
    const char* kept;
  };
  for (const Case& c :
       {Case{{{"grpc-status", "0"}, {"x", "y"}}, "clean", "grpc-status=0 x=y "},
        Case{{{"content-length", "5"}, {"host", "b"}, {"authorization", "x"}, {"set-cookie", "y"}, {"t", "1"}},
             "clean",
             "t=1 "},
        Case{{{"cookie", "a=b"}, {"t", "1"}}, "clean", "t=1 "},
        Case{{{":path", "/"}}, "bad_request trailer untouched", ""},
        Case{{{"Upper", "x"}}, "bad_request trailer untouched", ""},
        Case{{{"a", "b\nc"}}, "bad_request trailer untouched", ""},
        Case{{{"connection", "close"}}, "bad_request trailer untouched", ""},
        Case{{{"transfer-encoding", "chunked"}}, "bad_request trailer untouched", ""},
        Case{{{"te", "trailers"}, {"t", "1"}}, "clean", "t=1 "}}) {
    Read r(http2::Side::request);
    CHECK(r.request(request_with({}), http::End::no) == "clean");
    http::Fields trailers(r.arena);
    r.reader.begin_trailers(trailers);
    r.take(c.lines);
    CHECK(support::text_of(r.reader.finish_trailers(http::End::yes)) == c.verdict);
    if (std::string_view(c.verdict) != "clean") continue;
    std::string kept;
    for (const http::Field& f : trailers) kept += std::string(f.name()) + "=" + std::string(f.value()) + " ";
    CHECK(kept == c.kept);
  }
}

TEST_CASE("trailers that do not end the message, and that share the limits of the head") {
  Read r(http2::Side::request);
  CHECK(r.request(request_with({}), http::End::no) == "clean");
  http::Fields trailers(r.arena);
  r.reader.begin_trailers(trailers);
  CHECK(support::text_of(r.reader.finish_trailers(http::End::no)) == "bad_request trailer untouched");
  http::HttpLimits limits;
  limits.max_header_count = 3;
  for (const int n : {1, 2}) {
    Read shared(http2::Side::request, limits);
    CHECK(shared.request(request_with({{"a", "1"}, {"b", "2"}}), http::End::no) == "clean");
    http::Fields to(shared.arena);
    shared.reader.begin_trailers(to);
    for (int i = 0; i < n; ++i) shared.reader.take("t", "1", http2::Indexing::allowed);
    CHECK(support::text_of(shared.reader.finish_trailers(http::End::yes)) ==
          (n == 1 ? "clean" : "headers_too_large field_count untouched"));
  }
}

TEST_CASE("the priority field is read and goes on") {
  Read r(http2::Side::request);
  CHECK(r.request(request_with({{"priority", "u=1, i"}})) == "clean");
  REQUIRE(r.reader.has_priority());
  CHECK(r.reader.priority() == http2::Priority{1, true});
  CHECK(r.head.fields.has(http::Token::priority));
}

TEST_CASE("priorities, by RFC 9218") {
  using http2::parse_priority;
  using http2::Priority;
  CHECK(parse_priority("") == Priority{3, false});
  CHECK(parse_priority("u=0") == Priority{0, false});
  CHECK(parse_priority("u=7,i") == Priority{7, true});
  CHECK(parse_priority("u=8") == Priority{3, false});
  CHECK(parse_priority("u=-1, i=?0") == Priority{3, false});
  CHECK(parse_priority(" i=?1 , u=2;a=b , foo=\"bar\"") == Priority{2, true});
  CHECK(parse_priority("u=1, u=5") == Priority{5, false});
  CHECK(parse_priority("U=1, I") == Priority{3, false});
  CHECK(parse_priority(",,,u=") == Priority{3, false});
}

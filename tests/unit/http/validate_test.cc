// Every byte against every class: the rules of validate.h are tables, so the tests are too.
#include "http/validate.h"

#include <string>

#include <doctest/doctest.h>

using namespace sluice::http;

TEST_CASE("find_ctl stops at every control but HTAB, wherever it stands") {
  for (size_t size = 0; size < 70; ++size) {
    std::string text(size, 'a');
    CHECK(is_field_value(text));
    for (size_t at = 0; at < size; ++at) {
      for (const int c : {0x00, 0x01, 0x08, 0x0a, 0x0d, 0x1f, 0x7f}) {
        text[at] = static_cast<char>(c);
        REQUIRE(find_ctl(text.data(), text.data() + size) == text.data() + at);
      }
      for (const int c : {0x09, 0x20, 0x7e, 0x80, 0xff}) {
        text[at] = static_cast<char>(c);
        REQUIRE(is_field_value(text));
      }
      text[at] = 'a';
    }
  }
}

TEST_CASE("tokens") {
  for (int c = 0; c < 256; ++c) {
    const std::string one(1, static_cast<char>(c));
    const bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool expected =
        alnum || (c != 0 && std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string_view::npos);
    CAPTURE(c);
    CHECK(is_token(one) == expected);
  }
  CHECK(!is_token(""));
  CHECK(token_size("abc: d") == 3);
}

TEST_CASE("origin form: every byte in path and query (row 13)") {
  for (int c = 0; c < 256; ++c) {
    const std::string byte(1, static_cast<char>(c));
    const bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool path = alnum || (c != 0 && std::string_view("-._~!$&'()*+,;=:@/|[]^?").find(static_cast<char>(c)) !=
                                              std::string_view::npos);
    CAPTURE(c);
    CHECK(is_origin_form("/a" + byte) == path);
    CHECK(is_origin_form("/?a" + byte) == (c > 0x20 && c < 0x7f && c != '#'));
  }
  CHECK(is_origin_form("/%aF"));
  for (const char* bad : {"", "a", "%2f", "/%", "/%a", "/%ag", "/%ga", "?a"}) CHECK(!is_origin_form(bad));
}

TEST_CASE("authorities") {
  for (const char* good : {"a", "a-b_c.d", "1.2.3.4", "a:1", "a:65535", "a:", "[::1]", "[::1]:8080",
                           "[::1]:", "[2001:db8::8:800:200c:417a]", "%41", "xn--bcher-kva"}) {
    CAPTURE(good);
    CHECK(is_authority(good));
  }
  for (const char* bad :
       {"",       ":80",       ":",   "a:0", "a:65536", "a:-1",  "a:+1",   "a: 1",      "a:1:2",
        "u@a",    "a,b",       "a b", "[]",  "[::1",    "::1",   "[::1]a", "[::1]::",   "[fe80::1%25eth0]",
        "[v1.x]", "[1.2.3.4]", "%4",  "%",   "a/",      "\"a\"", "a\x7f",  "a\xc3\xa9", "a\t"}) {
    CAPTURE(bad);
    CHECK(!is_authority(bad));
  }
  CHECK(has_port("a:1"));
  CHECK(has_port("[::1]:1"));
  CHECK(!has_port("a"));
  CHECK(!has_port("[::1]"));
  CHECK(!has_port("a:"));
  CHECK(!has_port("[::1]:"));
  for (const char* text : {"a", "a:"}) CHECK(without_empty_port(text) == "a");
  CHECK(without_empty_port("a:1") == "a:1");
  CHECK(without_empty_port("[::1]:") == "[::1]");
  CHECK(without_empty_port("[::]") == "[::]");
  for (const char* text : {"a", "a:", "a:1"}) CHECK(without_port(text) == "a");
  for (const char* text : {"[::1]", "[::1]:", "[::1]:8"}) CHECK(without_port(text) == "[::1]");
}

TEST_CASE("content lengths") {
  CHECK(parse_content_length("0") == 0);
  CHECK(parse_content_length("007") == 7);
  CHECK(parse_content_length("18446744073709551615") == UINT64_MAX);
  for (const char* bad : {"", "18446744073709551616", "+1", "-1", "0x1", "1 ", " 1", "1,1", "1.0", "a"})
    CHECK(!parse_content_length(bad));
}

TEST_CASE("underscores and trailers") {
  CHECK(underscore_rule("a-b", UnderscoreHeaders::reject) == NameRule::take);
  CHECK(underscore_rule("a_b", UnderscoreHeaders::reject) == NameRule::reject);
  CHECK(underscore_rule("a_b", UnderscoreHeaders::drop) == NameRule::drop);
  CHECK(underscore_rule("a_b", UnderscoreHeaders::pass) == NameRule::take);
  // RFC 9110 5.6.2: what a name may be made of besides letters and digits.
  for (const char c : std::string_view("!#$%&'*+.^_`|~")) {
    const std::string name = std::string("X-A") + c + "b";
    CAPTURE(name);
    CHECK(underscore_rule(name, UnderscoreHeaders::reject) == NameRule::reject);
    CHECK(underscore_rule(name, UnderscoreHeaders::drop) == NameRule::drop);
    CHECK(underscore_rule(name, UnderscoreHeaders::pass) == NameRule::take);
  }
  CHECK(underscore_rule("AZaz-09", UnderscoreHeaders::drop) == NameRule::take);
  for (const Token t :
       {Token::content_length, Token::transfer_encoding, Token::host, Token::authorization, Token::set_cookie,
        Token::connection, Token::te, Token::upgrade, Token::keep_alive, Token::x_forwarded_for, Token::traceparent}) {
    CHECK(!allowed_in_trailers(t, name_of(t)));
  }
  for (const Token t : {Token::grpc_status, Token::grpc_message, Token::date})
    CHECK(allowed_in_trailers(t, name_of(t)));
  CHECK(allowed_in_trailers(Token::other, "x-forwarded"));
  CHECK(!allowed_in_trailers(Token::other, "X-Forwarded-Prefix"));
}

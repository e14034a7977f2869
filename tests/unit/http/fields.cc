// Token, Fields, Failure: the vocabulary of every HTTP version.
#include "http/fields.h"

#include <set>
#include <string>

#include "http/close_cause.h"
#include "http/failure.h"
#include "http/head.h"

#include <doctest/doctest.h>

using namespace sluice;  // NOLINT: a test
using http::Token;

TEST_CASE("token: every name in any case, and nothing else") {
  std::set<std::string> seen;
  for (unsigned t = 1; t < http::tokens; ++t) {
    const auto token = static_cast<Token>(t);
    std::string name(http::name_of(token));
    CAPTURE(name);
    CHECK(seen.insert(name).second);
    CHECK(http::token_of(name) == token);
    for (char& c : name) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
    CHECK(http::token_of(name) == token);
    CHECK(http::token_of(name + "x") == Token::other);
    CHECK(http::token_of(name.substr(1)) == http::token_of(base::Arena().copy(name.substr(1))));
    std::string near = name;
    near[near.size() / 3] = '!';
    CHECK(http::token_of(near) == Token::other);
    for (char& c : near) c = c == '-' ? '_' : c;
    CHECK(http::token_of(near) == Token::other);
  }
  CHECK(http::token_of("") == Token::other);
  CHECK(http::token_of("t") == Token::other);
  CHECK(http::token_of("content_length") == Token::other);
  CHECK(http::token_of("Content-Length") == Token::content_length);
  CHECK(http::token_of(std::string_view("\r\n", 2)) == Token::other);
  CHECK(http::token_of("\x0d"
                       "ontent-length") == Token::other);
}

TEST_CASE("method: case-sensitive") {
  using http::Method;
  CHECK(http::method_of("GET") == Method::get);
  CHECK(http::method_of("DELETE") == Method::delete_);
  CHECK(http::method_of("PATCH") == Method::patch);
  CHECK(http::method_of("get") == Method::other);
  CHECK(http::method_of("QUERY") == Method::other);
  CHECK(http::method_of("") == Method::other);
  CHECK(http::is_idempotent(Method::put));
  CHECK(!http::is_idempotent(Method::post));
  CHECK(!http::is_idempotent(Method::patch));
  CHECK(!http::is_idempotent(Method::connect));
  CHECK(!http::is_idempotent(Method::other));
  CHECK(http::is_safe(Method::trace));
  CHECK(!http::is_safe(Method::put));
}

TEST_CASE("fields: add, find, set, remove keep order and case") {
  base::Arena arena;
  http::Fields f(arena);
  f.add("X-A", "1");
  f.add("HOST", "h");
  f.add("x-a", "2");
  f.add(Token::via, "v");
  CHECK(f.size() == 4);
  CHECK(f.find("X-a")->value() == "1");
  CHECK(f.find(Token::host)->name() == "HOST");
  CHECK(f.find("host") == f.find(Token::host));
  CHECK(f.find("x-b") == nullptr);
  CHECK(f.value(Token::te).empty());
  CHECK(f.bytes() == 3 + 1 + 4 + 1 + 3 + 1 + 3 + 1);
  CHECK(f.remove("x-A") == 2);
  CHECK(f.remove("x-A") == 0);
  CHECK(f.size() == 2);
  f.set("Host", "other");
  CHECK(f.count(Token::host) == 1);
  CHECK(f[1].value() == "other");
  f.set(Token::via, "w");
  CHECK(f[1].name() == "via");
  f.remove_at(0);
  CHECK(f.size() == 1);
  CHECK(f[0].value() == "w");
  f.clear();
  CHECK(f.empty());
}

TEST_CASE("fields: what is there is found, what has gone is not, whichever way it came and went") {
  base::Arena arena;
  http::Fields f(arena);
  for (unsigned t = 1; t < http::tokens; ++t) {
    const auto token = static_cast<Token>(t);
    CHECK(!f.has(token));
    CHECK(f.remove(token) == 0);
    f.add(token, "1");
    f.add(http::name_of(token), "2");
    CHECK(f.count(token) == 2);
    CHECK(f.value(token) == "1");
  }
  f.remove_at(0);  // one of two
  CHECK(f.value(Token::accept) == "2");
  f.remove_at(0);
  CHECK(!f.has(Token::accept));
  CHECK(f.remove(Token::accept) == 0);
  f.add(Token::accept, "3");
  CHECK(f.remove("Accept") == 1);
  CHECK(f.count(Token::accept) == 0);
  base::Arena other;
  http::Fields copy(other);
  copy.add(Token::accept, "gone");
  copy.copy_from(f);
  CHECK(!copy.has(Token::accept));
  for (unsigned t = 2; t < http::tokens; ++t) {
    const auto token = static_cast<Token>(t);
    CHECK(copy.count(token) == 2);
    CHECK(f.remove(token) == 2);
    CHECK(!f.has(token));
  }
  copy.clear();
  CHECK(!copy.has(Token::via));
}

TEST_CASE("fields: growth keeps everything, deep copy outlives its source") {
  base::Arena arena;
  http::Fields copy(arena);
  copy.add("gone", "by the copy");
  {
    base::Arena other;
    http::Fields f(other);
    for (int i = 0; i < 1000; ++i) f.add(other.copy("n" + std::to_string(i)), other.copy("v" + std::to_string(i)));
    f.add(Token::authorization, "authorization", "secret", http::Field::never_indexed);
    copy.copy_from(f);
  }
  CHECK(copy.size() == 1001);
  for (int i = 0; i < 1000; ++i) {
    REQUIRE(copy[static_cast<uint32_t>(i)].name() == "n" + std::to_string(i));
    REQUIRE(copy[static_cast<uint32_t>(i)].value() == "v" + std::to_string(i));
  }
  CHECK(copy[1000].flags == http::Field::never_indexed);
  CHECK(copy[1000].token == Token::authorization);
}

TEST_CASE("failure: every kind has a status and the reasons are the closed list") {
  std::set<std::string> reasons;
  for (unsigned k = 0; k < http::kinds; ++k) {
    const auto kind = static_cast<http::Kind>(k);
    CHECK(http::status_of(kind) >= 200);
    CHECK(http::status_of(kind) != 500);
    if (kind != http::Kind::none) reasons.emplace(http::reason_word(kind));
  }
  const std::set<std::string> contract = {"bad_request",        "body_too_large", "uri_too_long",   "headers_too_large",
                                          "not_implemented",    "version",        "denied",         "no_route",
                                          "method_not_allowed", "expectation",    "rate_limited",   "request_timeout",
                                          "misdirected",        "too_early",      "connect_failed", "reset",
                                          "bad_response",       "tls_failed",     "no_endpoint",    "pool_timeout",
                                          "pool_full",          "circuit_open",   "overloaded",     "drain",
                                          "connect_timeout",    "timeout",        "loop",           "client_closed",
                                          "no_local_port",      "no_descriptor"};
  CHECK(reasons == contract);
  CHECK(http::status_of(http::Kind::headers_too_large) == 431);
  CHECK(http::status_of(http::Kind::client_closed) == 499);
  CHECK(http::status_of(http::Kind::refused_stream) == 502);
  CHECK(http::status_of(http::Kind::shutdown) == 503);
  CHECK(http::reason_word(http::Kind::none).empty());
}

TEST_CASE("words are distinct and complete") {
  std::set<std::string_view> words;
  for (unsigned d = 1; d < http::details; ++d)
    CHECK(words.insert(http::detail_word(static_cast<http::Detail>(d))).second);
  CHECK(!words.contains(""));
  CHECK(http::detail_word(http::Detail::none).empty());
  words.clear();
  for (unsigned c = 0; c < http::close_causes; ++c)
    CHECK(words.insert(http::cause_word(static_cast<http::CloseCause>(c))).second);
  CHECK(!words.contains(""));
  CHECK(http::where_word(http::Where::upstream) == "upstream");
  CHECK(http::version_word(http::Version::http_11) == "HTTP/1.1");
  CHECK(sizeof(http::Failure) == 4);
}

TEST_CASE("why a connection ends whose request was given up, and who ended it") {
  using http::CloseCause;
  using http::Kind;
  using http::Where;
  const auto cause = [](Kind kind, Where where) { return http::cause_of_cut({kind, where}); };
  CHECK(cause(Kind::none, Where::proxy) == CloseCause::early_answer);
  CHECK(cause(Kind::client_closed, Where::downstream) == CloseCause::client_left);
  CHECK(cause(Kind::request_timeout, Where::downstream) == CloseCause::client_stalled);
  CHECK(cause(Kind::body_too_large, Where::downstream) == CloseCause::bad_request);
  CHECK(cause(Kind::timeout, Where::upstream) == CloseCause::route_timeout);
  CHECK(cause(Kind::timeout, Where::proxy) == CloseCause::retried);
  CHECK(cause(Kind::reset, Where::proxy) == CloseCause::retried);
  CHECK(cause(Kind::reset, Where::upstream) == CloseCause::upstream_failed);
  CHECK(cause(Kind::shutdown, Where::proxy) == CloseCause::drain);
  CHECK(http::side_word(http::ended_by(CloseCause::client_left)) == "us");
  CHECK(http::side_word(http::ended_by(CloseCause::peer_closed)) == "peer");
}

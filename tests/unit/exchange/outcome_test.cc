// The class of an answer.
#include "exchange/outcome.h"

#include <doctest/doctest.h>

#include "base/arena.h"

namespace {

using namespace sluice;
using exchange::outcome_of;
using exchange::outcome_of_grpc;
using exchange::pause_of;
using exchange::pause_of_grpc;
using upstream::Outcome;

struct Answer {
  explicit Answer(int status) : head(arena) { head.status = static_cast<decltype(head.status)>(status); }
  base::Arena arena;
  http::Head head;
};

TEST_CASE("a status says how the endpoint does") {
  for (const int status : {101, 200, 204, 301, 404, 428, 430, 499}) {
    CAPTURE(status);
    CHECK(outcome_of(Answer(status).head) == Outcome::answered);
  }
  for (const int status : {500, 501, 505, 599}) {
    CAPTURE(status);
    CHECK(outcome_of(Answer(status).head) == Outcome::server_error);
  }
  for (const int status : {502, 503, 504}) {
    CAPTURE(status);
    CHECK(outcome_of(Answer(status).head) == Outcome::gateway);
  }
  CHECK(outcome_of(Answer(429).head) == Outcome::refused);
  Answer busy(503);
  busy.head.fields.add(http::Token::retry_after, "2");
  CHECK(outcome_of(busy.head) == Outcome::refused);
}

TEST_CASE("a gRPC status counts, in the head or the trailers of an answer that is gRPC") {
  const auto of = [](std::string_view type, std::string_view status) {
    Answer a(200);
    a.head.fields.add(http::Token::content_type, type);
    a.head.fields.add(http::Token::grpc_status, status);
    return outcome_of(a.head);
  };
  CHECK(of("application/grpc", "14") == Outcome::gateway);
  CHECK(of("application/grpc+proto", "8") == Outcome::refused);
  CHECK(of("application/grpc", "0") == Outcome::answered);
  CHECK(of("application/grpc", "13") == Outcome::answered);
  CHECK(of("application/grpc", "none") == Outcome::answered);
  CHECK(of("text/plain", "14") == Outcome::answered);
  CHECK(outcome_of_grpc(Answer(200).head.fields) == Outcome::answered);
}

TEST_CASE("a stream that ends otherwise than whole") {
  const auto of = [](http::Kind kind) {
    return outcome_of(http::Failure{kind, http::Where::upstream, http::Detail::none, false}, false);
  };
  CHECK(of(http::Kind::reset) == Outcome::reset);
  CHECK(of(http::Kind::bad_response) == Outcome::reset);
  CHECK(of(http::Kind::timeout) == Outcome::timeout);
  CHECK(of(http::Kind::not_implemented) == Outcome::no_upgrade);
  CHECK(outcome_of(http::Failure{http::Kind::reset, http::Where::upstream, http::Detail::none, false}, true) ==
        Outcome::idle_race);
}

TEST_CASE("what is the client's, or ours, is not held against the endpoint") {
  const auto of = [](http::Kind kind, http::Where where) {
    return outcome_of(http::Failure{kind, where, http::Detail::none, false}, false);
  };
  CHECK(of(http::Kind::reset, http::Where::proxy) == Outcome::unknown);
  CHECK(of(http::Kind::headers_too_large, http::Where::upstream) == Outcome::unknown);
  CHECK(of(http::Kind::refused_stream, http::Where::upstream) == Outcome::refused);
}

TEST_CASE("for how long it asks to be left alone: seconds, a date, grpc-retry-pushback-ms; 10 s at most") {
  const base::Micros wall{784'111'777'000'000};  // Sun, 06 Nov 1994 08:49:37 GMT
  const auto of = [wall](int status, std::string_view retry_after, std::string_view date = "") {
    Answer a(status);
    a.head.fields.add(http::Token::retry_after, retry_after);
    if (!date.empty()) a.head.fields.add(http::Token::date, date);
    return pause_of(a.head, wall).count;
  };
  CHECK(of(429, "2") == 2'000);
  CHECK(of(503, "10") == 10'000);
  CHECK(of(503, "11") == 10'000);
  CHECK(of(503, "99999999999999999999999") == 10'000);
  for (const char* none : {"0", "", "-1", "2.5", "2s", "soon", "2 "}) {
    CAPTURE(none);
    CHECK(of(503, none) == 0);
  }
  CHECK(of(502, "2") == 0);
  CHECK(of(200, "2") == 0);
  CHECK(of(503, "Sun, 06 Nov 1994 08:49:40 GMT") == 3'000);
  CHECK(of(503, "Sunday, 06-Nov-94 08:49:40 GMT") == 3'000);
  CHECK(of(503, "Sun Nov  6 08:49:40 1994") == 3'000);
  CHECK(of(503, "Sun, 06 Nov 1994 08:49:36 GMT") == 0);
  CHECK(of(503, "Mon, 06 Nov 1995 08:49:36 GMT") == 10'000);
  // By its own clock, if it says what that shows.
  CHECK(of(503, "Sun, 06 Nov 1994 10:00:04 GMT", "Sun, 06 Nov 1994 10:00:00 GMT") == 4'000);

  const auto grpc = [](std::string_view status, std::string_view pushback) {
    Answer a(200);
    a.head.fields.add(http::Token::grpc_status, status);
    a.head.fields.add("grpc-retry-pushback-ms", pushback);
    return pause_of_grpc(a.head.fields).count;
  };
  CHECK(grpc("8", "250") == 250);
  CHECK(grpc("8", "10001") == 10'000);
  CHECK(grpc("8", "-1") == 0);
  CHECK(grpc("8", "x") == 0);
  CHECK(grpc("14", "250") == 0);
  CHECK(grpc("0", "250") == 0);
}

}  // namespace

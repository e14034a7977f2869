// The class of an answer.
#include "exchange/outcome.h"

#include <doctest/doctest.h>

#include "base/arena.h"

namespace {

using namespace sluice;
using exchange::outcome_of;
using exchange::outcome_of_grpc;
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

}  // namespace

// What is a gRPC call, how long its client waits, and the status of each failure.
#include "http/grpc.h"

#include <string>

#include "http/failure.h"

#include <doctest/doctest.h>

using namespace sluice;
using namespace sluice::http;

namespace {

bool grpc(std::string_view content_type) {
  base::Arena arena;
  Fields fields(arena);
  fields.add("Content-Type", content_type);
  return is_grpc(fields);
}

int64_t millis(std::string_view value) { return parse_grpc_timeout(value).value_or(base::Millis{-1}).count; }

}  // namespace

TEST_CASE("a call is told by its content-type") {
  for (const char* type :
       {"application/grpc", "application/grpc+proto", "application/grpc+json", "application/grpc;charset=utf-8",
        "application/grpc ; a=b", "APPLICATION/gRPC", "application/grpc+"}) {
    CAPTURE(type);
    CHECK(grpc(type));
  }
  for (const char* type :
       {"", "application/grp", "application/grpc-web", "application/grpc-web+proto", "application/grpc-web-text",
        "application/grpcx", "application/grpc x", "application/json", "text/application/grpc"}) {
    CAPTURE(type);
    CHECK_FALSE(grpc(type));
  }
  base::Arena arena;
  CHECK_FALSE(is_grpc(Fields(arena)));
}

TEST_CASE("grpc-timeout: digits, at most eight, and a unit; rounded up to milliseconds") {
  CHECK(millis("1H") == 3'600'000);
  CHECK(millis("2M") == 120'000);
  CHECK(millis("3S") == 3'000);
  CHECK(millis("4m") == 4);
  CHECK(millis("1u") == 1);
  CHECK(millis("1000u") == 1);
  CHECK(millis("1001u") == 2);
  CHECK(millis("1n") == 1);
  CHECK(millis("1000001n") == 2);
  CHECK(millis("007S") == 7'000);
  CHECK(millis("99999999H") == 99'999'999LL * 3'600'000);   // eight digits
  CHECK(millis("0S") == 1);                                 // has passed
  CHECK(millis("0n") == 1);
  for (const char* value : {"", "S", "1", "123456789S", "000000001S", "1s", "1h", "1 S", " 1S", "1S ", "-1S", "+1S",
                            "1.5S", "1SS", "0x1S", "1\xC2\xB5"}) {
    CAPTURE(value);
    CHECK_FALSE(parse_grpc_timeout(value).has_value());
  }
}

TEST_CASE("grpc-status") {
  CHECK(parse_grpc_status("0") == 0);
  CHECK(parse_grpc_status("16") == 16);
  CHECK(parse_grpc_status("999") == grpc_status_max);
  for (const char* value : {"", "1000", "-1", "OK", "1 ", "99999999999999999999"})
    CHECK_FALSE(parse_grpc_status(value).has_value());
}

TEST_CASE("each failure has its status: what may be tried again is unavailable, nothing else is") {
  struct Row {
    std::string_view reasons;
    GrpcStatus status;
  };
  const Row rows[] = {
      {"client_closed", GrpcStatus::cancelled},
      {"timeout request_timeout", GrpcStatus::deadline_exceeded},
      {"denied", GrpcStatus::permission_denied},
      {"body_too_large uri_too_long headers_too_large rate_limited", GrpcStatus::resource_exhausted},
      {"no_route method_not_allowed not_implemented version", GrpcStatus::unimplemented},
      {"bad_request expectation loop bad_response", GrpcStatus::internal},
      {"connect_failed connect_timeout tls_failed reset no_endpoint pool_timeout pool_full circuit_open overloaded "
       "no_local_port no_descriptor "
       "misdirected too_early drain",
       GrpcStatus::unavailable},
  };
  for (unsigned k = 0; k < kinds; ++k) {
    const auto kind = static_cast<Kind>(k);
    const std::string reason(reason_word(kind));
    CAPTURE(reason);
    int found = 0;
    for (const Row& row : rows) {
      if ((" " + std::string(row.reasons) + " ").find(" " + reason + " ") == std::string::npos || reason.empty())
        continue;
      ++found;
      CHECK(grpc_status_of(kind) == row.status);
    }
    CHECK(found == (kind == Kind::none ? 0 : 1));
  }
  CHECK(grpc_status_of(Kind::none) == GrpcStatus::ok);
}

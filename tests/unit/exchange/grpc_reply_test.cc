// grpc-message is percent-encoded: what we send must need none of it.
#include <string>

#include "exchange/local_reply.h"

#include <doctest/doctest.h>

using namespace sluice;

TEST_CASE("the message of every failure is plain text, and its status stands beside it") {
  for (unsigned k = 1; k < http::kinds; ++k) {
    const auto kind = static_cast<http::Kind>(k);
    base::Arena arena;
    http::Fields fields(arena);
    const exchange::Reply reply = exchange::reply_for(kind, arena);
    exchange::add_grpc_status(fields, http::grpc_status_of(kind), reply);
    CHECK(fields.value(http::Token::grpc_status) == std::to_string(static_cast<int>(http::grpc_status_of(kind))));
    const std::string_view message = fields.value(http::Token::grpc_message);
    CHECK(message.starts_with(std::to_string(http::status_of(kind))));
    for (const char c : message) CHECK((c >= 0x20 && c <= 0x7e && c != '%'));
  }
}

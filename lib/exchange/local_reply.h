// Answers that the proxy makes itself: failures, redirects, fixed bodies. Heads are made in the request's arena.
#pragma once

#include <string_view>

#include "http/stream.h"

namespace sluice::exchange {

std::string_view phrase_of(uint16_t status);   // "Not Found"; "" for unknown ones

struct Reply {
  uint16_t status = 200;
  std::string_view body;                       // outlives the call
  const net::Slice* counted = nullptr;         // the same, to be referred to; nullptr: `body` is copied
  std::string_view content_type = "text/plain";
  std::string_view location;                   // redirects
  std::string_view reason;                     // x-sluice-reason; "" = not told
  uint32_t retry_after = 0;                    // seconds; 0 = no Retry-After
};

// The answer to a failure: status and a one-line body; HEAD gets no body.
Reply reply_for(http::Kind kind, base::Arena& arena);

// The answer to a failed gRPC call: HTTP 200 and the status at once, in the head ("Trailers-Only"). `reply` as
// reply_for() made it.
void send_grpc_reply(http::Stream& stream, http::GrpcStatus status, const Reply& reply, http::Head& head);
// grpc-status and grpc-message, in a head or in trailers. The message is the text of `reply`'s body.
void add_grpc_status(http::Fields& to, http::GrpcStatus status, const Reply& reply);

// Head and body on `stream`. `headers`: what else goes into the head (nullptr = nothing).
// Returns the body bytes that were sent.
size_t send_reply(http::Stream& stream, http::Method method, const Reply& reply, http::Head& head);

}  // namespace sluice::exchange

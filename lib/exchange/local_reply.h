// Answers that the proxy makes itself: failures, redirects, fixed bodies. Heads are made in the request's arena.
#pragma once

#include <string_view>

#include "http/stream.h"

namespace sluice::exchange {

std::string_view phrase_of(uint16_t status);   // "Not Found"; "" for unknown ones

struct Reply {
  uint16_t status = 200;
  std::string_view body;                       // outlives the call
  std::string_view content_type = "text/plain";
  std::string_view location;                   // redirects
  std::string_view reason;                     // x-sluice-reason; "" = not told
  bool retry_after = false;                    // 503: Retry-After: 1
};

// The answer to a failure: status and a one-line body; HEAD gets no body.
Reply reply_for(http::Kind kind, base::Arena& arena);

// Head and body on `stream`. `headers`: what else goes into the head (nullptr = nothing).
// Returns the body bytes that were sent.
size_t send_reply(http::Stream& stream, http::Method method, const Reply& reply, http::Head& head);

}  // namespace sluice::exchange

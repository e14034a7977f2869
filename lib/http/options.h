// Limits and time limits of client connections, as `[[listener]]` states them: what the server sessions of every
// HTTP version obey. Plain values; owned by the snapshot. Sizes are bytes, times milliseconds.
#pragma once

#include <cstdint>

#include "base/clock.h"

namespace sluice::http {

// A version as `protocols` and `protocol` name it.
enum class Protocol : std::uint8_t { http1, http2 };

// What happens to a field name with another character than letters, digits and "-": backends like CGI fold it to the
// dashed one.
enum class UnderscoreHeaders : std::uint8_t { drop, reject, pass };

// Limits of one message head, whatever the version; above: 414, 431, 431.
struct HttpLimits {
  std::uint64_t max_request_line = 16 * 1024;
  std::uint64_t max_header_bytes = 64 * 1024;  // field lines without ": " and line end; HTTP/2 counts 32 more a field
  std::uint32_t max_header_count = 100;
  UnderscoreHeaders underscore_headers = UnderscoreHeaders::drop;
  bool operator==(const HttpLimits&) const = default;
};

struct Http2Options {
  std::uint32_t max_streams = 128;  // concurrent, a connection
  std::uint64_t stream_window = 256 * 1024;  // receive window of one stream
  std::uint64_t connection_buffer = 4 * 1024 * 1024;  // request bytes of one connection held at once
  std::uint32_t max_resets = 200;  // early cancels in 10 s before GOAWAY ENHANCE_YOUR_CALM (lib/http2/README.md)
  bool operator==(const Http2Options&) const = default;
};

struct DownstreamOptions {
  HttpLimits limits;
  Http2Options http2;
  base::Millis handshake_timeout{10'000};  // TLS, absolute
  base::Millis header_timeout{10'000};  // whole request head, absolute; a PROXY header too
  base::Millis half_close_grace{1'000};  // HTTP/1: an answer to a client that sent FIN begins, and goes on, within this
  base::Millis body_timeout{30'000};  // between two reads of a request body
  base::Millis write_timeout{30'000};  // a client that takes no byte of its answer
  base::Millis idle_timeout{75'000};  // keep-alive
  std::uint64_t min_rate = 240;  // bytes a second after 10 s, body and answer; 0 = no limit
  std::uint32_t max_requests = 10'000;  // per connection, then a clean close or GOAWAY
  base::Millis max_age{0};  // of a connection, then as max_requests; +-20 % jitter; 0 = none
  bool operator==(const DownstreamOptions&) const = default;
};

}  // namespace sluice::http

// What an HTTP/1 head means once all of it is here: target, authority, body framing, connection (RFC 9112 3, 6, 9;
// threats.md rows 1 to 3, 11 to 13, 15 to 17, 26 to 30). Pure functions: a Head and its Special in, a verdict out.
#pragma once

#include <cstdint>
#include <string_view>

#include "http/head.h"
#include "http/validate.h"

namespace sluice::http1 {

struct Special;

// How the end of a body is found, or shown.
enum class Framing : uint8_t {
  none,  // no body
  length,  // Content-Length
  chunked,
  until_close,  // answers only
  raw,  // a tunnel: until the half-close
};

enum class Persistence : uint8_t { close, keep };

struct Message {
  Framing framing = Framing::none;
  uint64_t length = 0;  // Framing::length
  Persistence persistence = Persistence::close;
};

// `line` without LF; the CR must be there. Fills method and target (as sent, not split yet) and version.
http::Failure read_request_line(std::string_view line, http::Head& head);
http::Failure read_status_line(std::string_view line, http::Head& head);

// Completes `head` (authority, scheme, target, upgrade, ...) and tells how the body is framed.
http::Failure judge_request(const Special& special, http::Scheme scheme, http::Head& head, Message& message);

// Takes out of a head or its trailers what its Connection fields named; false: they named too much.
bool drop_nominated(const Special& special, http::Fields& fields);

// What the request that is answered was like.
struct Asked {
  http::Method method;
  std::string_view upgrade;  // offered; "" = none
};
http::Failure judge_response(const Special& special, const Asked& asked, http::Head& head, Message& message);

}  // namespace sluice::http1

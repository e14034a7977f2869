// Code: the error codes of RST_STREAM and GOAWAY (RFC 9113 7), and how they map to and from our own words.
#pragma once

#include <cstdint>

#include "http/failure.h"

namespace sluice::http2 {

enum class Code : uint32_t {
  no_error = 0,
  protocol_error = 1,
  internal_error = 2,
  flow_control_error = 3,
  settings_timeout = 4,
  stream_closed = 5,
  frame_size_error = 6,
  refused_stream = 7,
  cancel = 8,
  compression_error = 9,
  connect_error = 10,
  enhance_your_calm = 11,
  inadequate_security = 12,
  http_1_1_required = 13,
};

// A connection error as metrics know it.
http::Detail detail_of(Code code);

// What a client is told about a stream that is cut because of `why`. Never `cancel` for what an upstream did: to a
// client that would mean its own doing.
Code code_for_client(const http::Failure& why);

}  // namespace sluice::http2

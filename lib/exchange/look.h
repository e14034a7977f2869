// Look: what a request says to a person who looks into the process (GET /debug/requests). Views into the exchange: for
// the same turn only.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/clock.h"
#include "upstream/cluster.h"

namespace sluice::exchange {

// Words of its phase, in the order in which a request comes through them.
namespace phase {
inline constexpr std::string_view reading_body =
    "reading_body";  // waits for more of it before it asks for a connection
inline constexpr std::string_view waiting = "waiting";  // in the upstream's queue: see Look::wait
inline constexpr std::string_view connecting = "connecting";
inline constexpr std::string_view backing_off = "backing_off";  // a try failed, the next one is due in a moment
inline constexpr std::string_view sending_body = "sending_body";  // the head is with the upstream, the body is not
inline constexpr std::string_view awaiting_answer = "awaiting_answer";  // all of it is with the upstream
inline constexpr std::string_view answering = "answering";  // the answer's head is with the client
inline constexpr std::string_view tunnel = "tunnel";
inline constexpr std::string_view answered = "answered";  // what is left goes to the client, or is dropped
}  // namespace phase

// What a request has become by its answer: what a drain may have to wait for.
enum class Sort : uint8_t { request, websocket, event_stream, grpc_stream, tunnel };

struct Look {
  std::string_view method, host, path;  // as sent; the path without its query
  std::string_view client;  // who asked, behind trusted proxies
  std::string_view request_id, listener, route, upstream;  // "": none yet
  std::string_view endpoint;  // the last one that was tried
  std::string_view phase;  // a literal
  Sort sort = Sort::request;
  base::Micros began, since, moved;  // the request; its phase; the last byte, or the beginning
  uint64_t bytes_in = 0, bytes_out = 0;
  uint16_t status = 0;  // 0: no answer yet
  uint16_t attempts = 0;
  std::optional<upstream::WaitLook> wait;
};

}  // namespace sluice::exchange

// Look: what GET /debug/... asks the workers, and what they say: plain values, as they were in one turn of a worker.
// Nothing here points into it.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace sluice::runtime {

enum class Subject : uint8_t { connections, requests, waiting };

// Where something stands in the order of all pages: connections by when they came, over all workers, and requests as
// their connections, then as they began there. Nothing ever gets a place before one that was there.
struct Place {
  base::Micros came{-1};  // the connection, on the monotonic clock; unique on its worker
  uint32_t worker = 0;
  uint32_t request = 0;  // its number in the connection; 0: the connection itself
  auto operator<=>(const Place&) const = default;
};

struct Question {
  static constexpr uint32_t limit_max = 1000;  // rows of a page
  static constexpr uint32_t limit_default = 100;
  static constexpr uint32_t older_max = 365 * 24 * 3600;  // seconds

  Subject subject = Subject::connections;
  Place after;  // rows behind this one
  uint32_t limit = limit_default;
  std::optional<uint32_t> worker;  // only its rows
  base::Micros older{0};  // only what is at least so old
};

struct ConnectionLook {
  Place place;
  uint64_t conn = 0;  // its number, as in GET /recent
  std::string listener, peer, sni;
  std::string_view protocol, phase;  // literals
  bool tls = false;
  base::Micros age, phase_age;
  uint32_t streams = 0;  // open ones
  uint32_t requests = 0;  // so far
};

struct RequestLook {
  Place place;
  uint64_t conn = 0;  // of its connection, as in GET /recent
  std::string listener, peer, client, request_id, method, host, path, route, upstream, endpoint;
  std::string_view protocol, phase;  // literals
  base::Micros age, phase_age, silent;
  uint64_t bytes_in = 0, bytes_out = 0;
  uint32_t attempts = 0;
  uint32_t status = 0;
  bool waits = false;
  std::string_view waits_for;  // these two: while it does
  base::Micros left;
};

// What one worker says in one turn: rows in their order, behind Question::after. Either of the two vectors.
struct Looked {
  // Clients looked at in one turn: about 1 ms.
  static constexpr uint32_t clients_max = 4096;
  static constexpr size_t text_max = 256;  // of what a client may choose; what is longer ends in "..."

  std::vector<ConnectionLook> connections;
  std::vector<RequestLook> requests;
  Place reached;  // all up to here has been looked at, if the page is not full
  bool whole = false;  // there is nothing behind it
  size_t rows() const { return connections.size() + requests.size(); }
};

}  // namespace sluice::runtime

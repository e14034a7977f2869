// Holders: what a drain waits for, by kind, and the oldest of it. Plain values; a worker says it in one turn.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace sluice::runtime {

// In the order in which they are told. idle: a client connection without a request.
enum class Holding : uint8_t { request, websocket, event_stream, grpc_stream, tunnel, idle };
inline constexpr size_t holdings = static_cast<size_t>(Holding::idle) + 1;
std::string_view holding_word(Holding kind);

struct Holder {
  Holding kind = Holding::request;
  std::string client, route, path, request_id;  // cut; the path without its query
  base::Micros age{};
};

struct Holders {
  static constexpr size_t told_most = 10;  // the oldest
  std::array<uint32_t, holdings> counts{};
  std::vector<Holder> oldest;
  bool whole = true;  // false: there are more clients than one turn looks at
  // Of other workers.
  void add(Holders&& more);
};

}  // namespace sluice::runtime

// The line syntax of HTTP/1 (RFC 9112), as pure functions over contiguous bytes: where names and values are, and
// whether every byte is allowed. No meaning, no memory, no llhttp: head_reader.h feeds it, message.h judges what it
// found.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "http/failure.h"

namespace sluice::http1 {

// One field line; offsets count from the start of the bytes that were scanned.
struct Line {
  uint32_t name_at;
  uint32_t value_at;
  uint32_t value_size;  // outer blanks are not part of it
  uint16_t name_size;  // 0: continuation of the line before (obs-fold), Folding::unfold only
};

// Requests: obs-fold and a blank before the colon are errors. Responses: both are cleaned (RFC 9112 5.1, 5.2).
enum class Cleaning : uint8_t { none, allowed };

// What a head may still hold; the scan counts down. A line costs all its bytes but the four of ": " and the line end,
// which every line has; a continuation costs these as well, or empty ones would be without end.
struct FieldBudget {
  uint64_t bytes;
  uint32_t count;
  static constexpr uint32_t free_bytes = 4;
  // Blanks, colon and line end that one line may have beyond `bytes`.
  static constexpr uint32_t slack_bytes = 128;
  // A line without an end in so many bytes is over the limit, whatever it says.
  uint64_t line_max() const { return bytes + slack_bytes; }
};

struct ScanResult {
  enum class Stop : uint8_t {
    more,  // `used` bytes are whole lines; what follows is a part of one
    full,  // `lines` is full
    end,  // the empty line was met; `used` includes it
    bad,  // see `detail`
  };
  Stop stop;
  http::Detail detail;  // name, ctl, obs_fold, field_count, field_size
  bool cleaned;  // something was cleaned
  uint32_t lines;
  uint32_t used;
};

ScanResult scan_fields(const char* begin, const char* end, std::span<Line> lines, Cleaning cleaning,
                       FieldBudget& budget);

}  // namespace sluice::http1

// FrameScanner: sees the header of every frame before nghttp2 does, which passes over some kinds without a word. So floods are
// counted, and frames on closed streams found, whatever the version of the library. Never looks into payloads, but for the
// dependency of PRIORITY.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sluice::http2 {

inline constexpr std::string_view preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";   // RFC 9113 3.4

// RFC 9113 6, RFC 9218 7.1
enum class FrameType : uint8_t {
  data = 0,
  headers = 1,
  priority = 2,
  rst_stream = 3,
  settings = 4,
  push_promise = 5,
  ping = 6,
  goaway = 7,
  window_update = 8,
  continuation = 9,
  priority_update = 16,
};

struct Frame {
  uint32_t length = 0;
  uint32_t stream = 0;
  uint32_t depends_on = 0;          // PRIORITY only
  uint8_t type = 0;
  uint8_t flags = 0;

  static constexpr uint8_t end_stream = 0x1;   // DATA, HEADERS
  static constexpr uint8_t ack = 0x1;          // SETTINGS, PING
  static constexpr uint8_t end_headers = 0x4;
  static constexpr uint8_t padded = 0x8;

  bool is(FrameType t) const { return type == static_cast<uint8_t>(t); }
  bool has(uint8_t flag) const { return (flags & flag) != 0; }
};

class FrameScanner {
 public:
  // `skip`: bytes before the first frame (the client's preface).
  explicit FrameScanner(size_t skip) : skip_(skip) {}

  // Goes on in `bytes` from `at`. True: `frame` is the next one and `at` stands behind its header. False: all of `bytes` was seen.
  bool next(std::string_view bytes, size_t& at, Frame& frame);
  size_t header_bytes() const { return wanted_; }              // of the frame just found
  bool between_frames() const { return skip_ == 0 && got_ == 0; }

 private:
  static constexpr size_t usual_header = 9;
  static constexpr size_t priority_header = 13;   // with the dependency

  size_t skip_;
  std::array<unsigned char, priority_header> header_{};
  uint8_t got_ = 0;
  uint8_t wanted_ = usual_header;
};

}  // namespace sluice::http2

// Frames as bytes (RFC 9113 4.1, 6; RFC 9218 7.1): their names, and how ours are written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "http2/code.h"
#include "net/byte_queue.h"

namespace sluice::http2 {

inline constexpr std::string_view preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";   // RFC 9113 3.4
inline constexpr size_t frame_header_bytes = 9;
inline constexpr uint32_t frame_payload_max =
    16 * 1024;   // that we take, and send: RFC 9113 4.2, we announce none larger
inline constexpr int32_t initial_window = 65'535;          // RFC 9113 6.9.2
inline constexpr int32_t window_max = INT32_MAX;           // RFC 9113 6.9.1
inline constexpr int32_t stream_id_max = INT32_MAX;

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

// RFC 9113 6.5.2, RFC 8441 3, RFC 9218 2.1
enum class Setting : uint16_t {
  header_table_size = 1,
  enable_push = 2,
  max_concurrent_streams = 3,
  initial_window_size = 4,
  max_frame_size = 5,
  max_header_list_size = 6,
  enable_connect_protocol = 8,
  no_rfc7540_priorities = 9,
};

struct Frame {
  uint32_t length = 0;
  uint32_t stream = 0;
  uint8_t type = 0;
  uint8_t flags = 0;

  static constexpr uint8_t end_stream = 0x1;   // DATA, HEADERS
  static constexpr uint8_t ack = 0x1;          // SETTINGS, PING
  static constexpr uint8_t end_headers = 0x4;
  static constexpr uint8_t padded = 0x8;
  static constexpr uint8_t has_priority = 0x20;

  bool is(FrameType t) const { return type == static_cast<uint8_t>(t); }
  bool has(uint8_t flag) const { return (flags & flag) != 0; }
};

// Numbers of a payload, most significant byte first. `at` has as many bytes.
uint16_t read_u16(const char* at);
uint32_t read_u31(const char* at);             // a stream id, or a window: the first bit does not count
uint32_t read_u32(const char* at);

// Each adds one frame to the end of `to`, but for put_block, which adds CONTINUATIONs if the block needs them.
// put_header: the payload follows.
struct Entry {
  Setting setting;
  uint32_t value;
};
void put_header(net::ByteQueue& to, size_t length, FrameType type, uint8_t flags, int32_t stream);
void put_block(net::ByteQueue& to, int32_t stream, bool end_stream, std::string_view block);
void put_rst_stream(net::ByteQueue& to, int32_t stream, Code code);
void put_settings(net::ByteQueue& to, std::span<const Entry> entries);
void put_settings_ack(net::ByteQueue& to);
void put_ping(net::ByteQueue& to, std::string_view opaque, bool ack);  // 8 bytes
void put_goaway(net::ByteQueue& to, int32_t last, Code code);
void put_window_update(net::ByteQueue& to, int32_t stream, uint32_t more);

}  // namespace sluice::http2

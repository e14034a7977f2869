// Each frame is made on the stack and copied once.
#include "http2/frame.h"

#include <algorithm>

#include "base/check.h"

namespace sluice::http2 {
namespace {

constexpr size_t small_max = 64;                   // payload of the frames that are made whole

void write_u32(char* at, uint32_t n) {
  for (const unsigned shift : {24U, 16U, 8U, 0U}) *at++ = static_cast<char>(n >> shift & 0xff);
}

void write_header(char* at, size_t length, FrameType type, uint8_t flags, int32_t stream) {
  at[0] = static_cast<char>(length >> 16 & 0xff);
  at[1] = static_cast<char>(length >> 8 & 0xff);
  at[2] = static_cast<char>(length & 0xff);
  at[3] = static_cast<char>(type);
  at[4] = static_cast<char>(flags);
  write_u32(at + 5, static_cast<uint32_t>(stream));
}

// A frame whose payload is a few numbers of 32 bits.
void put_numbers(net::ByteQueue& to, FrameType type, int32_t stream, std::span<const uint32_t> numbers) {
  char frame[frame_header_bytes + small_max];
  const size_t length = numbers.size() * sizeof(uint32_t);
  CHECK(length <= small_max);
  write_header(frame, length, type, 0, stream);
  for (size_t i = 0; i < numbers.size(); ++i) write_u32(frame + frame_header_bytes + i * sizeof(uint32_t), numbers[i]);
  to.append_copy({frame, frame_header_bytes + length});
}

uint32_t byte(const char* at) { return static_cast<unsigned char>(*at); }

}  // namespace

uint16_t read_u16(const char* at) { return static_cast<uint16_t>(byte(at) << 8 | byte(at + 1)); }
uint32_t read_u32(const char* at) { return byte(at) << 24 | byte(at + 1) << 16 | byte(at + 2) << 8 | byte(at + 3); }
uint32_t read_u31(const char* at) { return read_u32(at) & 0x7fffffff; }

void put_header(net::ByteQueue& to, size_t length, FrameType type, uint8_t flags, int32_t stream) {
  char header[frame_header_bytes];
  write_header(header, length, type, flags, stream);
  to.append_copy({header, sizeof header});
}

void put_block(net::ByteQueue& to, int32_t stream, bool end_stream, std::string_view block) {
  FrameType type = FrameType::headers;
  uint8_t flags = end_stream ? Frame::end_stream : uint8_t{0};
  for (bool more = true; more;) {
    const std::string_view piece = block.substr(0, frame_payload_max);
    block.remove_prefix(piece.size());
    more = !block.empty();
    put_header(to, piece.size(), type, more ? flags : static_cast<uint8_t>(flags | Frame::end_headers), stream);
    to.append_copy(piece);
    type = FrameType::continuation;
    flags = 0;
  }
}

void put_rst_stream(net::ByteQueue& to, int32_t stream, Code code) {
  const uint32_t numbers[] = {static_cast<uint32_t>(code)};
  put_numbers(to, FrameType::rst_stream, stream, numbers);
}

void put_settings(net::ByteQueue& to, std::span<const Entry> entries) {
  constexpr size_t entry_bytes = 6;
  char frame[frame_header_bytes + small_max];
  const size_t length = entries.size() * entry_bytes;
  CHECK(length <= small_max);
  write_header(frame, length, FrameType::settings, 0, 0);
  char* at = frame + frame_header_bytes;
  for (const Entry& entry : entries) {
    const auto id = static_cast<uint16_t>(entry.setting);
    at[0] = static_cast<char>(id >> 8);
    at[1] = static_cast<char>(id & 0xff);
    write_u32(at + 2, entry.value);
    at += entry_bytes;
  }
  to.append_copy({frame, frame_header_bytes + length});
}

void put_settings_ack(net::ByteQueue& to) { put_header(to, 0, FrameType::settings, Frame::ack, 0); }

void put_ping(net::ByteQueue& to, std::string_view opaque, bool ack) {
  put_header(to, opaque.size(), FrameType::ping, ack ? Frame::ack : uint8_t{0}, 0);
  to.append_copy(opaque);
}

void put_goaway(net::ByteQueue& to, int32_t last, Code code) {
  const uint32_t numbers[] = {static_cast<uint32_t>(last), static_cast<uint32_t>(code)};
  put_numbers(to, FrameType::goaway, 0, numbers);
}

void put_window_update(net::ByteQueue& to, int32_t stream, uint32_t more) {
  const uint32_t numbers[] = {more};
  put_numbers(to, FrameType::window_update, stream, numbers);
}

}  // namespace sluice::http2

// A nine-byte buffer and a counter of payload bytes to pass over.
#include "http2/frame_scanner.h"

#include <algorithm>
#include <cstring>

namespace sluice::http2 {
namespace {

uint32_t stream_id(const unsigned char* at) {
  return (static_cast<uint32_t>(at[0] & 0x7f) << 24) | (static_cast<uint32_t>(at[1]) << 16) | (static_cast<uint32_t>(at[2]) << 8) | at[3];
}

}  // namespace

bool FrameScanner::next(std::string_view bytes, size_t& at, Frame& frame) {
  for (;;) {
    const size_t passed = std::min(skip_, bytes.size() - at);
    skip_ -= passed;
    at += passed;
    if (at == bytes.size()) return false;
    if (got_ == 0) wanted_ = usual_header;
    const size_t n = std::min(bytes.size() - at, static_cast<size_t>(wanted_ - got_));
    std::memcpy(header_.data() + got_, bytes.data() + at, n);
    got_ = static_cast<uint8_t>(got_ + n);
    at += n;
    if (got_ < wanted_) return false;
    const uint32_t length = (static_cast<uint32_t>(header_[0]) << 16) | (static_cast<uint32_t>(header_[1]) << 8) | header_[2];
    const bool priority = header_[3] == static_cast<uint8_t>(FrameType::priority);
    if (priority && wanted_ == usual_header && length >= priority_header - usual_header) {
      wanted_ = priority_header;
      continue;
    }
    frame = {length, stream_id(header_.data() + 5), 0, header_[3], header_[4]};
    if (wanted_ == priority_header) frame.depends_on = stream_id(header_.data() + usual_header);
    skip_ = length - (wanted_ - usual_header);
    got_ = 0;
    return true;
  }
}

}  // namespace sluice::http2

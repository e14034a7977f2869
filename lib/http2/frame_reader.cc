#include "http2/frame_reader.h"

#include <algorithm>
#include <cstring>

namespace sluice::http2 {
namespace {

constexpr size_t setting_bytes = 6;
constexpr size_t priority_bytes = 5;              // of a HEADERS with the flag: dependency and weight

bool bears_content(const Frame& f) {
  return f.is(FrameType::data) || f.is(FrameType::headers) || f.is(FrameType::continuation);
}

size_t prefix_bytes(const Frame& f) {
  const bool may_be_padded = f.is(FrameType::data) || f.is(FrameType::headers);
  const size_t pad_length = may_be_padded && f.has(Frame::padded) ? 1 : 0;
  return pad_length + (f.is(FrameType::headers) && f.has(Frame::has_priority) ? priority_bytes : 0);
}

}  // namespace

FrameReader::Step FrameReader::fail(Code code) {
  code_ = code;
  return Step::fault;
}

// True: `wanted` bytes are gathered.
bool FrameReader::gather(std::string_view bytes, size_t& at, size_t wanted) {
  const size_t n = std::min(bytes.size() - at, wanted - got_);
  std::memcpy(gathered_.data() + got_, bytes.data() + at, n);
  got_ = static_cast<uint8_t>(got_ + n);
  at += n;
  return got_ == wanted;
}

FrameReader::Step FrameReader::next(std::string_view bytes, size_t& at) {
  for (;;) {
    switch (state_) {
      case State::start:
        for (; at < bytes.size() && got_ < preface.size(); ++at, ++got_) {
          if (bytes[at] != preface[got_]) return Step::bad_preface;
        }
        if (got_ < preface.size()) return Step::more;
        got_ = 0;
        state_ = State::header;
        break;
      case State::header:
        if (!gather(bytes, at, frame_header_bytes)) return Step::more;
        got_ = 0;
        return begin();
      case State::prefix: {
        const size_t wanted = prefix_bytes(frame_);
        if (!gather(bytes, at, wanted)) return Step::more;
        if (const Code code = judge_prefix(); code != Code::no_error) return fail(code);
        got_ = 0;
        state_ = State::content;
        break;
      }
      case State::content: {
        const size_t content = left_ - trailing_;
        if (content == 0) {
          state_ = State::rest;
          break;
        }
        if (at == bytes.size()) return Step::more;
        piece_ = bytes.substr(at, content);
        left_ -= static_cast<uint32_t>(piece_.size());
        at += piece_.size();
        return Step::piece;
      }
      case State::units:
        if (got_ == unit_bytes_) got_ = 0;         // the last one was told
        if (left_ < unit_bytes_ || left_ == 0 || (!frame_.is(FrameType::settings) && left_ != frame_.length)) {
          state_ = State::rest;
          break;
        }
        if (!gather(bytes, at, unit_bytes_)) return Step::more;
        left_ -= unit_bytes_;
        return Step::unit;
      case State::rest: {
        const size_t n = std::min<size_t>(left_, bytes.size() - at);
        left_ -= static_cast<uint32_t>(n);
        at += n;
        if (left_ != 0) return Step::more;
        state_ = State::end;
        break;
      }
      case State::end:
        got_ = 0;
        state_ = State::header;
        return Step::end;
    }
  }
}

FrameReader::Step FrameReader::begin() {
  const char* const h = gathered_.data();
  frame_ = {read_u32(h) >> 8, read_u31(h + 5), static_cast<uint8_t>(h[3]), static_cast<uint8_t>(h[4])};
  if (const Code code = judge(); code != Code::no_error) return fail(code);
  settings_seen_ = true;
  left_ = frame_.length;
  padding_ = trailing_ = 0;
  unit_bytes_ = 0;
  if (frame_.is(FrameType::headers) || frame_.is(FrameType::continuation))
    block_ = frame_.has(Frame::end_headers) ? 0 : frame_.stream;
  if (bears_content(frame_)) {
    state_ = prefix_bytes(frame_) != 0 ? State::prefix : State::content;
  } else if (frame_.is(FrameType::settings)) {
    unit_bytes_ = setting_bytes;
    state_ = State::units;
  } else {
    unit_bytes_ = static_cast<uint8_t>(std::min<size_t>(frame_.length, unit_max));
    state_ = State::units;
  }
  return Step::begin;
}

Code FrameReader::judge() const {
  const uint32_t n = frame_.length;
  if (!settings_seen_ && (!frame_.is(FrameType::settings) || frame_.has(Frame::ack)))
    return Code::protocol_error;   // RFC 9113 3.4
  if (n > frame_payload_max) return Code::frame_size_error;
  if ((block_ != 0) != frame_.is(FrameType::continuation) || (block_ != 0 && frame_.stream != block_))
    return Code::protocol_error;
  const auto size_is = [](bool good) { return good ? Code::no_error : Code::frame_size_error; };
  switch (static_cast<FrameType>(frame_.type)) {
    case FrameType::data:
    case FrameType::headers: return size_is(n >= prefix_bytes(frame_));
    case FrameType::priority: return size_is(n == 5);
    case FrameType::rst_stream:
    case FrameType::window_update: return size_is(n == 4);
    case FrameType::settings: return size_is(n % setting_bytes == 0 && (n == 0 || !frame_.has(Frame::ack)));
    case FrameType::ping: return size_is(n == 8);
    case FrameType::goaway: return size_is(n >= 8);
    case FrameType::priority_update: return size_is(n >= 4);
    case FrameType::push_promise:
    case FrameType::continuation: return Code::no_error;
  }
  return Code::no_error;
}

// RFC 9113 6.1, 6.2: padding that fills all and more, and a stream that depends on itself.
Code FrameReader::judge_prefix() {
  const auto size = static_cast<uint32_t>(prefix_bytes(frame_));
  left_ -= size;
  const bool padded = frame_.has(Frame::padded);
  trailing_ = padded ? static_cast<unsigned char>(gathered_[0]) : 0;
  padding_ = size + trailing_;
  if (trailing_ > left_) return Code::protocol_error;
  const bool depends = frame_.is(FrameType::headers) && frame_.has(Frame::has_priority);
  return depends && read_u31(gathered_.data() + (padded ? 1 : 0)) == frame_.stream ? Code::protocol_error
                                                                                   : Code::no_error;
}

}  // namespace sluice::http2

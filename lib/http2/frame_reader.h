// FrameReader: bytes of a connection -> the parts of its frames, wherever the bytes are torn. Judges what needs no
// knowledge of streams: lengths, padding, the order of header blocks (RFC 9113 4.2, 4.3, 6). Copies nothing but small
// payloads.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "http2/code.h"
#include "http2/frame.h"

namespace sluice::http2 {

class FrameReader {
 public:
  enum class Step : uint8_t {
    more,  // all bytes were seen
    begin,  // frame() is known, nothing of its payload was read
    piece,  // piece(): some of a DATA's body or of a header block, padding left out
    unit,  // unit(): one setting, or the payload of a small frame, as far as unit_max goes
    end,  // the frame is whole
    bad_preface,
    fault,  // code(): the connection is broken
  };
  static constexpr size_t unit_max = 64;

  // With the preface of a client in front, or not. The first frame has to be SETTINGS.
  explicit FrameReader(bool with_preface) : state_(with_preface ? State::start : State::header) {}

  // Goes on in `bytes` from `at`. After bad_preface and fault nothing more is asked.
  Step next(std::string_view bytes, size_t& at);

  const Frame& frame() const { return frame_; }
  std::string_view piece() const { return piece_; }  // of `bytes`
  std::string_view unit() const { return {gathered_.data(), got_}; }
  uint32_t padding() const { return padding_; }  // of a DATA or HEADERS: its bytes that are no content
  Code code() const { return code_; }
  bool between_frames() const { return state_ == State::header && got_ == 0; }
  bool in_head() const {  // in a HEADERS or CONTINUATION
    return state_ > State::header && (frame_.is(FrameType::headers) || frame_.is(FrameType::continuation));
  }
  bool block_open() const { return block_ != 0; }  // CONTINUATION has to follow

 private:
  enum class State : uint8_t { start, header, prefix, content, units, rest, end };

  bool gather(std::string_view bytes, size_t& at, size_t wanted);
  Step begin();
  Code judge() const;
  Code judge_prefix();
  Step fail(Code code);

  Frame frame_{};
  std::string_view piece_{};
  uint32_t left_ = 0;  // of the payload
  uint32_t padding_ = 0;
  uint32_t trailing_ = 0;  // of the padding, behind the content
  uint32_t block_ = 0;  // the stream whose header block goes on
  Code code_ = Code::no_error;
  State state_;
  bool settings_seen_ = false;
  uint8_t got_ = 0;  // of what is gathered
  uint8_t unit_bytes_ = 0;
  std::array<char, unit_max> gathered_;
};

}  // namespace sluice::http2

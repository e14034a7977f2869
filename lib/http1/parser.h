// BodyReader: takes the body of one message out of a byte queue. Data moves as slices, framing is dropped. llhttp lives
// here and nowhere else: it reads the field lines of every head that frames a body by Transfer-Encoding (and of
// requests with Content-Length), every chunk line, every chunk and its end, as a second opinion. What our own check
// refuses never reaches it; where it disagrees with us, the message is refused (threats.md row 4).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "http/fields.h"
#include "http1/head_reader.h"
#include "http1/message.h"
#include "net/byte_queue.h"

namespace sluice::http1 {

class BodyReader {
 public:
  enum class Status : uint8_t {
    more,  // all of `in` is taken that can be
    room,  // `room` bytes were moved and the body goes on
    end,  // the body is whole, trailers too; what follows is left in `in`
    bad,  // broken framing, or trailers that are over a limit (then head.failure() is not clean)
  };
  static constexpr uint32_t extension_line_max = 4 * 1024;  // bytes of chunk extensions, a line
  static constexpr uint32_t extension_message_max = 16 * 1024;  // and a message
  // Pieces of data below this are copied together: a slice each would cost more than they do.
  static constexpr size_t piece_copied_max = 256;

  // Begins the body that `message` frames; `head` has read its head and will read the trailers, into `trailers`. False
  // if llhttp sees another framing in the same lines. Both outlive the body.
  [[nodiscard]] bool start(Side side, const Message& message, HeadReader& head, http::Fields& trailers);
  // Moves at most `room` bytes of data from `in` to the end of `to`.
  Status read(net::ByteQueue& in, net::ByteQueue& to, size_t room);

  Framing framing() const { return framing_; }
  // Framing::length: bytes that are still to come. Chunked: of the current chunk.
  uint64_t remaining() const { return left_; }

 private:
  enum class State : uint8_t {
    digits,
    extension_start,
    extension_name,
    value_start,
    extension_token,
    quoted,
    quoted_pair,
    after_quoted,
    line_feed,
    data,
    data_cr,
    data_lf,
    trailers,
    done,
  };
  class Second;  // llhttp and what it said; kept in second_

  Status read_plain(net::ByteQueue& in, net::ByteQueue& to, size_t room);
  Status read_data(net::ByteQueue& in, net::ByteQueue& to, size_t& room);
  bool read_line(net::ByteQueue& in);
  bool step(char c);
  bool step_extension(char c);
  bool end_extension(char c);
  bool line_done();
  Status read_trailers(net::ByteQueue& in);
  Second& second();

  static constexpr size_t digits_max = 16;
  static constexpr size_t second_bytes = 160;

  HeadReader* head_ = nullptr;
  http::Fields* trailers_ = nullptr;
  uint64_t left_ = 0;
  uint32_t extension_line_ = 0;
  uint32_t extensions_ = 0;
  Framing framing_ = Framing::none;
  State state_ = State::digits;
  uint8_t digits_ = 0;
  std::array<char, digits_max> digit_text_;
  alignas(8) std::array<std::byte, second_bytes> second_;
};

std::string_view llhttp_version();  // "8.1.0"

}  // namespace sluice::http1

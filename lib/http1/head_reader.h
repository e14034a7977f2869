// HeadReader: takes one head (start line and fields), or the trailers of a body, out of a byte queue, however it is
// torn. Whole lines are copied once, many at a time, into the request's arena; views of the Head point there, so the
// read chunk is free at once. Every byte is looked at once, or twice when its line came in pieces: never quadratic.
// However a head is made and torn, it takes no more of the arena than a few times its bytes (threats.md row 49).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/arena.h"
#include "http/head.h"
#include "http/hop_by_hop.h"
#include "http/options.h"
#include "http1/scan.h"
#include "net/byte_queue.h"

namespace sluice::http1 {

enum class Side : uint8_t { request, response };

// A Connection value that names fields; they are neither in the head nor in the trailers (RFC 9110 7.6.1).
struct Nominations {
  const Nominations* next;
  std::string_view value;
};

// The fields that frame or steer a message: kept apart, not among Head::fields.
struct Special {
  std::string_view host{};
  std::string_view content_length{};  // the first one
  std::string_view transfer_encoding{};
  std::string_view upgrade{};
  http::ConnectionOptions connection{};
  const Nominations* nominations = nullptr;  // in the arena
  int64_t keep_alive_s = -1;  // Keep-Alive: timeout=N; -1 = not said
  uint16_t hosts = 0;
  uint16_t content_lengths = 0;
  uint16_t transfer_encodings = 0;
  bool lengths_differ = false;
  bool expects_continue = false;
  bool te_trailers = false;
};

class HeadReader {
 public:
  enum class Status : uint8_t { more, done, bad };
  // One empty line before a request line is passed over (RFC 9112 2.2).
  static constexpr uint32_t empty_lines_max = 1;
  // A head that comes in pieces is gathered in pieces of at least so many bytes.
  static constexpr size_t gathered_bytes = 512;

  HeadReader(Side side, const http::HttpLimits& limits, base::Arena& arena);

  // Takes what it can from the front of `in`. After `more` the rest of `in` is a part of a line; call again when it has
  // grown. done: the head is whole and what follows it is left in `in`. bad: failure() tells; `head` holds what was
  // understood.
  Status read(net::ByteQueue& in, http::Head& head);
  // After done: reads the field lines after a last chunk into `to`; they share what the limits left.
  void begin_trailers(http::Fields& to);
  Status read_trailers(net::ByteQueue& in);
  // For the next head on the same arena (after an informational one); the limits start over.
  void restart(const http::HttpLimits& limits);

  const http::Failure& failure() const { return failure_; }
  const Special& special() const { return special_; }
  bool cleaned() const { return cleaned_; }
  uint64_t bytes() const { return bytes_; }  // of the head so far, whole lines
  // What trailers need of the arena: they themselves, and what the head has nominated.
  bool needs_arena() const { return stage_ == Stage::trailers || special_.nominations != nullptr; }
  bool begun() const { return stage_ != Stage::start_line || searched_ != 0; }

  // The raw field lines, the empty one included, in the pieces they were copied in: for llhttp's second opinion.
  struct Piece {
    const Piece* next;
    std::string_view bytes;
  };
  const Piece* pieces() const { return first_; }

 private:
  enum class Stage : uint8_t { start_line, fields, trailers };
  enum class Place : uint8_t { chunk, arena };

  Status advance(net::ByteQueue& in);
  Status consume(std::string_view bytes, Place place, size_t& used);
  Status begin_line(std::string_view bytes, size_t& skipped);
  size_t line_cap() const;
  bool take_lines(const char* base, std::span<const Line> lines);
  char* room_for(size_t bytes);
  void continue_value(std::string_view more);
  std::string_view whole_value();
  void commit();
  void take_field(http::Token token);
  void commit_special(http::Token token);
  void add_piece(std::string_view bytes);
  Status fail(http::Detail detail);

  base::Arena& arena_;
  http::Head* head_ = nullptr;
  http::Fields* fields_ = nullptr;
  const Piece* first_ = nullptr;
  Piece* last_ = nullptr;
  char* text_ = nullptr;  // where lines are copied to; nullptr: nowhere yet
  char* text_at_ = nullptr;  // end of those that are there
  const char* text_end_ = nullptr;
  std::string_view name_{};  // the line that may still be continued; "" = none
  std::string_view value_{};
  struct Part {
    Part* next;
    std::string_view text;
  };
  Part* first_part_ = nullptr;  // of its value: what lies in texts before this one
  Part* last_part_ = nullptr;
  Special special_{};
  FieldBudget budget_;
  uint64_t bytes_ = 0;
  size_t searched_ = 0;  // bytes of a part of a line in which there is no line end
  uint32_t line_max_;
  http::UnderscoreHeaders underscores_;
  Side side_;
  Stage stage_ = Stage::start_line;
  uint8_t empty_lines_ = 0;
  bool cleaned_ = false;
  http::Failure failure_{};
};

}  // namespace sluice::http1

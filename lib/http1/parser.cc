// Our own reading of chunk lines is a small machine over single characters (they are few); data is counted, not looked
// at.
#include "http1/parser.h"

#include <llhttp.h>

#include <algorithm>
#include <string_view>
#include <type_traits>

#include "base/check.h"
#include "base/text.h"
#include "http/validate.h"

namespace sluice::http1 {
namespace {

bool is_hex(char c) { return base::is_digit(c) || (base::to_lower(c) >= 'a' && base::to_lower(c) <= 'f'); }

bool is_text(char c) { return static_cast<unsigned char>(c) >= 0x20 ? c != 0x7f : c == '\t'; }

}  // namespace

// llhttp started on a fixed first line, so that any method and status passes; it sees our lines, not our verdicts.
class BodyReader::Second {
 public:
  void start(Side side) {
    llhttp_init(&parser_, side == Side::request ? HTTP_REQUEST : HTTP_RESPONSE, &settings());
    body_ = chunk_ = 0;
    head_seen_ = complete_ = false;
    parser_.data = this;
    CHECK(feed(side == Side::request ? "POST / HTTP/1.1\r\n" : "HTTP/1.1 200 OK\r\n"));
  }
  bool feed(std::string_view bytes) {
    const llhttp_errno_t error = llhttp_execute(&parser_, bytes.data(), bytes.size());
    return error == HPE_OK || (error == HPE_PAUSED_UPGRADE && complete_);
  }
  bool head_says_chunked() const { return head_seen_ && (flags_ & F_CHUNKED) != 0; }
  bool head_says_length(uint64_t length) const { return head_seen_ && (flags_ & F_CHUNKED) == 0 && length_ == length; }
  uint64_t chunk() const { return chunk_; }
  // Data: `bytes` were body to it, all of them.
  bool feed_data(std::string_view bytes) {
    body_ = 0;
    return feed(bytes) && body_ == bytes.size();
  }
  bool complete() const { return complete_; }

 private:
  static Second& of(llhttp_t* parser) { return *static_cast<Second*>(parser->data); }
  static const llhttp_settings_t& settings() {
    static const llhttp_settings_t shared = [] {
      llhttp_settings_t s;
      llhttp_settings_init(&s);
      s.on_headers_complete = [](llhttp_t* p) noexcept {
        of(p).head_seen_ = true;
        of(p).flags_ = p->flags;
        of(p).length_ = p->content_length;
        return 0;
      };
      s.on_chunk_header = [](llhttp_t* p) noexcept {
        of(p).chunk_ = p->content_length;
        return 0;
      };
      s.on_body = [](llhttp_t* p, const char*, size_t size) noexcept {
        of(p).body_ += size;
        return 0;
      };
      s.on_message_complete = [](llhttp_t* p) noexcept {
        of(p).complete_ = true;
        return 0;
      };
      return s;
    }();
    return shared;
  }

  llhttp_t parser_;
  uint64_t length_ = 0;
  uint64_t chunk_ = 0;
  uint64_t body_ = 0;
  uint16_t flags_ = 0;
  bool head_seen_ = false;
  bool complete_ = false;
};

BodyReader::Second& BodyReader::second() {
  static_assert(sizeof(Second) <= second_bytes && alignof(Second) <= 8 && std::is_trivially_destructible_v<Second>);
  return *reinterpret_cast<Second*>(second_.data());
}

bool BodyReader::start(Side side, const Message& message, HeadReader& head, http::Fields& trailers) {
  head_ = &head;
  trailers_ = &trailers;
  framing_ = message.framing;
  left_ = message.length;
  state_ = State::digits;
  digits_ = 0;
  extension_line_ = extensions_ = 0;
  const bool asked = framing_ == Framing::chunked || (framing_ == Framing::length && side == Side::request);
  if (!asked) return true;
  second().start(side);
  if (head.cleaned()) return second().feed("transfer-encoding: chunked\r\n\r\n") || framing_ != Framing::chunked;
  for (const HeadReader::Piece* piece = head.pieces(); piece != nullptr; piece = piece->next) {
    if (!second().feed(piece->bytes)) return false;
  }
  return framing_ == Framing::chunked ? second().head_says_chunked() : second().head_says_length(left_);
}

BodyReader::Status BodyReader::read(net::ByteQueue& in, net::ByteQueue& to, size_t room) {
  if (framing_ != Framing::chunked) return read_plain(in, to, room);
  while (true) {
    switch (state_) {
      case State::done: return Status::end;
      case State::trailers: return read_trailers(in);
      case State::data:
        if (const Status status = read_data(in, to, room); status != Status::end) return status;
        break;
      case State::digits:
      case State::extension_start:
      case State::extension_name:
      case State::value_start:
      case State::extension_token:
      case State::quoted:
      case State::quoted_pair:
      case State::after_quoted:
      case State::line_feed:
      case State::data_cr:
      case State::data_lf:
        if (in.empty()) return Status::more;
        if (!read_line(in)) return Status::bad;
        break;
    }
  }
}

BodyReader::Status BodyReader::read_plain(net::ByteQueue& in, net::ByteQueue& to, size_t room) {
  size_t n = std::min(room, in.size());
  if (framing_ == Framing::length) n = static_cast<size_t>(std::min<uint64_t>(n, left_));
  if (framing_ == Framing::none) n = 0;
  to.take(in, n);
  if (framing_ == Framing::length) left_ -= n;
  if (framing_ == Framing::none || (framing_ == Framing::length && left_ == 0)) return Status::end;
  return n == room ? Status::room : Status::more;
}

// Status::end: the chunk is over.
BodyReader::Status BodyReader::read_data(net::ByteQueue& in, net::ByteQueue& to, size_t& room) {
  while (left_ != 0) {
    if (in.empty()) return Status::more;
    if (room == 0) return Status::room;
    const std::string_view bytes = in.front().view().substr(0, static_cast<size_t>(std::min<uint64_t>(left_, room)));
    if (!second().feed_data(bytes)) return Status::bad;
    left_ -= bytes.size();
    room -= bytes.size();
    if (bytes.size() < piece_copied_max && bytes.size() < in.front().size()) {
      to.append_copy(bytes);
      in.drop(bytes.size());
    } else {
      to.take(in, bytes.size());
    }
  }
  state_ = State::data_cr;
  return Status::end;
}

// Characters of a chunk line, or of the line end after data, from the front slice.
bool BodyReader::read_line(net::ByteQueue& in) {
  const std::string_view bytes = in.front().view();
  size_t used = 0;
  while (used < bytes.size() && state_ != State::data && state_ != State::trailers) {
    if (!step(bytes[used++])) return false;
  }
  in.drop(used);
  return true;
}

bool BodyReader::step(char c) {
  switch (state_) {
    case State::digits:
      if (is_hex(c)) {
        if (digits_ == digits_max) return false;
        digit_text_[digits_++] = c;
        return true;
      }
      if (digits_ == 0) return false;
      if (c == ';') {
        extension_line_ = 1;
        state_ = State::extension_start;
        return ++extensions_ <= extension_message_max;
      }
      state_ = State::line_feed;
      return c == '\r';
    case State::extension_start:
    case State::extension_name:
    case State::value_start:
    case State::extension_token:
    case State::quoted:
    case State::quoted_pair:
    case State::after_quoted: return step_extension(c);
    case State::line_feed: return c == '\n' && line_done();
    case State::data_cr: state_ = State::data_lf; return c == '\r';
    case State::data_lf:
      state_ = State::digits;
      digits_ = 0;
      return c == '\n' && second().feed("\r\n");
    case State::data:
    case State::trailers:
    case State::done: break;
  }
  UNREACHABLE();
}

// *( ";" name [ "=" ( token / quoted-string ) ] ) (RFC 9112 7.1.1), but without the blanks it tolerates.
bool BodyReader::step_extension(char c) {
  if (c != '\r' && (++extension_line_ > extension_line_max || ++extensions_ > extension_message_max)) return false;
  const bool in_token = http::token_size({&c, 1}) == 1;
  switch (state_) {
    case State::extension_start: state_ = State::extension_name; return in_token;
    case State::extension_name:
      if (in_token) return true;
      if (c != '=') return end_extension(c);
      state_ = State::value_start;
      return true;
    case State::value_start: state_ = c == '"' ? State::quoted : State::extension_token; return c == '"' || in_token;
    case State::extension_token: return in_token || end_extension(c);
    case State::quoted:
      if (c == '"') state_ = State::after_quoted;
      if (c == '\\') state_ = State::quoted_pair;
      return is_text(c);
    case State::quoted_pair: state_ = State::quoted; return is_text(c);
    case State::after_quoted: return end_extension(c);
    case State::digits:
    case State::line_feed:
    case State::data:
    case State::data_cr:
    case State::data_lf:
    case State::trailers:
    case State::done: break;
  }
  UNREACHABLE();
}

bool BodyReader::end_extension(char c) {
  state_ = c == ';' ? State::extension_start : State::line_feed;
  return c == ';' || c == '\r';
}

// The line is whole; extensions end here (RFC 9112 7.1.1), llhttp sees the number alone.
bool BodyReader::line_done() {
  left_ = 0;
  for (size_t i = 0; i < digits_; ++i) {
    const char c = base::to_lower(digit_text_[i]);
    left_ = left_ << 4 | static_cast<uint64_t>(base::is_digit(c) ? c - '0' : c - 'a' + 10);
  }
  if (!second().feed({digit_text_.data(), digits_}) || !second().feed("\r\n") || second().chunk() != left_)
    return false;
  state_ = State::data;
  if (left_ == 0) {
    head_->begin_trailers(*trailers_);
    state_ = State::trailers;
  }
  return true;
}

BodyReader::Status BodyReader::read_trailers(net::ByteQueue& in) {
  switch (head_->read_trailers(in)) {
    case HeadReader::Status::more: return Status::more;
    case HeadReader::Status::bad: return Status::bad;
    case HeadReader::Status::done: break;
  }
  // llhttp sees that the trailers ended, not what they were: it refuses framing fields among them, which we drop (row
  // 5).
  state_ = State::done;
  return second().feed("\r\n") && second().complete() ? Status::end : Status::bad;
}

#define SLUICE_TEXT_(x) #x
#define SLUICE_TEXT(x) SLUICE_TEXT_(x)
std::string_view llhttp_version() {
  return SLUICE_TEXT(LLHTTP_VERSION_MAJOR) "." SLUICE_TEXT(LLHTTP_VERSION_MINOR) "." SLUICE_TEXT(LLHTTP_VERSION_PATCH);
}
#undef SLUICE_TEXT
#undef SLUICE_TEXT_

}  // namespace sluice::http1

// Heads are measured first and then written in one go into the thread's chunk for small copies.
#include "http1/writer.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "http/hop_by_hop.h"
#include "http/validate.h"

namespace sluice::http1 {
namespace {

constexpr std::string_view line_end = "\r\n";
constexpr size_t decimal_max = 20;

struct Phrase {
  uint16_t status;
  std::string_view text;
};
// RFC 9110 15 and the registry's common ones.
constexpr Phrase phrases[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {102, "Processing"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {208, "Already Reported"},
    {226, "IM Used"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {305, "Use Proxy"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {423, "Locked"},
    {424, "Failed Dependency"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {499, "Client Closed Request"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {506, "Variant Also Negotiates"},
    {507, "Insufficient Storage"},
    {508, "Loop Detected"},
    {511, "Network Authentication Required"},
};

std::string_view decimal(uint64_t value, std::array<char, decimal_max>& space) {
  size_t at = space.size();
  do {
    space[--at] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  return {space.data() + at, space.size() - at};
}

// Runs the same text twice: once to measure, once to write.
class Measure {
 public:
  void operator()(std::string_view text) { bytes += text.size(); }
  size_t bytes = 0;
};

class Paste {
 public:
  explicit Paste(char* to) : to_(to) {}
  void operator()(std::string_view text) {
    if (!text.empty()) std::memcpy(to_, text.data(), text.size());
    to_ += text.size();
  }
  const char* end() const { return to_; }

 private:
  char* to_;
};

class Append {
 public:
  explicit Append(net::ByteQueue& out) : out_(out) {}
  void operator()(std::string_view text) { out_.append_copy(text); }

 private:
  net::ByteQueue& out_;
};

template <class Text>
void emit(net::ByteQueue& out, const Text& text) {
  Measure measure;
  text(measure);
  if (measure.bytes > net::Chunk::usual_bytes) {
    Append append(out);
    return text(append);
  }
  net::Chunk& home = net::Chunk::scratch(static_cast<uint32_t>(measure.bytes));
  const uint32_t at = home.used();
  Paste paste(home.data() + at);
  text(paste);
  home.grow_used(static_cast<uint32_t>(measure.bytes));
  out.append(net::Slice(&home, at, static_cast<uint32_t>(measure.bytes)));
}

template <class Put>
void put_fields(const http::Fields& fields, Put& put) {
  for (const http::Field& field : fields) {
    DCHECK(http::is_token(field.name()) && http::is_field_value(field.value()));
    put(field.name());
    put(": ");
    put(field.value());
    put(line_end);
  }
}

// The Content-Length to write: of the body that follows, or only announced (an answer to HEAD, 304).
std::string_view length_text(const http::Head& head, const Message& message, std::array<char, decimal_max>& space) {
  if (message.framing == Framing::length) return decimal(message.length, space);
  if (message.framing != Framing::none || !head.content_length) return {};
  if (head.status != 0 && (head.status < 200 || head.status == 204)) return {};  // RFC 9110 8.6
  return decimal(*head.content_length, space);
}

template <class Put>
void put_framing(const Message& message, std::string_view length, Put& put) {
  if (message.framing == Framing::chunked) put("transfer-encoding: chunked\r\n");
  if (length.empty()) return;
  put("content-length: ");
  put(length);
  put(line_end);
}

}  // namespace

std::string_view reason_phrase(uint16_t status) {
  if (status == 200) return "OK";
  const auto* found = std::ranges::lower_bound(phrases, status, {}, &Phrase::status);
  return found != std::end(phrases) && found->status == status ? found->text : std::string_view();
}

void write_request_head(const http::Head& head, const Message& message, net::ByteQueue& out) {
  std::array<char, decimal_max> space;
  const std::string_view length = length_text(head, message, space);
  emit(out, [&](auto& put) {
    put(head.method_text);
    put(" ");
    put(head.target);
    put(" HTTP/1.1\r\nhost: ");
    put(head.authority);
    put(line_end);
    put_framing(message, length, put);
    if (!head.upgrade.empty()) {
      put("connection: Upgrade\r\nupgrade: ");
      put(head.upgrade);
      put(line_end);
    } else if (head.te_trailers) {
      put("connection: TE\r\nte: trailers\r\n");
    }
    if (head.expect_continue) put("expect: 100-continue\r\n");
    put_fields(head.fields, put);
    put(line_end);
  });
}

void write_response_head(const http::Head& head, const Message& message, const Ours& ours, net::ByteQueue& out) {
  std::array<char, decimal_max> space;
  std::array<char, decimal_max> status_space;
  const std::string_view length = length_text(head, message, space);
  const std::string_view status = decimal(head.status, status_space);
  const std::string_view phrase = reason_phrase(head.status);
  std::array<char, decimal_max> keep_space;
  const std::string_view keep = ours.keep_alive_s == 0 ? std::string_view{} : decimal(ours.keep_alive_s, keep_space);
  emit(out, [&](auto& put) {
    put("HTTP/1.1 ");
    put(status);
    put(" ");
    put(phrase);
    put(line_end);
    if (!ours.date.empty()) {
      put("date: ");
      put(ours.date);
      put(line_end);
    }
    put_fields(head.fields, put);
    put_framing(message, length, put);
    switch (ours.hop) {
      case Hop::plain: break;
      case Hop::close: put("connection: close\r\n"); break;
      case Hop::keep_alive: put("connection: keep-alive\r\n"); break;
    }
    if (!keep.empty()) {
      put("keep-alive: timeout=");
      put(keep);
      put(line_end);
    }
    if (!ours.upgrade.empty()) {
      put("connection: Upgrade\r\nupgrade: ");
      put(ours.upgrade);
      put(line_end);
    }
    put(line_end);
  });
}

void BodyWriter::start(const Message& message) {
  framing_ = message.framing;
  left_ = message.length;
  ended_ = finished_ = false;
}

void BodyWriter::add(net::ByteQueue&& bytes, Last last) {
  CHECK(!ended_);
  switch (framing_) {
    case Framing::none: bytes.clear(); break;
    case Framing::length:
      CHECK(bytes.size() <= left_);
      left_ -= bytes.size();
      CHECK(last == Last::no || left_ == 0);
      break;
    case Framing::chunked:
      if (last == Last::yes) tail_.append_copy("0\r\n\r\n");
      break;
    case Framing::until_close:
    case Framing::raw: break;
  }
  const bool waits = !body_.empty();
  body_.take_all(bytes);
  // What has to wait must not pin the chunks it was read into.
  if (waits) body_.compact();
  ended_ = last == Last::yes;
}

void BodyWriter::end(const http::Fields& trailers) {
  CHECK(!ended_);
  if (framing_ == Framing::length) CHECK(left_ == 0);
  if (framing_ == Framing::chunked) {
    emit(tail_, [&](auto& put) {
      put("0\r\n");
      put_fields(trailers, put);
      put(line_end);
    });
  }
  ended_ = true;
}

size_t BodyWriter::fill(net::ByteQueue& out, size_t room) {
  const size_t head = text_.size();
  if (head != 0) out.take_all(text_);
  room -= std::min(room, head);
  size_t moved = 0;
  if (framing_ == Framing::chunked) {
    moved = fill_chunked(out, room);
  } else {
    moved = std::min(room, body_.size());
    if (moved != 0) out.take(body_, moved);
  }
  if (ended_ && body_.empty()) {
    if (!tail_.empty()) out.take_all(tail_);
    finished_ = true;
  }
  if (!body_.empty()) body_.compact();
  return moved;
}

// One chunk a fill: as large as the bytes that have come together by then.
size_t BodyWriter::fill_chunked(net::ByteQueue& out, size_t room) {
  const size_t n = std::min(room, body_.size());
  if (n == 0) return 0;
  std::array<char, 24> line;
  size_t at = line.size();
  line[--at] = '\n';
  line[--at] = '\r';
  for (size_t rest = n; rest != 0; rest >>= 4) line[--at] = "0123456789abcdef"[rest & 15];
  out.append_copy({line.data() + at, line.size() - at});
  out.take(body_, n);
  out.append_copy(line_end);
  return n;
}

}  // namespace sluice::http1

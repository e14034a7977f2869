// Writing one HTTP/1 message: heads as text, bodies as slices with their framing around them. Pulled by fill().
#pragma once

#include <cstddef>
#include <cstdint>

#include "http/head.h"
#include "http1/message.h"
#include "net/byte_queue.h"

namespace sluice::http1 {

// What stands in the Connection field of a head we write, besides Upgrade.
enum class Hop : uint8_t { plain, close, keep_alive };

// What an answer says of this connection and of its own.
struct Ours {
  Hop hop = Hop::plain;
  std::string_view upgrade{};                // what was agreed to (101) or is demanded (426); "" = nothing
  uint64_t keep_alive_s = 0;                 // Keep-Alive: timeout=N; 0 = not told
  std::string_view date{};                   // for an answer that has none (http/date.h); "" = it has, or needs none
};

// Append the text of a head to `out`. Only Head::fields and the framing told here are written.
void write_request_head(const http::Head& head, const Message& message, net::ByteQueue& out);
void write_response_head(const http::Head& head, const Message& message, const Ours& ours, net::ByteQueue& out);
std::string_view reason_phrase(uint16_t status);   // "" if unknown

class BodyWriter {
 public:
  // Begins a body; what stands in the queue already (the head) goes out first.
  void start(const Message& message);
  // Queue: text that goes out as it is, before any body byte that is added later (heads).
  net::ByteQueue& text() { return text_; }
  // `last`: the body ends with these bytes. A body of known length must be exactly that long by then.
  enum class Last : bool { no, yes };
  void add(net::ByteQueue&& bytes, Last last);
  // Ends the body. Trailers are dropped if the framing has no place for them.
  void end(const http::Fields& trailers);

  // Moves about `room` bytes to `out`; returns how many of them were body.
  size_t fill(net::ByteQueue& out, size_t room);
  bool ended() const { return ended_; }                        // add(yes) or end() was called
  bool done() const { return finished_; }                      // and all of it was moved
  bool waiting() const { return !text_.empty() || !body_.empty() || (ended_ && !finished_); }

 private:
  size_t fill_chunked(net::ByteQueue& out, size_t room);

  net::ByteQueue text_;
  net::ByteQueue body_;
  net::ByteQueue tail_;                     // what ends a chunked body, trailers included
  uint64_t left_ = 0;                       // Framing::length: still to be added
  Framing framing_ = Framing::none;
  bool ended_ = false;
  bool finished_ = false;
};

}  // namespace sluice::http1

// The request: its head and framing, and what the sink of an answer may ask of its session.
#include "base/check.h"
#include "http/websocket.h"
#include "http1/client.h"

namespace sluice::http1 {

using http::End;
using http::Method;

const net::Peer& ClientStream::peer() const { return session_.transport_->peer(); }

void ClientStream::send_head(const http::Head& head, End end) {
  CHECK(!head_sent_);
  head_sent_ = true;
  method_ = head.method;
  offered_ = arena_.copy(head.upgrade);
  if (session_.phase_ != Client::Phase::busy) return;
  const Message message = frame_request(head, end);
  if (head.without_key && !offered_.empty()) {
    http::Head with_key(arena_);
    with_key = head;
    with_key.fields = http::Fields(arena_);
    with_key.fields.copy_from(head.fields);
    add_websocket_key(with_key);
    write_request_head(with_key, message, writer_.text());
  } else {
    write_request_head(head, message, writer_.text());
  }
  writer_.start(message);
  if (end == End::yes) writer_.add({}, BodyWriter::Last::yes);
  session_.transport_->touch();
}

bool ClientStream::release_head(base::Arena& kept) {
  if (answer_ != Answer::ended && reader_.needs_arena()) return false;
  arena_.swap(kept);
  head_.fields = trailers_ = http::Fields(arena_);
  offered_ = accept_ = {};
  return true;
}

// A client of HTTP/2 sends none (RFC 8441 5).
void ClientStream::add_websocket_key(http::Head& head) {
  const std::string_view key = http::websocket_key(arena_);
  accept_ = http::websocket_accept(key, arena_);
  head.fields.set(http::Token::sec_websocket_key, key);
  if (head.fields.find(http::websocket_version_field) == nullptr)
    head.fields.add(http::websocket_version_field, http::websocket_version);
}

Message ClientStream::frame_request(const http::Head& head, End end) const {
  Message message;
  if (!head.upgrade.empty()) {
    CHECK(end == End::no);
    return message;                           // what follows a 101 is raw; without one nothing follows
  }
  const bool has_meaning = head.method == Method::post || head.method == Method::put || head.method == Method::patch;
  if (end == End::no && !head.content_length) {
    message.framing = Framing::chunked;
  } else if (end == End::no || has_meaning) { // RFC 9110 8.6: Content-Length: 0 where a body would have a meaning
    message.framing = Framing::length;
    message.length = head.content_length.value_or(0);
  }
  return message;
}

void ClientStream::send_body(net::ByteQueue&& bytes, End end) {
  CHECK(head_sent_);
  if (session_.phase_ != Client::Phase::busy || refused_) return bytes.clear();
  writer_.add(std::move(bytes), end == End::yes ? BodyWriter::Last::yes : BodyWriter::Last::no);
  session_.transport_->touch();
}

void ClientStream::send_trailers(const http::Fields& trailers) {
  CHECK(head_sent_);
  if (session_.phase_ != Client::Phase::busy || refused_) return;
  writer_.end(trailers);
  session_.transport_->touch();
}

void ClientStream::consume(size_t bytes) {
  CHECK(bytes <= unconsumed_);
  unconsumed_ -= bytes;
  if (session_.paused_ && unconsumed_ <= window_bytes - window_resume) session_.resume();
}

// The connection ends: a request that was cut must not look whole, and an answer that nobody reads blocks the way. A
// tunnel that both have ended is not cut: the client is gone, and its last bytes still have to leave.
void ClientStream::cancel(const http::Failure& why) {
  CHECK(sink_ != nullptr);
  sink_ = nullptr;
  if (session_.phase_ != Client::Phase::busy) return;
  const bool whole = tunnel_ && answer_ == Answer::ended && writer_.ended();
  if (!whole) return session_.cut(http::cause_of_cut(why));
  session_.transport_->limit_write_stall(Client::last_bytes_stall);
}

}  // namespace sluice::http1

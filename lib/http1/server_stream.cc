// The answer: its head and framing, and what the sink of a request may ask of its session.
#include "base/check.h"
#include "http/date.h"
#include "http1/server.h"

namespace sluice::http1 {

using http::End;

const net::Peer& ServerStream::peer() const { return session_.transport_->peer(); }

void ServerStream::send_head(const http::Head& head, End end) {
  CHECK(answer_ == Answer::none && head.status >= 100);
  if (session_.phase_ == Server::Phase::cut) return;
  if (head.status < 200 && head.status != 101) return send_informational(head);
  answer_ = Answer::begun;
  const Message message = frame_answer(head, end);
  Ours ours;
  if (head.status == 101) {
    ours.upgrade = head.upgrade;
    begin_tunnel();
  } else {
    if (request_ == Request::upgrade_asked)
      request_ = Request::ended;  // refused: what the client sends now is its next request
    session_.sent_away_ = session_.close_after_answer_ && session_.keeps_alive();
    session_.keep_ =
        session_.keeps_alive() && !session_.sent_away_ && !head.last && message.framing != Framing::until_close;
    const bool old = head_.version == http::Version::http_10;
    ours.hop = !session_.keep_ ? Hop::close : old ? Hop::keep_alive : Hop::plain;
    if (session_.keep_) ours.keep_alive_s = session_.keep_alive_told();
    if (head.status == 426 && !old) ours.upgrade = head.upgrade;            // RFC 9110 15.5.22: it says what to
    if (!head.fields.has(http::Token::date))
      ours.date = http::date_text(session_.loop_.wall());   // 6.6.1: a final answer has one
  }
  write_response_head(head, message, ours, writer_.text());
  writer_.start(message);
  if (end == End::yes) writer_.add({}, BodyWriter::Last::yes);
  session_.follow_exchange();
  session_.transport_->touch();
}

// Trailers begin with memory of their own.
bool ServerStream::release_head(base::Arena& kept) {
  if (request_ == Request::body && reader_.needs_arena()) return false;
  arena_.swap(kept);
  head_.fields = trailers_ = http::Fields(arena_);
  return true;
}

// Not for HTTP/1.0 (RFC 9110 15.2); 100 only for a client that waits for it.
void ServerStream::send_informational(const http::Head& head) {
  if (head_.version == http::Version::http_10 || request_ == Request::malformed) return;
  if (head.status == 100) {
    if (!continue_owed_) return;
    continue_owed_ = false;
    session_.restart_body_clock();
  }
  write_response_head(head, Message{}, {}, writer_.text());
  session_.transport_->touch();
}

Message ServerStream::frame_answer(const http::Head& head, End end) const {
  Message message;
  if (head.status == 101) {
    message.framing = Framing::raw;
  } else if (head_.method == http::Method::head || head.status == 204 || head.status == 304) {
    message.framing = Framing::none;
  } else if (head.content_length || end == End::yes) {
    message.framing = Framing::length;
    message.length = head.content_length.value_or(0);
  } else {
    message.framing = head_.version == http::Version::http_10 ? Framing::until_close : Framing::chunked;
  }
  return message;
}

void ServerStream::begin_tunnel() {
  CHECK(request_ == Request::upgrade_asked);
  request_ = Request::tunnel;
  tunnel_ = true;
  const bool started = body_.start(Side::request, Message{Framing::raw, 0, Persistence::close}, reader_, trailers_);
  CHECK(started);
  session_.keep_ = false;
  session_.resume(Server::upgrade_asked);
}

void ServerStream::send_body(net::ByteQueue&& bytes, End end) {
  if (session_.phase_ == Server::Phase::cut) return;
  CHECK(answer_ == Answer::begun);
  writer_.add(std::move(bytes), end == End::yes ? BodyWriter::Last::yes : BodyWriter::Last::no);
  if (end == End::yes) session_.follow_exchange();
  session_.transport_->touch();
}

void ServerStream::send_trailers(const http::Fields& trailers) {
  if (session_.phase_ == Server::Phase::cut) return;
  CHECK(answer_ == Answer::begun);
  writer_.end(trailers);
  session_.follow_exchange();
  session_.transport_->touch();
}

void ServerStream::consume(size_t bytes) {
  CHECK(bytes <= unconsumed_);
  unconsumed_ -= bytes;
  if ((session_.pauses_ & Server::no_credit) == 0 || unconsumed_ > window_bytes - window_resume) return;
  session_.restart_body_clock();
  session_.resume(Server::no_credit);
}

bool ServerStream::credit_open() const { return unconsumed_ < window_bytes; }

void ServerStream::cancel(const http::Failure& why) {
  CHECK(sink_ != nullptr);
  sink_ = nullptr;
  if (session_.phase_ == Server::Phase::cut) return;
  if (writer_.ended() && !tunnel_) {
    session_.keep_ = false;
    return;
  }
  session_.cut({}, silent_since_.count >= 0 ? http::CloseCause::peer_closed : http::cause_of_cut(why));
}

}  // namespace sluice::http1

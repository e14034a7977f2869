// One request: its head, body and trailers as they come, and the answer that its sink gives.
#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"
#include "http/date.h"
#include "http/grpc.h"
#include "http2/decimal.h"
#include "http2/server.h"

namespace sluice::http2 {

using http::Detail;
using http::End;
using http::Failure;
using http::Kind;
using http::Where;

const net::Peer& ServerStream::peer() const { return session_.transport_->peer(); }

// ---- the request ------------------------------------------------------------------------------------------------

void ServerStream::on_field(std::string_view name, std::string_view value, Indexing indexing) {
  if (request_ != Request::head && !std::exchange(trailers_begun_, true)) reader_.begin_trailers(trailers_);
  if (reader_.take(name, value, indexing) == HeadReader::Taken::bomb)
    session_.engine_.fail(Code::enhance_your_calm, Detail::hpack);
}

void ServerStream::on_block(End end) {
  if (request_ == Request::head) return head_complete(end);
  if (end == End::yes) end_seen_ = true;
  if (request_ == Request::tunnel) {           // RFC 9113 8.5: DATA only
    session_.engine_.reset(*this, Code::protocol_error);
    return session_.on_our_reset();
  }
  if (request_ != Request::body || sink_ == nullptr) return;
  if (!std::exchange(trailers_begun_, true)) reader_.begin_trailers(trailers_);
  const Failure why = reader_.finish_trailers(end);
  if (!why.clean()) return malformed(why);
  trailers_whole_ = true;
  session_.engine_.ends(*this);               // the body goes first
}

void ServerStream::head_complete(End end) {
  const Failure why = reader_.finish_request(session_.scheme_, end);
  end_seen_ = end == End::yes;
  session_.request_begins(*this);
  if (!why.clean()) return malformed(why);
  // Calls and tunnels are streams of messages, each of use by itself: they share unless their client says otherwise.
  const bool grpc = http::is_grpc(head_.fields);
  if (reader_.has_priority()) {
    session_.engine_.prioritise(*this, reader_.priority());
  } else if (grpc || !head_.upgrade.empty()) {
    session_.engine_.prioritise(*this, {.incremental = true});
  }
  if (!head_.upgrade.empty()) {
    request_ = Request::upgrade_asked;        // nothing is told past the head until it is answered (row 16)
    if (end_seen_) session_.engine_.ends(*this);
    return sink_->on_head(head_, End::no);
  }
  request_ = end == End::yes ? Request::ended : Request::body;
  if (grpc) note_call_deadline();
  if (request_ == Request::body) {
    continue_owed_ = head_.expect_continue;
    restart_body_clock();
  }
  sink_->on_head(head_, end);
}

void ServerStream::on_bytes(net::ByteQueue&& bytes, End end) {
  const size_t size = bytes.size();
  if (end == End::yes) end_seen_ = true;
  if (sink_ == nullptr) return session_.engine_.consume(*this, size);
  switch (request_) {
    case Request::body: return body(std::move(bytes), end);
    case Request::tunnel:
      if (end == End::yes) {
        request_ = Request::ended;
        direction_ended();
      }
      return sink_->on_body(std::move(bytes), end);
    case Request::upgrade_asked:              // the window bounds it
      early_.take_all(bytes);
      return early_.compact();
    case Request::head:
    case Request::ended:
    case Request::malformed: return session_.engine_.consume(*this, size);
  }
}

void ServerStream::body(net::ByteQueue&& bytes, End end) {
  const size_t size = bytes.size();
  body_bytes_ += size;
  const uint64_t most = head_.content_length.value_or(UINT64_MAX);
  if (body_bytes_ > most || (end == End::yes && head_.content_length && body_bytes_ != most)) {   // H2.CL (row 39)
    session_.engine_.consume(*this, size);
    return malformed({Kind::bad_request, Where::downstream, Detail::cl, false});
  }
  read_at_ = session_.loop_.now();
  read_bytes_ += size;
  continue_owed_ = false;
  if (end == End::no) return sink_->on_body(std::move(bytes), End::no);
  request_ = Request::ended;
  direction_ended();
  if (!trailers_whole_ || trailers_.empty()) return sink_->on_body(std::move(bytes), End::yes);
  if (size != 0) sink_->on_body(std::move(bytes), End::no);
  if (sink_ != nullptr) sink_->on_trailers(trailers_);
}

// Nothing more of this request is read. Its sink answers; then the stream is reset (RFC 9113 8.1.1).
void ServerStream::malformed(const Failure& why) {
  request_ = Request::malformed;
  continue_owed_ = false;
  if (why.kind == Kind::bad_request) {
    reset_code_ = Code::protocol_error;
    session_.on_our_reset();
  }
  sink_->on_malformed(head_, why);
  session_.touch();
}

void ServerStream::note_call_deadline() {
  if (const auto timeout = http::parse_grpc_timeout(head_.fields.value(http::Token::grpc_timeout)))
    call_deadline_ = base::Micros{*timeout};
}

FloodGuard::Cancel ServerStream::cancelled(base::Micros now) const {
  const base::Micros held = now - opened_;
  const base::Micros slack = std::min(base::Micros{Server::deadline_slack}, base::Micros{call_deadline_.count / 4});
  const bool unanswered = answer_ == Answer::none || answer_ == Answer::begun;
  return {held, held + slack >= call_deadline_ ? call_deadline_ : base::Micros{}, upstream_ && unanswered};
}

// Charged where the work was undone, once.
void ServerStream::recalled() {
  if (session_.phase_ == Server::Phase::cut) return;
  const base::Micros now = session_.loop_.now();
  const Detail detail = session_.guard_.recalled(cancelled(now), now);
  upstream_ = false;
  if (detail == Detail::none) return;
  session_.engine_.fail(Code::enhance_your_calm, detail);
  session_.touch();
}

// The final head is with the client and neither direction has ended: who speaks when is between the two of them, and
// the route's stream_idle_timeout alone rules (threats.md row 57).
bool ServerStream::two_way() const {
  return answer_ == Answer::begun && (request_ == Request::body || request_ == Request::tunnel);
}

bool ServerStream::body_owed() const {
  return request_ == Request::body && !continue_owed_ && !may_be_silent_ && !two_way() &&
         session_.engine_.peer_may_send() && held() < session_.promised_.stream_window / 2;
}

// Of a stream that may have been a two-way one, or was not heard: the limits of the other direction run from now.
void ServerStream::direction_ended() {
  if (body_owed()) restart_body_clock();
  if (waiting() != 0) restart_answer_clock();
}

void ServerStream::restart_body_clock() {
  read_at_ = read_since_ = session_.loop_.now();
  read_bytes_ = 0;
  session_.schedule(read_at_ +
                    base::Micros{session_.options_.body_timeout});  // never longer than the window of min_rate
}

void ServerStream::restart_answer_clock() {
  moved_at_ = moved_since_ = session_.loop_.now();
  moved_bytes_ = 0;
  session_.schedule(moved_at_ + base::Micros{session_.options_.write_timeout});
}

void ServerStream::allow_silence(bool allowed) {
  if (std::exchange(may_be_silent_, allowed) != allowed && body_owed()) restart_body_clock();
}

bool ServerStream::credit_open() const { return !session_.held_back_ && session_.engine_.credit_open(*this); }

void ServerStream::consume(size_t bytes) {
  const bool owed = body_owed();
  session_.engine_.consume(*this, bytes);
  if (!owed && body_owed()) restart_body_clock();
  session_.read_on();
  session_.touch();
}

// ---- the answer -------------------------------------------------------------------------------------------------

void ServerStream::send_head(const http::Head& head, End end) {
  CHECK(answer_ == Answer::none && head.status >= 100);
  if (session_.phase_ == Server::Phase::cut) return;
  if (head.status < 200 && head.status != 101) return send_informational(head);
  answer_ = Answer::begun;
  uint16_t status = head.status;
  if (status == 101) {
    CHECK(request_ == Request::upgrade_asked && end == End::no);
    status = 200;  // RFC 8441 5: an extended CONNECT is agreed to by a 2xx
    begin_tunnel();
  } else if (reader_.connect()) {
    // A 2xx would say that the tunnel is open; nobody has agreed to one.
    if (status < 300) {
      status = 501;
      no_body_ = true;
    }
  }
  if (request_ == Request::upgrade_asked) {  // refused: what comes on it now is for nobody
    request_ = Request::ended;
    session_.engine_.consume(*this, early_.size());
    early_.clear();
  }
  no_body_ = no_body_ || head_.method == http::Method::head || status == 204 || status == 304;
  if (no_body_) end = End::yes;
  Decimal digits;
  Decimal length;
  std::array<Line, 3> lines{Line{":status", digits.text(status)}, Line{}, Line{}};
  size_t count = 1;
  if (!head.fields.has(http::Token::date))
    lines[count++] = {"date", http::date_text(session_.loop_.wall())};  // RFC 9110 6.6.1
  if (head.content_length && status != 204 && status == head.status)
    lines[count++] = {"content-length", length.text(*head.content_length)};
  session_.engine_.respond(*this, {lines.data(), count}, head.fields, end);
  if (end == End::yes) answer_given();
  session_.touch();
}

// 100 only for a client that waits for it (row 29).
void ServerStream::send_informational(const http::Head& head) {
  if (request_ == Request::malformed) return;
  if (head.status == 100) {
    if (!std::exchange(continue_owed_, false)) return;
    restart_body_clock();
  }
  Decimal digits;
  const Line status{":status", digits.text(head.status)};
  session_.engine_.informational(*this, {&status, 1}, head.fields);
  session_.touch();
}

void ServerStream::begin_tunnel() {
  request_ = Request::tunnel;
  if (!early_.empty() || end_seen_) session_.engine_.again(*this, std::move(early_), end_seen_ ? End::yes : End::no);
}

void ServerStream::send_body(net::ByteQueue&& bytes, End end) {
  CHECK(answer_ == Answer::begun || no_body_);
  if (session_.phase_ == Server::Phase::cut || no_body_) return bytes.clear();
  if (waiting() == 0 && !bytes.empty()) restart_answer_clock();
  session_.engine_.send_body(*this, std::move(bytes), end);
  if (end == End::yes) answer_given();
  session_.touch();
}

void ServerStream::send_trailers(const http::Fields& trailers) {
  CHECK(answer_ == Answer::begun || no_body_);
  if (session_.phase_ == Server::Phase::cut || no_body_) return;
  answer_trailers_.copy_from(trailers);
  session_.engine_.send_trailers(*this, answer_trailers_);
  answer_given();
  session_.touch();
}

void ServerStream::answer_given() {
  answer_ = Answer::given;
  direction_ended();
  if (std::exchange(upstream_, false)) session_.guard_.answered();
}

void ServerStream::on_moved(size_t bytes) {
  session_.moved_at_ = moved_at_ = session_.loop_.now();
  moved_bytes_ += bytes;
  session_.guard_.data_sent(bytes);
  if (sink_ != nullptr) sink_->on_sent(bytes);
}

// An answer that has ended before its request: the client need not send the rest (row 31).
void ServerStream::on_end_sent() {
  answer_ = Answer::sent;
  if (request_ == Request::tunnel || (end_seen_ && reset_code_ == Code::no_error)) return;
  session_.engine_.reset(*this, reset_code_);
}

// ---- the end ----------------------------------------------------------------------------------------------------

// What was kept of the head stays charged to the connection.
bool ServerStream::release_head(base::Arena& kept) {
  if (trailers_begun_ || !answer_trailers_.empty()) return false;
  arena_.swap(kept);
  head_.fields = trailers_ = answer_trailers_ = http::Fields(arena_);
  reader_.released(arena_.bytes_held());
  return true;
}

void ServerStream::cancel(const Failure& why) {
  CHECK(sink_ != nullptr);
  session_.request_over();
  sink_ = nullptr;
  if (session_.phase_ == Server::Phase::cut) return;
  const bool whole = (answer_ == Answer::given || answer_ == Answer::sent) && request_ != Request::tunnel;
  if (whole) return;
  session_.engine_.reset(*this, code_for_client(why));
  session_.touch();
}

Failure ServerStream::failure_of(const Gone& how) const {
  if (session_.phase_ == Server::Phase::cut) return session_.cut_why_;
  switch (how.by) {
    case Gone::By::clean: return {};
    case Gone::By::peer: return {Kind::client_closed, Where::downstream, Detail::none, false};
    case Gone::By::us:
      if (answer_ == Answer::sent) return {};
      return {Kind::bad_request, Where::downstream,
              how.code == Code::flow_control_error ? Detail::flow_control : Detail::frame, false};
  }
  UNREACHABLE();
}

void ServerStream::on_gone(const Gone& how) {
  Server& session = session_;
  if (sink_ != nullptr) {
    session.request_over();
    std::exchange(sink_, nullptr)->on_closed(failure_of(how));
  }
  session.free(*this);
  session.leave_if_done();
}

}  // namespace sluice::http2

// One request: what its sink sends, and the answer as it comes.
#include <array>
#include <utility>

#include "base/check.h"
#include "http/websocket.h"
#include "http2/client.h"
#include "http2/decimal.h"

namespace sluice::http2 {

using http::Detail;
using http::End;
using http::Failure;
using http::Kind;
using http::Token;
using http::Where;

namespace {

constexpr Failure broken(Detail detail) { return {Kind::bad_response, Where::upstream, detail, false}; }

}  // namespace

const net::Peer& ClientStream::peer() const { return session_.transport_->peer(); }

// ---- the request ------------------------------------------------------------------------------------------------

void ClientStream::send_head(const http::Head& head, End end) {
  CHECK(!head_given_);
  head_given_ = true;
  method_ = head.method;
  if (session_.phase_ != Client::Phase::live) return;
  if (head.upgrade.empty()) return submit(head, end);
  CHECK(end == End::no);
  offered_ = arena_.copy(head.upgrade);
  auto* const kept = static_cast<http::Head*>(arena_.allocate(sizeof(http::Head), alignof(http::Head)));
  upgrade_ = ::new (kept) http::Head(arena_);
  upgrade_->authority = arena_.copy(head.authority);
  upgrade_->target = arena_.copy(head.target);
  upgrade_->upgrade = offered_;
  upgrade_->fields.copy_from(head.fields);
  // Over HTTP/2 there is no key (RFC 8441 5); a client of HTTP/1 has sent one and awaits the answer to it.
  if (const http::Field* key = upgrade_->fields.find(Token::sec_websocket_key); key != nullptr) {
    accept_ = http::websocket_accept(key->value(), arena_);
    upgrade_->fields.remove(Token::sec_websocket_key);
  }
  ++session_.upgrades_;
  session_.loop_.run_later(session_);         // it goes out, or is refused, when the peer's SETTINGS are here
}

// RFC 8441 4. A peer that does not know it may do so over HTTP/1.
void ClientStream::ask_upgrade() {
  http::Head& head = *std::exchange(upgrade_, nullptr);
  --session_.upgrades_;
  if (sink_ == nullptr) return;
  if (session_.engine_.peer_takes_connect()) return submit(head, End::no);
  session_.engine_.reset(*this, Code::cancel);
  session_.loop_.run_later(session_);
  session_.stream_over();
  std::exchange(sink_, nullptr)->on_closed({Kind::not_implemented, Where::upstream, Detail::upgrade, true});
}

void ClientStream::submit(const http::Head& head, End end) {
  std::array<Line, 8> lines;
  size_t count = 0;
  const auto put = [&](std::string_view name, std::string_view value) { lines[count++] = {name, value}; };
  const bool connect = !head.upgrade.empty();
  put(":method", connect ? "CONNECT" : head.method_text);
  if (connect) put(":protocol", head.upgrade);
  put(":scheme", session_.transport_->peer().tls ? "https" : "http");
  put(":authority", head.authority);
  put(":path", head.target);
  Decimal length;
  if (head.content_length && !connect) put("content-length", length.text(*head.content_length));
  if (head.te_trailers) put("te", "trailers");
  if (head.expect_continue) put("expect", "100-continue");
  if (fits({lines.data(), count}, head.fields)) {
    session_.engine_.request(*this, {lines.data(), count}, head.fields, end);
  } else {                                    // a peer that gets it all the same may end the connection
    too_large_ = true;
    session_.engine_.reset(*this, Code::cancel);
  }
  if (gone()) session_.loop_.run_later(session_);      // no frame leads to its end
  session_.touch();
}

// RFC 9113 6.5.2
bool ClientStream::fits(std::span<const Line> lines, const http::Fields& fields) const {
  const uint64_t most = session_.engine_.peer_header_list_max();
  if (most == UINT32_MAX) return true;
  uint64_t size = 0;
  for (const Line& l : lines) size += l.name.size() + l.value.size() + HeadReader::field_overhead;
  for (const http::Field& f : fields) size += f.name().size() + f.value().size() + HeadReader::field_overhead;
  return size <= most;
}

void ClientStream::send_body(net::ByteQueue&& bytes, End end) {
  CHECK(head_given_);
  if (session_.phase_ != Client::Phase::live) return bytes.clear();
  given_ = end == End::yes;
  session_.engine_.send_body(*this, std::move(bytes), end);
  session_.touch();
}

void ClientStream::send_trailers(const http::Fields& trailers) {
  CHECK(head_given_);
  if (session_.phase_ != Client::Phase::live) return;
  request_trailers_.copy_from(trailers);
  session_.engine_.send_trailers(*this, request_trailers_);
  session_.touch();
}

void ClientStream::consume(size_t bytes) {
  session_.engine_.consume(*this, bytes);
  consumed_ += bytes;
  if (!widened_ && consumed_ >= Client::read_to_widen && held() == 0) {
    widened_ = true;
    session_.engine_.widen(*this, Client::wide_answer_window);
  }
  session_.touch();
}

void ClientStream::on_moved(size_t bytes) {
  if (sink_ != nullptr) return sink_->on_sent(bytes);
  if (stall_.armed()) stall_.arm(session_.loop_, Client::run_out_stall);
}

// What was cut must not look whole, nor is the answer wanted any more. What both have ended is not cut: the last bytes
// of a tunnel whose client is gone still have to leave, the END_STREAM behind an answer without a body to come.
void ClientStream::cancel(const Failure& why) {
  CHECK(sink_ != nullptr);
  sink_ = nullptr;
  session_.stream_over();
  if (session_.phase_ != Client::Phase::live) return;
  if (why.kind == Kind::timeout && !begun()) {
    const base::Micros silent = session_.loop_.now() - session_.heard_at_;
    if (session_.heard_at_ <= opened_at_ || silent >= base::Micros{Client::doubted_after}) session_.doubt();
  }
  const bool ended = answer_ == Answer::ended && (in_tunnel() ? given_ : end_sent());
  if (ended) return stall_.arm(session_.loop_, Client::run_out_stall);
  give_up();
}

// Not wanted any more. If it was never sent there is no frame to send, and none leads to its end.
void ClientStream::give_up() {
  if (id() != 0 && !session_.may_reset()) return session_.leave(*this);
  session_.engine_.reset(*this, Code::cancel);
  session_.touch();
  session_.loop_.run_later(session_);
}

void ClientStream::on_stall() {
  session_.engine_.reset(*this, Code::cancel);
  session_.touch();
}

// ---- the answer -------------------------------------------------------------------------------------------------

void ClientStream::on_field(std::string_view name, std::string_view value, Indexing indexing) {
  if (answer_ != Answer::head && !std::exchange(trailers_begun_, true)) reader_.begin_trailers(trailers_);
  if (reader_.take(name, value, indexing) == HeadReader::Taken::bomb)
    session_.engine_.fail(Code::enhance_your_calm, Detail::hpack);
}

void ClientStream::on_block(End end) {
  if (sink_ == nullptr) return;
  if (answer_ != Answer::head) return trailers_complete(end);
  if (held() != 0) return fail(broken(Detail::framing));  // DATA that was not told yet has come before it
  if (const Failure why = reader_.finish_response({method_, offered_}, end); !why.clean()) return fail(why);
  if (head_.status < 200 && head_.status != 101) return informational();
  final_head(end);
}

void ClientStream::informational() {
  informational_bytes_ += reader_.bytes();
  const bool flood =
      ++informational_ > Client::informational_max || informational_bytes_ > Client::informational_bytes_max;
  if (flood) return fail(broken(Detail::informational));
  sink_->on_head(head_, End::no);
  head_.restart();
  reader_.begin_head(head_);
}

void ClientStream::final_head(End end) {
  no_body_ = method_ == http::Method::head || head_.status == 204 || head_.status == 304;
  if (no_body_) end = End::yes;  // whatever comes
  answer_ = end == End::yes ? Answer::ended : Answer::body;
  if (head_.status == 101 && !accept_.empty()) head_.fields.set(Token::sec_websocket_accept, accept_);
  sink_->on_head(head_, end);
  answer_over();
}

// Whole, and told. What is left of the request is not wanted any more (row 31), but in a tunnel, which has two ends.
void ClientStream::answer_over() {
  if (answer_ != Answer::ended || sink_ == nullptr || in_tunnel() || end_sent()) return;
  if (session_.may_reset()) {
    session_.engine_.reset(*this, Code::cancel);
    return session_.touch();
  }
  session_.leave(*this);
  session_.stream_over();
  std::exchange(sink_, nullptr)->on_closed({});
}

void ClientStream::trailers_complete(End end) {
  if (answer_ != Answer::body) return;
  if (!std::exchange(trailers_begun_, true)) reader_.begin_trailers(trailers_);
  if (const Failure why = reader_.finish_trailers(end); !why.clean()) return fail(why);
  trailers_whole_ = true;
  session_.engine_.ends(*this);  // the body goes first
}

void ClientStream::on_bytes(net::ByteQueue&& bytes, End end) {
  const size_t size = bytes.size();
  if (no_body_ && size != 0) return surplus(size);
  if (sink_ == nullptr) return;  // no more credit (Client::leave)
  if (answer_ == Answer::ended) return session_.engine_.consume(*this, size);
  if (answer_ == Answer::head) {  // RFC 9113 8.1: there is no body without a head
    session_.engine_.consume(*this, size);
    return fail(broken(Detail::framing));
  }
  body_bytes_ += size;
  const uint64_t most = head_.content_length.value_or(UINT64_MAX);
  const bool short_of_it = end == End::yes && head_.content_length && body_bytes_ < most;
  if (body_bytes_ > most || short_of_it) {
    session_.engine_.consume(*this, size);
    return fail(broken(short_of_it ? Detail::truncated : Detail::framing));
  }
  if (end == End::no) return sink_->on_body(std::move(bytes), End::no);
  answer_ = Answer::ended;
  if (!trailers_whole_ || trailers_.empty()) {
    sink_->on_body(std::move(bytes), End::yes);
  } else {
    if (size != 0) sink_->on_body(std::move(bytes), End::no);
    if (sink_ != nullptr) sink_->on_trailers(trailers_);
  }
  answer_over();
}

// DATA behind the answer to HEAD, a 204 or a 304, which is whole: it is dropped (threats.md row 62).
void ClientStream::surplus(size_t size) {
  session_.host_.on_protocol_error(Detail::extra_bytes);
  session_.engine_.consume(*this, size);
  session_.on_our_reset();
  session_.engine_.reset(*this, Code::protocol_error);
}

// ---- the end ----------------------------------------------------------------------------------------------------

bool ClientStream::release_head(base::Arena& kept) {
  if (trailers_begun_ || !request_trailers_.empty()) return false;
  arena_.swap(kept);
  head_.fields = trailers_ = request_trailers_ = http::Fields(arena_);
  offered_ = accept_ = {};
  reader_.released(arena_.bytes_held());
  return true;
}

// The answer is nonsense.
void ClientStream::fail(const Failure& why) {
  session_.on_our_reset();
  session_.engine_.reset(*this, Code::protocol_error);
  session_.stream_over();
  std::exchange(sink_, nullptr)->on_closed(why);
}

Failure ClientStream::failure_of(const Gone& how) const {
  if (too_large_) return {Kind::headers_too_large, Where::upstream, Detail::none, true};
  if (how.by == Gone::By::clean && answer_ == Answer::ended) return {};
  if (whole()) return {};  // even if the rest of the request was not wanted
  if (how.by == Gone::By::us)
    return broken(how.code == Code::flow_control_error ? Detail::flow_control : Detail::frame);
  // Refused by a GOAWAY that we have met by chance (Client::close_streams).
  if (how.code == Code::refused_stream && session_.last_ && opened_idle_ && session_.from_idle_) {
    return {Kind::reset, Where::upstream, Detail::none, true};
  }
  if (how.code == Code::refused_stream && !begun()) return {Kind::refused_stream, Where::upstream, Detail::none, true};
  return {Kind::reset, Where::upstream, Detail::truncated, !wrote_};  // the connection lives: no race with its end
}

void ClientStream::on_gone(const Gone& how) {
  Client& session = session_;
  if (sink_ != nullptr) {
    session.stream_over();
    std::exchange(sink_, nullptr)->on_closed(failure_of(how));
  }
  session.free(*this);
  session.news_ = true;
}

}  // namespace sluice::http2

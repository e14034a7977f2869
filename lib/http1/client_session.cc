// The connection: what comes in on it, and whether it may be used again.
#include "http1/client_session.h"

#include <algorithm>

#include "base/check.h"
#include "http1/client.h"

namespace sluice::http1 {

using http::CloseCause;
using http::Detail;
using http::End;
using http::Failure;
using http::Kind;
using http::Where;

namespace {

struct Slabs {
  base::Slab<Client> sessions;
  base::Slab<ClientStream> streams;
};
Slabs& slabs() {
  thread_local Slabs all;
  return all;
}

// Turns in which the event that made a connection unusable may still arrive by itself.
constexpr uint8_t doomed_turns_max = 3;

constexpr Failure broken(Detail detail) { return {Kind::bad_response, Where::upstream, detail, false}; }

CloseCause cause_of(net::EndReason why) {
  switch (why) {
    case net::EndReason::closed: return CloseCause::peer_closed;
    case net::EndReason::reset: return CloseCause::peer_reset;
    case net::EndReason::refused:
    case net::EndReason::unreachable: return CloseCause::connect_failed;
    case net::EndReason::connect_timeout: return CloseCause::timeout;
    case net::EndReason::no_local_port:
    case net::EndReason::no_descriptor:
    case net::EndReason::no_resources: return CloseCause::error;
    case net::EndReason::tls_failed:
    case net::EndReason::tls_unverified: return CloseCause::tls_failed;
    case net::EndReason::write_stalled: return CloseCause::write_stalled;
  }
  UNREACHABLE();
}

}  // namespace

http::ClientSessionPtr make_client_session(net::Loop& loop, net::TransportPtr transport, const http::HttpLimits& limits,
                                           http::ClientHost& host) {
  return http::ClientSessionPtr(slabs().sessions.make(loop, std::move(transport), limits, host));
}

size_t idle_client_bytes() { return sizeof(Client); }
size_t client_sessions_live() { return slabs().sessions.in_use(); }
size_t client_streams_live() { return slabs().streams.in_use(); }

Client::Client(net::Loop& loop, net::TransportPtr transport, const http::HttpLimits& limits, http::ClientHost& host)
    : loop_(loop), host_(host), transport_(std::move(transport)), limits_(limits), idle_since_(loop.now()) {
  limits_.underscore_headers = http::UnderscoreHeaders::pass;
  transport_->start(*this);
}

Client::~Client() { CHECK(stream_ == nullptr); }

void Client::retire() noexcept {
  static_cast<base::ListHook<net::RunTag>&>(*this).unlink();
  release_stream();
  transport_.reset();
  phase_ = Phase::ended;
  loop_.reap_later(*this);
}

void Client::reclaim() noexcept { slabs().sessions.recycle(this); }

void Client::release_stream() {
  if (stream_ != nullptr) slabs().streams.recycle(std::exchange(stream_, nullptr));
}

// ---- use --------------------------------------------------------------------------------------------------------

http::Stream* Client::open(http::Sink& sink) {
  if (slots() == 0) return nullptr;
  stream_ = slabs().streams.make(*this, sink, limits_, ++opened_);
  phase_ = Phase::busy;
  held_ = opened_ > 1 && loop_.turns() == idle_turn_;
  if (held_) loop_.run_later(*this);
  return stream_;
}

bool Client::validate(http::Borrow how) {
  if (phase_ != Phase::idle) return false;
  if (how == http::Borrow::quick && loop_.now() - idle_since_ <= http::trusted_idle) return true;
  if (transport_->quiet_now()) return true;
  phase_ = Phase::doomed;
  loop_.run_later(*this);
  return false;
}

void Client::retire_when_idle(CloseCause cause) {
  last_ = true;
  if (phase_ == Phase::idle) {
    transport_->close(net::Close::after_flush);
    phase_ = Phase::cut;
    loop_.run_later(*this);
  }
  if (phase_ != Phase::ended) cause_ = cause;
}

void Client::abort(CloseCause cause) {
  if (phase_ == Phase::cut || phase_ == Phase::ended) return;
  cut(cause);
}

// ---- to another worker ------------------------------------------------------------------------------------------

class Client::Packed final : public http::PackedSession {
 public:
  Packed(const Client& from, std::unique_ptr<net::Packed> transport)
      : transport_(std::move(transport)),
        limits_(from.limits_),
        idle_since_(from.idle_since_),
        peer_idle_timeout_(from.peer_idle_timeout_),
        opened_(from.opened_) {}

  http::ClientSessionPtr unpack(net::Loop& loop, http::ClientHost& host) override {
    net::TransportPtr transport = transport_->unpack(loop);
    if (!transport->quiet_now()) return nullptr;
    Client* const session = slabs().sessions.make(loop, std::move(transport), limits_, host);
    session->idle_since_ = idle_since_;
    session->peer_idle_timeout_ = peer_idle_timeout_;
    session->opened_ = opened_;
    return http::ClientSessionPtr(session);
  }

 private:
  std::unique_ptr<net::Packed> transport_;
  http::HttpLimits limits_;
  base::Micros idle_since_;
  base::Millis peer_idle_timeout_;
  uint64_t opened_;
};

std::unique_ptr<http::PackedSession> Client::pack() {
  if (phase_ != Phase::idle || last_) return nullptr;
  std::unique_ptr<net::Packed> transport = transport_->pack();
  if (transport == nullptr) return nullptr;
  phase_ = Phase::ended;
  return std::make_unique<Packed>(*this, std::move(transport));
}

// ---- what comes in ----------------------------------------------------------------------------------------------

void Client::on_bytes(net::ByteQueue& in) {
  switch (phase_) {
    case Phase::idle:
    case Phase::doomed:                       // bytes that nobody asked for (row 23)
      in.clear();
      host_.on_protocol_error(Detail::extra_bytes);
      return end_session(CloseCause::extra_bytes);
    case Phase::busy: break;
    case Phase::cut:
    case Phase::ended: return in.clear();
  }
  if (!stream_->wrote_) {                     // an answer before the question
    return fail({Kind::reset, Where::upstream, Detail::extra_bytes, true}, CloseCause::extra_bytes);
  }
  if (stream_->answer_ == ClientStream::Answer::head) {
    Next next = Next::head;
    while (next == Next::head) next = read_head(in);
    if (next == Next::wait) return;
  }
  read_body(in);
}

Client::Next Client::read_head(net::ByteQueue& in) {
  ClientStream& s = *stream_;
  Failure why;
  switch (s.reader_.read(in, s.head_)) {
    case HeadReader::Status::more: return Next::wait;
    case HeadReader::Status::bad: why = s.reader_.failure(); break;
    case HeadReader::Status::done:
      why = judge_response(s.reader_.special(), {s.method_, s.offered_}, s.head_, s.message_);
      break;
  }
  if (why.clean() && s.head_.status < 200 && s.head_.status != 101) {
    s.informational_bytes_ += s.reader_.bytes();
    const bool flood = ++s.informational_ > informational_max || s.informational_bytes_ > informational_bytes_max;
    if (!flood) return informational();
    why = broken(Detail::informational);
  }
  // The client has no key to check: we had.
  if (why.clean() && s.head_.status == 101 && !s.accept_.empty()) {
    if (s.head_.fields.value(http::Token::sec_websocket_accept) != s.accept_) why = broken(Detail::switching);
    s.head_.fields.remove(http::Token::sec_websocket_accept);
  }
  if (why.clean() && !s.body_.start(Side::response, s.message_, s.reader_, s.trailers_)) why = broken(Detail::framing);
  if (why.clean()) return final_head(in);
  fail(why, CloseCause::protocol_error);
  return Next::wait;
}

Client::Next Client::informational() {
  ClientStream& s = *stream_;
  s.sink_->on_head(s.head_, End::no);
  if (phase_ != Phase::busy) return Next::wait;
  s.head_.restart();
  s.reader_.restart(limits_);
  return Next::head;
}

Client::Next Client::final_head(net::ByteQueue& in) {
  ClientStream& s = *stream_;
  const int64_t keep = s.reader_.special().keep_alive_s;
  peer_idle_timeout_ = keep < 0 ? base::Millis{-1} : base::seconds(std::max<int64_t>(keep - 1, 0));
  if (s.head_.status == 101) {
    s.tunnel_ = true;
    s.answer_ = ClientStream::Answer::body;
    s.writer_.start(s.message_);
    s.sink_->on_head(s.head_, End::no);
    if (phase_ == Phase::busy) host_.on_slots(*this);
    return phase_ == Phase::busy ? Next::body : Next::wait;
  }
  // An upgrade that is refused ends the request: no byte of a tunnel will come.
  s.refused_ = !s.offered_.empty();
  const bool ends = s.message_.framing == Framing::none;
  s.answer_ = ends ? ClientStream::Answer::ended : ClientStream::Answer::body;
  s.sink_->on_head(s.head_, ends ? End::yes : End::no);
  if (ends) answer_ended(in);
  return phase_ == Phase::busy && !ends ? Next::body : Next::wait;
}

void Client::read_body(net::ByteQueue& in) {
  while (phase_ == Phase::busy && stream_->sink_ != nullptr) {
    ClientStream& s = *stream_;
    if (in.empty() && s.body_.framing() != Framing::chunked) return;
    if (s.unconsumed_ >= window_bytes) return pause();
    net::ByteQueue bytes;
    const BodyReader::Status status = s.body_.read(in, bytes, window_bytes - s.unconsumed_);
    const size_t size = bytes.size();
    s.unconsumed_ += size;
    switch (status) {
      case BodyReader::Status::bad:
        if (size != 0) s.sink_->on_body(std::move(bytes), End::no);
        if (phase_ == Phase::busy)
          fail(s.reader_.failure().clean() ? broken(Detail::framing) : s.reader_.failure(), CloseCause::protocol_error);
        return;
      case BodyReader::Status::more:
      case BodyReader::Status::room:
        if (size != 0) s.sink_->on_body(std::move(bytes), End::no);
        if (status == BodyReader::Status::more) return;
        break;
      case BodyReader::Status::end:
        s.answer_ = ClientStream::Answer::ended;
        if (s.trailers_.empty()) {
          s.sink_->on_body(std::move(bytes), End::yes);
        } else {
          if (size != 0) s.sink_->on_body(std::move(bytes), End::no);
          if (phase_ == Phase::busy) s.sink_->on_trailers(s.trailers_);
        }
        return answer_ended(in);
    }
  }
}

// The answer is whole and its sink knows. May the connection be used again? Not with bytes left over (row 23), nor when
// the request is still under way (row 31).
void Client::answer_ended(net::ByteQueue& in) {
  if (phase_ != Phase::busy) return;
  ClientStream& s = *stream_;
  const bool asked_all = (s.refused_ || s.writer_.done()) && transport_->unsent() == 0;
  const bool extra = !in.empty();
  const bool keeps = s.message_.persistence == Persistence::keep && !eof_;
  close_stream({});
  if (phase_ != Phase::busy) return;
  release_stream();
  if (extra) {
    host_.on_protocol_error(Detail::extra_bytes);
    return end_session(CloseCause::extra_bytes);
  }
  if (!asked_all) {
    transport_->close(net::Close::reset);
    return end_session(CloseCause::early_answer);
  }
  if (last_) return end_session(cause_);
  if (!keeps) return end_session(CloseCause::peer_asked);
  become_idle();
}

void Client::become_idle() {
  phase_ = Phase::idle;
  idle_since_ = loop_.now();
  idle_turn_ = loop_.turns();
  resume();
  host_.on_slots(*this);  // may open the next stream at once
}

void Client::on_eof(bool authenticated) {
  eof_ = true;
  switch (phase_) {
    case Phase::idle:
    case Phase::doomed: return end_session(CloseCause::peer_closed);
    case Phase::busy: return eof_in_answer(authenticated);
    case Phase::cut:
    case Phase::ended: return;
  }
}

void Client::eof_in_answer(bool authenticated) {
  ClientStream& s = *stream_;
  const bool until_close = s.answer_ == ClientStream::Answer::body && s.message_.framing == Framing::until_close;
  if (authenticated && s.tunnel_) {
    s.answer_ = ClientStream::Answer::ended;
    s.sink_->on_body({}, End::yes);
    if (phase_ == Phase::busy && s.writer_.done()) finish_tunnel();
    return;
  }
  if (authenticated && until_close) {
    s.answer_ = ClientStream::Answer::ended;
    s.sink_->on_body({}, End::yes);
    net::ByteQueue nothing;
    return answer_ended(nothing);
  }
  const bool begun = s.answer_ != ClientStream::Answer::head || s.reader_.begun() || s.informational_ != 0;
  fail({Kind::reset, Where::upstream, begun ? Detail::truncated : Detail::none, !s.wrote_}, CloseCause::peer_closed);
}

void Client::on_end(net::EndReason why) {
  if (phase_ != Phase::busy) return end_session(cause_of(why));
  const ClientStream& s = *stream_;
  const bool tls = why == net::EndReason::tls_failed || why == net::EndReason::tls_unverified;
  const bool begun = s.answer_ != ClientStream::Answer::head || s.reader_.begun() || s.informational_ != 0;
  close_stream(
      {tls ? Kind::tls_failed : Kind::reset, Where::upstream, begun ? Detail::truncated : Detail::none, !s.wrote_});
  end_session(cause_of(why));
}

// ---- what goes out ----------------------------------------------------------------------------------------------

// The answer before ended in the turn in which this request came: what the upstream sent behind it (a body after a
// HEAD, a FIN) may wait in the kernel, unread. The request leaves when the loop has polled since, so that such bytes
// are never taken for its answer (row 63).
void Client::let_out() {
  if (!held_) return;
  if (loop_.turns() == idle_turn_) return loop_.run_later(*this);
  held_ = false;
  transport_->touch();
}

void Client::fill(net::ByteQueue& out, size_t room) {
  if (phase_ != Phase::busy || held_) return;
  ClientStream& s = *stream_;
  const size_t before = out.size();
  const size_t body = s.writer_.fill(out, room);
  s.wrote_ = s.wrote_ || out.size() > before;
  if (body != 0 && s.sink_ != nullptr) s.sink_->on_sent(body);
  if (phase_ != Phase::busy || !s.tunnel_ || !s.writer_.done()) return;
  transport_->shut_write();
  if (s.answer_ == ClientStream::Answer::ended) finish_tunnel();
}

void Client::finish_tunnel() {
  close_stream({});
  if (phase_ == Phase::busy) end_session(CloseCause::tunnel_end);
}

// ---- the end ----------------------------------------------------------------------------------------------------

// At the loop: the stream dies now, and the connection with it.
void Client::fail(const Failure& why, CloseCause cause) {
  transport_->close(net::Close::reset);
  phase_ = Phase::cut;
  close_stream(why);
  end_session(cause);
}

// Inside a downcall.
void Client::cut(CloseCause cause) {
  transport_->close(stream_ != nullptr ? net::Close::reset : net::Close::now);
  phase_ = Phase::cut;
  cause_ = cause;
  loop_.run_later(*this);
}

void Client::close_stream(const Failure& why) {
  if (stream_ == nullptr || stream_->sink_ == nullptr) return;
  std::exchange(stream_->sink_, nullptr)->on_closed(why);
}

void Client::run() {
  switch (phase_) {
    case Phase::doomed:
      if (++doomed_turns_ < doomed_turns_max) return loop_.run_later(*this);
      return end_session(CloseCause::peer_closed);
    case Phase::cut:
      close_stream({Kind::reset, Where::proxy, Detail::none, stream_ != nullptr && !stream_->wrote_});
      return end_session(cause_);
    case Phase::busy: return let_out();
    case Phase::idle:
    case Phase::ended: return;
  }
}

void Client::end_session(CloseCause cause) {
  CHECK(phase_ != Phase::ended);
  release_stream();
  phase_ = Phase::ended;
  transport_->close(net::Close::after_flush);  // if it is open still
  host_.on_session_end(*this, cause);  // may let go of us
}

void Client::pause() {
  if (std::exchange(paused_, true)) return;
  transport_->allow_reading(net::Reading::paused);
}

void Client::resume() {
  if (!std::exchange(paused_, false)) return;
  transport_->allow_reading(net::Reading::allowed);
}

}  // namespace sluice::http1

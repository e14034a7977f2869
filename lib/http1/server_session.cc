// The connection: what comes in, in which phase it is, when it ends. Time limits are in server_limits.cc.
#include "http1/server_session.h"

#include <algorithm>

#include "base/check.h"
#include "base/pages.h"
#include "http1/server.h"

namespace sluice::http1 {

using http::CloseCause;
using http::Detail;
using http::End;
using http::Failure;
using http::Kind;
using http::Where;

namespace {

struct Slabs {
  base::Slab<Server> sessions;
  base::Slab<ServerStream> streams;
};
Slabs& slabs() {
  thread_local Slabs all;
  return all;
}

constexpr Failure bad_request(Detail detail) { return {Kind::bad_request, Where::downstream, detail, true}; }

}  // namespace

http::ServerSessionPtr make_server_session(net::Loop& loop, net::TransportPtr transport,
                                           const http::DownstreamOptions& options, http::Scheme scheme,
                                           http::ServerHost& host) {
  return http::ServerSessionPtr(slabs().sessions.make(loop, std::move(transport), options, scheme, host));
}

size_t idle_server_bytes() { return sizeof(Server); }
size_t server_sessions_live() { return slabs().sessions.in_use(); }
size_t server_streams_live() { return slabs().streams.in_use(); }

Server::Server(net::Loop& loop, net::TransportPtr transport, const http::DownstreamOptions& options,
               http::Scheme scheme, http::ServerHost& host)
    : loop_(loop),
      options_(options),
      host_(host),
      transport_(std::move(transport)),
      since_(loop.now()),
      born_(since_),
      scheme_(scheme) {
  transport_->limit_write_stall(options.write_timeout);
  transport_->start(*this);
  schedule(since_ + base::Micros{options_.idle_timeout});
  check_age(since_);
}

Server::~Server() { CHECK(stream_ == nullptr); }

void Server::retire() noexcept {
  timer_.disarm();
  static_cast<base::ListHook<net::RunTag>&>(*this).unlink();
  release_stream();
  transport_.reset();
  phase_ = Phase::ended;
  loop_.reap_later(*this);
}

void Server::reclaim() noexcept { slabs().sessions.recycle(this); }

void Server::release_stream() {
  if (stream_ != nullptr) slabs().streams.recycle(std::exchange(stream_, nullptr));
}

// ---- what a person sees -----------------------------------------------------------------------------------------

http::SessionLook Server::look() {
  return {http::version_word(stream_ != nullptr ? stream_->version() : http::Version::http_11), phase_word(), since_,
          requests_};
}

std::string_view Server::phase_word() const {
  switch (phase_) {
    case Phase::idle: return "idle";
    case Phase::head: return "head";
    case Phase::request: return stream_->tunnel_ ? "tunnel" : "busy";
    case Phase::rest: return "rest";
    case Phase::closing: return "closing";
    case Phase::linger: return "lingering";
    case Phase::cut:
    case Phase::ended: return "ending";
  }
  UNREACHABLE();
}

void Server::show_sinks(http::SinkVisitor& to) {
  if (open_streams() != 0) to.visit(requests_, *stream_->sink_);
}

// ---- what comes in ----------------------------------------------------------------------------------------------

void Server::on_bytes(net::ByteQueue& in) {
  switch (phase_) {
    case Phase::idle:
      stream_ = slabs().streams.make(*this, options_.limits);
      since_ = loop_.now();
      return read_head(in);
    case Phase::head: return read_head(in);
    case Phase::request: return read_body(in);
    case Phase::rest: return drop_rest(in);
    case Phase::linger:
      if (cause_ == CloseCause::idle_timeout && dropped_ == 0) host_.on_late_request(*this);
      dropped_ += static_cast<uint32_t>(std::min(in.size(), drain_bytes_max));
      in.clear();
      if (dropped_ <= drain_bytes_max) return;
      pause(stopped);
      since_ = std::min(since_, loop_.now() + last_wait - base::Micros{options_.header_timeout});
      return schedule(since_ + base::Micros{options_.header_timeout});
    case Phase::closing:
    case Phase::cut:
    case Phase::ended: return in.clear();
  }
}

void Server::read_head(net::ByteQueue& in) {
  ServerStream& s = *stream_;
  phase_ = Phase::head;
  switch (s.reader_.read(in, s.head_)) {
    case HeadReader::Status::more:
      if (base::MemoryLimit::above()) {
        in.clear();                                // nothing more of it is read
        return malformed({Kind::overloaded, Where::proxy, Detail::none, true});
      }
      return schedule(since_ + base::Micros{options_.header_timeout});
    case HeadReader::Status::bad: return malformed(s.reader_.failure());
    case HeadReader::Status::done: break;
  }
  if (const Failure why = judge_request(s.reader_.special(), scheme_, s.head_, s.message_); !why.clean())
    return malformed(why);
  if (!s.body_.start(Side::request, s.message_, s.reader_, s.trailers_)) {
    return malformed(bad_request(s.message_.framing == Framing::chunked ? Detail::te : Detail::cl));
  }
  begin_request(in);
}

void Server::begin_request(net::ByteQueue& in) {
  ServerStream& s = *stream_;
  phase_ = Phase::request;
  ++requests_;
  if (!s.head_.upgrade.empty()) {
    s.request_ = ServerStream::Request::upgrade_asked;  // nothing is read past the head until it is answered (row 16)
    pause(upgrade_asked);
  } else if (s.message_.framing == Framing::none) {
    s.request_ = ServerStream::Request::ended;
    if (!in.empty()) pause(next_request);
  } else {
    s.continue_owed_ = s.head_.expect_continue;
    restart_body_clock();
  }
  s.sink_ = &host_.on_stream(*this, s);
  s.sink_->on_head(s.head_, s.request_ == ServerStream::Request::ended ? End::yes : End::no);
  if (s.sink_ != nullptr && s.request_ == ServerStream::Request::body && !in.empty()) read_body(in);
}

void Server::read_body(net::ByteQueue& in) {
  ServerStream& s = *stream_;
  while (s.sink_ != nullptr &&
         (s.request_ == ServerStream::Request::body || s.request_ == ServerStream::Request::tunnel)) {
    if (s.unconsumed_ >= window_bytes) return pause(no_credit);
    net::ByteQueue bytes;
    const BodyReader::Status status = s.body_.read(in, bytes, window_bytes - s.unconsumed_);
    const size_t size = bytes.size();
    s.unconsumed_ += size;
    if (size != 0) {
      s.read_at_ = loop_.now();
      s.rate_bytes_ += size;
      s.continue_owed_ = false;
    }
    switch (status) {
      case BodyReader::Status::end: return request_ended(in, std::move(bytes));
      case BodyReader::Status::bad:
        if (size != 0) s.sink_->on_body(std::move(bytes), End::no);
        if (s.sink_ != nullptr && phase_ == Phase::request)
          malformed(s.reader_.failure().clean() ? bad_request(Detail::chunk) : s.reader_.failure());
        return;
      case BodyReader::Status::more:
      case BodyReader::Status::room:
        if (size != 0) s.sink_->on_body(std::move(bytes), End::no);
        if (status == BodyReader::Status::more || phase_ != Phase::request) return;
        break;
    }
  }
  if (!in.empty()) pause(next_request);
}

void Server::request_ended(net::ByteQueue& in, net::ByteQueue&& last) {
  ServerStream& s = *stream_;
  s.request_ = ServerStream::Request::ended;
  follow_exchange();
  if (!in.empty()) pause(next_request);
  if (s.trailers_.empty()) return s.sink_->on_body(std::move(last), End::yes);
  if (!last.empty()) s.sink_->on_body(std::move(last), End::no);
  if (s.sink_ != nullptr) s.sink_->on_trailers(s.trailers_);
}

// The answer is complete and nobody listens any more: the rest of the request only keeps the connection in step.
void Server::drop_rest(net::ByteQueue& in) {
  ServerStream& s = *stream_;
  net::ByteQueue bytes;
  const BodyReader::Status status = s.body_.read(in, bytes, drain_bytes_max - dropped_);
  dropped_ += static_cast<uint32_t>(bytes.size());
  s.read_at_ = loop_.now();
  s.rate_bytes_ += bytes.size();
  switch (status) {
    case BodyReader::Status::more: return;
    case BodyReader::Status::end:
      s.request_ = ServerStream::Request::ended;
      if (!in.empty()) pause(next_request);
      return finish_request();
    case BodyReader::Status::room: return begin_closing(CloseCause::early_answer);
    case BodyReader::Status::bad:
      host_.on_protocol_error(s.reader_.failure().clean() ? Detail::chunk : s.reader_.failure().detail);
      return begin_closing(CloseCause::protocol_error);
  }
}

// Nothing more of this request is read; its sink answers, and that answer is the last one.
void Server::malformed(const Failure& why) {
  ServerStream& s = *stream_;
  const bool slow = why.kind == Kind::request_timeout;
  pause(stopped);
  s.request_ = ServerStream::Request::malformed;
  s.continue_owed_ = false;
  follow_exchange();
  cause_ = slow ? CloseCause::timeout : why.kind == Kind::overloaded ? CloseCause::shed : CloseCause::protocol_error;
  keep_ = false;
  if (phase_ == Phase::head) {
    phase_ = Phase::request;
    ++requests_;
    s.sink_ = &host_.on_stream(*this, s);
  }
  s.sink_->on_malformed(s.head_, why);
}

void Server::on_eof(bool authenticated) {
  eof_ = true;
  switch (phase_) {
    case Phase::head:
      if (stream_->reader_.begun()) return malformed(bad_request(Detail::eof));
      release_stream();
      [[fallthrough]];
    case Phase::idle: return end_session(CloseCause::peer_closed);
    case Phase::request:
      if (stream_->request_ == ServerStream::Request::tunnel) return tunnel_eof(authenticated);
      if (stream_->request_ == ServerStream::Request::body && stream_->sink_ != nullptr)
        malformed(bad_request(Detail::eof));
      return half_closed();
    case Phase::rest: return begin_closing(CloseCause::peer_closed);
    case Phase::linger: return end_session(cause_);
    case Phase::closing:
    case Phase::cut:
    case Phase::ended: return;
  }
}

void Server::on_fin_behind() {
  if (phase_ == Phase::request) half_closed();
}

// A client that has left looks like one that waits half closed: it is answered if that begins soon (half_close_grace).
// What it sent of a request that is not whole is still read.
void Server::half_closed() {
  ServerStream& s = *stream_;
  if (s.sink_ == nullptr || s.tunnel_) return;
  if (s.request_ != ServerStream::Request::body) restart_grace();
  if (s.request_ != ServerStream::Request::malformed) s.sink_->on_half_closed();  // of that nothing more is told
}

// A tunnel's end counts only if it is surely the peer's (TLS: close_notify).
void Server::tunnel_eof(bool authenticated) {
  ServerStream& s = *stream_;
  if (s.sink_ == nullptr) return;
  if (!authenticated)
    return fail({Kind::client_closed, Where::downstream, Detail::truncated, false}, CloseCause::peer_reset);
  s.request_ = ServerStream::Request::ended;
  follow_exchange();
  s.sink_->on_body({}, End::yes);
  if (s.sink_ != nullptr && s.answer_ == ServerStream::Answer::done) finish_tunnel();
}

void Server::on_end(net::EndReason why) {
  const bool stalled = why == net::EndReason::write_stalled;
  const Failure failure{stalled ? Kind::request_timeout : Kind::client_closed, Where::downstream,
                        stalled ? Detail::slow_read : Detail::none, false};
  if (phase_ == Phase::linger || phase_ == Phase::closing) return end_session(cause_);
  close_stream(failure);
  end_session(stalled                         ? CloseCause::write_stalled
              : why == net::EndReason::closed ? CloseCause::peer_closed
                                              : CloseCause::peer_reset);
}

// ---- what goes out ----------------------------------------------------------------------------------------------

void Server::fill(net::ByteQueue& out, size_t room) {
  if (phase_ != Phase::request) return;
  ServerStream& s = *stream_;
  const size_t before = out.size();
  const size_t body = s.writer_.fill(out, room);
  if (answer_since_.count < 0 && out.size() > before) {
    answer_since_ = loop_.now();
    answer_marked_ = false;
    schedule(answer_since_ + base::Micros{mark_after});
  }
  given_ += out.size() - before;
  if (s.silent_since_.count >= 0 && out.size() > before) restart_grace();
  if (body != 0 && s.sink_ != nullptr) s.sink_->on_sent(body);
  if (phase_ == Phase::request && s.writer_.done() && s.answer_ == ServerStream::Answer::begun) answer_done();
}

void Server::on_drained() {
  answer_since_ = base::Micros{-1};
  if (stream_ != nullptr && stream_->silent_since_.count >= 0) restart_grace();
  if (phase_ == Phase::closing) return close_or_linger();
  if (phase_ == Phase::idle || phase_ == Phase::head || phase_ == Phase::rest) host_.on_idle(*this);
}

void Server::answer_done() {
  ServerStream& s = *stream_;
  s.answer_ = ServerStream::Answer::done;
  if (s.tunnel_) {
    transport_->shut_write();
    if (s.request_ == ServerStream::Request::ended) finish_tunnel();
    return;
  }
  if (s.request_ != ServerStream::Request::body) return finish_request();
  // Row 31: the answer has ended before the request.
  close_stream({});
  if (!keep_ || eof_ || (s.message_.framing == Framing::length && s.body_.remaining() > drain_bytes_max)) {
    return begin_closing(CloseCause::early_answer);
  }
  phase_ = Phase::rest;
  dropped_ = 0;
  restart_body_clock();
  resume(no_credit);
}

void Server::finish_request() {
  const bool ended_by_us = stream_->request_ == ServerStream::Request::malformed;
  close_stream({});
  release_stream();
  if (!keep_ || draining_) return begin_closing(ended_by_us ? cause_ : close_cause());
  phase_ = Phase::idle;
  since_ = loop_.now();
  if (eof_ && (pauses_ & next_request) == 0) return begin_closing(CloseCause::peer_closed);
  schedule(since_ + base::Micros{options_.idle_timeout});
  resume(next_request | upgrade_asked | no_credit);
}

void Server::finish_tunnel() {
  close_stream({});
  release_stream();
  eof_ = true;
  begin_closing(CloseCause::tunnel_end);
}

bool Server::keeps_alive() const {
  const ServerStream& s = *stream_;
  return s.message_.persistence == Persistence::keep && s.request_ != ServerStream::Request::malformed && !draining_ &&
         requests_ < options_.max_requests && !(s.continue_owed_ && s.request_ == ServerStream::Request::body);
}

CloseCause Server::close_cause() const {
  if (draining_) return drain_cause_;
  if (sent_away_) return CloseCause::drain;
  return requests_ >= options_.max_requests ? CloseCause::max_requests : CloseCause::peer_asked;
}

// ---- the end ----------------------------------------------------------------------------------------------------

// What was answered goes out; then FIN. At the loop.
void Server::begin_closing(CloseCause cause) {
  release_stream();
  cause_ = cause;
  phase_ = Phase::closing;
  pause(stopped);
  loop_.run_later(*this);  // in case all of it has left already
}

// A client that asked for the close, and sent nothing more, needs no waiting for.
void Server::close_or_linger() {
  const bool clean = cause_ == CloseCause::peer_asked && (pauses_ & (next_request | no_credit)) == 0;
  if (eof_ || clean) return end_session(cause_);
  phase_ = Phase::linger;
  since_ = loop_.now();
  if (cause_ == CloseCause::idle_timeout)
    since_ = since_ + base::Micros{last_wait} - base::Micros{options_.header_timeout};
  dropped_ = 0;
  transport_->shut_write();
  schedule(since_ + base::Micros{options_.header_timeout});
  resume(0xff);
  host_.on_leaving(*this);
}

void Server::cut(const Failure& why, CloseCause cause) {
  transport_->close(stream_ != nullptr ? net::Close::reset : net::Close::now);
  phase_ = Phase::cut;
  cut_why_ = why;
  cause_ = cause;
  loop_.run_later(*this);
}

// At the loop: the stream dies now, and the connection with it.
void Server::fail(const Failure& why, CloseCause cause) {
  transport_->close(net::Close::reset);
  phase_ = Phase::cut;
  close_stream(why);
  end_session(cause);
}

void Server::close_stream(const Failure& why) {
  if (stream_ == nullptr || stream_->sink_ == nullptr) return;
  std::exchange(stream_->sink_, nullptr)->on_closed(why);
}

void Server::run() {
  switch (phase_) {
    case Phase::closing:
      if (transport_->unsent() == 0) close_or_linger();
      return;
    case Phase::cut: close_stream(cut_why_); return end_session(cause_);
    case Phase::idle:
    case Phase::head:
    case Phase::request:
    case Phase::rest:
    case Phase::linger:
    case Phase::ended: return;
  }
}

void Server::end_session(CloseCause cause) {
  CHECK(phase_ != Phase::ended);
  release_stream();
  timer_.disarm();
  phase_ = Phase::ended;
  transport_->close(net::Close::after_flush);  // if it is open still
  host_.on_session_end(*this, cause);  // may let go of us
}

void Server::drain(CloseCause cause) {
  if (draining_) return;
  draining_ = true;
  drain_cause_ = cause;
  if (phase_ != Phase::idle) return;
  // A request may be under way that we have not seen: on a connection that had none yet, or in bytes that wait in the
  // kernel.
  if (requests_ == 0 || !transport_->quiet_now()) {
    since_ = loop_.now();
    return schedule(since_ + base::Micros{drain_grace});
  }
  transport_->close(net::Close::after_flush);
  phase_ = Phase::cut;
  cause_ = cause;
  loop_.run_later(*this);
}

void Server::abort(const Failure& why, CloseCause cause) {
  if (phase_ == Phase::cut || phase_ == Phase::ended) return;
  cut(why, cause);
}

void Server::pause(Pause why) {
  if (pauses_ == 0) transport_->allow_reading(net::Reading::paused);
  pauses_ |= why;
}

void Server::resume(uint8_t whys) {
  if (pauses_ == 0) return;
  pauses_ &= static_cast<uint8_t>(~whys);
  if (pauses_ == 0) transport_->allow_reading(net::Reading::allowed);
}

}  // namespace sluice::http1

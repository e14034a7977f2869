// The connection: what comes in, in which phase it is, when it ends. Time limits are in server_limits.cc.
#include "http2/server_session.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/pages.h"
#include "base/slab.h"
#include "http2/server.h"

namespace sluice::http2 {

using http::CloseCause;
using http::Detail;
using http::Failure;
using http::Kind;
using http::Where;

namespace {

constexpr uint64_t drain_ping = 0x736c75696365;   // its answer tells that the notice was seen
constexpr uint8_t cut_turns_max = 3;              // for the last frames of an abort to reach the transport

struct Slabs {
  base::Slab<Server> sessions;
  base::Slab<ServerStream> streams;
};
Slabs& slabs() {
  thread_local Slabs all;
  return all;
}

Engine::Settings settings_of(const http::DownstreamOptions& options, uint32_t streams) {
  return {streams, options.limits.max_header_bytes, static_cast<uint32_t>(options.http2.stream_window),
          options.http2.connection_buffer};
}

}  // namespace

http::ServerSessionPtr make_server_session(net::Loop& loop, net::TransportPtr transport,
                                           const http::DownstreamOptions& options, http::Scheme scheme,
                                           http::ServerHost& host) {
  return http::ServerSessionPtr(slabs().sessions.make(loop, std::move(transport), options, scheme, host));
}

size_t server_sessions_live() { return slabs().sessions.in_use(); }
size_t server_streams_live() { return slabs().streams.in_use(); }

Server::Server(net::Loop& loop, net::TransportPtr transport, const http::DownstreamOptions& options,
               http::Scheme scheme, http::ServerHost& host)
    : loop_(loop),
      options_(options),
      host_(host),
      transport_(std::move(transport)),
      promised_(options.http2),
      offered_(base::MemoryLimit::streams(promised_.max_streams)),
      engine_(Engine::Role::server, settings_of(options, offered_), *this),
      guard_(options.http2.max_resets, options.limits.max_header_bytes, loop.now()),
      since_(loop.now()),
      born_(since_),
      scheme_(scheme) {
  transport_->limit_write_stall(options.write_timeout);
  transport_->start(*this);
  touch();
  schedule(since_ + base::Micros{std::min(options_.header_timeout, options_.idle_timeout)});
  check_age(since_);
}

Server::~Server() { CHECK(streams_.empty()); }

void Server::retire() noexcept {
  timer_.disarm();
  static_cast<base::ListHook<net::RunTag>&>(*this).unlink();
  while (ServerStream* const stream = streams_.front()) free(*stream);
  transport_.reset();
  phase_ = Phase::ended;
  loop_.reap_later(*this);
}

void Server::reclaim() noexcept { slabs().sessions.recycle(this); }

void Server::free(ServerStream& stream) {
  --alive_;
  if (stream.told_) --answering_;
  stream.base::ListHook<OpenTag>::unlink();
  engine_.forget(stream);
  slabs().streams.recycle(&stream);
  read_on();
}

void Server::touch() {
  if (engine_.take_reopened()) credit_at_ = loop_.now();
  if (engine_.wants_write()) transport_->touch();
}

// ---- what a person sees -----------------------------------------------------------------------------------------

http::SessionLook Server::look() {
  const bool busy = open_ != 0 && phase_ != Phase::cut;
  return {http::version_word(http::Version::http_2), phase_word(), busy ? streams_.front()->opened_ : since_,
          requests_};
}

std::string_view Server::phase_word() const {
  switch (phase_) {
    case Phase::open: return open_ != 0 ? "busy" : block_since_.count >= 0 ? "head" : "idle";
    case Phase::noticed:
    case Phase::leaving: return "leaving";
    case Phase::closing: return "closing";
    case Phase::linger: return "lingering";
    case Phase::cut:
    case Phase::ended: return "ending";
  }
  UNREACHABLE();
}

// A stream whose sink has let go, or was not told yet, has none.
void Server::show_sinks(http::SinkVisitor& to) {
  for (ServerStream* s = streams_.front(); s != nullptr; s = streams_.next(*s)) {
    if (s->sink_ != nullptr && !to.visit(static_cast<uint32_t>(s->id()), *s->sink_)) return;
  }
}

// ---- what comes in ----------------------------------------------------------------------------------------------

void Server::on_bytes(net::ByteQueue& in) {
  switch (phase_) {
    case Phase::open:
    case Phase::noticed:
    case Phase::leaving: break;
    case Phase::linger:
      dropped_ += static_cast<uint32_t>(std::min(in.size(), dropped_max));
      if (dropped_ > dropped_max) transport_->allow_reading(net::Reading::paused);
      return in.clear();
    case Phase::closing:
    case Phase::cut:
    case Phase::ended: return in.clear();
  }
  engine_.receive(in);
  hold_back();
  if (engine_.in_head() || guard_.in_header_block()) {
    schedule(block_since_ + base::Micros{options_.header_timeout});
  } else {
    block_since_ = base::Micros{-1};
  }
  leave_if_done();
  touch();
  tell_idle();
}

// A stream that was cancelled counts until its sink has heard of it, and the work for it has ended (row 33).
Flow* Server::on_begin() {
  if (alive_ >= promised_.max_streams || base::MemoryLimit::far_above()) return nullptr;
  ++alive_;
  ServerStream* const stream = slabs().streams.make(*this, options_.limits, heads_, loop_.now());
  streams_.push_back(*stream);
  offer_streams();
  guard_.stream_opened(loop_.now());
  return stream;
}

// A client that does not know our limit yet, or whose cancelled streams are still in the way of its new ones, has seen
// no fault of its own.
void Server::on_refused() {
  const bool foreseen = engine_.settings_acknowledged() && engine_.streams() >= promised_.max_streams;
  const Detail detail = guard_.refused(foreseen, loop_.now());
  if (detail != Detail::none) engine_.fail(Code::enhance_your_calm, detail);
}

// Fewer as memory fills up, and all again when it is free: a client that keeps to it is not refused.
void Server::offer_streams() {
  const uint32_t most = base::MemoryLimit::streams(promised_.max_streams);
  if (most != offered_ && engine_.offer_streams(most)) offered_ = most;
}

// While half of max_memory is held, who holds bodies is read no further: windows cannot be called back.
void Server::hold_back() {
  if (held_back_ || engine_.held() < held_when_full || base::MemoryLimit::ample()) return;
  held_back_ = true;
  transport_->allow_reading(net::Reading::paused);
  schedule(loop_.now() + base::Micros{look_again});
}

// The client could not be heard: its limits of time begin anew.
void Server::read_on() {
  if (!held_back_ || (engine_.held() >= held_when_full && !base::MemoryLimit::ample())) return;
  held_back_ = false;
  if (block_since_.count >= 0) block_since_ = loop_.now();
  for (ServerStream* s = streams_.front(); s != nullptr; s = streams_.next(*s)) s->direction_ended();
  transport_->allow_reading(net::Reading::allowed);
}

Detail Server::on_frame(const Frame& frame) {
  if (frame.is(FrameType::headers)) block_since_ = loop_.now();
  return guard_.frame(frame, loop_.now());
}

Detail Server::on_data(size_t content, bool live) { return guard_.data(content, live, loop_.now()); }

Detail Server::on_window_update(uint32_t more) { return guard_.window_update(more, loop_.now()); }

void Server::on_reset(Flow* flow) {
  if (flow == nullptr) return;
  const base::Micros now = loop_.now();
  const Detail detail = guard_.cancelled(static_cast<const ServerStream&>(*flow).cancelled(now), now);
  if (detail != Detail::none) engine_.fail(Code::enhance_your_calm, detail);
}

void Server::on_our_reset() {
  const Detail detail = guard_.reset_by_us(loop_.now());
  if (detail != Detail::none) engine_.fail(Code::enhance_your_calm, detail);
}

void Server::request_begins(ServerStream& stream) {
  ++requests_;
  ++open_;
  stream.told_ = true;
  ++answering_;
  busy_ = true;
  if (requests_ >= options_.max_requests) drain(CloseCause::max_requests);
  stream.sink_ = &host_.on_stream(*this, stream);
}

// Its sink knows of the end, or wanted it.
void Server::request_over() {
  CHECK(open_ > 0);
  --open_;
  if (open_ != 0) return;
  since_ = loop_.now();
  schedule(since_ + base::Micros{std::min(rest_after, phase_ == Phase::noticed ? drain_grace : options_.idle_timeout)});
}

void Server::on_eof(bool) {
  switch (phase_) {
    case Phase::open:
    case Phase::noticed:
    case Phase::leaving:
      // Without it no window opens any more, and nobody reads: what is open ends.
      return fail({Kind::client_closed, Where::downstream, Detail::none, false},
                  phase_ == Phase::open ? CloseCause::peer_closed : cause_);
    case Phase::closing:
    case Phase::linger: return end_session(cause_);
    case Phase::cut:
    case Phase::ended: return;
  }
}

// It has left, or is half closed: no window opens any more.
void Server::on_fin_behind() { on_eof(false); }

void Server::on_end(net::EndReason why) {
  if (phase_ == Phase::linger || phase_ == Phase::closing) return end_session(cause_);
  const bool stalled = why == net::EndReason::write_stalled;
  close_streams({stalled ? Kind::request_timeout : Kind::client_closed, Where::downstream,
                 stalled ? Detail::slow_read : Detail::none, false});
  end_session(stalled                         ? CloseCause::write_stalled
              : why == net::EndReason::closed ? CloseCause::peer_closed
                                              : CloseCause::peer_reset);
}

// ---- what goes out ----------------------------------------------------------------------------------------------

void Server::fill(net::ByteQueue& out, size_t room) {
  if (phase_ == Phase::linger || phase_ == Phase::ended) return;
  const size_t before = out.size();
  engine_.fill(out, room);
  given_ += out.size() - before;
  if (answer_since_.count < 0 && out.size() > before) {
    answer_since_ = loop_.now();
    answer_marked_ = false;
    schedule(answer_since_ + base::Micros{mark_after});
  }
  if (engine_.over() && phase_ != Phase::closing) loop_.run_later(*this);
  leave_if_done();
}

void Server::on_drained() {
  answer_since_ = base::Micros{-1};
  if (phase_ == Phase::closing && !engine_.wants_write()) return close_or_linger();
  tell_idle();
}

void Server::tell_idle() {
  const bool open = phase_ == Phase::open || phase_ == Phase::noticed || phase_ == Phase::leaving;
  if (!busy_ || !open || answering_ != 0 || engine_.wants_write() || transport_->unsent() != 0) return;
  busy_ = false;
  host_.on_idle(*this);
}

// ---- leaving ----------------------------------------------------------------------------------------------------

// Requests may be under way that we have not seen: the PING's answer comes behind them (RFC 9113 6.8).
void Server::drain(CloseCause cause) {
  if (phase_ != Phase::open) return;
  phase_ = Phase::noticed;
  cause_ = cause;
  engine_.goaway_notice();
  engine_.ping(drain_ping);
  since_ = loop_.now();
  schedule(since_ + base::Micros{drain_grace});
  touch();
}

void Server::on_ping_ack(uint64_t opaque) {
  if (phase_ == Phase::noticed && opaque == drain_ping) leave_now();
}

// A client that is about to leave: what it has under way is still taken. One without streams may not answer our PING,
// nor ask again.
void Server::on_goaway(Code) { drain(CloseCause::peer_asked); }

void Server::leave_now() {
  phase_ = Phase::leaving;
  engine_.goaway(Code::no_error);
  touch();
  leave_if_done();
}

void Server::leave_if_done() {
  if (phase_ == Phase::leaving && streams_.empty() && !engine_.failed()) begin_closing(cause_);
}

void Server::begin_closing(CloseCause cause) {
  cause_ = cause;
  phase_ = Phase::closing;
  loop_.run_later(*this);  // in case all of it has left already
}

void Server::close_or_linger() {
  phase_ = Phase::linger;
  since_ = loop_.now();
  transport_->shut_write();
  schedule(since_ + base::Micros{last_wait});
  host_.on_leaving(*this);
}

// The connection is broken and its GOAWAY is out: what is open ends.
void Server::fault() {
  const Detail detail = engine_.fault();
  host_.on_protocol_error(detail);
  const bool slow = detail == Detail::slow_head;
  close_streams({slow ? Kind::request_timeout : Kind::bad_request, Where::downstream, detail, false});
  begin_closing(slow ? CloseCause::timeout : CloseCause::protocol_error);
}

void Server::abort(const Failure& why, CloseCause cause) {
  if (phase_ == Phase::cut || phase_ == Phase::ended) return;
  const bool silent = phase_ == Phase::closing || phase_ == Phase::linger;
  phase_ = Phase::cut;
  cut_why_ = why;
  cause_ = cause;
  loop_.run_later(*this);
  if (silent) return;
  for (ServerStream* s = streams_.front(); s != nullptr; s = streams_.next(*s)) engine_.reset(*s, code_for_client(why));
  engine_.goaway(Code::no_error);
  touch();
}

void Server::close_streams(const Failure& why) {
  while (ServerStream* const stream = streams_.front()) {
    if (stream->sink_ != nullptr) {
      request_over();
      std::exchange(stream->sink_, nullptr)->on_closed(why);
    }
    free(*stream);
  }
}

// At the loop: everything dies now.
void Server::fail(const Failure& why, CloseCause cause) {
  transport_->close(net::Close::reset);
  phase_ = Phase::cut;
  close_streams(why);
  end_session(cause);
}

void Server::run() {
  switch (phase_) {
    case Phase::open:
    case Phase::noticed:
    case Phase::leaving:
      if (engine_.over()) fault();
      return;
    case Phase::closing:
      if (!engine_.wants_write() && transport_->unsent() == 0) close_or_linger();
      return;
    case Phase::cut:
      if (engine_.wants_write() && cut_turns_++ < cut_turns_max) return loop_.run_later(*this);
      close_streams(cut_why_);
      return end_session(cause_);
    case Phase::linger:
    case Phase::ended: return;
  }
}

void Server::end_session(CloseCause cause) {
  CHECK(phase_ != Phase::ended && streams_.empty());
  timer_.disarm();
  phase_ = Phase::ended;
  transport_->close(net::Close::after_flush);  // if it is open still
  host_.on_session_end(*this, cause);  // may let go of us
}

}  // namespace sluice::http2

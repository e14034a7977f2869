// The connection: how many streams it takes, whether it may be used again, when it ends.
#include "http2/client_session.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/slab.h"
#include "http2/client.h"
#include "http2/flood_guard.h"

namespace sluice::http2 {

using http::CloseCause;
using http::Detail;
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

constexpr uint8_t turns_max = 3;  // in which what ends a connection may still arrive, or leave, by itself
constexpr uint64_t ids_max = (uint64_t{1} << 30) - 1;  // streams of one connection (RFC 9113 5.1.1)

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

// Many clients share a connection, and one of them that does not read must not stall the others: it is bounded by the
// windows of its streams alone.
Engine::Settings settings_of(const http::HttpLimits& limits) {
  return {0, limits.max_header_bytes, Client::answer_window,
          uint64_t{Client::streams_max} * Client::wide_answer_window};
}

http::HttpLimits for_answers(http::HttpLimits limits) {
  limits.underscore_headers = http::UnderscoreHeaders::pass;
  return limits;
}

}  // namespace

http::ClientSessionPtr make_client_session(net::Loop& loop, net::TransportPtr transport, const http::HttpLimits& limits,
                                           http::ClientHost& host, std::atomic<uint32_t>* stream_limit,
                                           base::Millis patience) {
  return http::ClientSessionPtr(
      slabs().sessions.make(loop, std::move(transport), limits, host, stream_limit, patience));
}

size_t client_sessions_live() { return slabs().sessions.in_use(); }
size_t client_streams_live() { return slabs().streams.in_use(); }

Client::Client(net::Loop& loop, net::TransportPtr transport, const http::HttpLimits& limits, http::ClientHost& host,
               std::atomic<uint32_t>* stream_limit, base::Millis patience)
    : loop_(loop),
      host_(host),
      transport_(std::move(transport)),
      stream_limit_(stream_limit),
      first_limit_(stream_limit == nullptr ? 1 : std::max(1U, stream_limit->load(std::memory_order_relaxed))),
      patience_(patience),
      limits_(for_answers(limits)),
      engine_(Engine::Role::client, settings_of(limits), *this),
      resets_(resets_burst, resets_a_second, loop.now()),
      idle_since_(loop.now()),
      heard_at_(idle_since_) {
  transport_->start(*this);
  touch();
}

Client::~Client() { CHECK(streams_.empty()); }

void Client::retire() noexcept {
  timer_.disarm();
  watch_.disarm();
  unwanted_timer_.disarm();
  static_cast<base::ListHook<net::RunTag>&>(*this).unlink();
  while (ClientStream* const stream = streams_.front()) free(*stream);
  transport_.reset();
  phase_ = Phase::ended;
  loop_.reap_later(*this);
}

void Client::reclaim() noexcept { slabs().sessions.recycle(this); }

void Client::free(ClientStream& stream) {
  --alive_;
  if (stream.upgrade_ != nullptr) --upgrades_;
  stream.base::ListHook<OpenTag>::unlink();
  stream.base::ListHook<UnwantedTag>::unlink();
  engine_.forget(stream);
  slabs().streams.recycle(&stream);
}

void Client::touch() {
  if (engine_.wants_write()) transport_->touch();
}

// ---- use --------------------------------------------------------------------------------------------------------

uint32_t Client::slots() const {
  if (phase_ != Phase::live || last_ || doubted_ || unheard_ || engine_.failed()) return 0;
  uint32_t most = first_limit_;
  if (engine_.settings_received()) {
    most = engine_.peer_max_streams();
  }
  most = std::min(most, streams_max);
  return most > alive_ ? most - alive_ : 0;
}

http::Stream* Client::open(http::Sink& sink) {
  if (slots() == 0) return nullptr;
  if (engine_.torn() && loop_.now() - heard_at_ >= torn_patience) {
    doubt();
    return nullptr;
  }
  if (open_ == 0) {
    from_idle_ = true;
    was_used_ = opened_ != 0;
  }
  ClientStream* const stream = slabs().streams.make(*this, sink, limits_, heads_, ++opened_, loop_.now());
  stream->opened_idle_ = from_idle_ && (was_used_ || open_ == 0);
  streams_.push_back(*stream);
  ++open_;
  ++alive_;
  if (opened_ == ids_max) last_ = true;
  return stream;
}

// With streams open something may well have come, also with those whose sink is gone (a reset on its way, a tunnel that
// runs out); when there is none, nothing should have.
bool Client::validate(http::Borrow how) {
  if (phase_ != Phase::live || last_ || engine_.failed()) return false;
  if (!streams_.empty()) return true;
  if (!engine_.torn()) {  // else: half a frame, and nobody it could be for
    if (how == http::Borrow::quick && loop_.now() - idle_since_ <= http::trusted_idle) return true;
    if (transport_->quiet_now()) return true;
  }
  phase_ = Phase::doomed;
  turns_ = 0;
  loop_.run_later(*this);
  return false;
}

void Client::retire_when_idle(CloseCause cause) {
  if (phase_ == Phase::cut || phase_ == Phase::ended || phase_ == Phase::closing) return;
  last_ = true;
  cause_ = cause;
  if (streams_.empty()) finish();
}

void Client::abort(CloseCause cause) {
  if (phase_ == Phase::cut || phase_ == Phase::ended) return;
  transport_->close(open_ != 0 ? net::Close::reset : net::Close::now);
  phase_ = Phase::cut;
  cause_ = cause;
  loop_.run_later(*this);
}

// ---- what comes in ----------------------------------------------------------------------------------------------

void Client::on_bytes(net::ByteQueue& in) {
  if (phase_ == Phase::cut || phase_ == Phase::ended) return in.clear();
  heard_at_ = loop_.now();
  ping_out_ = false;  // whatever it is, somebody sent it
  if (std::exchange(doubted_, false) || std::exchange(unheard_, false)) news_ = true;
  engine_.receive(in);
  touch();
  settle();
}

// An upstream is trusted with more than a client is, but not with our memory: its header blocks are bounded. One that
// is only too large for us is a fault of its stream (HeadReader), many share the connection.
Detail Client::on_frame(const Frame& frame) {
  if (frame.stream != 0) from_idle_ = false;
  if (frame.is(FrameType::headers)) {
    block_frames_ = 0;
    block_bytes_ = 0;
  } else if (!frame.is(FrameType::continuation)) {
    return Detail::none;
  }
  block_bytes_ += frame.length;
  if (frame.is(FrameType::continuation)) ++block_frames_;
  const bool flood = block_frames_ > FloodGuard::continuations_max + block_bytes_ / frame_payload_max ||
                     block_bytes_ > HeadReader::bomb_factor * limits_.max_header_bytes;
  return flood ? Detail::continuation_flood : Detail::none;
}

void Client::on_settings() {
  news_ = true;
  if (stream_limit_ == nullptr) return;
  const uint32_t now = std::min(engine_.peer_max_streams(), streams_max);
  const uint32_t before = stream_limit_->load(std::memory_order_relaxed);
  if (before == 0 || now < before) stream_limit_->store(now, std::memory_order_relaxed);
}

void Client::on_goaway(Code) {
  last_ = true;
  cause_ = CloseCause::peer_asked;
  news_ = true;
}

void Client::on_ping_ack(uint64_t) {}  // as any bytes

// After the engine's upcalls: what they led to, now that nothing of it is under way any more.
void Client::settle() {
  if (phase_ != Phase::live && phase_ != Phase::doomed) return;
  if (engine_.over()) return loop_.run_later(*this);
  send_upgrades();
  if (std::exchange(news_, false)) host_.on_slots(*this);
  if (last_ && streams_.empty() && phase_ == Phase::live) finish();
}

// Whether the peer takes extended CONNECTs is in its SETTINGS.
void Client::send_upgrades() {
  if (upgrades_ == 0 || !engine_.settings_received()) return;
  for (ClientStream *s = streams_.front(), *next = nullptr; s != nullptr; s = next) {
    next = streams_.next(*s);
    if (s->upgrade_ != nullptr) s->ask_upgrade();
  }
  touch();
}

void Client::on_eof(bool) {
  if (phase_ == Phase::cut || phase_ == Phase::ended) return;
  close_streams({Kind::reset, Where::upstream, Detail::none, false});
  end_session(last_ ? cause_ : CloseCause::peer_closed);
}

void Client::on_end(net::EndReason why) {
  const bool tls = why == net::EndReason::tls_failed || why == net::EndReason::tls_unverified;
  close_streams({tls ? Kind::tls_failed : Kind::reset, Where::upstream, Detail::none, false});
  end_session(cause_of(why));
}

// ---- what goes out ----------------------------------------------------------------------------------------------

void Client::fill(net::ByteQueue& out, size_t room) {
  if (phase_ == Phase::cut || phase_ == Phase::ended) return;
  const size_t before = out.size();
  engine_.fill(out, room);
  if (out.size() != before) {
    filled_at_ = loop_.now();
    if (!watch_.armed()) watch_.arm(loop_, watch_every());
  }
  settle();
}

// ---- idleness ---------------------------------------------------------------------------------------------------

// A sink is gone, or its stream.
void Client::stream_over() {
  CHECK(open_ > 0);
  if (--open_ != 0) return;
  idle_since_ = loop_.now();
  pinged_ = false;
  if (!timer_.armed()) timer_.arm(loop_, ping_after);
}

void Client::on_timer() {
  if (phase_ != Phase::live) return;
  if (ping_out_) return nobody_answers();  // whatever is open by now
  if (open_ != 0 || pinged_) return;  // armed again when it is idle anew
  const base::Micros due = idle_since_ + base::Micros{ping_after};
  if (loop_.now() < due) return timer_.arm(loop_, base::Millis{(due.count - loop_.now().count + 999) / 1000});
  engine_.rest();
  ping(ping_timeout);
}

void Client::ping(base::Millis timeout) {
  ping_out_ = pinged_ = true;
  engine_.ping(opened_);
  touch();
  timer_.arm(loop_, timeout);
}

// Threats.md row 60. Also inside a downcall.
void Client::doubt() {
  if (phase_ != Phase::live || doubted_ || engine_.failed()) return;
  doubted_ = news_ = true;
  ping(patience_);
  loop_.run_later(*this);
}

// Packets that are dropped, as against an origin that does not read: its host goes on acknowledging, and our bytes wait
// for its window or in our own queue, so a PING would tell the two apart no better than a look at the kernel.
// TCP_USER_TIMEOUT would not either: it also ends a connection whose window is closed, though each probe of it is
// acknowledged.
void Client::watch() {
  if (phase_ != Phase::live) return;
  const base::Micros now = loop_.now();
  const base::Micros patience{patience_};
  const bool heard = heard_at_ > filled_at_;
  const net::Acks acks = heard ? net::Acks{} : transport_->acks();
  if (acks.owed != 0 || (!heard && transport_->unsent() != 0))
    watch_.arm(loop_, watch_every());  // else with the next bytes
  const bool mute = acks.owed != 0 && owing_since_.count >= 0 && acks.silent >= now - owing_since_;
  if (!mute) {
    owing_since_ = acks.owed == 0 ? base::Micros{-1} : now;
    if (std::exchange(unheard_, false)) news_ = true;
    return settle();
  }
  const base::Micros since = now - owing_since_;
  if (since < patience) return;
  if (since >= patience + patience && acks.repeats >= repeats_of_the_dead) return nobody_answers();
  unheard_ = true;
}

base::Millis Client::watch_every() const { return std::max(base::Millis{patience_.count / 2}, base::millis(10)); }

// That it died is no sign of a sick upstream: who got nothing of an answer has met its end by chance, like on an idle
// one.
void Client::nobody_answers() {
  from_idle_ = true;
  for (ClientStream* s = streams_.front(); s != nullptr; s = streams_.next(*s)) s->opened_idle_ = true;
  transport_->close(net::Close::reset);
  close_streams({Kind::reset, Where::upstream, Detail::none, false});
  end_session(CloseCause::timeout);
}

// ---- streams that nobody wants any more -------------------------------------------------------------------------

// Beyond the budget a stream that was given up is left as it is: its answer comes as far as its window goes, which is
// not opened again, and is dropped. It counts for slots(), as the peer counts it.
void Client::leave(ClientStream& stream) {
  unwanted_.push_back(stream);
  if (!unwanted_timer_.armed()) unwanted_timer_.arm(loop_, base::Millis{1000 / resets_a_second + 1});
}

void Client::reset_unwanted() {
  if (phase_ != Phase::live) return;
  while (!unwanted_.empty() && may_reset()) engine_.reset(*unwanted_.pop_front(), Code::cancel);
  touch();
  if (!unwanted_.empty()) unwanted_timer_.arm(loop_, base::Millis{1000 / resets_a_second + 1});
}

// ---- the end ----------------------------------------------------------------------------------------------------

void Client::finish() {
  phase_ = Phase::closing;
  turns_ = 0;
  engine_.goaway(Code::no_error);
  touch();
  loop_.run_later(*this);
}

// `why` is told with what each stream knows: what had come of its answer, and whether its request had left. A sink may
// try again at once: not here.
void Client::close_streams(const Failure& why) {
  phase_ = Phase::cut;
  while (ClientStream* const stream = streams_.front()) {
    if (stream->sink_ != nullptr) {
      stream_over();
      Failure mine = why;
      mine.untouched = !stream->wrote_;
      // Only streams that were opened on an idle connection can have met that connection's end by chance.
      const bool by_chance = stream->opened_idle_ && from_idle_ && !stream->begun();
      if (mine.kind == Kind::reset && !by_chance) mine.detail = Detail::truncated;
      std::exchange(stream->sink_, nullptr)->on_closed(stream->whole() ? Failure{} : mine);
    }
    free(*stream);
  }
}

void Client::run() {
  engine_.tell();
  touch();
  switch (phase_) {
    case Phase::live:
      if (!engine_.over()) return settle();
      host_.on_protocol_error(engine_.fault());
      close_streams({Kind::bad_response, Where::upstream, engine_.fault(), false});
      return end_session(CloseCause::protocol_error);
    case Phase::doomed:
      if (++turns_ < turns_max) return loop_.run_later(*this);
      return end_session(CloseCause::peer_closed);
    case Phase::closing:
      if (engine_.wants_write() && ++turns_ < turns_max) return loop_.run_later(*this);
      return end_session(cause_);
    case Phase::cut: close_streams({Kind::reset, Where::proxy, Detail::none, false}); return end_session(cause_);
    case Phase::ended: return;
  }
}

void Client::end_session(CloseCause cause) {
  CHECK(phase_ != Phase::ended && streams_.empty());
  timer_.disarm();
  watch_.disarm();
  unwanted_timer_.disarm();
  phase_ = Phase::ended;
  transport_->close(net::Close::after_flush);  // if it is open still
  host_.on_session_end(*this, cause);  // may let go of us
}

}  // namespace sluice::http2

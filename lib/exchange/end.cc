// What became of a request: where its time went, how it ended, and who is told of it.
#include <algorithm>
#include <array>

#include "base/check.h"
#include "exchange/access_log.h"
#include "exchange/exchange.h"

namespace sluice::exchange {
namespace {

using http::Failure;
using http::Kind;
using http::Where;

// Of a call that ended whole: the others are an application's answers (not found, no permission).
bool is_trouble(int16_t grpc_status) {
  constexpr std::array<int16_t, 5> trouble{2, 4, 13, 14, 15};  // unknown, deadline, internal, unavailable, data loss
  return std::ranges::find(trouble, grpc_status) != trouble.end();
}

constexpr base::Millis slow_after_default = base::seconds(1);  // of what came to no route

}  // namespace

// ---- time -------------------------------------------------------------------------------------------------------

Phase Exchange::phase_now() const {
  if (answer_ == Answer::head_sent) return bytes_offered_ > bytes_out_ ? Phase::client_write : Phase::upstream_body;
  if (answer_ == Answer::ended) {
    return request_ended_ || bytes_offered_ > bytes_out_ ? Phase::client_write : Phase::client_request;
  }
  if (held_back_ || attempts_ == 0) return Phase::client_request;
  if (backing_off_) return Phase::upstream_head;  // it failed, or there would be no pause
  if (sent_at_.count == 0) return Phase::queue;
  return request_ended_ || bytes_in_ > sent_in_try_ ? Phase::upstream_head : Phase::client_request;
}

// A wait is booked when it is over, whatever comes from the client meanwhile: only then is known how much of it was a
// connect.
void Exchange::pass() {
  const base::Micros now = env_.loop.now();
  if (record_.at() == now || attempt_.waiting()) return;
  const Phase phase = phase_now();
  if (phase == Phase::queue) return record_.pass_wait(attempt_.dialled(now), now, env_.loop.lateness());
  record_.pass(phase, now, env_.loop.lateness());
}

// ---- how it ended -----------------------------------------------------------------------------------------------

void Exchange::went_wrong(const Failure& why) {
  during_ = during(why);
  failure_ = why;
}

std::string_view Exchange::during(const Failure& why) const {
  switch (phase_now()) {
    case Phase::client_request:
      return attempts_ == 0 && !held_back_ && bytes_in_ == 0 && answer_ == Answer::none ? "request_head"
                                                                                        : "request_body";
    case Phase::queue: {
      const bool ours = why.kind == Kind::no_local_port || why.kind == Kind::no_descriptor;
      const bool dialled = attempt_.waiting() ? !attempt_.queued() : ours || why.where == Where::upstream;
      return dialled ? "connect" : "queue";
    }
    case Phase::connect: return "connect";
    case Phase::upstream_head: return "response_head";
    case Phase::upstream_body:
    case Phase::client_write:
    case Phase::proxy: return "response_body";
  }
  UNREACHABLE();
}

std::string_view Exchange::ended() const {
  if (tunnel_) return "tunnel";
  if (refused_) return "refused";
  return failure_.clean() ? "complete" : "cut";
}

std::string_view Exchange::limited_by() const {
  const base::Micros most = route_ == nullptr ? slow_after_default : options().slow_after;
  if (tunnel_ || most.count == 0 || record_.total() <= most) return {};
  return side_word(side_of(record_.longest()));
}

// It failed, and another one follows.
void Exchange::note_try(std::string_view reason) {
  if (tried_ == tries_told) return;
  if (tries_ == nullptr) tries_ = downstream_->arena().make_array<Try>(tries_told);
  tries_[tried_++] = {endpoint_, reason, env_.loop.now() - asked_at_};
}

std::span<Try> Exchange::copy_tries(base::Arena& to) {
  if (tried_ == 0) return {};
  Try* const copy = to.make_array<Try>(tries_told);
  for (uint32_t i = 0; i < tried_; ++i) {
    const Try& one = tries_[i];
    copy[i] = {to.copy(one.endpoint), to.copy(one.reason), one.took};
  }
  return {copy, tried_};
}

// ---- the end ----------------------------------------------------------------------------------------------------

// The answer has begun and cannot go on: it must look cut (threats.md row 24).
void Exchange::cut(const Failure& why) {
  cut_ = why.where != Where::downstream;
  downstream_->cancel(why);
  finish();
}

void Exchange::finish() {
  base::ListHook<HeldTag>::unlink();
  deadlines_.clear_all();
  attempt_.abandon(Failure{Kind::client_closed, Where::downstream, http::Detail::none, false});
  pass();
  const base::Micros so_far = env_.loop.turn_so_far();
  record_.end(so_far);
  DCHECK(record_.total() == env_.loop.now() - record_.began() + so_far);  // no gap, nothing twice
  held_body_.clear();
  place_.release();
  if (!failure_.clean() && failure_.where != Where::downstream) retry_ended(false);
  write_log();
  count();
  downstream_ = nullptr;
  env_.loop.reap_later(*this);
}

void Exchange::count() {
  const RouteCells& cells = of_route();
  const size_t bucket = cells.duration->observe(record_.total());
  cells.exemplars->note(bucket, record_.total(), ids_.trace_id, env_.loop.wall());
  if (counted_in_flight_) cells.in_flight->add(-1);
  if (bytes_in_ != 0) cells.bytes_in->add(bytes_in_);
  cells.bytes_out->add(bytes_out_);
  const http::Method method = head_ == nullptr ? http::Method::other : head_->method;
  const bool by_us = !failure_.clean() && http::status_of(failure_.kind) >= 500;  // a gRPC call's status says 200
  if (!about_health_) env_.answers.count(env_.loop.now(), status_ >= 500 || by_us || cut_);
  site_.requests.count(listener_, route_index_, static_cast<uint8_t>(method), status_);
  const bool broke_off = !failure_.clean() && !refused_ && answer_ != Answer::none;
  if (broke_off && (!tunnel_ || failure_.where == Where::proxy))  // either end of a tunnel may end it
    site_.count_cut(route_index_, failure_.where, failure_.kind);
  if (tunnel_) return;
  for (size_t i = 0; i < phases; ++i) {
    const auto spent = static_cast<uint64_t>(record_.in(static_cast<Phase>(i)).count);
    if (spent != 0) cells.phase[i]->add(spent);
  }
  if (!limited_by().empty()) cells.slow[static_cast<size_t>(side_of(record_.longest()))]->add();
}

RecentRing Exchange::kept_as() const {
  if (about_health_) return RecentRing::none;
  if (refused_ && http::status_of(failure_.kind) < 500) return RecentRing::refused;
  const bool fine = !failed() && !tunnel_ && attempts_ <= 1;
  return fine && limited_by().empty() ? RecentRing::fine : RecentRing::trouble;
}

// ---- the log ----------------------------------------------------------------------------------------------------

bool Exchange::is_logged() const {
  if (env_.access_log == nullptr || site_.log_plan == nullptr || !site_.listeners[listener_].access_log) return false;
  return route_ == nullptr || options().access_log;
}

// Did anything go wrong that somebody may ask about: on our side, at the upstream, or with the client?
bool Exchange::failed() const {
  return !failure_.clean() || status_ >= 500 || tried_ != 0 || fell_back_ != Kind::none || is_trouble(grpc_status_);
}

// Of what the configuration wants in the log: as the client sent it, before we edit it, and as it goes to the client.
void Exchange::note_headers(LoggedHeader::Of of, const http::Fields& fields) {
  const LogPlan* const plan = site_.log_plan;
  if (plan == nullptr || plan->headers().empty()) return;
  base::Arena& arena = downstream_->arena();
  const auto& wanted = plan->headers();
  if (logged_headers_ == nullptr) logged_headers_ = arena.make_array<std::string_view>(wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i].of != of) continue;
    const http::Field* const field = fields.find(wanted[i].name);
    logged_headers_[i] = field == nullptr ? std::string_view()  // one byte more: the log shows that it was cut
                                          : arena.copy(field->value().substr(0, LogPlan::header_bytes_max + 1));
  }
}

std::string_view* Exchange::copy_headers(base::Arena& to) const {
  if (logged_headers_ == nullptr) return nullptr;
  const size_t count = site_.log_plan->headers().size();
  auto* const copy = to.make_array<std::string_view>(count);
  for (size_t i = 0; i < count; ++i) copy[i] = to.copy(logged_headers_[i]);
  return copy;
}

// Of those that ended well, in good time, a share is told.
bool Exchange::in_sample() {
  const LogPlan& plan = *site_.log_plan;
  if (failed() || !limited_by().empty()) return true;
  return plan.takes_ordinary() && (!plan.draws() || plan.takes(env_.random.next()));
}

void Exchange::write_log(std::string_view told) {
  const RecentRing ring = told.empty() ? kept_as() : RecentRing::none;
  const bool keep = env_.recent.takes(ring, env_.loop.now());
  const bool log = is_logged() && in_sample();
  if (!log && !keep) return;
  AccessRecord r;
  r.told = told;
  describe_request(r);
  describe_end(r);
  if (logged_headers_ != nullptr) r.headers = {logged_headers_, site_.log_plan->headers().size()};
  if (log) env_.access_log->write(env_.worker, r, *site_.log_plan);
  if (keep) env_.recent.add(ring, r, {downstream_->peer().remote, failure_, not_repeated_});
}

void Exchange::describe_request(AccessRecord& r) const {
  const net::Peer& peer = downstream_->peer();
  r.conn = origin_.conn;
  r.conn_request = origin_.request;
  r.client = client_text_;
  r.client_port = client_.address.port();
  r.listener = site_.listeners[listener_].name;
  r.tls_version = peer.tls ? peer.tls_version : uint16_t{0};
  r.sni = peer.sni;
  r.alpn = peer.alpn;
  if (route_ != nullptr) r.route = options().name;
  if (head_ != nullptr) {
    r.method = head_->method_text;
    r.host = head_->authority;
    r.path = head_->target;
    r.protocol = http::version_word(head_->version);
    r.user_agent = head_->fields.value(http::Token::user_agent);
    r.referer = head_->fields.value(http::Token::referer);
  }
  r.request_id = ids_.request_id;
  r.trace_id = ids_.trace_id;
  r.span_id = ids_.span_id;
}

void Exchange::describe_end(AccessRecord& r) const {
  r.wall = env_.loop.wall();
  r.total = r.told.empty() ? record_.total() : env_.loop.now() - record_.began();
  r.start = r.wall - r.total;
  r.status = status_;
  r.grpc_status = grpc_status_;
  r.reason = http::reason_word(failure_.kind);
  const bool queued = failure_.kind == Kind::pool_timeout || failure_.kind == Kind::pool_full;
  r.detail = !refusal_.empty()                          ? refusal_
             : queued && !attempt_.refused_as().empty() ? attempt_.refused_as()
                                                        : http::detail_word(failure_.detail);
  r.fallback = http::reason_word(fell_back_);
  if (r.told.empty()) {
    r.ended = ended();
    r.limited_by = limited_by();
  }
  if (!failure_.clean()) {
    r.ended_by = http::by_word(failure_.where);
    r.during = during_;
  }
  r.bytes_in = bytes_in_;
  r.bytes_out = bytes_out_;
  if (cluster_ != nullptr) r.upstream = cluster_->options().name;
  r.endpoint = endpoint_;
  r.upstream_port = upstream_port_;
  r.attempts = attempts_;
  r.tries = {tries_, tried_};
  r.reused = reused_;
  for (size_t i = 0; i < phases; ++i) r.phase[i] = record_.in(static_cast<Phase>(i));
  r.tls = tls_;
  r.first_byte = first_byte_;
}

}  // namespace sluice::exchange

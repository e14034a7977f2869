// The upstream's side of an exchange: tries, the two directions of bytes, deadlines.
#include <algorithm>
#include <string>

#include "base/text.h"
#include "exchange/access_log.h"
#include "exchange/exchange.h"
#include "exchange/local_reply.h"
#include "exchange/request_key.h"
#include "http/grpc.h"
#include "route/rewrite.h"

namespace sluice::exchange {
namespace {

using http::Detail;
using http::End;
using http::Failure;
using http::Kind;
using http::Where;

// A second queue over the same bytes: slices are counted views, nothing is copied.
net::ByteQueue share(const net::ByteQueue& bytes) {
  net::ByteQueue copy;
  for (size_t i = 0; i < bytes.slices(); ++i) copy.append(net::Slice(bytes.slice(i)));
  return copy;
}

// An empty Cookie beside others says nothing; a server of HTTP/2 that joins them (RFC 9113 8.2.3) may refuse the blank
// that it leaves at the end, and the connection of all with it.
void drop_empty_cookies(http::Fields& fields) {
  if (fields.count(http::Token::cookie) < 2) return;
  for (uint32_t i = fields.size(); i-- > 0;) {
    if (fields[i].token == http::Token::cookie && fields[i].value_size == 0) fields.remove_at(i);
  }
}

// An event stream has no length (https://html.spec.whatwg.org/multipage/server-sent-events.html).
Sort sort_of(const http::Head& request, const http::Head& answer, End end) {
  if (answer.status == 101) return base::iequals(request.upgrade, "websocket") ? Sort::websocket : Sort::tunnel;
  if (end == End::yes || answer.content_length) return Sort::request;
  const bool events = answer.fields.value(http::Token::content_type).starts_with("text/event-stream");
  return events ? Sort::event_stream : Sort::request;
}

}  // namespace

// ---- towards the upstream ---------------------------------------------------------------------------------------

void Exchange::proxy() {
  if (!head_->upgrade.empty() && std::ranges::find(options().upgrade, head_->upgrade) == options().upgrade.end()) {
    if (head_->upgrade_only) return fail({Kind::not_implemented, Where::downstream, Detail::upgrade, true});
    head_->upgrade = {};
  }
  upstream_index_ = route::pick_target(options(), env_.random.next());
  cluster_ = &site_.cluster(upstream_index_);
  cluster_->count_request();
  client_mark_ = upstream::client_mark(client_.address);
  if (grpc_)
    deadlines_.set(Limit::call,
                   http::parse_grpc_timeout(head_->fields.value(http::Token::grpc_timeout)).value_or(base::Millis{0}));
  ring_key_ = ring_key(cluster_->options(), client_, *head_, normal_path_);
  edit_request();
  if (request_ended_) request_ended();
  if (must_hold_back()) return hold_back();
  try_once(false);
}

// Streams of HTTP/2 are not scarce, so a request goes at once where it can have one. A client that waits for 100 asks
// the origin, if that costs nobody a connection.
bool Exchange::must_hold_back() {
  if (request_ended_ || cluster_->multiplexes()) return false;
  return !head_->expect_continue || !cluster_->has_room();
}

void Exchange::hold_back() {
  held_back_ = true;
  if (head_->expect_continue) deadlines_.set(Limit::go_ahead, go_ahead_after);
  deadlines_.set(Limit::pause, pause());
}

base::Millis Exchange::pause() const {
  return std::clamp(base::Millis{site_.listeners[listener_].body_timeout.count / 2}, base::millis(1), pause_max);
}

// Without credit no more of it will come.
void Exchange::send_if_here() {
  if (request_ended_ || held_body_.size() >= held_back_bytes || !downstream_->credit_open()) send_now();
}

void Exchange::body_pauses() {
  const base::Micros silent = env_.loop.now() - last_byte_;
  if (silent < pause()) return deadlines_.set(Limit::pause, base::Millis{pause().count - silent.count / 1000});
  if (downstream_->credit_open() && !cluster_->has_room()) return deadlines_.set(Limit::pause, pause());
  send_now();
}

void Exchange::send_now() {
  held_back_ = false;
  deadlines_.clear(Limit::pause);
  try_once(false);
}

void Exchange::edit_request() {
  http::Head& head = *head_;
  const net::Peer& peer = downstream_->peer();
  const ForwardFacts facts{peer.remote,   client_,        site_.listeners[listener_].forwarded_by,
                           head.scheme,   head.authority, head.version,
                           env_.pseudonym};
  ids_ = add_forwarding(head.fields, facts, env_.random);
  route::edit(head.fields, options().request_headers);
  drop_empty_cookies(head.fields);
  upstream_target_ = route::rewrite_target(options(), head.target, normal_path_, downstream_->arena());
}

void Exchange::try_once(bool fresh) {
  ++attempts_;
  const UpstreamCells& cells = site_.upstream(upstream_index_);
  (retried_for_ == RetryCause::none ? cells.first_tries : cells.further_tries)->add();
  sent_in_try_ = 0;
  asked_at_ = env_.loop.now();
  sent_at_ = base::Micros{};
  cut_by_try_timeout_ = false;
  backing_off_ = false;
  downstream_->allow_silence(false);
  if (!request_ended_) deadlines_.set(Limit::idle, options().stream_idle_timeout);
  upstream::Want want;
  // What may not be repeated must not meet a connection that died while idle.
  want.borrow = http::is_idempotent(head_->method) ? http::Borrow::quick : http::Borrow::surely;
  want.fresh = fresh;
  if (!avoid_.empty()) want.avoid = &avoid_;
  want.budget = options().wait_budget;
  want.until = patience();
  want.lane = options().priority;
  want.client_mark = client_mark_;
  want.client = &downstream_->peer();
  want.key = ring_key_;
  want.route = options().name;
  if (!head_->upgrade.empty()) want.upgrade = by_http1_ ? upstream::Upgrade::by_http1 : upstream::Upgrade::by_any;
  attempt_.start(*cluster_, want);
  leave_if_queued();
}

// Until when somebody waits for the answer; 0: for ever.
base::Micros Exchange::patience() const {
  const base::Micros answer = deadlines_.due(Limit::answer);
  const base::Micros call = deadlines_.due(Limit::call);
  return answer.count == 0 || (call.count != 0 && call < answer) ? call : answer;
}

void Exchange::attempt_ready(const upstream::Grant& grant) {
  pass();
  endpoint_ = downstream_->arena().copy(upstream::endpoint_name(*attempt_.lease().endpoint()));
  reused_ = grant.reused;
  upstream_port_ = attempt_.stream()->peer().local.port();
  tls_ = tls_ + grant.tls;
  sent_at_ = env_.loop.now();
  downstream_->forwarded();
  // What calls itself gRPC may be silent where it holds no connection of HTTP/1 (threats.md row 57).
  downstream_->allow_silence(grpc_ && attempt_.stream()->version() == http::Version::http_2);
  if (request_ended_) deadlines_.set(Limit::one_try, cluster_->options().retry.per_try_timeout);
  if (head_->expect_continue && !go_ahead_sent_) deadlines_.set(Limit::go_ahead, go_ahead_after);
  send_request();
}

void Exchange::send_request() {
  http::Stream& stream = *attempt_.stream();
  http::Head head = *head_;
  head.target = upstream_target_;
  switch (cluster_->options().host) {
    case upstream::HostMode::preserve: break;
    case upstream::HostMode::endpoint: head.authority = {}; break;
    case upstream::HostMode::literal: head.authority = cluster_->options().host_name; break;
  }
  if (head.authority.empty()) {  // also HTTP/1.0 without Host
    head.authority = downstream_->arena().copy(upstream::endpoint_host(*attempt_.lease().endpoint()));
  }
  const bool upgrading = !head.upgrade.empty();
  const End body_end = request_ended_ && trailers_ == nullptr ? End::yes : End::no;
  const End head_end = held_body_.empty() && !upgrading ? body_end : End::no;
  stream.send_head(head, head_end);
  if (!held_body_.empty()) stream.send_body(share(held_body_), body_end);
  if (trailers_ != nullptr) stream.send_trailers(*trailers_);
  bound_replay();
}

void Exchange::request_body(net::ByteQueue&& bytes, End end) {
  http::Stream* const stream = attempt_.stream();
  if (tunnel_) {
    if (stream != nullptr) stream->send_body(std::move(bytes), end);
    return;
  }
  if (!body_gone_) keep_for_replay(bytes);
  if (stream != nullptr) stream->send_body(std::move(bytes), end);
  if (end == End::yes) request_ended();
  if (held_back_) send_if_here();
}

// Kept until it has a stream, and then for a further try. Without a stream no credit is given back, so the session's
// window bounds it.
void Exchange::keep_for_replay(const net::ByteQueue& bytes) {
  for (size_t i = 0; i < bytes.slices(); ++i) held_body_.append(net::Slice(bytes.slice(i)));
  held_body_.compact();
  bound_replay();
}

// With a stream the body goes as soon as it is more than we care to keep, and the head with it.
void Exchange::bound_replay() {
  if (attempt_.stream() == nullptr || held_body_.size() <= replay_bytes_max) return;
  held_body_.clear();
  body_gone_ = true;
  release_request();
}

void Exchange::request_ended() {
  request_ended_ = true;
  if (answer_ != Answer::none) return;
  attempt_.request_ended();
  deadlines_.set(Limit::answer, options().timeout);
  if (attempt_.waiting()) attempt_.set_until(patience());
  if (attempt_.stream() != nullptr) deadlines_.set(Limit::one_try, cluster_->options().retry.per_try_timeout);
  // The upstream owes its head, and nobody anything else: `timeout` rules. Where there is none, silence is still no
  // state for ever.
  deadlines_.set(Limit::idle, options().timeout.count != 0 ? base::Millis{0} : options().stream_idle_timeout);
}

// The upstream has taken n more bytes of the body: the client may send as many. A further try takes the same bytes
// again, which gives no credit twice.
void Exchange::attempt_sent(size_t bytes) {
  moved();
  sent_in_try_ += bytes;
  if (sent_in_try_ <= consumed_) return;
  const uint64_t credit = sent_in_try_ - consumed_;
  consumed_ = sent_in_try_;
  downstream_->consume(credit);
}

// ---- towards the client -----------------------------------------------------------------------------------------

void Exchange::attempt_head(http::Head& head, End end) {
  moved();
  if (head.status < 200 && head.status != 101) return informational(head);
  deadlines_.clear(Limit::one_try);
  deadlines_.clear(Limit::go_ahead);
  if (judge_status(head.status, facts(), cluster_->options().retry) != Verdict::give_up && cluster_->admit_retry()) {
    retry_ended(false);
    retried_for_ = retry_cause_of(head.status);
    const upstream::Endpoint* const from = attempt_.lease().endpoint();
    attempt_.abandon_try(Failure{Kind::reset, Where::proxy, Detail::none, false});
    note_try(downstream_->arena().concat("status_", std::to_string(head.status)));
    return try_again(from, false);  // within the same `timeout`
  }
  deadlines_.clear(Limit::answer);
  deadlines_.set(Limit::idle, options().stream_idle_timeout);
  final_head(head, end);
}

// 100 goes to a client that waits for it, the others to all that can read them (threats.md row 29).
void Exchange::informational(http::Head& head) {
  if (head.status == 100) {
    deadlines_.clear(Limit::go_ahead);
    if (head_->expect_continue) send_go_ahead();
    return;
  }
  if (head_->version == http::Version::http_10) return;
  route::edit(head.fields, options().response_headers);
  downstream_->send_head(head, End::no);
}

void Exchange::send_go_ahead() {
  if (go_ahead_sent_ || answer_ != Answer::none) return;
  go_ahead_sent_ = true;
  http::Head head(downstream_->arena());
  head.status = 100;
  downstream_->send_head(head, End::no);
}

void Exchange::final_head(http::Head& head, End end) {
  first_byte_ = env_.loop.now() - record_.began();
  status_ = head.status;
  if (retried_for_ != RetryCause::none) retry_ended(head.status < 500);
  site_.upstream(upstream_index_).duration->observe(env_.loop.now() - sent_at_);
  tunnel_ = head.status == 101;
  if (tunnel_) held_body_.clear();
  sort_ = sort_of(*head_, head, end);
  pay_cost(head.fields);
  route::edit(head.fields, options().response_headers);
  if (grpc_) note_grpc_status(head.fields);  // without a body it is in the head
  takes_status_ =
      grpc_ && http::is_grpc(head.fields) && !head.content_length && head_->version != http::Version::http_10;
  answer_ = Answer::head_sent;
  note_headers(LoggedHeader::Of::response, head.fields);
  if (fell_back_ != Kind::none) of_route().fallback.served->add();
  downstream_->send_head(head, end);
  if (end == End::yes) return answer_ended();
  goes_on(head.fields);
  base::Arena none;  // what follows may last for hours, and both heads are where they go to
  attempt_.stream()->release_head(none);
  release_request();
}

// The request is not sent again: of its head only what its line in the log takes is kept (threats.md row 36).
void Exchange::release_request() {
  if (downstream_->arena().bytes_held() <= release_above) return;
  base::Arena kept;
  http::Head& head = *head_;
  const auto copy = [&kept](std::string_view text, size_t most) {
    return kept.copy(text.substr(0, most + 1));
  };  // one more: the log shows that it was cut
  const std::string_view user_agent = copy(head.fields.value(http::Token::user_agent), AccessRecord::value_bytes_max);
  const std::string_view referer = copy(head.fields.value(http::Token::referer), AccessRecord::value_bytes_max);
  const std::string_view method = copy(head.method_text, AccessRecord::value_bytes_max);
  const std::string_view authority = copy(head.authority, AccessRecord::value_bytes_max);
  const std::string_view target = copy(head.target, AccessRecord::path_bytes_max);
  const std::string_view client = kept.copy(client_text_);
  const std::string_view endpoint = kept.copy(endpoint_);
  const std::span<Try> tries = copy_tries(kept);
  const RequestIds ids{kept.copy(ids_.request_id), kept.copy(ids_.trace_id), kept.copy(ids_.span_id)};
  std::string_view* const logged = copy_headers(kept);
  if (!downstream_->release_head(kept)) return;
  head.method_text = method;
  head.authority = authority;
  head.target = target;
  head.upgrade = normal_path_ = upstream_target_ = {};
  if (!user_agent.empty()) head.fields.add(http::Token::user_agent, user_agent);
  if (!referer.empty()) head.fields.add(http::Token::referer, referer);
  client_text_ = client;
  endpoint_ = endpoint;
  ids_ = ids;
  tries_ = tries.data();
  logged_headers_ = logged;
}

void Exchange::attempt_body(net::ByteQueue&& bytes, End end) {
  moved();
  if (bytes_offered_ == bytes_out_) taken_at_ = last_byte_;
  bytes_offered_ += bytes.size();
  downstream_->send_body(std::move(bytes), end);
  if (end == End::yes) answer_ended();
}

void Exchange::attempt_trailers(http::Fields& trailers) {
  moved();
  if (grpc_) note_grpc_status(trailers);
  pay_cost(trailers);
  route::edit_trailers(trailers, options().response_headers);
  if (trailers.empty()) {
    downstream_->send_body({}, End::yes);
  } else {
    downstream_->send_trailers(trailers);
  }
  answer_ended();
}

void Exchange::note_grpc_status(const http::Fields& fields) {
  if (const auto status = http::parse_grpc_status(fields.value(http::Token::grpc_status)))
    grpc_status_ = static_cast<int16_t>(*status);
}

// The answer is whole. If the request is not, nobody needs the rest of it: the connection upstream ends, and the
// client's session drops what still comes (threats.md row 31).
void Exchange::answer_ended() {
  answer_ = Answer::ended;
  held_body_.clear();
  if (request_ended_ || tunnel_) return;
  attempt_.abandon(Failure{Kind::none, Where::proxy, Detail::none, false});
  if (bytes_in_ > consumed_) {
    downstream_->consume(bytes_in_ - consumed_);
    consumed_ = bytes_in_;
  }
}

base::Micros Exchange::attempt_stalled_since() const {
  return tunnel_ || bytes_offered_ == bytes_out_ ? base::Micros{} : taken_at_;
}

// The client takes nothing, and others wait for the place that its answer holds.
void Exchange::attempt_gives_way() {
  pass();
  fail({Kind::request_timeout, Where::downstream, Detail::slow_read, false});
}

void Exchange::attempt_done() {
  pass();
  if (downstream_closed_ || answer_ == Answer::ended) return;
  fail({Kind::bad_response, Where::upstream, Detail::truncated,
        false});  // a stream ends clean only when both directions did
}

// ---- failures and time ------------------------------------------------------------------------------------------

TryFacts Exchange::facts() const {
  TryFacts facts;
  facts.method = head_->method;
  facts.attempts = attempts_ - attempts_before_ - (replayed_ ? 1u : 0u) - (by_http1_ ? 1u : 0u);
  facts.replayed = replayed_;
  facts.body = body_gone_ ? Body::gone : Body::held;
  facts.head_sent_down = answer_ != Answer::none;
  facts.answer_begun = attempt_.answer_begun();
  facts.connection_reused = reused_;
  facts.cut_by_try_timeout = cut_by_try_timeout_;
  return facts;
}

// `at`: where it failed, if it came to an endpoint.
void Exchange::count_upstream_error(const Failure& why, const upstream::Endpoint* at) {
  site_.count_error(upstream_index_, why.kind);
  if (at != nullptr) upstream::note_error(*at, why.kind);
  if (why.detail != Detail::none) env_.meter.protocol_error(Where::upstream, why.detail);
}

// Who has the request now; nullptr: it waits.
const upstream::Endpoint* Exchange::serving() {
  return attempt_.stream() == nullptr ? nullptr : attempt_.lease().endpoint();
}

// An upgrade is for HTTP/1.1, too; what HTTP/2 needs for it (RFC 8441) few origins have.
bool Exchange::goes_by_http1(const Failure& why) const {
  return why.kind == Kind::not_implemented && !by_http1_ && cluster_->options().protocol == upstream::Protocol::any;
}

void Exchange::attempt_failed(const Failure& why, const upstream::Endpoint* endpoint) {
  pass();
  if (goes_by_http1(why)) {
    by_http1_ = true;
    deadlines_.clear(Limit::one_try);
    return try_once(false);
  }
  count_upstream_error(why, endpoint);
  if (endpoint != nullptr && sent_at_.count == 0)
    endpoint_ = downstream_->arena().copy(upstream::endpoint_name(*endpoint));
  deadlines_.clear(Limit::one_try);
  deadlines_.clear(Limit::go_ahead);
  const UpstreamCells& cells = site_.upstream(upstream_index_);
  TryFacts tried = facts();
  tried.known_to_fail = endpoint != nullptr && upstream::failing_since(*endpoint) < asked_at_;
  retry_ended(false);
  const Verdict verdict = judge(why, tried, cluster_->options().retry);
  if (idle_race(why, tried)) (verdict == Verdict::again_fresh ? cells.race_replayed : cells.race_lost)->add(1);
  switch (verdict) {
    case Verdict::give_up: return give_up(why, why_given_up(why, tried, cluster_->options().retry));
    case Verdict::again_fresh:
      replayed_ = true;
      note_try(http::reason_word(why.kind));
      retried_for_ = retry_cause_of(why.kind);
      return try_once(true);
    case Verdict::again_free: break;
    case Verdict::again:
      if (!cluster_->admit_retry()) return give_up(why, NotRepeated::budget);
      break;
  }
  note_try(http::reason_word(why.kind));
  retried_for_ = retry_cause_of(why.kind);
  try_again(endpoint, why.untouched);
}

void Exchange::give_up(const Failure& why, NotRepeated because) {
  not_repeated_ = because;
  const bool wanted = because == NotRepeated::budget || because == NotRepeated::unsafe ||
                      because == NotRepeated::body_gone ||
                      (because == NotRepeated::attempts && cluster_->options().retry.attempts > 1);
  if (wanted) site_.count_refused(upstream_index_, because);
  fail(why);
}

// What the further try came to, if this was one. One that nobody waited for to its end counts as neither.
void Exchange::retry_ended(bool helped) {
  const RetryCause cause = std::exchange(retried_for_, RetryCause::none);
  if (cause != RetryCause::none) site_.count_retry(upstream_index_, cause, helped);
}

void Exchange::try_again(const upstream::Endpoint* failed, bool untouched) {
  if (failed != nullptr) avoid_.add(upstream::endpoint_id(*failed));
  const base::Millis pause =
      pause_before_retry(facts().attempts, untouched, cluster_->options().retry.backoff, env_.random.next());
  if (pause.count == 0) return try_once(false);
  backing_off_ = true;
  asked_at_ = env_.loop.now();
  deadlines_.set(Limit::backoff, pause);
}

void Exchange::on_deadline(Limit which) {
  pass();
  switch (which) {
    case Limit::answer: {
      const Failure why{Kind::timeout, Where::upstream, Detail::none, false};
      count_upstream_error(why, serving());
      attempt_.done(upstream::Outcome::timeout);
      return fail(why);
    }
    case Limit::one_try: {
      cut_by_try_timeout_ = true;
      const upstream::Endpoint* const endpoint = attempt_.lease().endpoint();
      attempt_.done(upstream::Outcome::timeout);
      attempt_.abandon_try({Kind::timeout, Where::proxy, Detail::none, false});
      return attempt_failed({Kind::reset, Where::upstream, Detail::none, false}, endpoint);
    }
    case Limit::idle: {
      const base::Micros idle = env_.loop.now() - last_byte_;
      const base::Micros limit = options().stream_idle_timeout;
      if (idle < limit) return deadlines_.set(Limit::idle, base::Millis{(limit - idle).count / 1000 + 1});
      const Failure why{Kind::timeout, Where::upstream, Detail::none, false};
      count_upstream_error(why, serving());
      return fail(why);
    }
    case Limit::call: return call_too_long();
    case Limit::go_ahead: return send_go_ahead();
    case Limit::pause: return body_pauses();
    case Limit::backoff: return try_once(false);
    case Limit::stream: return stream_too_long();
    case Limit::told: return tell_open();
  }
}

// The client's own deadline has passed (grpc-timeout). The upstream need not go on, and the call ends with its status
// even if the answer has begun: a message cut by it is none, as the status is not 0.
void Exchange::call_too_long() {
  if (answer_ == Answer::ended) return;
  const Failure why{Kind::timeout, Where::upstream, Detail::none, false};
  if (answer_ == Answer::none)
    count_upstream_error(why, serving());  // a stream that has begun may well have been meant to last so long
  if (!takes_status_) {
    downstream_->recalled();
    return fail_for_good(why);
  }
  went_wrong(why);
  deadlines_.clear_all();
  downstream_->recalled();
  attempt_.abandon(why);
  end_call(why.kind);
}

void Exchange::end_call(Kind kind) {
  const http::GrpcStatus status = http::grpc_status_of(kind);
  grpc_status_ = static_cast<int16_t>(status);
  http::Fields trailers(downstream_->arena());
  add_grpc_status(trailers, status, reply_for(kind, downstream_->arena()));
  downstream_->send_trailers(trailers);
  answer_ended();
}

void Exchange::moved() {
  pass();
  last_byte_ = env_.loop.now();
}

}  // namespace sluice::exchange

#include "exchange/retry.h"

#include <algorithm>

#include "base/check.h"

namespace sluice::exchange {
namespace {

// May this kind be tried again at all, by the operator's `retry.on`?
bool asked_for(const http::Failure& why, const TryFacts& facts, const upstream::RetryOn& on) {
  if (facts.cut_by_try_timeout) return on.reset;
  switch (why.kind) {
    case http::Kind::connect_failed:
    case http::Kind::connect_timeout: return on.connect;
    case http::Kind::tls_failed: return on.connect;   // the handshake is part of connecting
    case http::Kind::no_local_port:
    case http::Kind::no_descriptor: return on.connect && why.untouched;  // else no other place has more of them
    case http::Kind::reset: return on.reset;
    case http::Kind::refused_stream: return on.refused_stream;
    case http::Kind::none:
    case http::Kind::bad_request:
    case http::Kind::body_too_large:
    case http::Kind::uri_too_long:
    case http::Kind::headers_too_large:
    case http::Kind::not_implemented:
    case http::Kind::version:
    case http::Kind::denied:
    case http::Kind::no_route:
    case http::Kind::method_not_allowed:
    case http::Kind::expectation:
    case http::Kind::rate_limited:
    case http::Kind::request_timeout:
    case http::Kind::misdirected:
    case http::Kind::too_early:
    case http::Kind::loop:
    case http::Kind::client_closed:
    case http::Kind::bad_response:   // it was processed, and would be answered the same way again
    case http::Kind::no_endpoint:
    case http::Kind::pool_timeout:
    case http::Kind::pool_full:
    case http::Kind::circuit_open:
    case http::Kind::overloaded:
    case http::Kind::timeout:        // the whole time is used up
    case http::Kind::shutdown: return false;
  }
  UNREACHABLE();
}

// TLS can also fail in the middle of an exchange.
bool never_sent(const http::Failure& why) {
  const bool connecting = why.kind == http::Kind::connect_failed || why.kind == http::Kind::connect_timeout ||
                          why.kind == http::Kind::tls_failed || why.kind == http::Kind::no_local_port;
  return connecting && why.untouched;
}

bool is_gateway_error(uint16_t status) { return status >= 502 && status <= 504; }

}  // namespace

// A reused connection that closed most likely before it read the request. With a detail something had come; of bytes
// that stood there before the request was written (a 408 of a server that was about to close, as a rule) nothing was an
// answer to it.
bool idle_race(const http::Failure& why, const TryFacts& facts) {
  const bool silent = facts.connection_reused && !facts.answer_begun && !facts.cut_by_try_timeout;
  const bool unasked = why.detail == http::Detail::extra_bytes && why.untouched;
  return silent && why.kind == http::Kind::reset && (why.detail == http::Detail::none || unasked);
}

Verdict judge(const http::Failure& why, const TryFacts& facts, const upstream::RetryOptions& options) {
  if (facts.head_sent_down) return Verdict::give_up;
  const bool repeatable = facts.body == Body::held && (why.untouched || http::is_idempotent(facts.method));
  if (repeatable && !facts.replayed && idle_race(why, facts)) return Verdict::again_fresh;
  if (facts.attempts >= options.attempts) return Verdict::give_up;
  if (!asked_for(why, facts, options.on)) return Verdict::give_up;
  if (facts.body == Body::gone) return Verdict::give_up;
  if (never_sent(why)) return facts.known_to_fail ? Verdict::again : Verdict::again_free;
  return repeatable ? Verdict::again : Verdict::give_up;
}

// In the order of judge().
NotRepeated why_given_up(const http::Failure& why, const TryFacts& facts, const upstream::RetryOptions& options) {
  if (facts.head_sent_down) return NotRepeated::answer_begun;
  if (!asked_for(why, facts, options.on)) return NotRepeated::not_asked_for;
  if (facts.attempts >= options.attempts) return NotRepeated::attempts;
  if (facts.body == Body::gone) return NotRepeated::body_gone;
  return NotRepeated::unsafe;
}

std::string_view not_repeated_word(NotRepeated why) {
  switch (why) {
    case NotRepeated::unsaid: return "";
    case NotRepeated::answer_begun: return "answer_begun";
    case NotRepeated::attempts: return "attempts";
    case NotRepeated::not_asked_for: return "not_asked_for";
    case NotRepeated::body_gone: return "body_gone";
    case NotRepeated::unsafe: return "unsafe";
    case NotRepeated::budget: return "budget";
  }
  UNREACHABLE();
}

Verdict judge_status(uint16_t status, const TryFacts& facts, const upstream::RetryOptions& options) {
  const bool asked = (status == 503 && options.on.status_503) || (is_gateway_error(status) && options.on.gateway_error);
  if (!asked) return Verdict::give_up;
  if (facts.attempts >= options.attempts || facts.body == Body::gone) return Verdict::give_up;
  return http::is_idempotent(facts.method) ? Verdict::again : Verdict::give_up;
}

RetryCause retry_cause_of(http::Kind kind) {
  switch (kind) {
    case http::Kind::connect_failed: return RetryCause::connect_failed;
    case http::Kind::connect_timeout: return RetryCause::connect_timeout;
    case http::Kind::tls_failed: return RetryCause::tls_failed;
    case http::Kind::no_local_port: return RetryCause::no_local_port;
    case http::Kind::no_descriptor: return RetryCause::no_descriptor;
    case http::Kind::reset: return RetryCause::reset;
    case http::Kind::refused_stream: return RetryCause::refused_stream;
    default: return RetryCause::none;
  }
}

RetryCause retry_cause_of(uint16_t status) {
  switch (status) {
    case 502: return RetryCause::status_502;
    case 503: return RetryCause::status_503;
    case 504: return RetryCause::status_504;
    default: return RetryCause::none;
  }
}

std::string_view retry_cause_word(RetryCause cause) {
  switch (cause) {
    case RetryCause::none: return "none";
    case RetryCause::connect_failed: return "connect_failed";
    case RetryCause::connect_timeout: return "connect_timeout";
    case RetryCause::tls_failed: return "tls_failed";
    case RetryCause::no_local_port: return "no_local_port";
    case RetryCause::no_descriptor: return "no_descriptor";
    case RetryCause::reset: return "reset";
    case RetryCause::refused_stream: return "refused_stream";
    case RetryCause::status_502: return "status_502";
    case RetryCause::status_503: return "status_503";
    case RetryCause::status_504: return "status_504";
  }
  UNREACHABLE();
}

bool may_ask_another(const http::Failure& why, const TryFacts& facts) {
  if (facts.head_sent_down || facts.body == Body::gone) return false;
  switch (why.kind) {
    case http::Kind::no_endpoint:
    case http::Kind::pool_timeout:
    case http::Kind::pool_full:
    case http::Kind::circuit_open:
    case http::Kind::no_local_port:
    case http::Kind::no_descriptor: return true;  // it never left us
    case http::Kind::connect_failed:
    case http::Kind::connect_timeout:
    case http::Kind::tls_failed:
    case http::Kind::reset:
    case http::Kind::refused_stream:
    case http::Kind::bad_response: return why.untouched || http::is_idempotent(facts.method);
    default:
      return false;  // the client's doing; `timeout`: nothing is left of it; overload, which more work is not for
  }
}

base::Millis pause_before_retry(uint32_t attempts, bool untouched, base::Millis backoff, uint64_t random) {
  constexpr uint32_t doublings_most = 5;
  if (backoff.count == 0 || (untouched && attempts <= 1)) return base::Millis{0};
  const int64_t most = backoff.count << std::min(std::max(attempts, 1U) - 1, doublings_most);
  return base::Millis{static_cast<int64_t>(random % static_cast<uint64_t>(most + 1))};
}

}  // namespace sluice::exchange

// The decision to try again, as a table: failure, method, attempts left and budget in, decision out.
#include "exchange/retry.h"

#include <initializer_list>

#include <doctest/doctest.h>

using namespace sluice;
using exchange::Body;
using exchange::judge;
using exchange::judge_status;
using exchange::TryFacts;
using exchange::Verdict;
using http::Failure;
using http::Kind;
using http::Method;
using http::Where;

namespace {
Failure failure(Kind kind, bool untouched = false) { return {kind, Where::upstream, http::Detail::none, untouched}; }
TryFacts facts_of(Method method) {
  TryFacts facts;
  facts.method = method;
  return facts;
}
const upstream::RetryOptions defaults;
}  // namespace

TEST_CASE("a failed connect is tried again whatever the method, and costs no budget") {
  for (const Kind kind : {Kind::connect_failed, Kind::connect_timeout, Kind::tls_failed}) {
    CHECK(judge(failure(kind, true), facts_of(Method::post), defaults) == Verdict::again_free);
  }
}

TEST_CASE("ports or descriptors of ours that ran out: no other try at the same place") {
  for (const Kind kind : {Kind::no_local_port, Kind::no_descriptor}) {
    CHECK(judge(failure(kind), facts_of(Method::get), defaults) == Verdict::give_up);
  }
  // Ports are free towards another endpoint.
  CHECK(judge(failure(Kind::no_local_port, true), facts_of(Method::post), defaults) == Verdict::again_free);
}

TEST_CASE("a failed connect to an endpoint that is known to fail is a try like any other, whatever the method") {
  TryFacts facts = facts_of(Method::post);
  facts.known_to_fail = true;
  CHECK(judge(failure(Kind::connect_failed, true), facts, defaults) == Verdict::again);
  facts.body = Body::gone;
  CHECK(judge(failure(Kind::connect_failed, true), facts, defaults) == Verdict::give_up);
}

TEST_CASE(
    "the pause before a further try: any share of a backoff that doubles; none for what was not processed, once") {
  const base::Millis backoff{25};
  CHECK(exchange::pause_before_retry(1, true, backoff, 17).count == 0);
  CHECK(exchange::pause_before_retry(1, false, base::Millis{0}, 17).count == 0);
  CHECK(exchange::pause_before_retry(1, false, backoff, 25).count == 25);
  CHECK(exchange::pause_before_retry(1, false, backoff, 26).count == 0);
  CHECK(exchange::pause_before_retry(2, true, backoff, 50).count == 50);
  CHECK(exchange::pause_before_retry(2, true, backoff, 51).count == 0);
  CHECK(exchange::pause_before_retry(6, false, backoff, 800).count == 800);
  CHECK(exchange::pause_before_retry(10, false, backoff, 800).count == 800);
  CHECK(exchange::pause_before_retry(10, false, backoff, 801).count == 0);
}

TEST_CASE("TLS that fails in the middle of an exchange is no failed connect") {
  CHECK(judge(failure(Kind::tls_failed), facts_of(Method::post), defaults) == Verdict::give_up);
  TryFacts facts = facts_of(Method::get);
  CHECK(judge(failure(Kind::tls_failed), facts, defaults) == Verdict::again);
  facts.body = Body::gone;                    // what is left of the request is not all of it
  CHECK(judge(failure(Kind::tls_failed), facts, defaults) == Verdict::give_up);
  CHECK(judge(failure(Kind::tls_failed, true), facts, defaults) == Verdict::give_up);
}

TEST_CASE("a dead reused connection: GET again on a fresh one, POST never") {
  TryFacts facts = facts_of(Method::get);
  facts.connection_reused = true;
  CHECK(judge(failure(Kind::reset), facts, defaults) == Verdict::again_fresh);
  facts.method = Method::post;
  CHECK(judge(failure(Kind::reset), facts, defaults) == Verdict::give_up);
  facts.method = Method::patch;
  CHECK(judge(failure(Kind::reset), facts, defaults) == Verdict::give_up);
}

TEST_CASE("a dead reused connection is no sign of a sick upstream: once, whatever attempts and retry.on say") {
  TryFacts facts = facts_of(Method::get);
  facts.connection_reused = true;
  facts.attempts = 5;
  upstream::RetryOptions none;
  none.attempts = 1;
  none.on = {false, false, false, false};
  CHECK(judge(failure(Kind::reset), facts, none) == Verdict::again_fresh);
  CHECK(judge(failure(Kind::reset, true), facts_of(Method::post), none) == Verdict::give_up);   // fresh: it is one
  facts.method = Method::post;
  CHECK(judge(failure(Kind::reset, true), facts, none) == Verdict::again_fresh);
  CHECK(judge(failure(Kind::reset), facts, none) == Verdict::give_up);
  facts.method = Method::put;
  facts.body = Body::gone;
  CHECK(judge(failure(Kind::reset), facts, defaults) == Verdict::give_up);
  facts = facts_of(Method::get);
  facts.connection_reused = facts.replayed = true;
  CHECK(judge(failure(Kind::reset), facts, defaults) == Verdict::again);
  facts.attempts = defaults.attempts;
  CHECK(judge(failure(Kind::reset), facts, defaults) == Verdict::give_up);
  // A slow answer, or one that had begun, is another thing.
  facts = facts_of(Method::get);
  facts.connection_reused = facts.cut_by_try_timeout = true;
  CHECK(judge(failure(Kind::reset), facts, defaults) == Verdict::again);
  facts.cut_by_try_timeout = false;
  facts.answer_begun = true;
  CHECK(judge(failure(Kind::reset), facts, defaults) == Verdict::again);
  CHECK(judge({Kind::reset, Where::upstream, http::Detail::truncated, false}, facts, defaults) == Verdict::again);
}

TEST_CASE("bytes that stood on an idle connection before the request was written: as if it had been found dead") {
  const Failure stray{Kind::reset, Where::upstream, http::Detail::extra_bytes, true};
  for (const Method method : {Method::get, Method::post}) {
    TryFacts facts = facts_of(method);
    facts.connection_reused = true;
    CHECK(judge(stray, facts, defaults) == Verdict::again_fresh);
    facts.connection_reused = false;            // a server that speaks first is another thing
    CHECK(judge(stray, facts, defaults) == Verdict::again);
  }
}

TEST_CASE("a POST that surely was not processed may be sent again, if its body is still held") {
  TryFacts facts = facts_of(Method::post);
  CHECK(judge(failure(Kind::refused_stream, true), facts, defaults) == Verdict::again);
  facts.body = Body::gone;
  CHECK(judge(failure(Kind::refused_stream, true), facts, defaults) == Verdict::give_up);
}

TEST_CASE("nothing is repeated once the client has seen a head, or the tries are used up") {
  TryFacts facts = facts_of(Method::get);
  facts.head_sent_down = true;
  CHECK(judge(failure(Kind::reset), facts, defaults) == Verdict::give_up);
  facts = facts_of(Method::get);
  facts.attempts = defaults.attempts;
  CHECK(judge(failure(Kind::connect_failed), facts, defaults) == Verdict::give_up);
}

TEST_CASE("retry.on switches each cause off") {
  upstream::RetryOptions options;
  options.on = {false, false, false, false};
  for (const Kind kind : {Kind::connect_failed, Kind::reset, Kind::refused_stream}) {
    CHECK(judge(failure(kind, true), facts_of(Method::get), options) == Verdict::give_up);
  }
}

TEST_CASE("nonsense, timeouts and full queues are not repeated") {
  for (const Kind kind : {Kind::bad_response, Kind::timeout, Kind::pool_timeout, Kind::pool_full, Kind::no_endpoint}) {
    CHECK(judge(failure(kind), facts_of(Method::get), defaults) == Verdict::give_up);
  }
}

TEST_CASE("503 is asked again only if the operator said so and the method is idempotent") {
  CHECK(judge_status(503, facts_of(Method::get), defaults) == Verdict::give_up);
  upstream::RetryOptions options;
  options.on.status_503 = true;
  CHECK(judge_status(503, facts_of(Method::get), options) == Verdict::again);
  CHECK(judge_status(503, facts_of(Method::post), options) == Verdict::give_up);
  CHECK(judge_status(502, facts_of(Method::get), options) == Verdict::give_up);
  options.on.gateway_error = true;
  for (const uint16_t status : std::initializer_list<uint16_t>{502, 503, 504})
    CHECK(judge_status(status, facts_of(Method::get), options) == Verdict::again);
  for (const uint16_t status : std::initializer_list<uint16_t>{500, 501, 505, 429})
    CHECK(judge_status(status, facts_of(Method::get), options) == Verdict::give_up);
  CHECK(judge_status(502, facts_of(Method::post), options) == Verdict::give_up);
}

TEST_CASE("another upstream may be asked where one more try would be safe and there is time for it") {
  TryFacts facts = facts_of(Method::post);
  for (const Kind kind : {Kind::no_endpoint, Kind::pool_timeout, Kind::pool_full, Kind::circuit_open,
                          Kind::no_local_port, Kind::no_descriptor}) {
    CHECK(exchange::may_ask_another(failure(kind), facts));
  }
  for (const Kind kind : {Kind::connect_failed, Kind::connect_timeout, Kind::tls_failed, Kind::reset,
                          Kind::refused_stream, Kind::bad_response}) {
    CHECK(exchange::may_ask_another(failure(kind, true), facts));
    CHECK_FALSE(exchange::may_ask_another(failure(kind), facts));
    CHECK(exchange::may_ask_another(failure(kind), facts_of(Method::get)));
  }
  for (const Kind kind : {Kind::timeout, Kind::overloaded, Kind::shutdown, Kind::client_closed, Kind::rate_limited}) {
    CHECK_FALSE(exchange::may_ask_another(failure(kind, true), facts_of(Method::get)));
  }
  facts.body = Body::gone;
  CHECK_FALSE(exchange::may_ask_another(failure(Kind::pool_timeout, true), facts));
  facts.body = Body::held;
  facts.head_sent_down = true;
  CHECK_FALSE(exchange::may_ask_another(failure(Kind::pool_timeout, true), facts));
}

TEST_CASE("who gives up says why, in the order in which it was judged") {
  using exchange::NotRepeated;
  TryFacts facts = facts_of(Method::post);
  facts.attempts = 1;
  CHECK(judge(failure(Kind::reset), facts, defaults) == Verdict::give_up);
  CHECK(exchange::why_given_up(failure(Kind::reset), facts, defaults) == NotRepeated::unsafe);
  facts.body = Body::gone;
  CHECK(exchange::why_given_up(failure(Kind::reset), facts, defaults) == NotRepeated::body_gone);
  CHECK(exchange::why_given_up(failure(Kind::bad_response), facts, defaults) == NotRepeated::not_asked_for);
  facts.attempts = defaults.attempts;
  CHECK(exchange::why_given_up(failure(Kind::reset), facts, defaults) == NotRepeated::attempts);
  CHECK(exchange::why_given_up(failure(Kind::bad_response), facts, defaults) == NotRepeated::not_asked_for);
  facts.head_sent_down = true;
  CHECK(exchange::why_given_up(failure(Kind::bad_response), facts, defaults) == NotRepeated::answer_begun);
}

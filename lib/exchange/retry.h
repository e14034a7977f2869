// The safe-replay rule (configuration.md, "Safe replay") as a pure function: from the failure and what is known of the
// request to a verdict. No clock, no loop, no side effect.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "http/failure.h"
#include "http/token.h"
#include "upstream/options.h"

namespace sluice::exchange {

// What became of the body bytes that were already given to the failed try.
enum class Body : uint8_t { held, gone };

struct TryFacts {
  http::Method method = http::Method::get;
  uint32_t attempts = 1;  // tries so far, the failed one included; but for one that met a dead idle connection
  Body body = Body::held;  // gone: more was sent than we keep, so the request cannot be repeated whole
  bool head_sent_down = false;  // a final head went to the client: nothing can be taken back
  bool answer_begun = false;  // the upstream sent at least one byte of an answer
  bool connection_reused = false;  // not the first request of its connection
  bool cut_by_try_timeout = false;  // per_try_timeout: counts as reset
  bool replayed = false;  // again_fresh was said before
  bool known_to_fail = false;  // connects to that endpoint failed already when this try asked for it
};

enum class Verdict : uint8_t {
  give_up,  // answer the client with the failure
  again,  // another try; draws on the retry budget
  // After a dead reused connection, once: on a connection of its own. No sign of a sick upstream: whatever `attempts`
  // and `on` say, and without drawing on the budget.
  again_fresh,
  // A failed connect to an endpoint of which that is news: nothing was sent, and others that asked at the same time are
  // as unlucky. Does not draw on the budget. Once it is known, each further one is a try that an outage costs: `again`.
  again_free,
};

// What a further try was made for: `reason` of upstream_retries_total.
enum class RetryCause : uint8_t {
  none,
  connect_failed,
  connect_timeout,
  tls_failed,
  no_local_port,
  no_descriptor,
  reset,
  refused_stream,
  status_502,
  status_503,
  status_504,
};
inline constexpr size_t retry_causes = static_cast<size_t>(RetryCause::status_504) + 1;
RetryCause retry_cause_of(http::Kind kind);  // none: nothing that is tried again
RetryCause retry_cause_of(uint16_t status);  // likewise
std::string_view retry_cause_word(RetryCause cause);

// Why a try that failed is the last one. The last four of the list: `why` of upstream_retries_refused_total.
enum class NotRepeated : uint8_t {
  unsaid,  // nothing failed, or nobody asked
  answer_begun,  // the client has a part of the answer
  not_asked_for,  // failures of this kind: retry.on
  attempts,  // retry.attempts are made
  body_gone,  // more of its body was sent than is kept
  unsafe,  // it may have been processed, and its method is not idempotent
  budget,  // the upstream's retry budget is used up
};
inline constexpr unsigned not_repeated_words = static_cast<unsigned>(NotRepeated::budget) + 1;
std::string_view not_repeated_word(NotRepeated why);  // "" = unsaid

// Did a reused connection close, most likely before it read the request?
bool idle_race(const http::Failure& why, const TryFacts& facts);
Verdict judge(const http::Failure& why, const TryFacts& facts, const upstream::RetryOptions& options);
// Where judge() gave up.
NotRepeated why_given_up(const http::Failure& why, const TryFacts& facts, const upstream::RetryOptions& options);

// An upstream answered 502, 503 or 504: may it be asked again? Only if the operator asked for it and the method is
// idempotent.
Verdict judge_status(uint16_t status, const TryFacts& facts, const upstream::RetryOptions& options);

// A request failed so for good: may another upstream be asked in its place (fallback)? Where one more try would be
// safe, and there is time for it.
bool may_ask_another(const http::Failure& why, const TryFacts& facts);

// How long to wait before the next try, when `attempts` were made: a random share of `backoff`, which doubles with each
// further try (32 times at most). What surely was not processed goes to another endpoint at once, once. `random`: any.
base::Millis pause_before_retry(uint32_t attempts, bool untouched, base::Millis backoff, uint64_t random);

}  // namespace sluice::exchange

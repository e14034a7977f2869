// What a request pays at its route's limits: once, however often it is tried, and again when the answer says its cost.
#include "base/pages.h"
#include "base/text.h"
#include "exchange/admission.h"
#include "exchange/exchange.h"

namespace sluice::exchange {

// There is not room for all: who matters least goes first, before it has cost much.
bool Exchange::sheds() {
  const http::Lane lane = options().priority;
  if (base::MemoryLimit::above(memory_eighths(lane))) {
    refusal_ = "max_memory";
    env_.meter.shed(Shed::max_memory, lane);
    return true;
  }
  if (env_.overload.calm()) return false;
  const net::Loop& loop = env_.loop;
  const Overload::Moment now{loop.now(), loop.lateness().at_turn(), loop.turn_so_far(), loop.turns()};
  if (!env_.overload.refuses(now, lane)) return false;
  refusal_ = "late";
  env_.meter.shed(Shed::late, lane);
  return true;
}

// Its place among those of its key that are open, which it has to its end.
bool Exchange::take_place() {
  const ConcurrencyCells& cells = of_route().concurrency;
  if (cells.limiter == nullptr) return true;
  const route::ConcurrencyLimit& limit = *options().concurrency_limit;
  auto taken = cells.limiter->take(limit_key(limit.key, limit.key_name, client_, head_->fields), limit.requests);
  place_ = std::move(taken.held);
  switch (taken.verdict) {
    case ConcurrencyLimiter::Verdict::admitted: cells.allowed->add(); return true;
    case ConcurrencyLimiter::Verdict::uncounted: cells.uncounted->add(); return true;
    case ConcurrencyLimiter::Verdict::refused: break;
  }
  (limit.dry_run ? cells.would_limit : cells.limited)->add();
  if (!limit.dry_run) refusal_ = "concurrency_limit";
  return limit.dry_run;
}

bool Exchange::pay_rate() {
  const RateCells& rate = of_route().rate;
  if (rate.limiter == nullptr) return true;
  const route::RateLimit& limit = *options().rate_limit;
  rate_key_ = rate.limiter->hash_of(limit_key(limit.key, limit.key_name, client_, head_->fields));
  const RateLimiter::Verdict verdict = rate.limiter->take(rate_key_, env_.loop.now());
  cost_unknown_ = !limit.cost.empty();
  if (verdict.admitted) {
    rate.allowed->add();
    return true;
  }
  (limit.dry_run ? rate.would_limit : rate.limited)->add();
  rate_wait_ = verdict.wait_seconds;
  return limit.dry_run;
}

// Head or trailers of the answer, as the upstream sent them. One was paid at the beginning.
void Exchange::pay_cost(const http::Fields& fields) {
  if (!cost_unknown_) return;
  const http::Field* const said = fields.find(options().rate_limit->cost);
  if (said == nullptr) return;
  cost_unknown_ = false;
  const uint64_t cost = base::parse_u64(said->value()).value_or(1);
  if (cost > 1) of_route().rate.limiter->charge(rate_key_, cost - 1, env_.loop.now());
}

}  // namespace sluice::exchange

// The transitions. See standing.h.
#include "upstream/standing.h"

namespace sluice::upstream {
namespace {

Standing away(Standing s, Away why, base::Micros now, base::Millis span) {
  const std::int64_t end = (now.count + base::Micros(span).count + 999) / 1'000;
  s.away = static_cast<std::uint64_t>(why) & 3;
  s.until = static_cast<std::uint64_t>(end) & 0xffff'ffff'ffff;
  return s;
}

Standing back(Standing s) {
  s.away = 0;
  s.until = 0;
  s.aside_level = 0;
  return s;
}

Standing one_more_failure(Standing s) {
  s.failures = std::min<std::uint64_t>(s.failures + 1, Standing::failures_most) & 0xff;
  return s;
}

Standing connect_failed(Standing s, bool trial, base::Micros now) {
  if (!trial && s.kept_away(now)) return s;   // one of many that fail together
  if (s.why() == Away::ejected) return one_more_failure(s);   // how long it stays away is control's to say
  const std::uint64_t level = s.aside_level;
  const std::int64_t doubled = Standing::aside_first.count << std::min<std::uint64_t>(level, 10);
  s.aside_level = std::min<std::uint64_t>(level + 1, Standing::aside_level_most) & 0xf;
  return away(one_more_failure(s), Away::aside, now, base::Millis{std::min(doubled, Standing::aside_most.count)});
}

Standing outcome(Standing s, const Event& event, base::Micros now) {
  if (counts_against(event.outcome)) return one_more_failure(s);
  if (!counts_for(event.outcome)) {   // nobody knows how the trial went: the next request is one
    return event.trial && s.why() == Away::ejected ? away(s, Away::ejected, now, base::Millis{0}) : s;
  }
  s.failures = 0;
  return event.trial && s.why() == Away::ejected ? back(s) : s;
}

}  // namespace

Standing note(Standing s, const Event& event, base::Micros now) {
  switch (event.kind) {
    case Event::Kind::connect_failed: return connect_failed(s, event.trial, now);
    case Event::Kind::connected:
      if (s.why() == Away::aside) return back(s);
      // The connect was the trial so far; the request that it is for takes it over.
      return event.trial && s.why() == Away::ejected ? away(s, Away::ejected, now, base::Millis{0}) : s;
    case Event::Kind::trial_claimed: return s.trial_due(now) ? away(s, s.why(), now, event.span) : s;
    case Event::Kind::outcome: return outcome(s, event, now);
    case Event::Kind::checked: s.down = event.health == Health::down ? 1 : 0; return s;
    case Event::Kind::ejected: s.failures = 0; return away(s, Away::ejected, now, event.span);
    case Event::Kind::freed: s.failures = 0; return s.why() == Away::ejected ? back(s) : s;
  }
  return s;
}

}  // namespace sluice::upstream

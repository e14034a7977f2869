// The transitions. See standing.h.
#include "upstream/standing.h"

namespace sluice::upstream {
namespace {

// Never for less than `span`; and with none its time is over now, not within this millisecond.
Standing away(Standing s, Away why, base::Micros now, base::Millis span) {
  const std::int64_t rest = span.count == 0 ? 0 : 999;
  const std::int64_t end = (now.count + base::Micros(span).count + rest) / 1'000;
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
  const bool kept = s.why() != Away::paused && s.kept_away(now);
  if (!trial && kept) return s;  // one of many that fail together
  if (s.ejected()) return one_more_failure(s);  // for how long it stays away is Ejections' to say
  const std::uint64_t level = s.aside_level;
  const std::int64_t doubled = Standing::aside_first.count << std::min<std::uint64_t>(level, 10);
  s.aside_level = std::min<std::uint64_t>(level + 1, Standing::aside_level_most) & 0xf;
  // The trials of one that is aside already say nothing new, and a set-aside heals faster than an ejection.
  if (!trial) s = one_more_failure(s);
  return away(s, Away::aside, now, base::Millis{std::min(doubled, Standing::aside_most.count)});
}

// Whoever comes next is the trial; unless another one has failed meanwhile, and it was ejected again, for longer than
// the trial that was claimed, in this millisecond at the latest.
Standing trial_left(Standing s, base::Micros now) {
  if (!s.ejected() || s.ends() > now + Standing::trial_most + base::Millis{1}) return s;
  return away(s, Away::ejected, now, base::Millis{0});
}

Standing outcome(Standing s, const Event& event, base::Micros now) {
  if (counts_against(event.outcome)) return one_more_failure(s);
  if (!counts_for(event.outcome)) return event.trial ? trial_left(s, now) : s;  // nobody knows how the trial went
  s.failures = 0;
  return event.trial && s.ejected() ? back(s) : s;
}

}  // namespace

Standing note(Standing s, const Event& event, base::Micros now) {
  switch (event.kind) {
    case Event::Kind::connect_failed: return connect_failed(s, event.trial, now);
    case Event::Kind::connected:
      if (s.why() == Away::aside) return back(s);
      return event.trial ? trial_left(s, now) : s;  // the request that the connect is for takes it over
    case Event::Kind::trial_claimed:
      if (!s.trial_due(now)) return s;
      return away(s, s.why(), now, s.ejected() ? std::min(event.span, Standing::trial_most) : event.span);
    case Event::Kind::trial_left: return trial_left(s, now);
    case Event::Kind::outcome: return outcome(s, event, now);
    case Event::Kind::checked: s.down = event.health == Health::down ? 1 : 0; return s;
    case Event::Kind::ejected: s.failures = 0; return away(s, Away::ejected, now, event.span);
    case Event::Kind::freed: s.failures = 0; return s.ejected() ? back(s) : s;
    case Event::Kind::paused:
      if (s.why() == Away::aside || s.ejected()) return s;
      return away(s, Away::paused, now, std::min(event.span, Standing::pause_most));
    case Event::Kind::disabled: s.off = 1; return s;
    case Event::Kind::enabled:
      if (s.disabled()) s.failures = 0;
      s.off = 0;
      return s;
  }
  return s;
}

}  // namespace sluice::upstream

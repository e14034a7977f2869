// The worst that is held against it counts. See endpoint_state.h.
#include "upstream/endpoint_state.h"

#include <algorithm>

#include "upstream/shared.h"

namespace sluice::upstream {

EndpointState state_of(const SharedEndpoint& endpoint, const Ejections& ejections, bool checks, base::Micros now) {
  using enum EndpointState::Is;
  using By = EndpointState::By;
  const Standing s = endpoint.standing();
  base::Micros since = endpoint.changed_at();
  if (s.disabled()) return {disabled, By::the_operator, since};
  if (s.down != 0 || s.ejected()) {
    since = std::max(since, ejections.panic_changed());
    if (ejections.panic()) return {in_use, By::panic, since};
    return s.down != 0 ? EndpointState{unhealthy, By::check, since} : EndpointState{ejected, By::traffic, since};
  }
  if (s.why() == Away::aside) return {set_aside, By::traffic, since};
  if (s.why() == Away::paused) {
    if (s.kept_away(now)) return {paused, By::traffic, since};
    since = std::max(since, s.ends());
  }
  return checks && endpoint.checked() ? EndpointState{in_use, By::check, since}
                                      : EndpointState{unchecked, By::none, since};
}

std::string_view state_word(EndpointState::Is is) {
  using enum EndpointState::Is;
  switch (is) {
    case in_use: return "in_use";
    case unchecked: return "unchecked";
    case set_aside: return "set_aside";
    case unhealthy: return "unhealthy";
    case ejected: return "ejected";
    case paused: return "paused";
    case leaving: return "leaving";
    case disabled: return "disabled";
  }
  return "";
}

std::string_view by_word(EndpointState::By by) {
  switch (by) {
    case EndpointState::By::none: return "none";
    case EndpointState::By::check: return "check";
    case EndpointState::By::traffic: return "traffic";
    case EndpointState::By::dns: return "dns";
    case EndpointState::By::the_operator: return "operator";
    case EndpointState::By::panic: return "panic";
  }
  return "";
}

}  // namespace sluice::upstream

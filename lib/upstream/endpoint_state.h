// EndpointState: how one endpoint stands in one word for people, who decided it, and since when: what /status, the
// status page and upstream_endpoint_state say, so that they cannot disagree. No green without evidence: an endpoint
// that no check has found well is `unchecked`, whatever it answers. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/clock.h"

namespace sluice::upstream {

class SharedEndpoint;
class Ejections;

struct EndpointState {
  enum class Is : std::uint8_t {
    in_use,  // its checks do well; or panic ignores what is held against it
    unchecked,  // in use, and nothing is known
    set_aside,  // a connect failed
    unhealthy,
    ejected,  // for what its requests showed
    paused,  // it asked for that
    leaving,  // it has left the set, and connections are still open
    disabled,  // by an operator
  };
  static constexpr unsigned kinds = static_cast<unsigned>(Is::disabled) + 1;
  enum class By : std::uint8_t { none, check, traffic, dns, the_operator, panic };

  Is is = Is::unchecked;
  By by = By::none;
  base::Micros since{};  // of the loops' clock
};

// Of one in the set. `checks`: its upstream has active checks.
EndpointState state_of(const SharedEndpoint& endpoint, const Ejections& ejections, bool checks, base::Micros now);

std::string_view state_word(EndpointState::Is is);  // "in_use"
std::string_view by_word(EndpointState::By by);  // "operator"

}  // namespace sluice::upstream

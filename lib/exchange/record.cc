#include "exchange/record.h"

#include <algorithm>

#include "base/check.h"

namespace sluice::exchange {

std::string_view phase_word(Phase phase) {
  switch (phase) {
    case Phase::client_request: return "client_request";
    case Phase::queue: return "queue";
    case Phase::connect: return "connect";
    case Phase::upstream_head: return "upstream_head";
    case Phase::upstream_body: return "upstream_body";
    case Phase::client_write: return "client_write";
    case Phase::proxy: return "proxy";
  }
  UNREACHABLE();
}

Side side_of(Phase phase) {
  switch (phase) {
    case Phase::client_request:
    case Phase::client_write: return Side::client;
    case Phase::queue: return Side::queue;
    case Phase::connect:
    case Phase::upstream_head:
    case Phase::upstream_body: return Side::upstream;
    case Phase::proxy: return Side::proxy;
  }
  UNREACHABLE();
}

std::string_view side_word(Side side) {
  switch (side) {
    case Side::client: return "client";
    case Side::queue: return "queue";
    case Side::upstream: return "upstream";
    case Side::proxy: return "proxy";
  }
  UNREACHABLE();
}

// A place comes from requests that end, which the queue's own figures are about: a late one is not taken off.
void Record::pass(Phase phase, base::Micros now, const net::Lateness& lateness) {
  const base::Micros span = now - at_;
  if (span.count == 0) return;
  base::Micros late{0};
  if (phase != Phase::queue) late = std::min(span, lateness.waited() - waited_ + lateness.backlog());
  add(phase, span - late);
  add(Phase::proxy, late);
  at_ = now;
  waited_ = lateness.waited();
}

void Record::pass_wait(base::Micros dialled, base::Micros now, const net::Lateness& lateness) {
  const base::Micros queued = std::max(now - at_ - dialled, base::Micros{0});
  add(Phase::queue, queued);
  at_ = at_ + queued;
  pass(Phase::connect, now, lateness);
}

base::Micros Record::total() const {
  base::Micros all{0};
  for (const base::Micros span : spent_) all = all + span;
  return all;
}

Phase Record::longest() const { return static_cast<Phase>(std::ranges::max_element(spent_) - spent_.begin()); }

}  // namespace sluice::exchange

// GET /status for people, and what `sluice top` shows: one screen of plain text. Pure.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "runtime/observer.h"
#include "runtime/rates.h"
#include "runtime/status.h"

namespace sluice::runtime {

struct TextFacts {
  static constexpr std::size_t routes_most = 20;  // the busiest
  static constexpr std::size_t limits_most = 10;  // the fullest
  static constexpr std::size_t rows_most = 200;  // of upstreams, endpoints and names each; those with trouble first

  std::vector<Observer::Given> advice;
};

std::string status_text(const Generation& generation, const StatusFacts& facts, const TextFacts& more,
                        const StatusView& view);

}  // namespace sluice::runtime

// The table in names.h stands in the order of the enum: checked here once, at compile time.
#include "metrics/names.h"

#include <algorithm>

#include "metrics/cell.h"

namespace sluice::metrics {
namespace {

consteval bool in_order() {
  for (unsigned i = 0; i < names; ++i) {
    if (static_cast<unsigned>(definitions[i].id) != i) return false;
  }
  return true;
}
static_assert(in_order());

// What a metric shows, its cells can tell apart.
consteval bool counted(std::span<const uint64_t> shown) { return std::ranges::includes(Histogram::bounds, shown); }
static_assert(counted(span_bounds) && counted(request_bounds));

}  // namespace
}  // namespace sluice::metrics

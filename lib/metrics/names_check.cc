// The table in names.h stands in the order of the enum: checked here once, at compile time.
#include "metrics/names.h"

namespace sluice::metrics {
namespace {

consteval bool in_order() {
  for (unsigned i = 0; i < names; ++i) {
    if (static_cast<unsigned>(definitions[i].id) != i) return false;
  }
  return true;
}
static_assert(in_order());

}  // namespace
}  // namespace sluice::metrics

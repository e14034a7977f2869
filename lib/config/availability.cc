// The table of features; see availability.h. After turning a row, write config/full.toml and docs/configuration.md
// anew: `test_config --no-skip --test-case='write the schema'` in the root of the source tree.
#include "config/availability.h"

#include <iterator>

namespace sluice::config {
namespace {

enum class Built : std::uint8_t { no, yes };

struct Row {
  Feature feature;
  Built built;
  std::string_view words;
};

constexpr Row table[] = {
    {Feature::none, Built::yes, ""},
    {Feature::http2, Built::yes, "HTTP/2"},
    {Feature::grpc_health, Built::yes, "the gRPC health check"},
    {Feature::dns, Built::yes, "DNS discovery"},
    {Feature::outlier, Built::yes, "outlier ejection"},
    {Feature::ring_hash, Built::yes, "ring hash"},
    {Feature::slow_start, Built::yes, "slow start"},
    {Feature::circuit, Built::yes, "the circuit breaker"},
    {Feature::early_data, Built::no, "TLS early data"},
    {Feature::rate_limit, Built::yes, "rate limiting"},
};

constexpr bool in_order() {
  for (std::size_t i = 0; i < std::size(table); ++i) {
    if (static_cast<std::size_t>(table[i].feature) != i) return false;
  }
  return std::size(table) == static_cast<std::size_t>(Feature::rate_limit) + 1;
}
static_assert(in_order(), "one row a feature, in the order of the enum");

constexpr std::uint32_t bit(Feature feature) { return 1u << static_cast<unsigned>(feature); }

}  // namespace

Availability Availability::built() {
  std::uint32_t bits = 0;
  for (const Row& row : table) {
    if (row.built == Built::yes) bits |= bit(row.feature);
  }
  return Availability(bits);
}

Availability Availability::everything() { return Availability(~0u); }

bool Availability::has(Feature feature) const { return (bits_ & bit(feature)) != 0; }

std::string_view words(Feature feature) { return table[static_cast<std::size_t>(feature)].words; }

}  // namespace sluice::config

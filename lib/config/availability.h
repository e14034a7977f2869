// Which features of the schema are built. A key, or a value of a key, of one that is not is an error that says "not
// available yet", and defaults leave it out. The one table is in availability.cc: building a feature means turning its
// row.
#pragma once

#include <cstdint>
#include <string_view>

namespace sluice::config {

enum class Feature : std::uint8_t {
  none,  // always there
  http2,
  grpc_health,
  dns,
  outlier,
  ring_hash,
  slow_start,
  circuit,
  early_data,
  rate_limit,
};

class Availability {
 public:
  static Availability built();  // this program
  static Availability everything();  // as if all were built: tests, and texts about the whole schema

  bool has(Feature feature) const;

 private:
  explicit Availability(std::uint32_t bits) : bits_(bits) {}
  std::uint32_t bits_;
};

// "HTTP/2", "DNS discovery", ...
std::string_view words(Feature feature);

}  // namespace sluice::config

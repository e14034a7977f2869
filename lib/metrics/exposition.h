// The text that GET /metrics answers: every series of the Registry and process_*, in the Prometheus format. It takes
// milliseconds with thousands of series, so it runs on a helper thread, never on a worker or the control loop.
#pragma once

#include <cstdint>
#include <string>

namespace sluice::metrics {

class Registry;

enum class Format : uint8_t { prometheus, openmetrics };  // text 0.0.4; OpenMetrics 1.0

std::string exposition(const Registry& registry, Format format = Format::prometheus);
const char* content_type(Format format);

}  // namespace sluice::metrics

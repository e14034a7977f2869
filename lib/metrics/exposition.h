// The text that GET /metrics answers: every series of the Registry and process_*, in the Prometheus format. It takes
// milliseconds with thousands of series, so it runs on a helper thread, never on a worker or the control loop.
#pragma once

#include <string>

namespace sluice::metrics {

class Registry;

inline constexpr const char* exposition_content_type = "text/plain; version=0.0.4; charset=utf-8";

std::string exposition(const Registry& registry);

}  // namespace sluice::metrics

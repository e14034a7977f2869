// The OpenMetrics 1.0 text of families (https://prometheus.io/docs/specs/om/open_metrics_spec/), which prometheus-cpp
// does not write. Inside lib/metrics only: its header is prometheus-cpp's. Pure.
#pragma once

#include <prometheus/metric_family.h>

#include <span>
#include <string>
#include <vector>

#include "metrics/exemplars.h"

namespace sluice::metrics {

// HELP comes escaped, as it stands in the other format; label values do not. `exemplars`: one for each bucket of all
// histograms, in their order; without a trace it is none. With the "# EOF" at its end.
std::string openmetrics_text(const std::vector<prometheus::MetricFamily>& families,
                             std::span<const Exemplar> exemplars);

}  // namespace sluice::metrics

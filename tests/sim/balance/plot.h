// Plots as SVG, the same bytes for the same figures.
#pragma once

#include <string>
#include <vector>

namespace sluice::sim {

struct Series {
  std::string name;
  std::vector<double> values;
};

// One group of bars for each of `groups`, one bar a series, with the value above it. Bars end at `most`.
std::string bars(const std::string& title, const std::string& unit, const std::vector<std::string>& groups,
                 const std::vector<Series>& series, double most);
// One line a series; x from 0 to 1.
std::string lines(const std::string& title, const std::string& unit, const std::vector<Series>& series);

}  // namespace sluice::sim

#include "plot.h"

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>

namespace sluice::sim {
namespace {

constexpr int width = 960;
constexpr int height = 360;
constexpr int left = 60;
constexpr int top = 60;
constexpr int bottom = 320;
constexpr std::array<const char*, 6> colours{"#4477aa", "#228833", "#ccbb44", "#ee6677", "#aa3377", "#66ccee"};

[[gnu::format(printf, 1, 2)]] std::string text(const char* format, ...) {
  std::array<char, 512> buffer{};
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(buffer.data(), buffer.size(), format, arguments);
  va_end(arguments);
  return buffer.data();
}

const char* colour(std::size_t i) { return colours[i % colours.size()]; }

double highest(const std::vector<Series>& series) {
  double most = 0;
  for (const Series& s : series) {
    for (const double v : s.values) most = std::max(most, v);
  }
  return most > 0 ? most : 1;
}

std::string frame(const std::string& title, const std::string& unit, const std::vector<Series>& series) {
  std::string svg = text("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" ", width, height);
  svg += "font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
  svg += text("<text x=\"%d\" y=\"20\" font-size=\"14\">%s (%s)</text>\n", left, title.c_str(), unit.c_str());
  for (std::size_t i = 0; i < series.size(); ++i) {
    const int x = left + static_cast<int>(i) * 145;
    svg += text("<rect x=\"%d\" y=\"32\" width=\"10\" height=\"10\" fill=\"%s\"/>", x, colour(i));
    svg += text("<text x=\"%d\" y=\"41\">%s</text>\n", x + 14, series[i].name.c_str());
  }
  svg += text("<path d=\"M%d %dH%d\" stroke=\"black\"/>\n", left, bottom, width - 20);
  return svg;
}

double y_of(double value, double most) { return bottom - (bottom - top) * value / most; }

}  // namespace

std::string bars(const std::string& title, const std::string& unit, const std::vector<std::string>& groups,
                 const std::vector<Series>& series, double most) {
  std::string svg = frame(title, unit, series);
  const double group = (width - 20.0 - left) / static_cast<double>(groups.size());
  const double bar = group * 0.85 / static_cast<double>(series.size());
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const double x0 = left + static_cast<double>(g) * group;
    svg += text("<text x=\"%.1f\" y=\"%d\">%s</text>\n", x0, bottom + 16, groups[g].c_str());
    for (std::size_t s = 0; s < series.size(); ++s) {
      const double value = series[s].values[g];
      const double y = y_of(std::min(value, most), most);
      const double x = x0 + static_cast<double>(s) * bar;
      svg += text("<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>", x, y, bar - 1, bottom - y,
                  colour(s));
      svg += text("<text x=\"%.1f\" y=\"%.1f\" font-size=\"8\">%.3g</text>\n", x, y - 2, value);
    }
  }
  return svg + "</svg>\n";
}

std::string lines(const std::string& title, const std::string& unit, const std::vector<Series>& series) {
  std::string svg = frame(title, unit, series);
  const double most = highest(series);
  svg += text("<text x=\"5\" y=\"%d\">%.3g</text><text x=\"5\" y=\"%d\">0</text>\n", top + 4, most, bottom);
  for (std::size_t s = 0; s < series.size(); ++s) {
    std::string points;
    const std::vector<double>& values = series[s].values;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double x =
          left + (width - 20.0 - left) * (static_cast<double>(i) + 0.5) / static_cast<double>(values.size());
      points += text("%.1f,%.1f ", x, y_of(values[i], most));
    }
    svg += "<polyline fill=\"none\" stroke-width=\"2\" stroke=\"" + std::string(colour(s)) + "\" points=\"" + points +
           "\"/>\n";
  }
  return svg + "</svg>\n";
}

}  // namespace sluice::sim

// How servers behind a proxy read a path, written as plainly as can be: cut parameters, decode, split, resolve dots. No
// server is one of these to the letter; each step that servers do in different ways, or not at all, is a choice here,
// and all are tried, but for cutting parameters twice.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sluice::support {

struct OriginReading {
  bool cut_before = false;  // ;parameters go before escapes are decoded
  bool decode_late = false;  // dot segments are resolved before escapes are decoded
  bool backslash = false;  // a backslash is a slash
  bool cut_after = false;  // ;parameters go after escapes were decoded
  bool merge = false;  // empty segments go before dot segments are resolved
};

inline std::vector<OriginReading> all_origin_readings() {
  std::vector<OriginReading> all;
  for (unsigned bits = 0; bits < 32; ++bits) {
    const OriginReading one{(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0, (bits & 16) != 0};
    if (!one.cut_before || !one.cut_after) all.push_back(one);
  }
  return all;
}

inline std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> segments{""};
  for (const char c : path) {
    if (c == '/') {
      segments.emplace_back();
    } else {
      segments.back() += c;
    }
  }
  segments.erase(segments.begin());  // before the first slash
  return segments;
}

inline std::string join_path(const std::vector<std::string>& segments) {
  std::string path;
  for (const std::string& segment : segments) path += "/" + segment;
  return path;
}

inline std::string decode_once(std::string_view path) {
  std::string to;
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] != '%') {
      to += path[i];
      continue;
    }
    to += static_cast<char>(std::stoi(std::string(path.substr(i + 1, 2)), nullptr, 16));
    i += 2;
  }
  return to;
}

inline std::string cut_parameters(std::string_view path) {
  std::vector<std::string> segments = split_path(path);
  for (std::string& segment : segments) segment = segment.substr(0, segment.find(';'));
  return join_path(segments);
}

inline std::string resolve_dots(std::string_view path, bool merge) {
  const auto is = [](const std::string& segment, const char* dots) {
    std::string plain = segment;
    for (size_t at; (at = plain.find("%2e")) != std::string::npos || (at = plain.find("%2E")) != std::string::npos;)
      plain.replace(at, 3, ".");
    return plain == dots;
  };
  const std::vector<std::string> in = split_path(path);
  std::vector<std::string> out;
  bool open = false;  // ends with a slash
  for (const std::string& segment : in) {
    const bool up = is(segment, "..");
    open = up || is(segment, ".") || segment.empty();
    if (up && !out.empty()) out.pop_back();
    if (!open || (segment.empty() && !merge)) out.push_back(segment);
  }
  std::erase(out, "");
  if (open || out.empty()) out.emplace_back();
  return join_path(out);
}

// `path` starts with a slash, its escapes are whole.
inline std::string read_as(const OriginReading& origin, std::string_view path) {
  std::string text(path);
  if (origin.cut_before) text = cut_parameters(text);
  if (origin.decode_late) text = resolve_dots(text, origin.merge);
  text = decode_once(text);
  if (origin.backslash) {
    for (char& c : text) c = c == '\\' ? '/' : c;
  }
  if (origin.cut_after) text = cut_parameters(text);
  return resolve_dots(text, origin.merge);
}

}  // namespace sluice::support

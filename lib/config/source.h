// Source: the text of one configuration file with its name. Report: the problems found in it, each with its place.
// What a problem looks like in print is base::to_text. Both live for one load.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace sluice::config {

inline constexpr std::uint64_t file_bytes_max = 64ull * 1024 * 1024;
inline constexpr std::size_t problems_max = 1'000;  // of one file; the rest is counted in one more line

// A place in the text; line and column (in characters) count from 1, line 0 = no place.
struct Position {
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  std::uint32_t length = 1;
  bool known() const { return line != 0; }
  bool operator==(const Position&) const = default;
};

class Source {
 public:
  // Reads a regular file. Errors: missing, unreadable, a folder, FIFO, device or socket (at once), above
  // file_bytes_max.
  static base::Result<Source> read(const std::string& path);
  // A text that is in memory already; `name` stands in problems. Paths in it are relative to the folder of `name`.
  static base::Result<Source> of(std::string name, std::string text);

  const std::string& name() const { return name_; }
  std::string_view text() const { return text_; }  // without byte-order mark
  std::string_view line(std::uint32_t number) const;
  // "" or a path that ends in '/': what relative paths in the file start with.
  std::string_view folder() const;

 private:
  std::string name_;
  std::string text_;
  std::vector<std::uint32_t> line_starts_;
};

class Report {
 public:
  explicit Report(const Source& source) : source_(source) {}
  void error(Position at, std::string message, std::string suggestion = {});
  void warning(Position at, std::string message, std::string suggestion = {});
  bool failed() const { return errors_ != 0; }
  bool full() const {
    return problems_.size() >= problems_max;
  }  // more are only counted: spare the work for a suggestion
  const Source& source() const { return source_; }
  // All of them, by place.
  std::vector<base::Error> take();

 private:
  void add(base::Severity severity, Position at, std::string message, std::string suggestion);

  const Source& source_;
  std::vector<base::Error> problems_;
  std::size_t errors_ = 0;
  std::size_t left_out_ = 0;
};

// The candidate nearest to `word` if it is near enough to be meant; "" if none is.
std::string_view nearest(std::string_view word, const std::vector<std::string_view>& candidates);

// The parts in one string.
std::string concat(std::initializer_list<std::string_view> parts);

}  // namespace sluice::config

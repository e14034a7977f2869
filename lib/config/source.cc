// Reading a configuration file and collecting what is wrong with it; see source.h.
#include "config/source.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <tuple>

#include "base/file.h"
#include "base/text.h"

namespace sluice::config {
namespace {

constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
constexpr std::uint32_t kept_line_max =
    4'096;  // bytes; of a longer source line nothing is kept, so that problems stay small

base::Error about_file(const std::string& path, std::string message) {
  base::Error error{std::move(message)};
  error.span.file = path;
  return error;
}

std::string too_large() { return concat({"the file is larger than ", std::to_string(file_bytes_max >> 20), " MiB"}); }

}  // namespace

base::Result<Source> Source::read(const std::string& path) {
  const auto file = base::open_file(path);
  if (!file) return std::unexpected(file.error());
  std::string text;
  char block[64 * 1024];
  ssize_t got = 0;
  while (text.size() <= file_bytes_max &&
         ((got = ::read(*file, block, sizeof block)) > 0 || (got < 0 && errno == EINTR))) {
    if (got > 0) text.append(block, static_cast<std::size_t>(got));
  }
  const int error = errno;
  ::close(*file);
  if (got < 0) return std::unexpected(about_file(path, concat({"cannot read the file: ", std::strerror(error)})));
  return of(path, std::move(text));
}

base::Result<Source> Source::of(std::string name, std::string text) {
  if (text.size() > file_bytes_max) return std::unexpected(about_file(name, too_large()));
  Source source;
  source.name_ = std::move(name);
  source.text_ = std::move(text);
  if (source.text_.starts_with(byte_order_mark)) source.text_.erase(0, byte_order_mark.size());
  source.line_starts_.push_back(0);
  for (std::size_t at = 0; at < source.text_.size(); ++at) {
    if (source.text_[at] == '\n') source.line_starts_.push_back(static_cast<std::uint32_t>(at + 1));
  }
  return source;
}

std::string_view Source::line(std::uint32_t number) const {
  if (number == 0 || number > line_starts_.size()) return {};
  std::string_view rest = std::string_view(text_).substr(line_starts_[number - 1]);
  rest = rest.substr(0, rest.find('\n'));
  if (rest.ends_with('\r')) rest.remove_suffix(1);
  return rest;
}

std::string_view Source::folder() const {
  const std::size_t slash = name_.rfind('/');
  return slash == std::string::npos ? std::string_view{} : std::string_view(name_).substr(0, slash + 1);
}

void Report::error(Position at, std::string message, std::string suggestion) {
  ++errors_;
  add(base::Severity::error, at, std::move(message), std::move(suggestion));
}

void Report::warning(Position at, std::string message, std::string suggestion) {
  add(base::Severity::warning, at, std::move(message), std::move(suggestion));
}

void Report::add(base::Severity severity, Position at, std::string message, std::string suggestion) {
  if (full()) {
    ++left_out_;
    return;
  }
  base::Error problem{std::move(message)};
  problem.span = {source_.name(), at.line, at.column, at.length};
  problem.source_line = source_.line(at.line);
  if (problem.source_line.size() > kept_line_max) problem.source_line.clear();
  problem.suggestion = std::move(suggestion);
  problem.severity = severity;
  problems_.push_back(std::move(problem));
}

std::vector<base::Error> Report::take() {
  std::sort(problems_.begin(), problems_.end(), [](const base::Error& a, const base::Error& b) {
    return std::tie(a.span.line, a.span.column, a.message) < std::tie(b.span.line, b.span.column, b.message);
  });
  if (left_out_ != 0) {
    base::Error more = about_file(source_.name(), concat({"and ", std::to_string(left_out_), " more problems"}));
    more.severity = errors_ != 0 ? base::Severity::error : base::Severity::warning;
    problems_.push_back(std::move(more));
    left_out_ = 0;
  }
  return std::move(problems_);
}

std::string_view nearest(std::string_view word, const std::vector<std::string_view>& candidates) {
  constexpr std::size_t word_max = 128;
  if (word.empty() || word.size() > word_max) return {};
  const std::string folded = base::to_lower(word);
  // A third of the letters may be wrong; two in short words (letters that changed places), one in very short ones.
  unsigned best = word.size() < 4 ? 2 : std::max(2u, static_cast<unsigned>(word.size() / 3)) + 1;
  std::string_view found;
  for (std::string_view candidate : candidates) {
    const unsigned distance = base::edit_distance(folded, base::to_lower(candidate), best);
    if (distance < best) {
      best = distance;
      found = candidate;
    }
  }
  return found;
}

std::string concat(std::initializer_list<std::string_view> parts) {
  std::size_t size = 0;
  for (std::string_view part : parts) size += part.size();
  std::string text;
  text.reserve(size);
  for (std::string_view part : parts) text += part;
  return text;
}

}  // namespace sluice::config

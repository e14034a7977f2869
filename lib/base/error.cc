// How an Error is shown to a person: place, sentence, source line with a caret, and what was probably meant.
#include "base/error.h"

#include <string_view>

namespace sluice::base {
namespace {

constexpr size_t shown_columns = 160;  // of a source line; generated files have lines of megabytes

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// The byte at which the `n`th character (from 0) of `line` starts.
size_t byte_of(std::string_view line, size_t n) {
  size_t at = 0;
  while (at < line.size() && n > 0) {
    ++at;
    while (at < line.size() && is_continuation(line[at])) ++at;
    --n;
  }
  return at;
}

void append_source(std::string& to, const Error& error) {
  const std::string_view line = error.source_line;
  const size_t column = error.span.column == 0 ? 0 : error.span.column - 1;
  const size_t caret = byte_of(line, column);
  size_t from = 0;
  if (caret > shown_columns / 2 && line.size() > shown_columns) from = caret - shown_columns / 2;
  while (from < caret && is_continuation(line[from])) ++from;
  std::string_view shown = line.substr(from, shown_columns);
  while (shown.size() == shown_columns && !shown.empty() && (static_cast<unsigned char>(shown.back()) & 0x80) != 0)
    shown.remove_suffix(1);

  to += "\n    ";
  for (const char c : shown) to += (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f ? '?' : c;
  if (error.span.column == 0) return;
  to += "\n    ";
  for (const char c : line.substr(from, caret - from)) {
    if (!is_continuation(c)) to += c == '\t' ? '\t' : ' ';
  }
  to += '^';
  const size_t last = byte_of(line.substr(caret), error.span.length);
  size_t marks = 0;
  for (const char c : line.substr(caret, last)) marks += is_continuation(c) ? 0 : 1;
  for (size_t i = 1; i < marks && i < shown_columns / 2; ++i) to += '~';
}

}  // namespace

std::string to_text(const Error& error) {
  std::string text;
  if (!error.span.file.empty()) {
    text += error.span.file;
    if (error.span.line != 0) text += ':' + std::to_string(error.span.line);
    if (error.span.line != 0 && error.span.column != 0) text += ':' + std::to_string(error.span.column);
    text += ": ";
  }
  text += error.severity == Severity::error ? "error: " : "warning: ";
  text += error.message;
  if (!error.source_line.empty()) append_source(text, error);
  if (!error.suggestion.empty()) text += "\n  did you mean \"" + error.suggestion + "\"?";
  return text;
}

}  // namespace sluice::base

// Looks at a TOML text before the parser sees it, for what the parser cannot take. It works recursively, so a dotted key of 100,000
// parts overflows its stack; and where it expects blanks, many a character outside of ASCII leads it into undefined behaviour.
// Used by parse() alone.
#include <algorithm>
#include <array>

#include "config/tree.h"

namespace sluice::config {
namespace {

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  std::optional<Refusal> run() {
    while (at_ < text_.size() && !refusal_) {
      step();
      if (depth() > nesting_max) refuse(token_, concat({"nested deeper than ", std::to_string(nesting_max), " levels"}));
    }
    return std::move(refusal_);
  }

 private:
  std::uint32_t depth() const { return header_ + outer_ + dots_; }

  void refuse(std::size_t at, std::string why) {
    if (refusal_) return;
    std::uint32_t column = 1;
    for (std::size_t i = line_start_; i < at; ++i) column += (static_cast<unsigned char>(text_[i]) & 0xc0) != 0x80;
    refusal_ = Refusal{{line_, column, 1}, std::move(why)};
  }

  static bool is_ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }

  void step() {
    token_ = at_;
    const char c = text_[at_++];
    switch (c) {
      case '\n': end_line(); return;
      case '#': skip_comment(); return;
      case '"':
      case '\'': skip_string(c); break;
      case '.': ++dots_; break;
      case ',': dots_ = 0; break;
      case '=': break;  // the parts of the key still count: its value lies below them
      case '[':
      case '{': open(); break;
      case ']':
      case '}': close(); break;
      case ' ':
      case '\t':
      case '\r': return;  // do not make a header of an array, or the reverse
      default:
        if (!is_ascii(c)) refuse(token_, "a character outside of ASCII stands in quotes or in a comment");
        break;
    }
    fresh_line_ = false;
  }

  void end_line() {
    ++line_;
    line_start_ = at_;
    if (brackets_ != 0) return;
    if (in_header_) {
      header_ = outer_ + dots_ + 1;
      in_header_ = false;
    }
    fresh_line_ = true;
    dots_ = 0;
    outer_ = 0;
  }

  // The depth of the key before the bracket is kept, so that it can be taken off again.
  void open() {
    if (fresh_line_ && brackets_ == 0) {
      in_header_ = true;
      header_ = 0;
      if (at_ < text_.size() && text_[at_] == '[') ++at_;
      return;
    }
    if (in_header_) return;
    if (brackets_ < saved_.size()) saved_[brackets_] = dots_ + 1;
    ++brackets_;
    outer_ += dots_ + 1;
    dots_ = 0;
  }

  void close() {
    if (brackets_ == 0) return;
    --brackets_;
    if (brackets_ < saved_.size()) outer_ -= saved_[brackets_];
    dots_ = 0;
  }

  void skip_comment() {
    while (at_ < text_.size() && text_[at_] != '\n') ++at_;
  }

  void skip_string(char quote) {
    const bool escapes = quote == '"';
    if (text_.substr(at_, 2) == std::string_view(quote == '"' ? "\"\"" : "''")) {
      at_ += 2;
      skip_long_string(quote, escapes ? Escapes::yes : Escapes::no);
      return;
    }
    while (at_ < text_.size() && text_[at_] != '\n') {
      const char c = text_[at_++];
      if (c == quote) return;
      if (c == '\\' && escapes && at_ < text_.size() && text_[at_] != '\n') ++at_;
    }
  }

  enum class Escapes : std::uint8_t { no, yes };

  void skip_long_string(char quote, Escapes escapes) {
    std::uint32_t quotes = 0;
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == '\n') {
        ++line_;
        line_start_ = at_;
      }
      quotes = c == quote ? quotes + 1 : 0;
      if (c == '\\' && escapes == Escapes::yes) skip_escape();
      if (quotes == 3) {
        for (int more = 0; more < 2 && at_ < text_.size() && text_[at_] == quote; ++more) ++at_;  // the text may end in two
        return;
      }
    }
  }

  // After a backslash in a long string: an escaped character, or blanks and line ends up to the next other one.
  void skip_escape() {
    const std::size_t next = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size());
    if (next < text_.size() && !is_ascii(text_[next])) {
      refuse(at_, "a character outside of ASCII cannot follow a backslash: write it as \\uXXXX");
    }
    if (next == at_ && at_ < text_.size()) ++at_;
  }

  std::string_view text_;
  std::optional<Refusal> refusal_;
  std::size_t at_ = 0;
  std::size_t token_ = 0;
  std::size_t line_start_ = 0;
  std::uint32_t line_ = 1;
  std::uint32_t header_ = 0;    // parts of the [header] above
  std::uint32_t outer_ = 0;     // depth of the open brackets, with the keys before them
  std::uint32_t dots_ = 0;      // of the key, or number, that is being read
  std::uint32_t brackets_ = 0;
  std::array<std::uint32_t, nesting_max + 2> saved_{};
  bool fresh_line_ = true;
  bool in_header_ = false;
};

}  // namespace

std::optional<Refusal> prescan(std::string_view text) { return Scanner(text).run(); }

}  // namespace sluice::config

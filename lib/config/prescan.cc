// Looks at a TOML text before the parser sees it, for what the parser cannot take. It works recursively, so a dotted
// key of 100,000 parts overflows its stack; and where it expects blanks, many a character outside of ASCII leads it
// into undefined behaviour. Used by parse() alone.
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
      if (depth() > nesting_max)
        refuse(token_, concat({"nested deeper than ", std::to_string(nesting_max), " levels"}));
    }
    return std::move(refusal_);
  }

 private:
  std::uint32_t depth() const { return header_ + outer_ + dots_; }

  void refuse(std::size_t at, std::string why) {
    if (!refusal_) refusal_ = Refusal{place(at), std::move(why)};
  }

  // Of a byte of this line.
  Position place(std::size_t at) const {
    std::uint32_t column = 1;
    for (std::size_t i = line_start_; i < at; ++i) column += (static_cast<unsigned char>(text_[i]) & 0xc0) != 0x80;
    return {line_, column, 1};
  }

  static constexpr const char* not_ascii = "a character outside of ASCII stands in quotes or in a comment";

  // What a bare value ends at, besides brackets, commas and comments.
  static bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
  static bool is_ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }

  void step() {
    token_ = at_;
    const char c = text_[at_++];
    if (place_ == Place::value && !is_blank(c) && std::string_view("\"'[{]},#").find(c) == std::string_view::npos) {
      skip_bare_value();
      return;
    }
    switch (c) {
      case '\n': end_line(); return;
      case '#': skip_comment(); return;
      case '"':
      case '\'':
        if (place_ == Place::after_bare_value) refuse(token_, "a quote cannot follow a value");
        skip_string(c);
        place_ = Place::other;
        break;
      case '.': ++dots_; break;
      case ',':
        dots_ = 0;
        place_ = brackets_ != 0 && in_array_[std::min(brackets_ - 1, nesting_max)] ? Place::value : Place::other;
        break;
      case '=': place_ = Place::value; break;  // the parts of the key still count: its value lies below them
      case '[':
      case '{': open(); break;
      case ']':
      case '}': close(); break;
      case ' ':
      case '\t':
      case '\r': return;  // do not make an array of a header
      default:
        if (!is_ascii(c)) refuse(token_, not_ascii);
        break;
    }
    fresh_line_ = false;
  }

  void end_line() {
    ++line_;
    line_start_ = at_;
    if (brackets_ != 0) return;
    place_ = Place::other;
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
    const bool array = text_[token_] == '[';
    if (brackets_ < saved_.size()) {
      saved_[brackets_] = dots_ + 1;
      in_array_[brackets_] = array;
    }
    ++brackets_;
    place_ = array ? Place::value : Place::other;
    outer_ += dots_ + 1;
    dots_ = 0;
  }

  void close() {
    place_ = Place::other;
    if (brackets_ == 0) return;
    --brackets_;
    if (brackets_ < saved_.size()) outer_ -= saved_[brackets_];
    dots_ = 0;
  }

  // A number, a date, a word. The parser looks at all of it, to the next blank or bracket, before it knows what it is;
  // so what would begin a string anywhere else does not do so here.
  void skip_bare_value() {
    const auto ends = [](char c) { return is_blank(c) || c == ']' || c == '}' || c == ',' || c == '#'; };
    for (--at_; at_ < text_.size() && !ends(text_[at_]); ++at_) {
      if (text_[at_] == '"' || text_[at_] == '\'') refuse(at_, "a quote cannot follow a value");
      if (!is_ascii(text_[at_])) refuse(at_, not_ascii);
    }
    place_ = Place::after_bare_value;
    fresh_line_ = false;
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
    const Position begun = place(token_);
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
        for (int more = 0; more < 2 && at_ < text_.size() && text_[at_] == quote; ++more)
          ++at_;  // the text may end in two
        return;
      }
    }
    if (!refusal_)
      refusal_ = Refusal{{begun.line, begun.column, 3}, "this text has no end: three quotes are needed behind it"};
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
  std::uint32_t header_ = 0;  // parts of the [header] above
  std::uint32_t outer_ = 0;  // depth of the open brackets, with the keys before them
  std::uint32_t dots_ = 0;  // of the key, or number, that is being read
  std::uint32_t brackets_ = 0;
  std::array<std::uint32_t, nesting_max + 2> saved_{};
  std::array<bool, nesting_max + 2> in_array_{};  // or in an inline table
  enum class Place : std::uint8_t { other, value, after_bare_value };
  Place place_ = Place::other;
  bool fresh_line_ = true;
  bool in_header_ = false;
};

}  // namespace

std::optional<Refusal> prescan(std::string_view text) { return Scanner(text).run(); }

}  // namespace sluice::config

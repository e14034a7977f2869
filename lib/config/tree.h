// Node: a parsed TOML text as a neutral tree with source positions, so that one .cc file alone knows the TOML library.
// parse() also refuses what would crash or exhaust that library. The tree lives for one load.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/source.h"

namespace sluice::config {

inline constexpr std::uint32_t nesting_max = 64;  // tables, arrays and the parts of dotted keys together

enum class Kind : std::uint8_t { text, integer, real, boolean, date, array, table };

struct Member;

struct Node {
  Kind kind = Kind::table;
  Position at;                 // of the value; of the [header] for a table that has one
  std::string text;            // Kind::text
  std::int64_t integer = 0;    // Kind::integer
  double real = 0;             // Kind::real
  bool boolean = false;        // Kind::boolean
  std::vector<Node> items;     // Kind::array
  std::vector<Member> members; // Kind::table, in the order of the file

  const Member* find(std::string_view key) const;
};

struct Member {
  std::string key;
  Position at;  // of the key
  Node value;
};

// "a duration", "text", ...: for messages.
std::string_view kind_words(Kind kind);

// What must not reach the parser (prescan.cc): nesting deeper than nesting_max, characters outside of ASCII where no
// string and no comment is, quotes inside of bare values. Reads the text as TOML does; what else is wrong with it is
// the parser's business.
struct Refusal {
  Position at;
  std::string why;
};
std::optional<Refusal> prescan(std::string_view text);

// The whole file as one table. The error is the first syntax error: the parser stops there.
base::Result<Node> parse(const Source& source);

}  // namespace sluice::config

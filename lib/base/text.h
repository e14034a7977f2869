// Small text functions on string_view: ASCII only, no locale, no allocation unless a std::string is returned.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::base {

constexpr char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool iequals(std::string_view a, std::string_view b);           // ASCII case-insensitive
std::string to_lower(std::string_view text);
std::string_view trim_ows(std::string_view text);               // SP and HTAB at both ends (RFC 9110 5.6.3)
// Digits only, no sign, no blank, no empty; nullopt on overflow too.
std::optional<uint64_t> parse_u64(std::string_view text);
std::optional<uint64_t> parse_hex_u64(std::string_view text);   // no 0x
// Next member of a comma list, trimmed; advances `rest`; empty members are skipped; nullopt at the end. Quotes are
// honoured.
std::optional<std::string_view> next_list_member(std::string_view& rest);
// Bytes that could break a log line or a terminal become \xNN; quotes and backslashes are escaped; UTF-8 stays.
void append_escaped(std::string& to, std::string_view text);
// The inside of a JSON string: always valid JSON and UTF-8; a byte that is not UTF-8 becomes \u00NN.
void append_json_escaped(std::string& to, std::string_view text);
// Levenshtein distance, capped at `cap`.
unsigned edit_distance(std::string_view a, std::string_view b, unsigned cap);

}  // namespace sluice::base

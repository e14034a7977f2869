// Text functions, written plainly: inputs are short. The hot ones are iequals, which every name of a header goes
// through, parse_u64 and next_list_member.
#include "base/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

namespace sluice::base {
namespace {

bool is_ows(char c) { return c == ' ' || c == '\t'; }

template <class Word>
uint64_t word_at(const char* at) {
  Word word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

// Eight characters each, alike but for the case of letters? Those that differ do so in bit 5, and are letters.
bool alike(uint64_t a, uint64_t b) {
  constexpr uint64_t ones = 0x0101010101010101U;
  constexpr uint64_t highs = ones * 0x80;
  const uint64_t differ = a ^ b;
  if (differ == 0) return true;
  if ((differ & ~(ones * 0x20)) != 0) return false;
  const uint64_t lower = a | b;
  const uint64_t low_bits = lower & ~highs;
  const uint64_t from_a = low_bits + ones * (0x80 - 'a');  // the high bit of a byte says so; none carries over
  const uint64_t beyond_z = low_bits + ones * (0x7f - 'z');
  const uint64_t letters = from_a & ~beyond_z & ~lower & highs;
  return ((differ << 2) & ~letters) == 0;
}

// By words, the last of which may overlap the one before.
template <class Word>
bool words_alike(const char* a, const char* b, size_t size) {
  const auto same = [&](size_t at) { return alike(word_at<Word>(a + at), word_at<Word>(b + at)); };
  for (size_t at = 0; at + sizeof(Word) < size; at += sizeof(Word)) {
    if (!same(at)) return false;
  }
  return same(size - sizeof(Word));
}

std::optional<uint64_t> parse_number(std::string_view text, int radix) {
  uint64_t value = 0;
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const auto [stop, error] = std::from_chars(begin, end, value, radix);  // takes neither sign nor blank nor 0x
  if (error != std::errc{} || stop != end) return std::nullopt;
  return value;
}

bool is_tail(unsigned char c) { return (c & 0xC0) == 0x80; }

// Bytes of the UTF-8 character at the front of `text` (RFC 3629), 0 if it is none, or a C1 control.
size_t utf8_size(std::string_view text) {
  const auto at = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const unsigned a = at(0);
  const unsigned b = at(1);
  if (a < 0x80) return 1;
  if (a < 0xC2 || a > 0xF4 || !is_tail(static_cast<unsigned char>(b))) return 0;
  if (a < 0xE0) return a == 0xC2 && b < 0xA0 ? 0 : 2;
  if ((a == 0xE0 && b < 0xA0) || (a == 0xED && b > 0x9F) || (a == 0xF0 && b < 0x90) || (a == 0xF4 && b > 0x8F))
    return 0;
  if (!is_tail(static_cast<unsigned char>(at(2)))) return 0;
  if (a < 0xF0) return 3;
  return is_tail(static_cast<unsigned char>(at(3))) ? 4 : 0;
}

constexpr char hex_digits[] = "0123456789abcdef";

void append_hex(std::string& to, std::string_view lead, char c) {
  to += lead;
  to += hex_digits[static_cast<unsigned char>(c) >> 4];
  to += hex_digits[static_cast<unsigned char>(c) & 15];
}

template <class OnOdd>
void append_utf8(std::string& to, std::string_view text, OnOdd&& on_odd) {
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    const size_t n = utf8_size(text.substr(i, 4));
    if (n <= 1 && (n == 0 || static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '"' || c == '\\')) {
      on_odd(c);
      ++i;
    } else {
      to.append(text, i, n);
      i += n;
    }
  }
}

}  // namespace

bool iequals(std::string_view a, std::string_view b) {
  const size_t size = a.size();
  if (size != b.size()) return false;
  if (size >= sizeof(uint64_t)) return words_alike<uint64_t>(a.data(), b.data(), size);
  if (size >= sizeof(uint32_t)) return words_alike<uint32_t>(a.data(), b.data(), size);
  for (size_t i = 0; i < size; ++i) {
    if (to_lower(a[i]) != to_lower(b[i])) return false;
  }
  return true;
}

std::string to_lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = to_lower(c);
  return lower;
}

std::string_view trim_ows(std::string_view text) {
  while (!text.empty() && is_ows(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_ows(text.back())) text.remove_suffix(1);
  return text;
}

std::optional<uint64_t> parse_u64(std::string_view text) {
  constexpr size_t digits_safe = 19;  // so many cannot overflow
  if (text.empty() || text.size() > digits_safe) return parse_number(text, 10);
  uint64_t value = 0;
  for (const char c : text) {
    const auto digit = static_cast<unsigned char>(c - '0');
    if (digit > 9) return std::nullopt;
    value = value * 10 + digit;
  }
  return value;
}

std::optional<uint64_t> parse_hex_u64(std::string_view text) { return parse_number(text, 16); }

std::optional<std::string_view> next_list_member(std::string_view& rest) {
  while (!rest.empty()) {
    size_t end = 0;
    bool quoted = false;
    for (; end < rest.size(); ++end) {
      const char c = rest[end];
      if (quoted && c == '\\') {
        ++end;
      } else if (c == '"') {
        quoted = !quoted;
      } else if (c == ',' && !quoted) {
        break;
      }
    }
    end = std::min(end, rest.size());
    const std::string_view member = trim_ows(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (!member.empty()) return member;
  }
  return std::nullopt;
}

void append_escaped(std::string& to, std::string_view text) {
  append_utf8(to, text, [&to](char c) {
    if (c == '"' || c == '\\') {
      to += '\\';
      to += c;
    } else {
      append_hex(to, "\\x", c);
    }
  });
}

void append_json_escaped(std::string& to, std::string_view text) {
  append_utf8(to, text, [&to](char c) {
    if (c == '"' || c == '\\') {
      to += '\\';
      to += c;
    } else {
      append_hex(to, "\\u00", c);
    }
  });
}

unsigned edit_distance(std::string_view a, std::string_view b, unsigned cap) {
  constexpr size_t longest = 64;
  if (a.size() > longest || b.size() > longest) return a == b ? 0 : cap;
  std::array<unsigned, longest + 1> row{};
  for (unsigned j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 0; i < a.size(); ++i) {
    unsigned diagonal = row[0]++;
    for (size_t j = 0; j < b.size(); ++j) {
      const unsigned replaced = diagonal + (a[i] == b[j] ? 0U : 1U);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, diagonal + 1, row[j] + 1});
    }
  }
  return std::min(row[b.size()], cap);
}

}  // namespace sluice::base

// One quick look decides whether a path is normal; only the others are taken apart, into a copy.
#include "route/path.h"

#include <algorithm>

#include "base/check.h"

namespace sluice::route {
namespace {

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

bool is_unreserved(int c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}

bool is_dots(std::string_view segment) { return segment == "." || segment == ".."; }

// A first look: nothing in it that any of the steps below would change.
bool is_plain(std::string_view path) {
  for (size_t i = 0; i < path.size(); ++i) {
    const char c = path[i];
    if (c == '%' || c == ';' || c == '\\') return false;
    if (c != '/' || i + 1 == path.size()) continue;
    const char next = path[i + 1];
    if (next == '/') return false;
    if (next == '.' && is_dots(path.substr(i + 1, path.find('/', i + 1) - i - 1))) return false;
  }
  return true;
}

// A piece of arena text that is being written; it never grows beyond what it was made for.
struct Text {
  char* at;
  size_t size = 0;
  void push(char c) { at[size++] = c; }
  std::string_view view() const { return {at, size}; }
};

// Whether each % is followed by two hex digits.
bool escapes_are_whole(std::string_view path) {
  for (size_t i = path.find('%'); i != std::string_view::npos; i = path.find('%', i + 1)) {
    if (i + 2 >= path.size() || hex(path[i + 1]) < 0 || hex(path[i + 2]) < 0) return false;
  }
  return true;
}

// Escapes of unreserved characters become these, the others get upper case (RFC 3986 6.2.2.1, 6.2.2.2).
Text decode_unreserved(std::string_view path, base::Arena& arena) {
  Text to{arena.make_array<char>(path.size())};
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] != '%') {
      to.push(path[i]);
      continue;
    }
    const int high = hex(path[i + 1]);
    const int low = hex(path[i + 2]);
    if (const int c = high * 16 + low; is_unreserved(c)) {
      to.push(static_cast<char>(c));
    } else {
      constexpr char digits[] = "0123456789ABCDEF";
      to.push('%');
      to.push(digits[high]);
      to.push(digits[low]);
    }
    i += 2;
  }
  return to;
}

enum class Slashes : uint8_t { merge, keep };

// RFC 3986 5.2.4, in place. With Slashes::merge empty segments vanish before ".." could pop one. Returns whether an empty
// segment and a later ".." met, so that the order of the two steps matters.
bool remove_dots(Text& text, Slashes slashes) {
  const std::string_view in = text.view();
  size_t out = 0;
  bool empties = false;
  bool order_matters = false;
  for (size_t i = 0; i < in.size();) {
    const size_t begin = i + 1;  // in[i] is the slash before the segment
    const size_t end = std::min(in.find('/', begin), in.size());
    const std::string_view segment = in.substr(begin, end - begin);
    const bool last = end == in.size();
    if (segment == "..") {
      order_matters = order_matters || empties;
      while (out > 0) {
        --out;
        if (text.at[out] == '/') break;
      }
      if (last) text.at[out++] = '/';
    } else if (segment == ".") {
      if (last) text.at[out++] = '/';
    } else if (segment.empty() && !last && slashes == Slashes::merge) {
      empties = true;
    } else {
      text.at[out++] = '/';
      for (size_t k = begin; k < end; ++k) text.at[out++] = text.at[k];
    }
    i = end;
  }
  text.size = out;
  return order_matters;
}

void merge_slashes(Text& text) {
  size_t out = 0;
  for (size_t i = 0; i < text.size; ++i) {
    if (text.at[i] == '/' && out > 0 && text.at[out - 1] == '/') continue;
    text.at[out++] = text.at[i];
  }
  text.size = out;
}

// How a server reads `path` that decodes slashes, takes backslashes for slashes and cuts parameters off. `deceptive` is set when
// that makes a dot segment.
std::string_view read_loosely(std::string_view path, base::Arena& arena, bool& deceptive) {
  Text to{arena.make_array<char>(path.size())};
  bool parameters = false;
  size_t segment = 0;
  const auto end_segment = [&] {
    if (is_dots(to.view().substr(segment))) deceptive = true;
  };
  for (size_t i = 0; i < path.size(); ++i) {
    const bool escaped = path.substr(i, 3) == "%2F" || path.substr(i, 3) == "%5C";
    if (escaped || path[i] == '/' || path[i] == '\\') {
      end_segment();
      to.push('/');
      segment = to.size;
      parameters = false;
      if (escaped) i += 2;
    } else if (path[i] == ';') {
      parameters = true;
    } else if (!parameters) {
      to.push(path[i]);
    }
  }
  end_segment();
  merge_slashes(to);
  return to.view();
}

}  // namespace

bool reads_two_ways(std::string_view path) {
  for (size_t i = 0; i < path.size(); ++i) {
    const char c = path[i];
    if (c == ';' || c == '\\') return true;
    if (c == '%' && (path.substr(i, 3) == "%2F" || path.substr(i, 3) == "%5C")) return true;
  }
  return false;
}

NormalPath normalise(std::string_view path, base::Arena& arena) {
  NormalPath result{path};
  if (!path.starts_with('/') || is_plain(path)) return result;
  if (!escapes_are_whole(path)) {
    result.deceptive = true;
    return result;
  }
  Text text = decode_unreserved(path, arena);
  const bool order_matters = remove_dots(text, Slashes::merge);
  if (text.view() != path) result.path = text.view();
  if (reads_two_ways(result.path)) result.others[0] = read_loosely(result.path, arena, result.deceptive);
  if (order_matters) {
    Text strict = decode_unreserved(path, arena);
    remove_dots(strict, Slashes::keep);
    result.others[1] = read_loosely(strict.view(), arena, result.deceptive);
  }
  return result;
}

bool prefix_matches(std::string_view prefix, std::string_view path) {
  if (!path.starts_with(prefix)) return false;
  if (prefix.ends_with('/')) return true;
  return path.size() == prefix.size() || path[prefix.size()] == '/';
}

std::string_view host_of(std::string_view authority) {
  const size_t colon = authority.rfind(':');
  if (colon != std::string_view::npos && authority.find(']', colon) == std::string_view::npos) authority = authority.substr(0, colon);
  if (authority.ends_with('.')) authority.remove_suffix(1);
  return authority;
}

}  // namespace sluice::route

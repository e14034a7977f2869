// One quick look decides whether a path is normal; only the others are taken apart, into a copy.
#include "route/path.h"

#include <algorithm>

#include "base/check.h"
#include "http/validate.h"

namespace sluice::route {
namespace {

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

bool is_unreserved(int c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
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

// The byte of the escape at `at`, which is whole.
int escaped(std::string_view path, size_t at) { return hex(path[at + 1]) * 16 + hex(path[at + 2]); }

// Escapes of unreserved characters become these, the others get upper case (RFC 3986 6.2.2.1, 6.2.2.2).
Text decode_unreserved(std::string_view path, base::Arena& arena) {
  Text to{arena.make_array<char>(path.size())};
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] != '%') {
      to.push(path[i]);
      continue;
    }
    if (const int c = escaped(path, i); is_unreserved(c)) {
      to.push(static_cast<char>(c));
    } else {
      constexpr char digits[] = "0123456789ABCDEF";
      to.push('%');
      to.push(digits[c >> 4]);
      to.push(digits[c & 15]);
    }
    i += 2;
  }
  return to;
}

enum class Slashes : uint8_t { merge, keep };

// RFC 3986 5.2.4, in place. With Slashes::merge empty segments vanish before ".." could pop one. Returns whether an
// empty segment and a later ".." met, so that the order of the two steps matters.
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

// What a path holds that others may read in another way; unreserved escapes are decoded in it.
struct Marks {
  bool escapes = false;
  bool controls = false;  // %00 to %1F, %7F
  bool separators = false;  // %2F, %5C, a backslash, a parameter: where a segment ends is not the same for all
  bool backslashes = false;  // %5C or a backslash
  bool raw_parameters = false;  // ;
  bool parameters = false;  // ; or %3B
  bool dots = false;  // a dot segment, if each of the separators ends one
};

Marks look_at(std::string_view path) {
  Marks marks;
  size_t dots = 0;  // of the segment so far
  bool others = false;  // it holds something else, too
  bool in_parameter = false;
  const auto end_segment = [&] {
    marks.dots = marks.dots || (!others && (dots == 1 || dots == 2));
    dots = 0;
    others = in_parameter = false;
  };
  for (size_t i = 0; i < path.size(); ++i) {
    const bool escape = path[i] == '%';
    const int c = escape ? escaped(path, i) : static_cast<unsigned char>(path[i]);
    if (escape) i += 2;
    marks.escapes = marks.escapes || escape;
    marks.controls = marks.controls || (escape && (c < 0x20 || c == 0x7f));
    if (c == '/' || c == '\\') {
      marks.separators = marks.separators || escape || c == '\\';
      marks.backslashes = marks.backslashes || c == '\\';
      end_segment();
    } else if (c == ';') {
      marks.separators = marks.parameters = in_parameter = true;
      marks.raw_parameters = marks.raw_parameters || !escape;
    } else if (!in_parameter) {
      dots += c == '.' ? 1 : 0;
      others = others || c != '.';
    }
  }
  end_segment();
  return marks;
}

enum class Parameters : uint8_t { keep, cut, cut_first };

// How a server reads `path` that decodes every escape and takes backslashes for slashes. `cut_first`: parameters go
// before that.
std::string_view read_decoded(std::string_view path, Parameters parameters, base::Arena& arena) {
  Text to{arena.make_array<char>(path.size())};
  bool in_parameter = false;
  for (size_t i = 0; i < path.size(); ++i) {
    const bool escape = path[i] == '%';
    const int c = escape ? escaped(path, i) : static_cast<unsigned char>(path[i]);
    if (escape) i += 2;
    const bool first = escape && parameters == Parameters::cut_first;  // an escape is a character like any other there
    if ((c == '/' || c == '\\') && !(first && in_parameter)) {
      if (to.size == 0 || to.at[to.size - 1] != '/') to.push('/');
      in_parameter = false;
    } else if (c == ';' && parameters != Parameters::keep && !first) {
      in_parameter = true;
    } else if (!in_parameter) {
      to.push(static_cast<char>(c));
    }
  }
  return to.view();
}

}  // namespace

NormalPath normalise(std::string_view path, base::Arena& arena, base::Arena& scratch) {
  NormalPath result{path};
  if (!path.starts_with('/') || is_plain(path)) return result;
  if (!escapes_are_whole(path)) {
    result.deceptive = true;
    return result;
  }
  Text text = decode_unreserved(path, scratch);
  const Marks marks = look_at(text.view());
  const bool order_matters = remove_dots(text, Slashes::merge);
  if (text.view() != path) result.path = arena.copy(text.view());
  result.deceptive = marks.controls || (marks.separators && marks.dots) || (marks.backslashes && marks.parameters);
  if (result.deceptive) return result;
  const auto read = [&](std::string_view from, Parameters parameters) {
    const std::string_view other = read_decoded(from, parameters, scratch);
    return other == result.path ? std::string_view() : other;
  };
  if (marks.escapes || marks.separators) result.others[0] = read(result.path, Parameters::keep);
  if (marks.parameters) result.others[1] = read(result.path, Parameters::cut);
  if (marks.raw_parameters) result.others[2] = read(result.path, Parameters::cut_first);
  if (order_matters) {
    Text strict = decode_unreserved(path, scratch);
    remove_dots(strict, Slashes::keep);
    result.others[1] = read(strict.view(), Parameters::keep);
  }
  return result;
}

bool prefix_matches(std::string_view prefix, std::string_view path) {
  if (!path.starts_with(prefix)) return false;
  if (prefix.ends_with('/')) return true;
  return path.size() == prefix.size() || path[prefix.size()] == '/';
}

std::string_view host_of(std::string_view authority) {
  authority = http::without_port(authority);
  if (authority.ends_with('.')) authority.remove_suffix(1);
  return authority;
}

}  // namespace sluice::route

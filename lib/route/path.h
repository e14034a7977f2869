// Paths and authorities as routes see them: normalised (RFC 3986 6.2.2, dot segments, doubled slashes), and read in the
// other ways a server behind us might read them (threats.md row 14). Pure functions.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/arena.h"

namespace sluice::route {

struct NormalPath {
  // Unreserved escapes decoded, other escapes in upper case, slashes merged, dot segments resolved. It is the input
  // itself if that is normal already, as it usually is, else in `arena`.
  std::string_view path;
  // The path as servers read it that decode every escape (once), "" = none, or it is `path`. [0]: %5C and \ are
  // slashes, too; [1]: and ;parameters are cut off behind that, or dot segments resolved before slashes are merged
  // (/a//../b is /b for some and /a/b for others); [2]: parameters are cut off first, up to a slash that is no escape.
  // All without dot segments and doubled slashes. In `scratch`.
  std::array<std::string_view, 3> others{};
  // Not to be forwarded: it holds an escaped control character, or a dot segment beside a separator that not every
  // server takes for one (%2F, %5C, \, ;, %3B), so that what the dots remove is anybody's guess; or a parameter beside
  // a backslash, which may end it; or an escape is broken (validation lets none through): then `path` is the input.
  bool deceptive = false;
};

// `path`: without query. What does not start with '/' ("*") is left alone. Takes of `arena`, the request's, at most as
// much as the path is long (threats.md row 49); of `scratch`, which lives as long as the other readings are looked at,
// up to four times that.
NormalPath normalise(std::string_view path, base::Arena& arena, base::Arena& scratch);

// By whole segments: /api matches /api and /api/x, never /apix; /api/ matches what starts with it; "" and / match every
// path.
bool prefix_matches(std::string_view prefix, std::string_view path);

// "Example.com.:8080" -> "Example.com"; "[::1]:80" -> "[::1]".
std::string_view host_of(std::string_view authority);

}  // namespace sluice::route

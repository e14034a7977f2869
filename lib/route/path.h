// Paths and authorities as routes see them: normalised (RFC 3986 6.2.2, dot segments, doubled slashes), and read in the other
// ways a server behind us might read them (threats.md row 14). Pure functions; memory is the request's arena.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/arena.h"

namespace sluice::route {

struct NormalPath {
  // Unreserved escapes decoded, other escapes in upper case, dot segments resolved, slashes merged. It is the input itself if
  // that is normal already, as it usually is.
  std::string_view path;
  // The path as others may read it, "" = none: [0] with %2F, %5C and \ as slashes and without ;parameters; [1] the same, if dot
  // segments are resolved before slashes are merged (/a//../b is /b for some and /a/b for others).
  std::array<std::string_view, 2> others{};
  // One of these readings has a dot segment that the path itself does not show, or an escape is broken (validation lets none
  // through): not to be forwarded. With a broken escape `path` is the input.
  bool deceptive = false;
};

// `path`: without query. What does not start with '/' ("*") is left alone.
NormalPath normalise(std::string_view path, base::Arena& arena);

// Whether a normalised path holds what others[0] reads in another way: %2F, %5C, a backslash or a parameter.
bool reads_two_ways(std::string_view path);

// By whole segments: /api matches /api and /api/x, never /apix; /api/ matches what starts with it; "" and / match every path.
bool prefix_matches(std::string_view prefix, std::string_view path);

// "Example.com.:8080" -> "Example.com"; "[::1]:80" -> "[::1]".
std::string_view host_of(std::string_view authority);

}  // namespace sluice::route

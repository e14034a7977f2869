// What a head may hold (threats.md row 49): however it is made and torn, and whatever is done to it, its arena stays
// within a few times the bytes that were sent for it; HPACK's as RFC 9113 6.5.2 counts them, 32 a field.
#pragma once

#include <cstddef>

namespace sluice::support {

constexpr size_t held_max(size_t raw) { return 4 * raw + size_t{16} * 1024; }

}  // namespace sluice::support

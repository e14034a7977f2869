// The Date of an answer that came without one (RFC 9110 6.6.1). It is the same text for a whole second, so it is made
// once a second and thread: no answer pays for it with more than a comparison.
#pragma once

#include <optional>
#include <string_view>

#include "base/clock.h"

namespace sluice::http {

// "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 5.6.7) of microseconds since the Unix epoch, years 1970 to 9999. Valid
// until the next call on this thread.
std::string_view date_text(base::Micros wall);

// Its three forms that RFC 9110 5.6.7 has recipients accept, in microseconds since the Unix epoch. nullopt: none of
// them. For what is rare: it takes a lock of the whole process.
std::optional<base::Micros> parse_date(std::string_view text);

}  // namespace sluice::http

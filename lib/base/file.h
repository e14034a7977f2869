// Opening what somebody named in a configuration: a configuration file, a certificate, a key.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/error.h"

namespace sluice::base {

// A descriptor to read a regular file from; the caller closes it. Never waits: a FIFO, a device, a socket or a folder
// is an error at once. Errors name what it is, or the reason of the system, without the path; the span holds it.
Result<int> open_file(const std::string& path);

// All of it; above `most` bytes the error is `too_large`. The text never moves, so that no second copy of a key is left
// behind.
Result<std::string> read_file(const std::string& path, size_t most, std::string_view too_large);

}  // namespace sluice::base

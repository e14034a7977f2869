// What log.cc and log_event.cc share. Nobody else includes this.
#pragma once

#include <string>
#include <string_view>

#include "base/log.h"

namespace sluice::base {

LogFormat log_format();
// Up to the message: `TIME LEVEL `, or `{"time":"...","level":"...",`.
std::string line_head(LogLevel level, LogFormat format, Micros wall);
// Control bytes are escaped, quotes stay readable.
void append_plain(std::string& to, std::string_view text);
// Each on a line of its own, indented: none of them looks like a line of the log.
void append_lines(std::string& to, std::string_view lines);

}  // namespace sluice::base

// What `sluice top` and `sluice why` ask a running sluice: one page of its admin listener. Blocking, for commands of a
// terminal; nothing that serves calls it.
#pragma once

#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/error.h"
#include "net/address.h"

namespace sluice::admin {

inline constexpr std::size_t fetched_most = 64 << 20;  // bytes of an answer; what is longer is an error

struct Answer {
  int status = 0;
  std::string body;
};

// What GET `path` says, whatever its status; else as fetch().
base::Result<Answer> ask(const net::Address& admin, std::string_view path, std::string_view accept,
                         base::Millis patience = base::seconds(5));

// The body of GET `path` (with its "/") at `admin`, asked for as `accept`. Errors say where and why; a status other
// than 200 is one. `patience`: for connecting, and between two reads.
base::Result<std::string> fetch(const net::Address& admin, std::string_view path, std::string_view accept,
                                base::Millis patience = base::seconds(5));

}  // namespace sluice::admin

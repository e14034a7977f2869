// Whom the admin listener answers (threats.md row 66). It has no password and listens on loopback, so what it guards
// against is a browser on the same machine that a page sends here, by name or through this very proxy: it must neither
// read nor drain anything.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "http/head.h"
#include "net/address.h"

namespace sluice::admin {

// Why this request is answered 403, and what to do about it, in words for whoever sent it; "" = it may go on.
//   peer: the other end of the connection. hosts: `[admin] hosts`, lower case.
std::string_view refusal(const http::Head& head, const net::Address& peer, std::span<const std::string> hosts);

}  // namespace sluice::admin

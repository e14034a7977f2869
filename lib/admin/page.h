// The status page: one document without an outside request. The state as text stands in it for who runs no script; its
// own script then keeps it live from /status and /recent. Made of lib/admin/page by cmake/EmbedPage.cmake.
#pragma once

#include <string>
#include <string_view>

namespace sluice::admin {

// `status`: the text of /status, any bytes.
std::string status_page(std::string_view status);

// Content-Security-Policy: its own style and script, by their hashes, and requests to its own origin.
extern const std::string_view page_policy;
extern const std::string_view page_before;  // the text of /status,
extern const std::string_view page_after;

}  // namespace sluice::admin

// The status page: one static document that asks /status for its content every second.
#pragma once

#include <string_view>

namespace sluice::admin {

std::string_view status_page();

}  // namespace sluice::admin

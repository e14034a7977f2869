// The version of this build and of the libraries it is linked with.
#pragma once

#include <string>
#include <string_view>

namespace sluice::runtime {

std::string_view version();          // "0.1.0"
std::string version_text();          // several lines: version, compiler, linked libraries

}  // namespace sluice::runtime

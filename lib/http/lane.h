// Lane: how much a request matters beside others of the same upstream when there is not room for all: `priority` of its
// route. Nothing of RFC 9218, which is between a client and us.
#pragma once

#include <cstdint>

namespace sluice::http {

enum class Lane : std::uint8_t { high, normal, low };
inline constexpr unsigned lanes = static_cast<unsigned>(Lane::low) + 1;

}  // namespace sluice::http

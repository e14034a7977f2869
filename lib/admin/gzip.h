// gzip (RFC 1952) of a whole page, by zlib.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sluice::admin {

inline constexpr std::size_t gzip_least = 1024;  // bytes: a shorter page fits a packet as it is

// nullopt: there is no memory for it. 15 ms a megabyte: not on a loop.
std::optional<std::string> gzip(std::string_view page);

// May an answer come so, by the request's Accept-Encoding (RFC 9110 12.5.3)?
bool takes_gzip(std::string_view accept_encoding);

}  // namespace sluice::admin

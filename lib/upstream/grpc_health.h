// The messages of grpc.health.v1.Health/Check (https://github.com/grpc/grpc/blob/master/doc/health-checking.md): one
// string out, one number back. Written and read by hand, bounded; anything else is a bad answer. Pure; used by
// health_probe.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::upstream {

inline constexpr std::string_view grpc_health_path = "/grpc.health.v1.Health/Check";
inline constexpr std::size_t grpc_service_max = 127;  // bytes of a service's name
inline constexpr std::size_t grpc_health_answer_max = 1024;  // bytes of an answer with its frame; a real one has seven

// HealthCheckResponse.ServingStatus. A value that is not known is told as it came.
enum class ServingStatus : std::uint32_t { unknown = 0, serving = 1, not_serving = 2, service_unknown = 3 };

// The request with its frame of five bytes. `service`: at most grpc_service_max bytes; "" = the server as a whole.
std::string grpc_health_request(std::string_view service);
// The answer with its frame, whole; nullopt: not exactly one uncompressed message of that form.
std::optional<ServingStatus> parse_grpc_health(std::string_view answer);
// "NOT_SERVING", for the log.
std::string_view serving_word(ServingStatus status);

}  // namespace sluice::upstream

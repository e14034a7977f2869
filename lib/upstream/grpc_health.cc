#include "upstream/grpc_health.h"

#include "base/check.h"

namespace sluice::upstream {
namespace {

constexpr std::size_t frame_bytes = 5;              // compressed flag, four bytes of length

// Protocol Buffers' wire format (https://protobuf.dev/programming-guides/encoding/).
enum class Wire : std::uint8_t { varint = 0, eight = 1, bytes = 2, four = 5 };
constexpr std::uint64_t tag(std::uint32_t field, Wire type) {
  return (std::uint64_t{field} << 3) | static_cast<std::uint64_t>(type);
}
constexpr std::uint64_t request_service = tag(1, Wire::bytes);
constexpr std::uint64_t response_status = tag(1, Wire::varint);

std::optional<std::uint64_t> take_varint(std::string_view& from) {
  constexpr unsigned bytes_max = 10;
  std::uint64_t value = 0;
  for (unsigned i = 0; i < bytes_max && i < from.size(); ++i) {
    const auto byte = static_cast<unsigned char>(from[i]);
    value |= std::uint64_t{byte & 0x7Fu} << (7 * i);
    if (byte < 0x80) {
      from.remove_prefix(i + 1);
      return value;
    }
  }
  return std::nullopt;
}

// False: there are not so many bytes.
bool skip(std::string_view& from, std::uint64_t bytes) {
  if (bytes > from.size()) return false;
  from.remove_prefix(static_cast<std::size_t>(bytes));
  return true;
}

// A field that later versions of the message may have.
bool skip_field(std::string_view& from, std::uint64_t its_tag) {
  switch (static_cast<Wire>(its_tag & 7)) {
    case Wire::varint: return take_varint(from).has_value();
    case Wire::eight: return skip(from, 8);
    case Wire::four: return skip(from, 4);
    case Wire::bytes: {
      const auto size = take_varint(from);
      return size && skip(from, *size);
    }
  }
  return false;
}

}  // namespace

std::string grpc_health_request(std::string_view service) {
  CHECK(service.size() <= grpc_service_max);
  std::string message;
  if (!service.empty()) {
    message += static_cast<char>(request_service);
    message += static_cast<char>(service.size());   // below 128: one byte
    message += service;
  }
  std::string framed(frame_bytes, '\0');
  framed[frame_bytes - 1] = static_cast<char>(message.size());
  return framed + message;
}

std::optional<ServingStatus> parse_grpc_health(std::string_view answer) {
  if (answer.size() < frame_bytes || answer.size() > grpc_health_answer_max || answer[0] != 0) return std::nullopt;
  std::uint32_t size = 0;
  for (std::size_t i = 1; i < frame_bytes; ++i) size = size << 8 | static_cast<unsigned char>(answer[i]);
  answer.remove_prefix(frame_bytes);
  if (size != answer.size()) return std::nullopt;
  std::uint64_t status = 0;                         // a field that is left out has this value
  while (!answer.empty()) {
    const auto next = take_varint(answer);
    if (!next) return std::nullopt;
    if (*next != response_status) {
      if (!skip_field(answer, *next)) return std::nullopt;
      continue;
    }
    const auto value = take_varint(answer);
    if (!value) return std::nullopt;
    status = *value;
  }
  return static_cast<ServingStatus>(static_cast<std::uint32_t>(status));
}

std::string_view serving_word(ServingStatus status) {
  switch (status) {
    case ServingStatus::unknown: return "UNKNOWN";
    case ServingStatus::serving: return "SERVING";
    case ServingStatus::not_serving: return "NOT_SERVING";
    case ServingStatus::service_unknown: return "SERVICE_UNKNOWN";
  }
  return "a status that is not known";
}

}  // namespace sluice::upstream

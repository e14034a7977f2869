// Walking through handshake messages by their headers; the budget's arithmetic.
#include "tls/post_handshake.h"

namespace sluice::tls {
namespace {

constexpr std::uint8_t header_bytes = 4;   // type, length of three bytes (RFC 8446 4)
constexpr char key_update = 24;

}  // namespace

unsigned HandshakeStream::take(std::string_view content) {
  unsigned key_updates = 0;
  while (!content.empty()) {
    if (header_ == 0 && left_ != 0) {
      const auto n = std::min<std::size_t>(left_, content.size());
      left_ -= static_cast<std::uint32_t>(n);
      content.remove_prefix(n);
      continue;
    }
    if (header_ == 0) {
      if (content.front() == key_update) ++key_updates;
    } else {
      left_ = left_ << 8 | static_cast<std::uint8_t>(content.front());
    }
    content.remove_prefix(1);
    if (++header_ == header_bytes) header_ = 0;
  }
  return key_updates;
}

void KeyUpdateBudget::bytes_received(std::size_t bytes) {
  bytes_ += static_cast<std::uint32_t>(bytes);       // of one record: it cannot wrap
  if (bytes_ < bytes_for_one) return;
  earned_ = static_cast<std::uint16_t>(std::min<std::uint32_t>(earned_ + bytes_ / bytes_for_one, earned_max));
  bytes_ %= bytes_for_one;
}

bool KeyUpdateBudget::spend(base::Micros now) {
  if (const std::int64_t seconds = (now - at_).count / base::Micros(base::seconds(1)).count; seconds > 0) {
    left_ = static_cast<std::uint16_t>(std::min<std::int64_t>(left_ + seconds, burst));
    at_ = now;
  }
  std::uint16_t& from = earned_ != 0 ? earned_ : left_;
  if (from == 0) return false;
  --from;
  return true;
}

}  // namespace sluice::tls

// Which frame costs what.
#include "http2/flood_guard.h"

#include <algorithm>

namespace sluice::http2 {

using http::Detail;

bool Budget::spend(base::Micros now) {
  if (now > at_) {
    const int64_t earned = (now.count - at_.count) * a_second_;
    left_ = std::min(int64_t{burst_} * unit, left_ + earned);
    at_ = now;
  }
  if (left_ < unit) return false;
  left_ -= unit;
  return true;
}

void Budget::earn(uint32_t n) { left_ = std::min(int64_t{burst_} * unit, left_ + int64_t{n} * unit); }

FloodGuard::FloodGuard(uint32_t max_resets, uint64_t max_header_bytes, base::Micros now)
    : control_(control_burst, control_a_second, now),
      own_resets_(own_resets_burst, own_resets_a_second, now),
      max_header_bytes_(max_header_bytes),
      window_since_(now),
      max_resets_(max_resets) {}

Detail FloodGuard::frame(const Frame& f, base::Micros now) {
  if (f.is(FrameType::headers)) {
    control_.earn(earned_by_head);
    return header_block(f);
  }
  if (f.is(FrameType::continuation)) return header_block(f);
  if (f.is(FrameType::data)) {
    constexpr uint32_t all_may_be_padding = 256;
    const bool bears = f.length > (f.has(Frame::padded) ? all_may_be_padding : 0);
    if (bears) {
      data_bytes_ += f.length;
      control_.earn(data_bytes_ / bytes_to_earn);
      data_bytes_ %= bytes_to_earn;
      return Detail::none;
    }
    if (f.has(Frame::end_stream)) return Detail::none;   // once a stream
  }
  return control_.spend(now) ? Detail::none : Detail::control_flood;
}

Detail FloodGuard::header_block(const Frame& f) {
  if (f.is(FrameType::headers)) {
    block_bytes_ = 0;
    continuations_ = 0;
  } else {
    ++continuations_;
  }
  in_block_ = !f.has(Frame::end_headers);
  block_bytes_ += f.length;
  return continuations_ > continuations_max || block_bytes_ > max_header_bytes_ ? Detail::continuation_flood : Detail::none;
}

void FloodGuard::roll(base::Micros now) {
  if (now - window_since_ < base::Micros{reset_window}) return;
  window_since_ = now;
  opened_ = early_resets_ = 0;
}

void FloodGuard::stream_opened(base::Micros now) {
  roll(now);
  ++opened_;
}

// More than half of what was opened. Calls that are cancelled at their own deadline do not come here.
Detail FloodGuard::reset_by_peer(base::Micros opened, base::Micros now) {
  roll(now);
  if (now - opened >= base::Micros{early}) return Detail::none;
  ++early_resets_;
  return early_resets_ > max_resets_ && uint64_t{early_resets_} * 2 > opened_ ? Detail::reset_flood : Detail::none;
}

Detail FloodGuard::reset_by_us(base::Micros now) { return own_resets_.spend(now) ? Detail::none : Detail::own_reset_flood; }

}  // namespace sluice::http2

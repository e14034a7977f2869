// Which frame costs what.
#include "http2/flood_guard.h"

#include <algorithm>

namespace sluice::http2 {

using http::Detail;

bool Budget::spend(base::Micros now, int64_t price) {
  if (now > at_) {
    const int64_t earned = (now.count - at_.count) * a_second_;
    left_ = std::min(int64_t{burst_} * one, left_ + earned);
    at_ = now;
  }
  if (left_ < price) return false;
  left_ -= price;
  return true;
}

namespace {

constexpr uint32_t a_second(uint32_t in_the_window) {
  return std::max(1U, in_the_window / uint32_t{FloodGuard::reset_window.count / 1000});
}

int64_t price_of(base::Micros deadline) {
  constexpr int64_t full = base::Micros{FloodGuard::full_price_below}.count;
  if (deadline.count <= full) return Budget::one;
  return Budget::one * full / deadline.count * full / deadline.count;
}

}  // namespace

FloodGuard::FloodGuard(uint32_t max_resets, uint64_t max_header_bytes, base::Micros now)
    : control_(control_burst, control_a_second, now),
      own_resets_(own_resets_burst, own_resets_a_second, now),
      cancels_(max_resets, a_second(max_resets), now),
      max_header_bytes_(max_header_bytes),
      window_since_(now),
      max_resets_(max_resets) {}

Detail FloodGuard::frame(const Frame& f, base::Micros now) {
  if (f.is(FrameType::headers)) {
    control_.earn(earned_by_head * Budget::one);
    return header_block(f);
  }
  if (f.is(FrameType::continuation)) return header_block(f);
  return control_.spend(now) ? Detail::none : Detail::control_flood;
}

// What bears something for a stream is work; all else is a control frame, an empty one at the end of a request too.
// What comes on a stream that is over is as good as its bytes: an upload that we cut is still on its way.
Detail FloodGuard::data(size_t content, bool live, base::Micros now) {
  data_bytes_ += static_cast<uint32_t>(content);
  control_.earn(int64_t{data_bytes_ / bytes_to_earn} * Budget::one);
  data_bytes_ %= bytes_to_earn;
  if (live && content != 0) return Detail::none;
  return control_.spend(now) ? Detail::none : Detail::control_flood;
}

// Credit that comes back for what we sent costs nothing, in whatever pieces: each byte once for its stream, once for
// the connection.
Detail FloodGuard::window_update(uint32_t more, base::Micros now) {
  if (more <= returnable_) {
    returnable_ -= more;
    return Detail::none;
  }
  return control_.spend(now) ? Detail::none : Detail::control_flood;
}

void FloodGuard::data_sent(size_t bytes) {
  returnable_ += 2 * uint64_t{bytes};
  control_.earn(earned_by_answer * Budget::one);
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
  return continuations_ > continuations_max || block_bytes_ > max_header_bytes_ ? Detail::continuation_flood
                                                                                : Detail::none;
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

// The share: more than half of what was opened, answered here or not.
Detail FloodGuard::cancelled(const Cancel& cancel, base::Micros now) {
  if (const Detail detail = recalled(cancel, now); detail != Detail::none) return detail;
  roll(now);
  if (cancel.held >= base::Micros{early} || cancel.deadline >= base::Micros{deadline_believed}) return Detail::none;
  ++early_resets_;
  return early_resets_ > max_resets_ && uint64_t{early_resets_} * 2 > opened_ ? Detail::reset_flood : Detail::none;
}

Detail FloodGuard::recalled(const Cancel& cancel, base::Micros now) {
  if (!cancel.upstream || cancel.held >= base::Micros{early}) return Detail::none;
  return cancels_.spend(now, price_of(cancel.deadline)) ? Detail::none : Detail::reset_flood;
}

Detail FloodGuard::reset_by_us(base::Micros now) {
  return own_resets_.spend(now) ? Detail::none : Detail::own_reset_flood;
}

Detail FloodGuard::refused(bool foreseen, base::Micros now) {
  return own_resets_.spend(now, foreseen ? Budget::one : unforeseen_price) ? Detail::none : Detail::own_reset_flood;
}

}  // namespace sluice::http2

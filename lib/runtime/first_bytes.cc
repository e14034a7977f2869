// Looks, never takes.
#include "runtime/first_bytes.h"

#include <algorithm>
#include <utility>

namespace sluice::runtime {
namespace {

base::Slab<FirstBytes>& slab() {
  thread_local base::Slab<FirstBytes> all;
  return all;
}

}  // namespace

net::Owned<FirstBytes> FirstBytes::make(net::Loop& loop, net::TransportPtr transport, base::Millis patience,
                                        Judge judge, Host& host) {
  return net::Owned<FirstBytes>(slab().make(loop, std::move(transport), patience, judge, host));
}

FirstBytes::FirstBytes(net::Loop& loop, net::TransportPtr transport, base::Millis patience, Judge judge, Host& host)
    : loop_(loop), transport_(std::move(transport)), judge_(judge), host_(host), since_(loop.now()) {
  limit(patience);
  transport_->start(*this);
}

void FirstBytes::on_bytes(net::ByteQueue& in) {
  if (transport_ == nullptr || in.empty()) return;
  silent_ = false;
  const std::string_view bytes = in.flatten(std::min(in.size(), looked_at_max));
  if (judge_(bytes) == Verdict::more) return;
  patience_.disarm();
  host_.on_first_bytes(std::move(transport_), bytes);
}

void FirstBytes::limit(base::Millis patience) {
  if (transport_ == nullptr || hurried_) return;
  const base::Millis waited{(loop_.now() - since_).count / 1000};
  patience_.arm(loop_, base::Millis{std::max<int64_t>(patience.count - waited.count, 0)});
}

void FirstBytes::hurry(base::Millis patience) {
  hurried_ = true;
  if (transport_ == nullptr || patience_.due() <= loop_.now() + base::Micros{patience}) return;
  patience_.arm(loop_, patience);
}

void FirstBytes::give_up(http::CloseCause cause) {
  if (transport_ == nullptr) return;
  patience_.disarm();
  transport_->close(net::Close::now);
  transport_ = nullptr;
  host_.on_no_bytes(cause);
}

void FirstBytes::retire() noexcept {
  patience_.disarm();
  transport_.reset();
  loop_.reap_later(*this);
}

void FirstBytes::reclaim() noexcept { slab().recycle(this); }

}  // namespace sluice::runtime

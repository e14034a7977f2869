#include "net/fd.h"

#include <fcntl.h>

#include <atomic>
#include <climits>

namespace sluice::net {
namespace {

std::atomic<int> first_kept{INT_MAX};

}  // namespace

Fd Fd::duplicate() const { return Fd(::fcntl(fd_, F_DUPFD_CLOEXEC, 0)); }

void keep_descriptors(int first) { first_kept = first; }

bool may_take(int fd, Takes takes) {
  return takes == Takes::kept_ones_too || fd < first_kept.load(std::memory_order_relaxed);
}

bool one_is_left(const Fd& open, Takes takes) {
  const Fd next = open.duplicate();
  return next && may_take(next.value(), takes);
}

}  // namespace sluice::net

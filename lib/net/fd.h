// Fd: an owned file descriptor. Closed when it dies; moved, never copied.
#pragma once

#include <unistd.h>

#include <utility>

namespace sluice::net {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
  Fd& operator=(Fd&& o) noexcept {
    if (this != &o) reset(std::exchange(o.fd_, -1));
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  explicit operator bool() const { return fd_ >= 0; }
  int value() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1) noexcept {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }
  // A second descriptor of the same open file; empty when there is none left.
  Fd duplicate() const;

 private:
  int fd_ = -1;
};

// Descriptors numbered `first` and above are kept: traffic, which is accepted and dialled, takes none of them, so that
// the admin listener, logs, a reload and DNS find some when traffic has all others. (The kernel gives the lowest that
// is free.) Of the process, as the limit itself; said before there is any thread. Default: none is kept.
enum class Takes : bool { what_traffic_may, kept_ones_too };
void keep_descriptors(int first);
bool may_take(int fd, Takes takes);
// Would the next descriptor be one that it may take? `open`: any that is open.
bool one_is_left(const Fd& open, Takes takes);

}  // namespace sluice::net

// HeldHeads: texts of heads that one connection holds, all its streams together (threats.md row 36): many streams that
// refer to the same entry of the table cost a byte each on the wire. A browser's hundred requests with 8 KB of cookies
// each have room. HeldHead: the part of one stream, given back with it.
#pragma once

#include <algorithm>
#include <cstdint>

namespace sluice::http2 {

class HeldHeads {
 public:
  static constexpr uint64_t bytes_max = uint64_t{1} << 20;

  // False: it would be too much, nothing was taken.
  bool take(uint64_t bytes) {
    if (bytes > bytes_max - bytes_) return false;
    bytes_ += bytes;
    return true;
  }
  void give(uint64_t bytes) { bytes_ -= bytes; }

 private:
  uint64_t bytes_ = 0;
};

class HeldHead {
 public:
  explicit HeldHead(HeldHeads& all) : all_(all) {}
  HeldHead(const HeldHead&) = delete;
  HeldHead& operator=(const HeldHead&) = delete;
  ~HeldHead() { all_.give(bytes_); }

  bool take(uint64_t bytes) {
    if (!all_.take(bytes)) return false;
    bytes_ += bytes;
    return true;
  }
  // Of it no more than `most` is still there.
  void keep(uint64_t most) {
    const uint64_t kept = std::min(bytes_, most);
    all_.give(bytes_ - kept);
    bytes_ = kept;
  }

 private:
  HeldHeads& all_;
  uint64_t bytes_ = 0;
};

}  // namespace sluice::http2

// Chunk: a block of bytes read from a socket. Slice: a counted view into one. Copying a Slice copies no bytes; the
// chunk goes back to its thread's slabs with its last slice. Never shared between threads: the count is a plain
// integer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace sluice::net {

class Chunk {
 public:
  static constexpr uint32_t usual_bytes = 16 * 1024;  // payload of a usual chunk
  static constexpr uint32_t bulk_bytes = 64 * 1024;  // payload of a chunk for bulk reads
  static constexpr uint32_t largest_bytes = 96 * 1024;  // payload of the largest one (a head at its limit)

  // A chunk of at least `bytes` payload (<= largest_bytes) with a count of one.
  static Chunk* make(uint32_t bytes = usual_bytes);

  char* data() { return reinterpret_cast<char*>(this + 1); }
  uint32_t capacity() const { return capacity_; }
  uint32_t used() const { return used_; }  // bytes of the front part that are filled; only the reader moves it
  void grow_used(uint32_t by) { used_ += by; }
  uint32_t room() const { return capacity_ - used_; }
  void ref() { ++count_; }
  void unref() {
    if (--count_ == 0) give_back();
  }
  uint32_t count() const { return count_; }

  // The thread's chunk for small copies of any queue, with room for `bytes` (<= usual_bytes) at data() + used(). The
  // caller makes its Slice and calls grow_used(). Shared, so that a few bytes here and there do not pin a chunk each.
  static Chunk& scratch(uint32_t bytes);
  bool is_scratch() const { return scratch_ != 0; }

  static size_t kept_free();  // free chunks kept for reuse on this thread (tests)
  static size_t live();  // chunks in use on this thread (tests, back-pressure accounts)

 private:
  void give_back();

  uint32_t count_;
  uint32_t capacity_;
  uint32_t used_;
  uint32_t scratch_;
  friend struct ChunkPool;
};

class Slice {
 public:
  Slice() = default;
  Slice(Chunk* home, uint32_t at, uint32_t size) : home_(home), at_(at), size_(size) {
    home_->ref();
  }  // takes a count of its own
  Slice(const Slice& o) : home_(o.home_), at_(o.at_), size_(o.size_) {
    if (home_ != nullptr) home_->ref();
  }
  Slice(Slice&& o) noexcept : home_(std::exchange(o.home_, nullptr)), at_(o.at_), size_(std::exchange(o.size_, 0)) {}
  Slice& operator=(const Slice& o) noexcept { return *this = Slice(o); }
  Slice& operator=(Slice&& o) noexcept {
    Chunk* const before = std::exchange(home_, std::exchange(o.home_, nullptr));
    at_ = o.at_;
    size_ = std::exchange(o.size_, 0);
    if (before != nullptr) before->unref();
    return *this;
  }
  ~Slice() {
    if (home_ != nullptr) home_->unref();
  }

  const char* data() const { return home_->data() + at_; }
  uint32_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::string_view view() const { return size_ == 0 ? std::string_view() : std::string_view(data(), size_); }
  Chunk* home() const { return home_; }
  uint32_t at() const { return at_; }
  Slice sub(uint32_t from, uint32_t n) const { return {home_, at_ + from, n}; }
  void remove_prefix(uint32_t n) { at_ += n, size_ -= n; }
  void set_size(uint32_t n) { size_ = n; }

 private:
  Chunk* home_ = nullptr;
  uint32_t at_ = 0;
  uint32_t size_ = 0;
};

}  // namespace sluice::net

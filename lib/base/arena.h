// Arena: memory of one request. Bump allocation out of blocks that slabs of its thread recycle, so the steady state of
// a keep-alive connection touches no heap. Nothing is freed one by one; reset() gives every block back, on the thread
// that took them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>
#include <utility>

namespace sluice::base {

class Arena {
 public:
  static constexpr size_t block_bytes = 2048;  // usual block, its header included; larger asks get a block of their own

  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() { reset(); }

  // Uninitialised memory, valid until reset(). `align` is a power of two, at most 16.
  void* allocate(size_t bytes, size_t align = 8) {
    const size_t skip = (0 - reinterpret_cast<uintptr_t>(at_)) & (align - 1);
    if (at_ == nullptr || skip + bytes > static_cast<size_t>(end_ - at_)) return allocate_slow(bytes, align);
    char* const at = at_ + skip;
    at_ = at + bytes;
    return at;
  }
  template <class T>
  T* make_array(size_t n) {
    static_assert(std::is_trivially_destructible_v<T>);
    return static_cast<T*>(allocate(n * sizeof(T), alignof(T)));
  }
  std::string_view copy(std::string_view text) {
    if (text.empty()) return {};
    auto* to = static_cast<char*>(allocate(text.size(), 1));
    std::memcpy(to, text.data(), text.size());
    return {to, text.size()};
  }
  // "a" + "b" + ... as one view.
  template <class... Views>
  std::string_view concat(const Views&... parts) {
    const size_t total = (std::string_view(parts).size() + ... + 0U);
    auto* const to = static_cast<char*>(allocate(total, 1));
    char* p = to;
    const auto put = [&p](std::string_view part) {
      if (part.empty()) return;  // its data() may be null, which memcpy must not see
      std::memcpy(p, part.data(), part.size());
      p += part.size();
    };
    (put(parts), ...);
    return {to, total};
  }
  // Gives all memory back; every view into it is dead.
  void reset() noexcept;
  void swap(Arena& other) noexcept {
    std::swap(at_, other.at_);
    std::swap(end_, other.end_);
    std::swap(blocks_, other.blocks_);
    std::swap(held_, other.held_);
  }
  size_t bytes_held() const { return held_; }  // sum of the blocks

 private:
  struct Block {
    Block* next;
    size_t size;
  };
  void* allocate_slow(size_t bytes, size_t align);

  char* at_ = nullptr;
  char* end_ = nullptr;
  Block* blocks_ = nullptr;
  size_t held_ = 0;
};

}  // namespace sluice::base

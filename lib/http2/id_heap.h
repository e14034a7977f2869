// IdHeap: streams by their id, the lowest first. A pairing heap through hooks in the streams: insert is O(1), the
// others O(log n) over time, and nothing is allocated.
#pragma once

#include <cstdint>
#include <utility>

namespace sluice::http2 {

class IdHeapHook {
 public:
  IdHeapHook() = default;
  IdHeapHook(const IdHeapHook&) = delete;
  IdHeapHook& operator=(const IdHeapHook&) = delete;

 private:
  template <class T>
  friend class IdHeap;
  IdHeapHook* child_ = nullptr;  // the first
  IdHeapHook* next_ = nullptr;  // sibling
  IdHeapHook* prev_ = nullptr;  // sibling, of the first the parent; of the root nullptr
};

// T derives from IdHeapHook; T::id() does not change while it is in the heap, and it leaves before it dies.
template <class T>
class IdHeap {
 public:
  bool empty() const { return root_ == nullptr; }
  T* lowest() const { return static_cast<T*>(root_); }
  bool one() const { return root_ != nullptr && root_->child_ == nullptr; }
  void insert(T& item) {
    IdHeapHook& hook = item;
    root_ = root_ == nullptr ? &hook : meld(root_, &hook);
  }
  void remove(T& item) {
    IdHeapHook* const hook = &item;
    IdHeapHook* const rest = meld_all(std::exchange(hook->child_, nullptr));
    if (hook == root_) {
      root_ = rest;
      return;
    }
    (hook->prev_->child_ == hook ? hook->prev_->child_ : hook->prev_->next_) = hook->next_;
    if (hook->next_ != nullptr) hook->next_->prev_ = hook->prev_;
    hook->next_ = hook->prev_ = nullptr;
    if (rest != nullptr) root_ = meld(root_, rest);
  }

 private:
  static int32_t id(const IdHeapHook* hook) { return static_cast<const T*>(hook)->id(); }
  // Two roots: the one with the lower id takes the other as its first child.
  static IdHeapHook* meld(IdHeapHook* a, IdHeapHook* b) {
    if (id(b) < id(a)) std::swap(a, b);
    b->prev_ = a;
    b->next_ = a->child_;
    if (b->next_ != nullptr) b->next_->prev_ = b;
    a->child_ = b;
    return a;
  }
  // Siblings: in pairs from the first to the last, then the pairs from the last to the first.
  static IdHeapHook* meld_all(IdHeapHook* first) {
    IdHeapHook* pairs = nullptr;
    while (first != nullptr) {
      IdHeapHook* const a = take(first);
      IdHeapHook* const pair = first == nullptr ? a : meld(a, take(first));
      pair->next_ = std::exchange(pairs, pair);
    }
    IdHeapHook* all = nullptr;
    while (pairs != nullptr) {
      IdHeapHook* const pair = take(pairs);
      all = all == nullptr ? pair : meld(all, pair);
    }
    return all;
  }
  static IdHeapHook* take(IdHeapHook*& first) {
    IdHeapHook* const taken = first;
    first = std::exchange(taken->next_, nullptr);
    taken->prev_ = nullptr;
    return taken;
  }
  IdHeapHook* root_ = nullptr;
};

}  // namespace sluice::http2

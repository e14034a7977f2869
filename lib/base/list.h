// Intrusive doubly linked list whose hooks unlink themselves: an object that dies is in no list. The list owns nothing.
// One object may be in several lists by deriving from several hooks: ListHook<struct TagA>, ListHook<struct TagB>.
#pragma once

#include <cstddef>

#include "base/check.h"

namespace sluice::base {

template <class T, class Tag>
class List;

template <class Tag = void>
class ListHook {
 public:
  ListHook() = default;
  ListHook(const ListHook&) = delete;
  ListHook& operator=(const ListHook&) = delete;
  ~ListHook() { unlink(); }

  bool linked() const { return next_ != nullptr; }
  // Leaves the list it is in, if any. O(1).
  void unlink() {
    if (next_ == nullptr) return;
    prev_->next_ = next_;
    next_->prev_ = prev_;
    next_ = prev_ = nullptr;
  }

 private:
  template <class, class>
  friend class List;
  ListHook* next_ = nullptr;
  ListHook* prev_ = nullptr;
};

// T derives from ListHook<Tag>. Iteration: `for (T* t = list.front(); t; t = list.next(*t))`; the body may unlink t
// only after it has asked for next(*t).
template <class T, class Tag = void>
class List {
 public:
  using Hook = ListHook<Tag>;
  List() { head_.next_ = head_.prev_ = &head_; }
  List(const List&) = delete;
  List& operator=(const List&) = delete;
  ~List() {
    while (!empty()) front()->Hook::unlink();
    head_.next_ = head_.prev_ = nullptr;
  }

  bool empty() const { return head_.next_ == &head_; }
  void push_back(T& item) { insert_before(head_, item); }
  void push_front(T& item) { insert_before(*head_.next_, item); }
  T* front() { return empty() ? nullptr : from(head_.next_); }
  T* back() { return empty() ? nullptr : from(head_.prev_); }
  T* next(T& item) {
    Hook& hook = item;
    return hook.next_ == &head_ ? nullptr : from(hook.next_);
  }
  T* prev(T& item) {
    Hook& hook = item;
    return hook.prev_ == &head_ ? nullptr : from(hook.prev_);
  }
  T* pop_front() {
    T* item = front();
    if (item != nullptr) static_cast<Hook*>(item)->unlink();
    return item;
  }
  // Moves every item of `other` to our end. O(1).
  void take_all(List& other) {
    if (other.empty()) return;
    Hook* first = other.head_.next_;
    Hook* last = other.head_.prev_;
    other.head_.next_ = other.head_.prev_ = &other.head_;
    first->prev_ = head_.prev_;
    head_.prev_->next_ = first;
    last->next_ = &head_;
    head_.prev_ = last;
  }

 private:
  static T* from(Hook* hook) { return static_cast<T*>(hook); }
  void insert_before(Hook& place, Hook& hook) {
    DCHECK(!hook.linked());
    hook.prev_ = place.prev_;
    hook.next_ = &place;
    place.prev_->next_ = &hook;
    place.prev_ = &hook;
  }

  Hook head_;
};

}  // namespace sluice::base

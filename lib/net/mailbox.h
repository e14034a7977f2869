// Mailbox: messages from any thread to one loop, of one closed type that a layer above owns. They stand in a ring (no
// lock, no allocation), wake the loop, and are delivered there in the order of each sender.
//
// A full ring means that the receiver has not turned while `room` messages came. What may get lost is offered: offer()
// then says no. What may not is posted: it waits behind the ring, under a lock, in a list that grows; so post only what
// somebody bounds.
#pragma once

#include <atomic>
#include <mutex>
#include <utility>
#include <vector>

#include "net/loop.h"
#include "net/mail_ring.h"

namespace sluice::net {

// What the loop knows of a mailbox.
class Mail : public base::ListHook<class MailTag> {
 protected:
  explicit Mail(Loop& loop);  // on the loop's thread, or before it runs; likewise the destructor
  ~Mail() = default;
  void notify();  // any thread: deliver() is called soon

 private:
  friend class Loop;
  virtual void deliver() = 0;  // at the loop

  Loop& loop_;
};

template <class Message>
class Mailbox final : private Mail {
 public:
  static constexpr size_t usual_room = 256;

  class User {
   public:
    virtual void on_message(Message&& message) = 0;  // at the loop

   protected:
    ~User() = default;
  };

  // Messages that were never delivered die with it. Nobody may send afterwards.
  Mailbox(Loop& loop, User& user, size_t room = usual_room) : Mail(loop), user_(user), ring_(room) {}
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  // Any thread. False: full, nothing was sent.
  bool offer(Message message) {
    if (behind_.load(std::memory_order_acquire) || !ring_.push(message)) return false;
    notify();
    return true;
  }
  // Any thread. It will be delivered, behind what this thread sent before.
  void post(Message message) {
    if (behind_.load(std::memory_order_acquire) || !ring_.push(message)) {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(std::move(message));
      behind_.store(true, std::memory_order_release);
    }
    notify();
  }

 private:
  void deliver() override {
    // What the messages send is for the next turn.
    for (size_t n = ring_.size(); n != 0; --n) {
      Message message{};
      if (!ring_.pop(message)) break;
      user_.on_message(std::move(message));
    }
    if (!behind_.load(std::memory_order_acquire)) return;
    std::vector<Message> now;
    {
      const std::lock_guard lock(mutex_);
      // What their senders sent before may still stand in the ring; whoever has put it there calls us again.
      if (ring_.size() != 0) return;
      now.swap(waiting_);
      behind_.store(false, std::memory_order_release);
    }
    for (Message& one : now) user_.on_message(std::move(one));
  }

  User& user_;
  MailRing<Message> ring_;
  std::atomic<bool> behind_{false};  // somebody waits behind the ring
  std::mutex mutex_;
  std::vector<Message> waiting_;  // under mutex_
};

}  // namespace sluice::net

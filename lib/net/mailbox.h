// Mailbox: messages from any thread to one loop. push() takes a lock (control traffic only, never a request) and wakes the
// loop; the messages run at the loop in order.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "net/loop.h"

namespace sluice::net {

class Mailbox {
 public:
  using Message = std::function<void()>;
  explicit Mailbox(Loop& loop);
  ~Mailbox();                       // messages that never ran are dropped; push() afterwards is a bug
  void push(Message message);       // any thread

 private:
  class Inbox;                      // what the loop polls (see loop driver)
  std::unique_ptr<Inbox> inbox_;
};

}  // namespace sluice::net

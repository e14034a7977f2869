// Mailbox: messages from any thread to one loop. push() takes a lock (control traffic only, never a request) and wakes the
// loop; the messages run at the loop in order.
#pragma once

#include <functional>
#include <mutex>
#include <vector>

#include "net/loop.h"

namespace sluice::net {

class Mailbox : public base::ListHook<class MailTag> {
 public:
  using Message = std::function<void()>;
  // Both on the loop's thread, or before it runs.
  explicit Mailbox(Loop& loop);
  ~Mailbox();                       // messages that never ran are dropped; push() afterwards is a bug
  void push(Message message);       // any thread

 private:
  friend class Loop;
  void deliver();                   // at the loop; what the messages push is for the next turn

  Loop& loop_;
  std::mutex mutex_;
  std::vector<Message> waiting_;    // under mutex_
};

}  // namespace sluice::net

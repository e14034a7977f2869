// Mailbox: a vector under a mutex, and a wake-up.
#include "net/mailbox.h"

#include <utility>

namespace sluice::net {

Mailbox::Mailbox(Loop& loop) : loop_(loop) { loop.mailboxes_.push_back(*this); }

Mailbox::~Mailbox() = default;

void Mailbox::push(Message message) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(message));
  }
  // An exchange, not a store: uv_async_send() looks at its own flag first, and a processor may do that look before a plain
  // store is seen by the loop, which then has consumed the last wake-up and found no mail.
  loop_.mail_.exchange(true);
  loop_.driver().wake();
}

void Mailbox::deliver() {
  std::vector<Message> now;
  {
    const std::lock_guard lock(mutex_);
    now.swap(waiting_);
  }
  for (const Message& message : now) message();
}

}  // namespace sluice::net

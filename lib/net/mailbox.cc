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
  loop_.mail_.store(true, std::memory_order_release);
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

// Mail: how a mailbox reaches its loop.
#include "net/mailbox.h"

namespace sluice::net {

Mail::Mail(Loop& loop) : loop_(loop) { loop.mailboxes_.push_back(*this); }

// An exchange, not a store: uv_async_send() looks at its own flag first, and a processor may do that look before a
// plain store is seen by the loop, which then has consumed the last wake-up and found no mail.
void Mail::notify() {
  loop_.mail_.exchange(true);
  loop_.driver().wake();
}

}  // namespace sluice::net

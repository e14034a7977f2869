#include "runtime/client_roll.h"

#include <algorithm>

namespace sluice::runtime {

void ClientRoll::enter(RolledClient& client, base::Micros now) {
  last_ = std::max(now, last_ + base::Micros{1});
  client.came_ = last_;
  all_.push_back(client);
}

void ClientRoll::leave(RolledClient& client) {
  if (mark_ == &client) mark_ = all_.prev(client);
  static_cast<base::ListHook<struct ByAge>&>(client).unlink();
}

RolledClient* ClientRoll::find(base::Micros from, uint32_t& steps) {
  RolledClient* client = mark_ != nullptr && mark_->came_ <= from ? mark_ : all_.front();
  for (; client != nullptr && client->came_ < from && steps > 0; --steps) {
    mark_ = client;
    client = all_.next(*client);
  }
  return client;
}

}  // namespace sluice::runtime

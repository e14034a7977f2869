// ClientRoll: the clients of one worker in the order in which they came, and a way through them in parts, each of which
// goes on where the one before has ended, whoever comes and goes meanwhile. Pure.
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "base/list.h"

namespace sluice::runtime {

class RolledClient : public base::ListHook<struct ByAge> {
 public:
  base::Micros came() const { return came_; }  // unique on its worker, so up to some microseconds late

 private:
  friend class ClientRoll;
  base::Micros came_{};
};

class ClientRoll {
 public:
  void enter(RolledClient& client, base::Micros now);
  void leave(RolledClient& client);
  RolledClient* next(RolledClient& client) { return all_.next(client); }
  // The first one that came at `from` or later, or as far as `steps` reach, each of which passes one; they are counted
  // down. nullptr: there is none. The next search begins where this one has ended, if that is not too far.
  RolledClient* find(base::Micros from, uint32_t& steps);
  void mark(RolledClient& client) { mark_ = &client; }  // the next search begins here

 private:
  base::List<RolledClient, struct ByAge> all_;
  RolledClient* mark_ = nullptr;  // nullptr: at the first
  base::Micros last_{};
};

}  // namespace sluice::runtime

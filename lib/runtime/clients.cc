#include "runtime/clients.h"

#include "runtime/cells.h"

namespace sluice::runtime {

bool Places::take() {
  uint32_t now = taken.load(std::memory_order_relaxed);
  while (now < most.load(std::memory_order_relaxed)) {
    if (taken.compare_exchange_weak(now, now + 1, std::memory_order_relaxed)) return true;
  }
  return false;
}

bool Places::give_back_one_too_many() {
  uint32_t now = taken.load(std::memory_order_relaxed);
  while (now > most.load(std::memory_order_relaxed)) {
    if (taken.compare_exchange_weak(now, now - 1, std::memory_order_relaxed)) return true;
  }
  return false;
}

Clients::Clients(net::Loop& loop, uint32_t worker, Places& places, Peers& peers, WorkerMeter& meter)
    : loop_(loop), worker_(worker), places_(places), peers_(peers), meter_(meter), lists_(places.fronts[worker]) {}

Client& Clients::make(Acceptor& acceptor, net::TransportPtr transport) {
  Client& client = *slab_.make(slab_, acceptor, std::move(transport));
  roll_.enter(client, loop_.now());
  return client;
}

void Clients::clear() {
  while (auto* const client = static_cast<Client*>(lists_.any())) {
    lists_.leave(*client);
    roll_.leave(*client);
    slab_.recycle(client);
  }
}

void Clients::on_busy(Client& client) {
  if (client.stage() != ClientStage::busy) lists_.enter(client, ClientStage::busy, loop_.now());
}

void Clients::on_idle(Client& client) {
  lists_.enter(client, ClientStage::idle, loop_.now());
  if (shedding_) shed();
}

void Clients::on_leaving(Client& client) {
  lists_.enter(client, ClientStage::leaving, loop_.now());
  if (shedding_) shed();
}

// Whom make_room() ended is in no list: its place was given on.
void Clients::gone(Client& client) {
  roll_.leave(client);
  if (!client.listed()) return;
  const bool placed = client.stage() != ClientStage::waiting;
  lists_.leave(client);
  if (placed) places_.give_back();
}

// ---- admission --------------------------------------------------------------------------------------------------

void Clients::arrive(Client& client) {
  if (places_.take()) return admit(client);
  if (lists_.waiting() >= waiting_max) return refuse(client);
  lists_.enter(client, ClientStage::waiting, loop_.now());
  find_place();
}

void Clients::admit(Client& client) {
  lists_.enter(client, ClientStage::early, loop_.now());
  client.begin();
}

void Clients::refuse(Client& client) {
  meter_.rejected_at_cap();
  client.refuse();
}

// For one of those that wait, of which each has one question under way. An own client that goes makes its place ours in
// this turn; another worker is asked to send one, and until then nobody is let in for it.
void Clients::find_place() {
  while (true) {
    if (places_.take()) return admit(*first_waiting());
    const auto who = Fronts::first_to_go(places_.fronts, loop_.now(), worker_);
    if (who && *who != worker_) return peers_.post(*who, MakeRoom{worker_});
    if (!who || !make_room()) return refuse(*first_waiting());
    if (!places_.give_back_one_too_many()) return admit(*first_waiting());
  }
}

// Ends the one that has to go first. True: it has gone, and its place is the caller's.
bool Clients::make_room() {
  Client* const client = static_cast<Client*>(lists_.first_to_go(loop_.now()));
  if (client == nullptr) return false;
  lists_.leave(*client);
  client->end(http::CloseCause::shed);
  return true;
}

void Clients::make_room_for(uint32_t worker) { peers_.post(worker, RoomMade{make_room()}); }

void Clients::room_made(bool made) {
  if (made && places_.give_back_one_too_many()) made = false;
  Client* const client = first_waiting();
  if (client == nullptr) {  // it left, or found a place meanwhile
    if (made) places_.give_back();
    return;
  }
  if (made) return admit(*client);
  if (client->asked_again() >= asks_max) return refuse(*client);
  find_place();
}

// Counted first, so that two workers never end two for one.
void Clients::shed() {
  for (uint32_t n = 0; n < shed_a_turn; ++n) {
    shedding_ = places_.too_many();
    if (!shedding_) return;
    const auto who = Fronts::first_to_go(places_.fronts, loop_.now(), worker_);
    if (!who) return;
    if (*who != worker_) return peers_.post(*who, ShedClients{});
    if (places_.give_back_one_too_many() && !make_room()) places_.taken.fetch_add(1, std::memory_order_relaxed);
  }
  shed_timer_.arm(loop_, base::Millis{0});
}

}  // namespace sluice::runtime

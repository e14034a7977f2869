// Clients: every client connection of one worker, of every listener and version, those of listeners that left too; and
// admission: no client is let in without a place, of which the process has max_connections. When all are taken the
// client that has to go first (client_lists.h), of whatever worker, ends in the turn that looks for it, and its place
// passes to the newcomer. A place is handed on only from a client whose descriptor is closed, never for a promise. See
// docs/adr/0009-admission.md.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>
#include <vector>

#include "runtime/client.h"
#include "runtime/client_lists.h"
#include "runtime/crew.h"
#include "runtime/holders.h"

namespace sluice::runtime {

class WorkerMeter;

// The process's places for clients.
class Places {
 public:
  explicit Places(uint32_t workers) : fronts(workers) {}
  bool take();  // false: all are taken
  void give_back() { taken.fetch_sub(1, std::memory_order_relaxed); }
  bool give_back_one_too_many();  // more are taken than there are: a reload made them fewer
  bool too_many() const { return taken.load(std::memory_order_relaxed) > most.load(std::memory_order_relaxed); }

  std::vector<Fronts> fronts;  // by worker
  std::atomic<uint32_t> most{0};  // max_connections
  // Written at each accept and close: apart from what every request reads.
  alignas(64) std::atomic<uint32_t> taken{0};
};

class Clients {
 public:
  // Newcomers of one worker that wait until another one has made room: a trip of two messages.
  static constexpr uint32_t waiting_max = 64;
  // Another worker that was asked may have lost whom it was asked to end: so often the next one is asked.
  static constexpr uint8_t asks_max = 8;
  static constexpr uint32_t shed_a_turn = 256;

  Clients(net::Loop& loop, uint32_t worker, Places& places, Peers& peers, WorkerMeter& meter);

  Client& make(Acceptor& acceptor, net::TransportPtr transport);
  void clear();  // all of them, without another word
  // A newcomer: begins, or waits for a place, or is refused (and counted); it may have ended when this returns.
  void arrive(Client& client);
  // From the client itself: its stage. The last thing it does: it may have ended when this returns.
  void on_busy(Client& client);
  void on_idle(Client& client);
  void on_leaving(Client& client);
  void gone(Client& client);  // it has ended
  // max_connections has become lower: who may go goes until it is kept, shed_a_turn of them in a turn, then as requests
  // end. One worker is enough: it asks the others. Again: harmless.
  void shed();
  uint32_t placed() const { return lists_.placed(); }
  uint32_t open() const { return lists_.placed() + lists_.waiting(); }
  // Those that have no request and are in their stage since before `before`; at most `most` of a stage, oldest first.
  template <class Show>
  void each_oldest(unsigned most, base::Micros before, Show show) {
    for (const ClientStage stage :
         {ClientStage::early, ClientStage::leaving, ClientStage::idle, ClientStage::waiting}) {
      ListedClient* one = lists_.front(stage);
      for (unsigned n = 0; one != nullptr && n < most && one->in_stage_since() < before; ++n, one = lists_.next(*one))
        show(static_cast<Client&>(*one));
    }
  }
  // A part of GET /debug/...: at most Question::limit rows, of at most Looked::clients_max clients.
  Looked look(const Question& question);
  // What a drain waits for here: of the oldest Looked::clients_max clients.
  Holders holders();

  // Messages of other workers.
  void make_room_for(uint32_t worker);
  void room_made(bool made);  // true: with a place that is ours now

 private:
  void admit(Client& client);
  void refuse(Client& client);
  void find_place();
  bool make_room();
  Client* first_waiting() { return static_cast<Client*>(lists_.first_waiting()); }

  net::Loop& loop_;
  uint32_t worker_;
  Places& places_;
  Peers& peers_;
  WorkerMeter& meter_;
  base::Slab<Client> slab_;
  ClientLists lists_;
  ClientRoll roll_;
  bool shedding_ = false;  // more places are taken than there are
  net::Timer shed_timer_{this, net::timer_call<&Clients::shed>};
};

}  // namespace sluice::runtime

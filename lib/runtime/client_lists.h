// ClientLists: the clients of one worker, in the order in which they would have to go when there is no place for a new
// one. Pure: nothing here ends anybody. Fronts: the same order over all workers.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>

#include "base/clock.h"
#include "base/list.h"

namespace sluice::runtime {

// In the order in which they go; waiting and busy ones never do.
enum class ClientStage : uint8_t {
  early,  // no request of it has begun: PROXY header, handshake, first bytes, first head
  leaving,  // its last answer is with it: lingers until it closes
  idle,  // between two requests
  busy,  // a request is open, or its answer is on its way
  waiting,  // a newcomer without a place
};

class ListedClient : public base::ListHook<struct ByStage> {
 public:
  ClientStage stage() const { return stage_; }
  base::Micros in_stage_since() const { return since_; }
  bool listed() const { return base::ListHook<struct ByStage>::linked(); }

 private:
  friend class ClientLists;
  base::Micros since_{};  // in this stage
  ClientStage stage_ = ClientStage::waiting;
};

// Since when the first ones of a worker are in their stage. Written by that worker, on a cache line of its own, and
// only when one of its first ones changes; read by others when all places are taken.
class alignas(64) Fronts {
 public:
  // A client has so long for its first request before it counts as one that makes none.
  static constexpr base::Millis early_grace = base::seconds(1);
  static constexpr size_t stages = 3;  // early, leaving, idle

  void set(ClientStage stage, std::optional<base::Micros> since);
  // Of all workers, who has the client that has to go first; of equals `self`. None: nobody has one.
  static std::optional<uint32_t> first_to_go(std::span<const Fronts> workers, base::Micros now, uint32_t self);

 private:
  static constexpr int64_t nobody = INT64_MAX;
  std::atomic<int64_t> since_[stages] = {nobody, nobody, nobody};
};

class ClientLists {
 public:
  explicit ClientLists(Fronts& fronts) : fronts_(fronts) {}

  // It is in this stage from now on, behind those that are in it already. All O(1).
  void enter(ListedClient& client, ClientStage stage, base::Micros now);
  void leave(ListedClient& client);  // in no list: nothing
  ListedClient* any();  // nullptr: there are none
  // Of one stage, the one that is in it for longest first; nullptr: no more.
  ListedClient* front(ClientStage stage) { return of(stage).front(); }
  ListedClient* next(ListedClient& client) { return of(client.stage()).next(client); }
  ListedClient* first_waiting() { return of(ClientStage::waiting).front(); }
  uint32_t waiting() const { return waiting_; }
  uint32_t placed() const { return placed_; }  // all but those that wait
  // Who has to go first: one without a request for over early_grace, else the one that lingers, else that is idle, for
  // longest.
  ListedClient* first_to_go(base::Micros now);

 private:
  using ByStageList = base::List<ListedClient, struct ByStage>;
  ByStageList& of(ClientStage stage) { return lists_[static_cast<size_t>(stage)]; }
  void publish(ClientStage stage);

  Fronts& fronts_;
  ByStageList lists_[static_cast<size_t>(ClientStage::waiting) + 1];
  uint32_t waiting_ = 0;
  uint32_t placed_ = 0;
};

}  // namespace sluice::runtime

// WorkerMail: what a worker is told by others: a closed list of what workers say to each other, and tasks of control.
// What workers say about upstreams may get lost: it is asked again, given back, or found out in another way. What they
// say about clients may not: a newcomer waits for it, or a place goes with it; there is never more of it than
// Clients::waiting_max for each of them.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <variant>

#include "upstream/parcel.h"
#include "upstream/pool_class.h"

namespace sluice::runtime {

class Worker;

// `upstream` only tells which one is meant: nothing happens if the worker does not know it any more.
struct GiveUpIdle {  // lost: asked for again, while somebody waits
  const upstream::SharedUpstream* upstream;
  uint32_t wanted;
  uint32_t worker;  // who asks
};
struct TakeSlot {  // lost: the slot goes back
  const upstream::SharedUpstream* upstream;
  std::shared_ptr<upstream::PassedSlot> slot;
};
struct TakeClassPlace {  // lost: it goes back, and who waits looks again
  const upstream::SharedUpstream* upstream;
  std::shared_ptr<upstream::ClassPlace> place;
};
struct TakeConnection {  // lost: it ends, and its slot goes back
  const upstream::SharedUpstream* upstream;
  std::shared_ptr<upstream::Parcel> parcel;
};
struct AskSpare {  // lost: who needs one waits for ask_patience only, likewise for the answer
  const upstream::SharedUpstream* upstream;
  upstream::SpareWanted wanted;
};
struct SparesNone {
  const upstream::SharedUpstream* upstream;
  uint64_t endpoint;
};
struct EndpointDown {  // lost: each idle connection is looked at before use anyhow
  const upstream::SharedUpstream* upstream;
  uint64_t endpoint;
};

// For `worker`: end the client that has to go first; its answer says whether a place comes with it.
struct MakeRoom {
  uint32_t worker;
};
struct RoomMade {
  bool made;
};
struct ShedClients {};  // more places are taken than there are: yours has to go first

class WorkerMail {
 public:
  using Task = std::function<void(Worker&)>;  // of control: rare, never lost

  WorkerMail() = default;  // says nothing
  WorkerMail(GiveUpIdle what) : what_(what) {}  // NOLINT: one word for the message and its envelope
  WorkerMail(TakeSlot what) : what_(std::move(what)) {}  // NOLINT
  WorkerMail(TakeClassPlace what) : what_(std::move(what)) {}  // NOLINT
  WorkerMail(TakeConnection what) : what_(std::move(what)) {}  // NOLINT
  WorkerMail(AskSpare what) : what_(what) {}  // NOLINT
  WorkerMail(SparesNone what) : what_(what) {}  // NOLINT
  WorkerMail(EndpointDown what) : what_(what) {}  // NOLINT
  WorkerMail(MakeRoom what) : what_(what) {}  // NOLINT
  WorkerMail(RoomMade what) : what_(what) {}  // NOLINT
  WorkerMail(ShedClients what) : what_(what) {}  // NOLINT
  template <std::invocable<Worker&> Work>
  WorkerMail(Work task) : what_(Task(std::move(task))) {}  // NOLINT

  void operator()(Worker& to) const;  // at its loop
  bool may_get_lost() const;

 private:
  std::variant<std::monostate, GiveUpIdle, TakeSlot, TakeClassPlace, TakeConnection, AskSpare, SparesNone, EndpointDown,
               MakeRoom, RoomMade, ShedClients, Task>
      what_;
};

}  // namespace sluice::runtime

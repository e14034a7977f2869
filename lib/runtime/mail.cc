#include "runtime/mail.h"

#include "runtime/worker.h"

namespace sluice::runtime {
namespace {

struct Reader {
  Worker& worker;

  void operator()(std::monostate) const {}
  void operator()(const GiveUpIdle& what) const { worker.give_up_idle(what.upstream, what.wanted, what.worker); }
  void operator()(const TakeSlot& what) const { worker.accept_slot(what.upstream, what.slot); }
  void operator()(const TakeClassPlace& what) const { worker.accept_class_place(what.upstream, *what.place); }
  void operator()(const TakeConnection& what) const { worker.accept_connection(what.upstream, what.parcel); }
  void operator()(const AskSpare& what) const { worker.spare_one(what.upstream, what.wanted); }
  void operator()(const SparesNone& what) const { worker.asked_in_vain(what.upstream, what.endpoint); }
  void operator()(const EndpointDown& what) const { worker.endpoint_is_down(what.upstream, what.endpoint); }
  void operator()(const MakeRoom& what) const { worker.clients().make_room_for(what.worker); }
  void operator()(const RoomMade& what) const { worker.clients().room_made(what.made); }
  void operator()(const ShedClients&) const { worker.clients().shed(); }
  void operator()(const WorkerMail::Task& task) const { task(worker); }
};

}  // namespace

bool WorkerMail::may_get_lost() const {
  return std::holds_alternative<GiveUpIdle>(what_) || std::holds_alternative<TakeSlot>(what_) ||
         std::holds_alternative<TakeConnection>(what_) || std::holds_alternative<AskSpare>(what_) ||
         std::holds_alternative<SparesNone>(what_) || std::holds_alternative<EndpointDown>(what_) ||
         std::holds_alternative<TakeClassPlace>(what_);
}

void WorkerMail::operator()(Worker& to) const { std::visit(Reader{to}, what_); }

}  // namespace sluice::runtime

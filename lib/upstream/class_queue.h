// ClassQueue: who waits for a place of one pool class in one worker, apart from the upstream's queue: whoever stands
// here holds up nobody of other routes. A lane for each priority, the oldest of a lane first; as in WaitQueue, a lane
// that `passes` places in a row went past is next. Among workers places go by age: see admit().
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "base/list.h"
#include "upstream/cluster.h"

namespace sluice::upstream {

class ClassQueue {
 public:
  static constexpr std::uint32_t passes = 9;  // of 10 places; the tenth is for who was passed over
  // Another worker's oldest waiter goes first only if it came so much earlier: a place changes hands by message.
  static constexpr base::Millis handover_margin{5};

  class User {
   public:
    virtual void on_class_work() = 0;  // a place may be free for somebody: admit(), at the loop
    virtual void pass_place(std::uint32_t worker, std::shared_ptr<ClassPlace> place) = 0;

   protected:
    ~User() = default;
  };

  ClassQueue(std::shared_ptr<PoolClass> of, std::uint32_t worker, std::uint32_t workers, User& user);
  ClassQueue(const ClassQueue&) = delete;
  ClassQueue& operator=(const ClassQueue&) = delete;
  ~ClassQueue();  // CHECKs that nobody waits, and that no pass is out

  PoolClass& of() const { return *of_; }
  // A place at once: if there is one, and nobody waits for it in any worker.
  bool enter(Waiter& waiter);
  // The waiter, whose want and time are set, waits; of WaitQueue alone, likewise leave().
  void join(Waiter& waiter);
  void leave(Waiter& waiter);
  // While there are free places and those who wait for them: the next of this worker's, which has its place now and has
  // to leave(); nullptr: nobody else. Of those that belong to another worker one is passed on in a call: that worker
  // takes the others.
  Waiter* admit(base::Micros now);
  // A place that another worker passed on. nullptr: nobody waits for it any more, and the place stays with who brought
  // it.
  Waiter* take(ClassPlace& place, base::Micros now);
  Waiter* youngest_below(http::Lane lane);  // that may be pushed out for one of `lane`
  Waiter* any();  // the first of them
  bool empty() const { return count_ == 0; }
  bool unused() const { return count_ == 0 && out_ == 0; }

 private:
  friend class ClassPass;
  using Lane = base::List<Waiter, WaitTag>;
  void announce();
  Waiter* next(base::Micros now);
  Waiter* first_in(Lane& lane, base::Micros now);
  Waiter* let_in(Waiter& waiter, Circuit::Pass&& place);

  std::shared_ptr<PoolClass> of_;
  std::uint32_t worker_;
  bool alone_;  // no other workers
  User& user_;
  std::array<Lane, http::lanes> lanes_;
  std::array<std::uint32_t, http::lanes> passed_over_{};
  std::uint32_t count_ = 0;
  std::uint32_t out_ = 0;  // passes
};

}  // namespace sluice::upstream

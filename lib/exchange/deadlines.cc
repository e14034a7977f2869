#include "exchange/deadlines.h"

namespace sluice::exchange {

void Deadlines::set(Limit which, base::Millis after) {
  if (after.count <= 0) {
    clear(which);
    return;
  }
  const base::Micros due = loop_.now() + after;
  due_[index(which)] = due;
  if (!timer_.armed() || due < timer_.due()) timer_.arm(loop_, after);
}

void Deadlines::clear_all() {
  due_ = {};
  timer_.disarm();
}

// The timer may be early (its limit moved or went): only what is really due is told, one limit per call, because the
// user may end the request in it.
void Deadlines::on_timer() {
  base::Micros next{};
  for (unsigned i = 0; i < limits; ++i) {
    if (due_[i].count == 0) continue;
    if (due_[i] <= loop_.now()) {
      due_[i] = base::Micros{};
      timer_.arm(loop_, base::Millis{0});  // others may be due too; clear_all() in the call takes it back
      user_.on_deadline(static_cast<Limit>(i));
      return;
    }
    if (next.count == 0 || due_[i] < next) next = due_[i];
  }
  if (next.count != 0) timer_.arm(loop_, base::Millis{(next - loop_.now()).count / 1000 + 1});
}

}  // namespace sluice::exchange

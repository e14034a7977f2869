#include "runtime/registration.h"

#include <utility>
#include <vector>

#include "base/log_event.h"

namespace sluice::runtime {

void Registration::deregister(std::function<void()> done) {
  if (registered_) {
    base::log_event(base::LogLevel::info, "deregistered",
                    {{"message", "/readyz says 503, everything is served; POST /register undoes it"}});
    env_.shared.standing = exchange::Standing::deregistered;
    withdraw();
    env_.cells.deregistered(true);
  }
  when_all_know(std::move(done));
}

void Registration::register_again(std::function<void()> done) {
  if (!registered_) {
    tell([](const Wait&, const Arrivals::Counts& came) { return "registered again: " + words_of(came); }, {});
    registered_ = true;
    env_.shared.standing = readiness_.now();
    env_.cells.deregistered(false);
    env_.crew.to_all([](Worker& worker) { worker.set_deregistered(false); });
  }
  when_all_know(std::move(done));
}

void Registration::when_all_know(std::function<void()> done) {
  env_.crew.ask_all<char>([](Worker&) -> char { return 1; },
                          [done = std::move(done)](const std::vector<char>&) { done(); });
}

base::Micros Registration::deregistered_for() const { return registered_ ? base::Micros{0} : env_.loop.now() - since_; }

void Registration::drain_begins() {
  drain_began_ = env_.loop.now();
  awaited_ = true;
  env_.shared.standing = exchange::Standing::draining;
  if (registered_) withdraw();
}

void Registration::wait_is_over(base::Micros wait) {
  if (!std::exchange(awaited_, false) || wait.count == 0) return;
  tell(words_of, {wait, env_.loop.now() - drain_began_, drain_began_ - since_});
}

void Registration::withdraw() {
  registered_ = false;
  since_ = env_.loop.now();
  env_.crew.to_all([](Worker& worker) { worker.set_deregistered(true); });
}

// Each worker counts until this question comes.
void Registration::tell(std::string (*words)(const Wait& wait, const Arrivals::Counts& came), const Wait& wait) {
  env_.crew.ask_all<Arrivals::Counts>([](Worker& worker) { return worker.arrivals().counts(); },
                                      [words, wait](const std::vector<Arrivals::Counts>& workers) {
                                        Arrivals::Counts came;
                                        for (const Arrivals::Counts& of_one : workers) came.add(of_one);
                                        base::log_event(base::LogLevel::info, "arrivals",
                                                        {{"message", words(wait, came)}});
                                      });
}

}  // namespace sluice::runtime

#include "exchange/held_watch.h"

#include <algorithm>
#include <string>

#include "base/log_event.h"
#include "exchange/exchange.h"
#include "metrics/names.h"

namespace sluice::exchange {

using metrics::Name;

base::Micros quantile(const metrics::Histogram& of, double share, uint64_t samples) {
  uint64_t all = 0;
  for (size_t i = 0; i < metrics::Histogram::buckets; ++i) all += of.bucket(i);
  if (all < samples) return {};
  const double wanted = static_cast<double>(all) * share;
  uint64_t below = 0;
  for (size_t i = 0; i < metrics::Histogram::bounds.size(); ++i) {
    below += of.bucket(i);
    if (static_cast<double>(below) >= wanted) return base::Micros{static_cast<int64_t>(metrics::Histogram::bounds[i])};
  }
  return base::Micros{static_cast<int64_t>(metrics::Histogram::bounds.back())};
}

HeldWatch::HeldWatch(net::Loop& loop, metrics::Registry& registry, unsigned worker)
    : loop_(loop),
      registry_(registry),
      worker_(worker),
      oldest_(registry.gauge(Name::request_oldest_seconds, {std::to_string(worker)}, worker)),
      timer_(this, net::timer_call<&HeldWatch::on_timer>) {
  // In the scrape from the start: a rate over a series that only now appears misses its first event.
  for (const std::string_view word : {phase::reading_body, phase::waiting, phase::connecting, phase::sending_body,
                                      phase::awaiting_answer, phase::answering, phase::answered}) {
    registry.counter(Name::requests_held_total, {word}, worker);
  }
}

void HeldWatch::add(Exchange& exchange) {
  all_.push_back(exchange);
  if (!timer_.armed()) timer_.arm(loop_, least);
}

void HeldWatch::on_timer() {
  const base::Micros now = loop_.now();
  unsigned looks = 0;
  for (Exchange *e = all_.front(), *next = nullptr; e != nullptr && looks < looks_most; e = next, ++looks) {
    next = all_.next(*e);
    const Look look = e->look();
    if (now - look.began < base::Micros{least}) break;
    if (look.phase == phase::tunnel) {
      e->base::ListHook<HeldTag>::unlink();
      continue;
    }
    const base::Micros usual = e->usual_duration();
    const base::Micros bound = std::max(base::Micros{least}, base::Micros{usual.count * factor});
    const bool held = now - look.began >= bound && now - look.moved >= base::Micros{least};
    if (held && e->tell_held()) tell(look, now, usual);
  }
  const Exchange* const oldest = all_.front();
  oldest_.set(oldest == nullptr ? 0 : static_cast<double>((now - oldest->began()).count) / 1e6);
  if (oldest == nullptr) return;
  const base::Micros due = oldest->began() + base::Micros{least};  // nobody is told of before that
  timer_.arm(loop_, due > now ? base::Millis{(due - now).count / 1000 + 1} : look_every);
}

void HeldWatch::tell(const Look& look, base::Micros now, base::Micros usual) {
  registry_.counter(Name::requests_held_total, {look.phase}, worker_).add();
  const auto seconds = [](base::Micros span) { return static_cast<double>(span.count) / 1e6; };
  base::log_repeated(base::LogLevel::warn, "request_held", look.route,
                     {{"held_s", seconds(now - look.began)},
                      {"usual_s", seconds(usual)},
                      {"request_id", look.request_id},
                      {"route", look.route},
                      {"client", look.client},
                      {"phase", look.phase},
                      {"phase_s", seconds(now - look.since)},
                      {"upstream", look.upstream},
                      {"endpoint", look.endpoint},
                      {"attempts", look.attempts},
                      {"bytes_in", look.bytes_in},
                      {"bytes_out", look.bytes_out},
                      {"silent_s", seconds(now - look.moved)},
                      {"see", "/debug/requests"}});
}

}  // namespace sluice::exchange

#include "runtime/cells.h"

#include "upstream/metrics.h"

namespace sluice::runtime {

using metrics::Name;

WorkerMeter::WorkerMeter(metrics::Registry& registry, uint32_t worker, Arrivals& arrivals)
    : registry_(registry),
      worker_(worker),
      arrivals_(arrivals),
      rejected_at_cap_(&registry.counter(Name::downstream_connections_rejected_total, {"max_connections"}, worker)),
      rejected_for_memory_(&registry.counter(Name::downstream_connections_rejected_total, {"max_memory"}, worker)),
      rejected_for_client_(
          &registry.counter(Name::downstream_connections_rejected_total, {"max_connections_per_client"}, worker)),
      late_requests_(&registry.counter(Name::downstream_idle_races_total, {}, worker)),
      turns_(&registry.histogram(Name::worker_turn_seconds, {}, worker)),
      busy_(&registry.counter(Name::worker_busy_seconds_total, {std::to_string(worker)}, worker)),
      run_delay_(&registry.counter(Name::worker_run_delay_seconds_total, {std::to_string(worker)}, worker)) {
  // Every reason stands in the scrape from the start, at zero: a rate over a series that only now appears misses its
  // first event.
  for (size_t i = 0; i < replies_.size(); ++i) {
    replies_[i] = &registry.counter(Name::local_replies_total, {http::reason_word(static_cast<http::Kind>(i))}, worker);
  }
  for (size_t i = 0; i < http::details; ++i) {
    const std::string_view word = http::detail_word(static_cast<http::Detail>(i));
    errors_[0][i] = &registry.counter(Name::protocol_errors_total, {"downstream", word}, worker);
    errors_[1][i] = &registry.counter(Name::protocol_errors_total, {"upstream", word}, worker);
  }
  for (const auto& [why, reason] :
       {std::pair(exchange::Shed::late, "late"), {exchange::Shed::max_memory, "max_memory"}}) {
    for (const auto& [lane, priority] :
         {std::pair(http::Lane::high, "high"), {http::Lane::normal, "normal"}, {http::Lane::low, "low"}}) {
      shed_[static_cast<size_t>(why)][static_cast<size_t>(lane)] =
          &registry.counter(Name::requests_shed_total, {reason, priority}, worker);
    }
  }
  for (size_t i = 0; i < handshake_errors_.size(); ++i) {
    handshake_errors_[i] =
        &registry.counter(Name::tls_handshake_errors_total, {tls::word(static_cast<tls::HandshakeError>(i))}, worker);
  }
}

void WorkerMeter::turn(base::Micros took, const net::Lateness& lateness) {
  turns_->observe(took);
  busy_->add(static_cast<uint64_t>(took.count));
  const base::Micros delay = lateness.waited() - told_delay_;
  if (delay.count == 0) return;
  told_delay_ = lateness.waited();
  run_delay_->add(static_cast<uint64_t>(delay.count));
}

ListenerCells WorkerMeter::listener(const std::string& name) const {
  ListenerCells cells;
  cells.connections = &registry_.gauge(Name::downstream_connections, {name}, worker_);
  cells.connections_total = &registry_.counter(Name::downstream_connections_total, {name}, worker_);
  cells.handshake_seconds = &registry_.histogram(Name::tls_handshake_seconds, {name}, worker_);
  for (size_t i = 0; i < cells.closed.size(); ++i) {
    const auto cause = static_cast<http::CloseCause>(i);
    cells.closed[i] =
        &registry_.counter(Name::downstream_connections_closed_total,
                           {http::cause_word(cause), http::side_word(http::ended_by(cause)), name}, worker_);
  }
  const std::string_view versions[] = {"1.2", "1.3"};
  const std::string_view resumed[] = {"false", "true"};
  for (int v = 0; v < 2; ++v) {
    for (int r = 0; r < 2; ++r)
      cells.handshakes[v][r] = &registry_.counter(Name::tls_handshakes_total, {name, versions[v], resumed[r]}, worker_);
  }
  return cells;
}

exchange::RouteCells WorkerMeter::route(const std::string& name) const {
  exchange::RouteCells cells;
  cells.duration = &registry_.histogram(Name::request_duration_seconds, {name}, worker_);
  cells.exemplars = &registry_.exemplars(Name::request_duration_seconds, {name}, worker_);
  cells.bytes_in = &registry_.counter(Name::request_bytes_total, {name}, worker_);
  cells.bytes_out = &registry_.counter(Name::response_bytes_total, {name}, worker_);
  cells.in_flight = &registry_.gauge(Name::requests_in_flight, {name}, worker_);
  for (size_t i = 0; i < exchange::phases; ++i) {
    const std::string_view word = exchange::phase_word(static_cast<exchange::Phase>(i));
    cells.phase[i] = &registry_.counter(Name::request_phase_seconds_total, {name, word}, worker_);
  }
  for (size_t i = 0; i < exchange::sides; ++i) {
    const std::string_view word = exchange::side_word(static_cast<exchange::Side>(i));
    cells.slow[i] = &registry_.counter(Name::requests_slow_total, {name, word}, worker_);
  }
  return cells;
}

exchange::RateCells WorkerMeter::rate(const std::string& route, exchange::RateLimiter& limiter) const {
  return {&limiter, &registry_.counter(Name::rate_limit_total, {route, "allowed"}, worker_),
          &registry_.counter(Name::rate_limit_total, {route, "limited"}, worker_),
          &registry_.counter(Name::rate_limit_total, {route, "would_limit"}, worker_)};
}

exchange::ConcurrencyCells WorkerMeter::concurrency(const std::string& route,
                                                    exchange::ConcurrencyLimiter& limiter) const {
  return {&limiter, &registry_.counter(Name::concurrency_limit_total, {route, "allowed"}, worker_),
          &registry_.counter(Name::concurrency_limit_total, {route, "limited"}, worker_),
          &registry_.counter(Name::concurrency_limit_total, {route, "would_limit"}, worker_),
          &registry_.counter(Name::concurrency_limit_total, {route, "uncounted"}, worker_)};
}

exchange::FallbackCells WorkerMeter::fallback(const std::string& route) const {
  return {&registry_.counter(Name::fallbacks_total, {route, "served"}, worker_),
          &registry_.counter(Name::fallbacks_total, {route, "failed"}, worker_)};
}

exchange::UpstreamCells WorkerMeter::upstream(const std::string& name) const {
  return {&registry_.histogram(Name::upstream_request_duration_seconds, {name}, worker_),
          &registry_.counter(Name::upstream_tries_total, {name, "first"}, worker_),
          &registry_.counter(Name::upstream_tries_total, {name, "retry"}, worker_),
          &registry_.counter(Name::upstream_idle_races_total, {name, "replayed"}, worker_),
          &registry_.counter(Name::upstream_idle_races_total, {name, "lost"}, worker_)};
}

metrics::Counter& WorkerMeter::response_cut(const std::string& route, http::Where by, http::Kind kind) const {
  return registry_.counter(Name::responses_cut_total, {route, http::by_word(by), http::reason_word(kind)}, worker_);
}

metrics::Counter& WorkerMeter::retry(const std::string& upstream, exchange::RetryCause cause, bool helped) const {
  const std::string_view outcome = helped ? "success" : "failed";
  return registry_.counter(Name::upstream_retries_total, {upstream, retry_cause_word(cause), outcome}, worker_);
}

metrics::Counter& WorkerMeter::retry_refused(const std::string& upstream, exchange::NotRepeated why) const {
  return registry_.counter(Name::upstream_retries_refused_total, {upstream, not_repeated_word(why)}, worker_);
}

metrics::Counter& WorkerMeter::upstream_error(const std::string& name, http::Kind kind) const {
  return registry_.counter(Name::upstream_errors_total, {name, http::reason_word(kind)}, worker_);
}

namespace {

void declare_cuts(metrics::Registry& registry, std::string_view route) {
  using http::Kind;
  const auto declare = [&](http::Where by, std::initializer_list<Kind> kinds) {
    for (const Kind kind : kinds)
      registry.declare(Name::responses_cut_total, {route, http::by_word(by), http::reason_word(kind)});
  };
  declare(http::Where::downstream, {Kind::client_closed, Kind::request_timeout});
  declare(http::Where::upstream, {Kind::reset, Kind::bad_response, Kind::timeout});
  declare(http::Where::proxy, {Kind::shutdown});
}

}  // namespace

void declare_route(metrics::Registry& registry, std::string_view name) {
  for (const Name metric : {Name::request_duration_seconds, Name::request_bytes_total, Name::response_bytes_total})
    registry.declare(metric, {name});
  registry.declare(Name::requests_in_flight, {name});
  for (size_t i = 0; i < exchange::phases; ++i) {
    const std::string_view word = exchange::phase_word(static_cast<exchange::Phase>(i));
    registry.declare(Name::request_phase_seconds_total, {name, word});
  }
  for (size_t i = 0; i < exchange::sides; ++i) {
    const std::string_view word = exchange::side_word(static_cast<exchange::Side>(i));
    registry.declare(Name::requests_slow_total, {name, word});
  }
  // What happens; anything else comes with its first.
  declare_cuts(registry, name);
}

void declare_rate_limit(metrics::Registry& registry, std::string_view route) {
  for (const std::string_view outcome : {"allowed", "limited", "would_limit"}) {
    registry.declare(Name::rate_limit_total, {route, outcome});
  }
}

void declare_concurrency_limit(metrics::Registry& registry, std::string_view route) {
  for (const std::string_view outcome : {"allowed", "limited", "would_limit", "uncounted"}) {
    registry.declare(Name::concurrency_limit_total, {route, outcome});
  }
}

void declare_fallback(metrics::Registry& registry, std::string_view route) {
  for (const std::string_view outcome : {"served", "failed"}) {
    registry.declare(Name::fallbacks_total, {route, outcome});
  }
}

void declare_upstream(metrics::Registry& registry, std::string_view name) {
  registry.declare(Name::upstream_request_duration_seconds, {name});
  for (const std::string_view kind : {"first", "retry"}) registry.declare(Name::upstream_tries_total, {name, kind});
  for (size_t i = 1; i < exchange::retry_causes; ++i) {
    const std::string_view reason = retry_cause_word(static_cast<exchange::RetryCause>(i));
    for (const std::string_view outcome : {"success", "failed"}) {
      registry.declare(Name::upstream_retries_total, {name, reason, outcome});
    }
  }
  using exchange::NotRepeated;
  for (const NotRepeated why :
       {NotRepeated::attempts, NotRepeated::body_gone, NotRepeated::unsafe, NotRepeated::budget}) {
    registry.declare(Name::upstream_retries_refused_total, {name, not_repeated_word(why)});
  }
  for (const std::string_view outcome : {"replayed", "lost"}) {
    registry.declare(Name::upstream_idle_races_total, {name, outcome});
  }
  // Others cannot come from there, but for what a broken one may think of: they stand from their first time on.
  using http::Kind;
  for (const Kind kind : {Kind::connect_failed, Kind::reset, Kind::bad_response, Kind::tls_failed, Kind::no_endpoint,
                          Kind::pool_timeout, Kind::pool_full, Kind::circuit_open, Kind::no_local_port,
                          Kind::no_descriptor, Kind::connect_timeout, Kind::timeout, Kind::refused_stream}) {
    registry.declare(Name::upstream_errors_total, {name, http::reason_word(kind)});
  }
  upstream::declare_pool(registry, name);
}

}  // namespace sluice::runtime

// The metric cells of one worker that do not depend on a request's route: closes, refusals, protocol errors, local
// replies. Made once, so that counting is an array look-up.
#pragma once

#include <array>

#include "exchange/site.h"
#include "http/close_cause.h"
#include "metrics/registry.h"
#include "runtime/acceptor.h"
#include "runtime/arrivals.h"
#include "tls/events.h"

namespace sluice::runtime {

class WorkerMeter final : public exchange::Meter {
 public:
  // `arrivals`: where a balancer's question does not count.
  WorkerMeter(metrics::Registry& registry, uint32_t worker, Arrivals& arrivals);

  void local_reply(http::Kind kind) override { replies_[static_cast<size_t>(kind)]->add(); }
  void protocol_error(http::Where side, http::Detail detail) override {
    if (detail != http::Detail::none)
      errors_[side == http::Where::upstream ? 1 : 0][static_cast<size_t>(detail)]->add();
  }
  void health_asked() override { arrivals_.take_back(); }
  void shed(exchange::Shed why, http::Lane lane) override {
    shed_[static_cast<size_t>(why)][static_cast<size_t>(lane)]->add();
  }
  // A turn is over.
  void turn(base::Micros took, const net::Lateness& lateness);
  void late_request() { late_requests_->add(); }
  void rejected_at_cap() { rejected_at_cap_->add(); }
  void rejected_for_memory() { rejected_for_memory_->add(); }
  void rejected_for_client() { rejected_for_client_->add(); }
  void handshake_error(tls::HandshakeError why) { handshake_errors_[static_cast<size_t>(why)]->add(); }

  // Cells of one listener, route and upstream of a configuration.
  ListenerCells listener(const std::string& name) const;
  exchange::RouteCells route(const std::string& name) const;
  exchange::RateCells rate(const std::string& route, exchange::RateLimiter& limiter) const;
  exchange::ConcurrencyCells concurrency(const std::string& route, exchange::ConcurrencyLimiter& limiter) const;
  exchange::FallbackCells fallback(const std::string& route) const;
  exchange::UpstreamCells upstream(const std::string& name) const;
  metrics::Counter& response_cut(const std::string& route, http::Where by, http::Kind kind) const;
  metrics::Counter& upstream_error(const std::string& name, http::Kind kind) const;
  metrics::Counter& retry(const std::string& upstream, exchange::RetryCause cause, bool helped) const;
  metrics::Counter& retry_refused(const std::string& upstream, exchange::NotRepeated why) const;
  metrics::RequestCounters requests(std::shared_ptr<const metrics::RequestLabels> labels) const {
    return {registry_, worker_, std::move(labels)};
  }

 private:
  static constexpr size_t handshake_errors = static_cast<size_t>(tls::HandshakeError::other) + 1;
  metrics::Registry& registry_;
  uint32_t worker_;
  Arrivals& arrivals_;
  std::array<metrics::Counter*, http::kinds> replies_{};
  std::array<std::array<metrics::Counter*, http::details>, 2> errors_{};
  std::array<metrics::Counter*, handshake_errors> handshake_errors_{};
  metrics::Counter* rejected_at_cap_;
  metrics::Counter* rejected_for_memory_;
  metrics::Counter* rejected_for_client_;
  metrics::Counter* late_requests_;
  std::array<std::array<metrics::Counter*, http::lanes>, exchange::shed_reasons> shed_{};
  metrics::Histogram* turns_;
  metrics::Counter* busy_;
  metrics::Counter* run_delay_;
  base::Micros told_delay_{};
};

// Workers ask for the cells of a route and an upstream when the first request comes to it; in the scrape they stand
// from the start, at zero.
void declare_route(metrics::Registry& registry, std::string_view name);
void declare_rate_limit(metrics::Registry& registry, std::string_view route);
void declare_concurrency_limit(metrics::Registry& registry, std::string_view route);
void declare_fallback(metrics::Registry& registry, std::string_view route);
void declare_upstream(metrics::Registry& registry, std::string_view name);

}  // namespace sluice::runtime

#include "runtime/held_connections.h"

#include <algorithm>
#include <optional>
#include <string>

#include "base/log_event.h"
#include "runtime/acceptor.h"
#include "runtime/clients.h"

namespace sluice::runtime {
namespace {

using metrics::Name;

constexpr std::string_view client_side = "client";
constexpr std::string_view upstream_side = "upstream";

double seconds(base::Micros span) { return static_cast<double>(span.count) / 1e6; }

// The longest that a client may stand in a phase, whatever it does or leaves; none: its requests are looked at instead,
// or its bytes, which come as slowly as min_rate lets them.
std::optional<base::Millis> limit_of(std::string_view phase, const http::DownstreamOptions& options) {
  if (phase == "awaiting_place") return base::Millis{0};
  if (phase == "tls_handshake") return options.handshake_timeout;
  if (phase == "proxy_header" || phase == "first_bytes" || phase == "head" || phase == "idle")
    return base::Millis{options.header_timeout.count + options.idle_timeout.count};
  if (phase == "lingering") return options.write_timeout;
  return std::nullopt;
}

}  // namespace

HeldConnections::HeldConnections(net::Loop& loop, metrics::Registry& registry, unsigned worker, Clients& clients,
                                 User& user)
    : loop_(loop),
      registry_(registry),
      worker_(worker),
      clients_(clients),
      user_(user),
      oldest_client_(
          registry.gauge(Name::connection_held_oldest_seconds, {client_side, std::to_string(worker)}, worker)),
      oldest_upstream_(
          registry.gauge(Name::connection_held_oldest_seconds, {upstream_side, std::to_string(worker)}, worker)),
      timer_(this, net::timer_call<&HeldConnections::on_timer>) {
  // In the scrape from the start: a rate over a series that only now appears misses its first event.
  for (const std::string_view phase :
       {"awaiting_place", "proxy_header", "first_bytes", "tls_handshake", "head", "idle", "lingering"}) {
    registry.counter(Name::connections_held_total, {client_side, phase}, worker);
  }
  for (const std::string_view phase : {"connecting", "idle", "unowned"})
    registry.counter(Name::connections_held_total, {upstream_side, phase}, worker);
}

void HeldConnections::wake() {
  if (!timer_.armed()) timer_.arm(loop_, look_every);
}

void HeldConnections::on_timer() {
  if (next_cluster_ == 0) look_at_clients();
  if (!look_at_clusters()) return timer_.arm(loop_, base::Millis{1});
  if (clients_.open() != 0 || any_upstream_) timer_.arm(loop_, look_every);
}

void HeldConnections::look_at_clients() {
  oldest_seen_ = {};
  clients_.each_oldest(clients_most, loop_.now() - base::Micros{slack}, [this](Client& client) { judge(client); });
  oldest_client_.set(seconds(oldest_seen_));
  oldest_seen_ = {};
  any_upstream_ = false;
}

void HeldConnections::judge(Client& client) {
  const http::SessionLook look = client.look_at_session();
  auto limit = limit_of(look.phase, client.in_force());
  if (!limit) return;
  limit = std::max(*limit, *limit_of(look.phase, client.accepted_under()));  // a handshake keeps to those
  const base::Micros age = loop_.now() - look.since;
  if (age <= base::Micros{*limit} + base::Micros{slack}) return;
  oldest_seen_ = std::max(oldest_seen_, age);
  if (client.tell_held())
    tell(client_side, look.phase, "listener " + client.listener(), client.peer().remote.text(), age);
}

bool HeldConnections::look_at_clusters() {
  const size_t end = std::min(user_.live_clusters(), next_cluster_ + clusters_a_turn);
  for (; next_cluster_ < end; ++next_cluster_) {
    upstream::ClusterImpl* const cluster = user_.live_cluster(next_cluster_);
    if (cluster == nullptr || cluster->connections() == 0) continue;
    any_upstream_ = true;
    cluster->each_held(slack, [&](const upstream::HeldConnection& held) {
      const base::Micros age = loop_.now() - held.since;
      oldest_seen_ = std::max(oldest_seen_, age);
      if (held.news) tell(upstream_side, held.phase, "upstream " + cluster->options().name, held.endpoint, age);
    });
  }
  if (next_cluster_ < user_.live_clusters()) return false;
  next_cluster_ = 0;
  oldest_upstream_.set(seconds(oldest_seen_));
  return true;
}

void HeldConnections::tell(std::string_view side, std::string_view phase, std::string_view who, std::string_view peer,
                           base::Micros age) {
  registry_.counter(Name::connections_held_total, {side, phase}, worker_).add();
  base::log_repeated(base::LogLevel::warn, "connection_held", who,
                     {{"of", who},
                      {"peer", peer},
                      {"phase", phase},
                      {"held_s", seconds(age)},
                      {"message", "its limits should have ended it: please report it, with /debug/connections"}});
}

}  // namespace sluice::runtime

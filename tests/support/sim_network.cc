// SimNetwork: looks the address up when the connection arrives, so that a test may change its mind while one is under
// way.
#include "support/sim_network.h"

#include <utility>

#include "base/check.h"

namespace sluice::support {

void SimNetwork::serve(const net::Address& at, OnPeer on_connect) {
  Place& place = places_[at.text()];
  place.kind = Place::Kind::peer;
  place.peer = std::move(on_connect);
}

void SimNetwork::serve_transport(const net::Address& at, OnTransport on_connect) {
  Place& place = places_[at.text()];
  place.kind = Place::Kind::transport;
  place.transport = std::move(on_connect);
}

void SimNetwork::fail(const net::Address& at, net::EndReason why) {
  Place& place = places_[at.text()];
  place.kind = Place::Kind::fails;
  place.why = why;
}

void SimNetwork::black_hole(const net::Address& at) { places_[at.text()].kind = Place::Kind::black_hole; }

uint64_t SimNetwork::dials(const net::Address& at) const {
  const auto found = places_.find(at.text());
  return found == places_.end() ? 0 : found->second.dials;
}

net::TransportPtr SimNetwork::dial(net::Loop& loop, const net::Address& to, const net::DialOptions& options) {
  CHECK(&loop == &sim_.loop());
  PipeAddresses addresses{.near = options.source.is_ip() ? options.source : net::Address::ipv4(0x7F000001, 0),
                          .far = to};
  addresses.near.set_port(next_port_++);
  auto wire = std::make_shared<Wire>(sim_);
  wire->set_latency(latency_);
  wire->costs = costs_;
  if (make_tear_) {
    wire->set_tear(Wire::From::a, make_tear_());
    wire->set_tear(Wire::From::b, make_tear_());
  }
  Dialled dialled = dialled_pipe(sim_, wire, addresses);
  net::TransportPtr transport = std::move(dialled.transport);
  auto shared = std::make_shared<Dialled>(std::move(dialled));
  const std::string at = to.text();
  ++places_[at].dials;
  if (const auto bad = bad_sources_.find(options.source.ip_text());
      options.source.is_ip() && bad != bad_sources_.end()) {
    sim_.post({}, [shared, why = bad->second] { shared->fail(why); });
    return transport;
  }
  sim_.post(latency_, [this, at, wire, addresses, shared] { connect(at, wire, addresses, *shared); });
  sim_.post(base::Micros{options.connect_timeout}, [shared] { shared->fail(net::EndReason::connect_timeout); });
  return transport;
}

void SimNetwork::hush() {
  places_.clear();
  for (const auto& peer : peers_) peer->on_event = nullptr;
}

void SimNetwork::connect(const std::string& at, const std::shared_ptr<Wire>& wire, const PipeAddresses& addresses,
                         const Dialled& dialled) {
  Place& place = places_[at];
  switch (place.kind) {
    case Place::Kind::black_hole: return;
    case Place::Kind::fails: return dialled.fail(place.why);
    case Place::Kind::peer:
      if (!dialled.open()) return;
      peers_.push_back(std::make_unique<ScriptedPeer>(wire, Wire::From::b));
      if (place.peer) place.peer(*peers_.back());
      return;
    case Place::Kind::transport:
      if (!dialled.open()) return;
      place.transport(accepted_pipe(sim_, wire, addresses));
      return;
  }
}

}  // namespace sluice::support

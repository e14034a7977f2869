// SimNetwork: a net::Network whose addresses lead to what the test says: a scripted peer, another transport, or a
// failure.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "net/transport.h"
#include "support/pipe.h"
#include "support/sim_loop.h"

namespace sluice::support {

class SimNetwork final : public net::Network {
 public:
  explicit SimNetwork(SimLoop& sim) : sim_(sim) {}

  // What a dialled address does. Unknown addresses refuse.
  using OnPeer = std::function<void(ScriptedPeer&)>;  // set on_event here; the network keeps the peer
  using OnTransport = std::function<void(net::TransportPtr)>;  // for a server session under test
  void serve(const net::Address& at, OnPeer on_connect);
  void serve_transport(const net::Address& at, OnTransport on_connect);
  void fail(const net::Address& at, net::EndReason why);  // refused, unreachable, no_resources, reset: at once
  // From now on nobody is told anything: what the callbacks of a test refer to may be gone. New connects are refused.
  void hush();
  // A connect from there fails, wherever it leads to.
  void fail_from(const net::Address& source, net::EndReason why) { bad_sources_[source.ip_text()] = why; }
  void black_hole(const net::Address& at);  // never answers: connect_timeout at its time
  void set_latency(base::Micros latency) { latency_ = latency; }  // of connecting, and one way of every later wire
  void set_costs(Wire::Costs costs) { costs_ = costs; }  // of every later wire
  // Applied to both directions of every later wire.
  void set_tear(std::function<Tear()> make) { make_tear_ = std::move(make); }

  uint64_t dials(const net::Address& at) const;
  // Peers of serve() addresses in the order of their connections; they stay until the network dies or drop_peers().
  std::vector<std::unique_ptr<ScriptedPeer>>& peers() { return peers_; }
  ScriptedPeer& last_peer() { return *peers_.back(); }

  net::TransportPtr dial(net::Loop& loop, const net::Address& to, const net::DialOptions& options) override;

 private:
  struct Place {
    OnPeer peer;
    OnTransport transport;
    enum class Kind : uint8_t { peer, transport, fails, black_hole } kind = Kind::fails;
    net::EndReason why = net::EndReason::refused;
    uint64_t dials = 0;
  };
  void connect(const std::string& at, const std::shared_ptr<Wire>& wire, const PipeAddresses& addresses,
               const Dialled& dialled);

  SimLoop& sim_;
  std::map<std::string, Place> places_;
  std::map<std::string, net::EndReason> bad_sources_;
  std::vector<std::unique_ptr<ScriptedPeer>> peers_;
  base::Micros latency_{0};
  Wire::Costs costs_;
  std::function<Tear()> make_tear_;
  uint16_t next_port_ = 30000;
};

}  // namespace sluice::support

// In-memory connections for tests: a Transport under test on one side; on the other a second Transport, or a
// ScriptedPeer that the test drives by hand. Bytes are torn, stalled, cut and reset as told; see README.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/transport.h"
#include "support/sim_loop.h"

namespace sluice::support {

// How many of `available` bytes (> 0) the next delivery takes, `offset` bytes having been delivered before; each
// delivery is an event in a turn of its own. 0 counts as 1.
using Tear = std::function<size_t(uint64_t offset, size_t available)>;
Tear tear_nowhere();
Tear tear_at(std::vector<uint64_t> positions);  // a delivery ends at each of these offsets
Tear tear_every(size_t bytes);
Tear tear_randomly(uint64_t seed);

class Wire;

// One side of a wire: a PipeTransport or a ScriptedPeer. The wire calls these as events.
class WireSide {
 public:
  virtual bool ready_to_read() const = 0;
  virtual void arrive(std::string_view bytes) = 0;
  virtual void arrive_fin() = 0;
  virtual void arrive_reset() = 0;
  virtual void fin_stands_behind() {}  // it does not read, and a FIN follows what was not read
  virtual void room_again() = 0;  // the other side has read

 protected:
  ~WireSide() = default;
};

// A connection: two sides, and in each direction the bytes under way.
class Wire : public std::enable_shared_from_this<Wire> {
 public:
  enum class From : uint8_t { a, b };
  static constexpr size_t window_default = 256 * 1024;

  // CPU time of its transport for each read and write.
  struct Costs {
    base::Micros read{0}, write{0};
  } costs;

  explicit Wire(SimLoop& sim) : sim_(sim) {}
  void attach(From which, WireSide* side) { side_[at(which)] = side; }  // nullptr: that process is gone
  // What the sending side's kernel does. send() returns how many bytes there was room for.
  size_t send(From from, std::string_view bytes);
  void fin(From from);
  void reset(From from);
  // The side reads again, or for the first time.
  void pull(From from);

  // `least_room`: nothing is taken while less of it is free, as kernels do.
  void set_window(From from, size_t bytes, size_t least_room = 1) {
    lane(from).window = bytes;
    lane(from).least_room = least_room;
  }
  void set_tear(From from, Tear tear) { lane(from).tear = std::move(tear); }
  void set_latency(base::Micros latency) { latency_ = latency; }
  bool quiet(From from) const;  // nothing under way from there
  void lose();  // from now on nothing arrives, either way, and nothing is acknowledged
  void find();  // what was lost arrives after all
  net::Acks acks(From from) const;
  base::Micros sent_at(From from) const { return lanes_[at(from)].sent_at; }  // the oldest bytes under way, or the last
  size_t in_flight(From from) const { return lanes_[at(from)].bytes.size(); }

 private:
  struct Lane {
    std::string bytes;
    uint64_t delivered = 0;
    base::Micros sent_at{0};
    size_t window = window_default;
    size_t least_room = 1;
    Tear tear = tear_nowhere();
    enum class End : uint8_t { none, fin, reset } end = End::none;
    bool end_told = false;
    bool end_looked = false;
    bool scheduled = false;
    base::Micros lost_at{-1};  // its first byte that no acknowledgement will come for
  };
  static size_t at(From f) { return static_cast<size_t>(f); }
  static From other(From f) { return f == From::a ? From::b : From::a; }
  Lane& lane(From f) { return lanes_[at(f)]; }
  void schedule(From from);
  void look_for_fin(From from);
  void deliver(From from);

  SimLoop& sim_;
  WireSide* side_[2] = {nullptr, nullptr};
  Lane lanes_[2];
  base::Micros latency_{0};
  base::Micros lost_at_{-1};
};

// The far end, driven by the test. Calls made outside the loop take effect in later turns (SimLoop::settle()).
class ScriptedPeer final : public WireSide {
 public:
  ScriptedPeer(std::shared_ptr<Wire> wire, Wire::From side);
  ~ScriptedPeer();
  ScriptedPeer(const ScriptedPeer&) = delete;
  ScriptedPeer& operator=(const ScriptedPeer&) = delete;

  void send(std::string_view bytes);  // never short: the wire's window is for transports
  void fin();  // no more from us
  void reset();
  void hold() { reading_ = false; }  // reads nothing: the transport's window fills
  void resume();
  void lose() { wire_->lose(); }  // its host is gone without a word
  void tear(Tear how) { wire_->set_tear(side_, std::move(how)); }
  void window(size_t bytes, size_t least_room = 1);  // of what the transport may have under way to us: see Wire

  const std::string& received() const { return received_; }
  std::string take() { return std::exchange(received_, {}); }
  bool got_fin() const { return fin_; }
  bool got_reset() const { return reset_; }
  bool ended() const { return fin_ || reset_; }
  // Called at the loop after bytes or an end have arrived.
  std::function<void(ScriptedPeer&)> on_event;

  bool ready_to_read() const override { return reading_; }
  void arrive(std::string_view bytes) override;
  void arrive_fin() override;
  void arrive_reset() override;
  void room_again() override {}

 private:
  std::shared_ptr<Wire> wire_;
  Wire::From side_;
  std::string received_;
  bool reading_ = true;
  bool fin_ = false;
  bool reset_ = false;
};

struct PipeAddresses {
  net::Address near = net::Address::ipv4(0x7F000001, 40000);
  net::Address far = net::Address::ipv4(0x7F000001, 80);
};

// A transport that is open from the start (like an accepted socket), and its peer.
struct ScriptedPair {
  net::TransportPtr transport;
  std::unique_ptr<ScriptedPeer> peer;
  std::shared_ptr<Wire> wire;  // from a = from the transport
};
ScriptedPair scripted_pair(SimLoop& sim, const PipeAddresses& addresses = {});

// Two transports, both open from the start.
struct TransportPair {
  net::TransportPtr a;
  net::TransportPtr b;
  std::shared_ptr<Wire> wire;
};
TransportPair transport_pair(SimLoop& sim, const PipeAddresses& addresses = {});

// For SimNetwork: a transport that is still connecting, side a of `wire`. open() or fail() is called at the loop, once;
// both do nothing if it was closed meanwhile (open() then says so).
struct Dialled {
  net::TransportPtr transport;
  std::function<bool()> open;
  std::function<void(net::EndReason)> fail;
};
Dialled dialled_pipe(SimLoop& sim, const std::shared_ptr<Wire>& wire, const PipeAddresses& addresses);

// The accepting end, side b, of a dialled wire.
net::TransportPtr accepted_pipe(SimLoop& sim, const std::shared_ptr<Wire>& wire, const PipeAddresses& addresses);

size_t pipes_live();  // transports of all pipes whose memory is not back yet

}  // namespace sluice::support

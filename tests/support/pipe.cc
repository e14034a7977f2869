// Wires, scripted peers, and the Transport on a wire.
#include "support/pipe.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "support/random.h"

namespace sluice::support {

using net::Close;
using net::EndReason;
using net::Reading;

Tear tear_nowhere() {
  return [](uint64_t, size_t available) { return available; };
}

Tear tear_at(std::vector<uint64_t> positions) {
  std::sort(positions.begin(), positions.end());
  return [positions = std::move(positions)](uint64_t offset, size_t available) -> size_t {
    const auto next = std::upper_bound(positions.begin(), positions.end(), offset);
    return next == positions.end() ? available : static_cast<size_t>(std::min<uint64_t>(*next - offset, available));
  };
}

Tear tear_every(size_t bytes) {
  return [bytes](uint64_t, size_t available) { return std::min(bytes, available); };
}

Tear tear_randomly(uint64_t seed) {
  return [random = Random(seed)](uint64_t, size_t available) mutable -> size_t {
    return random.one_in(3) ? 1 : random.between(1, available);
  };
}

// ---- Wire ----

size_t Wire::send(From from, std::string_view bytes) {
  Lane& l = lane(from);
  if (l.end != Lane::End::none) return bytes.size();  // into the void
  const size_t room = l.window > l.bytes.size() ? l.window - l.bytes.size() : 0;
  const size_t n = room < l.least_room ? 0 : std::min(room, bytes.size());
  if (l.bytes.empty() && n != 0) l.sent_at = sim_.now();
  l.bytes.append(bytes.substr(0, n));
  if (lost_at_.count >= 0 && n != 0 && l.lost_at.count < 0) l.lost_at = sim_.loop().now();
  schedule(from);
  return n;
}

void Wire::fin(From from) {
  Lane& l = lane(from);
  if (l.end == Lane::End::none) l.end = Lane::End::fin;
  schedule(from);
}

void Wire::reset(From from) {
  Lane& l = lane(from);
  if (l.end == Lane::End::reset) return;
  l.end = Lane::End::reset;
  l.end_told = false;
  schedule(from);
}

void Wire::pull(From from) { schedule(other(from)); }

bool Wire::quiet(From from) const {
  const Lane& l = lanes_[at(from)];
  return l.bytes.empty() && l.end == Lane::End::none;
}

void Wire::lose() {
  lost_at_ = sim_.loop().now();
  for (Lane& l : lanes_) {
    if (!l.bytes.empty()) l.lost_at = lost_at_;
  }
}

void Wire::find() {
  lost_at_ = base::Micros{-1};
  for (const From from : {From::a, From::b}) {
    lane(from).lost_at = base::Micros{-1};
    schedule(from);
  }
}

// As Linux does: sent again after 200 ms, then after twice as long each time.
net::Acks Wire::acks(From from) const {
  const Lane& l = lanes_[at(from)];
  if (l.lost_at.count < 0) return {};
  const base::Micros now = sim_.loop().now();
  uint32_t repeats = 0;
  for (base::Micros after{200'000}; now - l.lost_at >= after; after = after + after + base::Micros{200'000}) ++repeats;
  return {1, repeats, now - lost_at_};
}

void Wire::schedule(From from) {
  Lane& l = lane(from);
  const bool something = !l.bytes.empty() || (l.end != Lane::End::none && !l.end_told);
  if (!something || l.scheduled) return;
  l.scheduled = true;
  sim_.post(latency_, [wire = shared_from_this(), from] { wire->deliver(from); });
}

void Wire::deliver(From from) {
  Lane& l = lane(from);
  l.scheduled = false;
  if (lost_at_.count >= 0) return;
  WireSide* const to = side_[at(other(from))];
  if (to == nullptr) {  // nobody there: bytes are answered with a reset, as a kernel does
    if (!l.bytes.empty()) {
      l.bytes.clear();
      lane(other(from)).bytes.clear();
      reset(other(from));
    }
    return;
  }
  if (!to->ready_to_read() && l.end == Lane::End::fin && !l.end_looked) look_for_fin(from);
  if (!l.bytes.empty()) {
    if (!to->ready_to_read()) {
      // A reset is seen although nobody reads, if later: a paused socket looks once a second.
      if (l.end != Lane::End::reset || l.end_told) return;
      l.end_told = true;
      const auto look = [wire = shared_from_this(), from] {
        wire->lane(from).bytes.clear();
        if (WireSide* const side = wire->side_[at(other(from))]) side->arrive_reset();
      };
      return sim_.post(base::Micros{base::seconds(1)}, look);
    }
    const size_t n = std::clamp<size_t>(l.tear(l.delivered, l.bytes.size()), 1, l.bytes.size());
    const std::string piece = l.bytes.substr(0, n);
    l.bytes.erase(0, n);
    l.delivered += n;
    if (WireSide* const sender = side_[at(from)]) sender->room_again();
    to->arrive(piece);
    return schedule(from);
  }
  if (l.end == Lane::End::none || l.end_told) return;
  if (l.end == Lane::End::fin && !to->ready_to_read()) return;
  l.end_told = true;
  l.end == Lane::End::fin ? to->arrive_fin() : to->arrive_reset();
}

// As a paused socket does: once a second.
void Wire::look_for_fin(From from) {
  lane(from).end_looked = true;
  sim_.post(base::Micros{base::seconds(1)}, [wire = shared_from_this(), from] {
    WireSide* const side = wire->side_[at(other(from))];
    wire->lane(from).end_looked = false;
    if (side == nullptr || wire->lane(from).end != Lane::End::fin || wire->lane(from).end_told || side->ready_to_read())
      return;
    wire->lane(from).end_looked = true;
    side->fin_stands_behind();
  });
}

// ---- ScriptedPeer ----

ScriptedPeer::ScriptedPeer(std::shared_ptr<Wire> wire, Wire::From side) : wire_(std::move(wire)), side_(side) {
  wire_->attach(side_, this);
}

ScriptedPeer::~ScriptedPeer() {
  wire_->attach(side_, nullptr);
  wire_->fin(side_);
}

void ScriptedPeer::send(std::string_view bytes) {
  wire_->set_window(side_, SIZE_MAX);
  wire_->send(side_, bytes);
}

void ScriptedPeer::fin() { wire_->fin(side_); }

void ScriptedPeer::reset() { wire_->reset(side_); }

void ScriptedPeer::resume() {
  reading_ = true;
  wire_->pull(side_);
}

void ScriptedPeer::window(size_t bytes, size_t least_room) {
  wire_->set_window(side_ == Wire::From::a ? Wire::From::b : Wire::From::a, bytes, least_room);
}

void ScriptedPeer::arrive(std::string_view bytes) {
  received_ += bytes;
  if (on_event) on_event(*this);
}

void ScriptedPeer::arrive_fin() {
  fin_ = true;
  if (on_event) on_event(*this);
}

void ScriptedPeer::arrive_reset() {
  reset_ = true;
  if (on_event) on_event(*this);
}

// ---- PipeTransport ----

namespace {

size_t live_pipes = 0;

class PipeTransport final : public net::Transport,
                            public WireSide,
                            private net::Flushable,
                            private net::Runnable,
                            private net::Reapable {
 public:
  enum class State : uint8_t { connecting, open, lingering, ended };

  PipeTransport(SimLoop& sim, std::shared_ptr<Wire> wire, Wire::From side, const PipeAddresses& addresses, State state)
      : sim_(sim), loop_(sim.loop()), wire_(std::move(wire)), side_(side), state_(state) {
    peer_.remote = peer_.socket_remote = addresses.far;
    peer_.local = addresses.near;
    if (state == State::open) wire_->attach(side_, this);
    ++live_pipes;
  }
  ~PipeTransport() { --live_pipes; }

  void opened();
  void failed(EndReason why);
  std::shared_ptr<PipeTransport*> self;  // while connecting: what the network holds on to

  void start(User& user) override;
  bool open() const override { return state_ == State::open; }
  void touch() override {
    if (state_ == State::open || state_ == State::connecting) loop_.flush_later(*this);
  }
  void allow_reading(Reading how) override;
  void shut_write() override;
  void close(Close how) override;
  size_t unsent() const override { return out_.size(); }
  size_t unacknowledged() const override { return out_.size() + wire_->in_flight(side_); }
  void limit_write_stall(base::Millis after) override;
  bool quiet_now() override { return state_ == State::open && in_.empty() && !fin_seen_ && wire_->quiet(far()); }
  net::Acks acks() const override { return state_ == State::open ? wire_->acks(side_) : net::Acks{}; }
  const net::Peer& peer() const override { return peer_; }
  void set_peer(const net::Address& remote, const net::Address& local) override {
    peer_.remote = remote;
    peer_.local = local;
  }
  std::string_view end_detail() const override { return state_ == State::ended ? detail_ : ""; }
  std::unique_ptr<net::Packed> pack() override;
  void retire() noexcept override;

  bool ready_to_read() const override {
    return state_ == State::open && user_ != nullptr && reading_ == Reading::allowed;
  }
  void arrive(std::string_view bytes) override;
  void arrive_fin() override;
  void arrive_reset() override { end(EndReason::reset); }
  void fin_stands_behind() override {
    if (user_ != nullptr && !std::exchange(fin_behind_told_, true)) user_->on_fin_behind();
  }
  void room_again() override;

 private:
  Wire::From far() const { return side_ == Wire::From::a ? Wire::From::b : Wire::From::a; }
  void flush() override;
  void run() override;
  void reclaim() noexcept override { const std::unique_ptr<PipeTransport> last(this); }
  void offer();
  enum class Given : uint8_t { all, maybe_more };
  void write(Given given);
  void end(EndReason why);
  void leave(Close how);
  void finish_if_done() {
    if (state_ == State::open && fin_told_ && shut_ == Shut::done) end(EndReason::closed);
  }
  void stalled();

  SimLoop& sim_;
  net::Loop& loop_;
  std::shared_ptr<Wire> wire_;
  Wire::From side_;
  State state_;
  User* user_ = nullptr;
  net::Peer peer_{};
  net::ByteQueue in_;
  net::ByteQueue out_;
  Reading reading_ = Reading::allowed;
  enum class Shut : uint8_t { no, asked, done } shut_ = Shut::no;
  bool fin_seen_ = false;
  bool fin_told_ = false;
  bool fin_behind_told_ = false;
  bool owes_open_ = false;
  bool owes_end_ = false;
  bool retired_ = false;
  EndReason why_ = EndReason::closed;
  std::string_view detail_;
  base::Millis stall_limit_{0};
  net::Timer stall_{this, net::timer_call<&PipeTransport::stalled>};
};

void PipeTransport::opened() {
  if (state_ != State::connecting) return;
  state_ = State::open;
  wire_->attach(side_, this);
  owes_open_ = true;
  run();
}

void PipeTransport::failed(EndReason why) {
  if (state_ == State::connecting) end(why);
}

void PipeTransport::start(User& user) {
  user_ = &user;
  fin_told_ = fin_behind_told_ = false;
  if (state_ == State::open) {
    loop_.flush_later(*this);
    wire_->pull(side_);
  }
  if (owes_open_ || owes_end_ || fin_seen_ || !in_.empty()) loop_.run_later(*this);
}

void PipeTransport::run() {
  if (user_ == nullptr) return;
  if (owes_end_) {
    owes_end_ = false;
    return std::exchange(user_, nullptr)->on_end(why_);
  }
  if (owes_open_) {
    owes_open_ = false;
    wire_->pull(side_);
    user_->on_open();
    if (state_ == State::open) loop_.flush_later(*this);
  }
  offer();
}

void PipeTransport::offer() {
  User* const user = user_;
  if (state_ == State::open && reading_ == Reading::allowed && !in_.empty()) user->on_bytes(in_);
  if (user_ != user) return;
  if (state_ == State::open && reading_ == Reading::allowed && fin_seen_ && !fin_told_) {
    fin_told_ = true;
    user_->on_eof(true);
  }
  finish_if_done();
}

void PipeTransport::allow_reading(Reading how) {
  reading_ = how;
  if (how == Reading::paused || state_ != State::open || user_ == nullptr) return;
  wire_->pull(side_);
  if (!in_.empty() || (fin_seen_ && !fin_told_)) loop_.run_later(*this);
}

void PipeTransport::shut_write() {
  if (shut_ != Shut::no || (state_ != State::open && state_ != State::connecting)) return;
  shut_ = Shut::asked;
  loop_.flush_later(*this);
}

// As TcpSocket does: bytes go behind those that are unread, in the same chunk while it has room.
void PipeTransport::arrive(std::string_view bytes) {
  sim_.burn(wire_->costs.read);
  while (!bytes.empty()) {
    net::Chunk* home = nullptr;
    if (!in_.empty()) {
      const net::Slice& last = in_.back();
      if (last.at() + last.size() == last.home()->used() && last.home()->room() >= 1024 && !last.home()->is_scratch())
        home = last.home();
    }
    if (home != nullptr) {
      home->ref();
    } else {
      home = net::Chunk::make();
    }
    const auto n = static_cast<uint32_t>(std::min<size_t>(bytes.size(), home->room()));
    bytes.copy(home->data() + home->used(), n);
    net::Slice slice(home, home->used(), n);
    home->grow_used(n);
    home->unref();
    in_.append(std::move(slice));
    bytes.remove_prefix(n);
  }
  offer();
}

void PipeTransport::arrive_fin() {
  fin_seen_ = true;
  offer();
}

void PipeTransport::room_again() {
  if (out_.empty() || (state_ != State::open && state_ != State::lingering)) return;
  if (stall_.armed()) stall_.arm(loop_, stall_limit_);
  loop_.flush_later(*this);
}

void PipeTransport::flush() {
  if (state_ == State::connecting) return;
  bool more = false;
  if (out_.size() >= high_mark) {
    more = true;  // the user could not be asked in this flush
  } else if (state_ == State::open && shut_ != Shut::done && user_ != nullptr) {
    const size_t before = out_.size();
    const size_t room = high_mark - before;
    user_->fill(out_, room);
    more = before != 0 || out_.size() - before >= room / 2;
  }
  if (state_ == State::open || state_ == State::lingering) write(more ? Given::maybe_more : Given::all);
  if (more && state_ == State::open && out_.empty()) loop_.flush_later(*this);
}

void PipeTransport::write(Given given) {
  const bool had = !out_.empty();
  if (had) sim_.burn(wire_->costs.write);
  while (!out_.empty()) {
    const std::string_view front = out_.front().view();
    const size_t taken = wire_->send(side_, front);
    out_.drop(taken);
    if (taken == 0) {
      if (stall_limit_.count != 0 && !stall_.armed()) stall_.arm(loop_, stall_limit_);
      return;
    }
  }
  stall_.disarm();
  if (state_ == State::lingering) return leave(Close::now);
  if (had && user_ != nullptr) user_->on_drained();
  if (state_ != State::open || shut_ != Shut::asked || given == Given::maybe_more || !out_.empty()) return;
  shut_ = Shut::done;
  wire_->fin(side_);
  finish_if_done();
}

void PipeTransport::limit_write_stall(base::Millis after) {
  stall_limit_ = after;
  if (after.count == 0) return stall_.disarm();
  if (!out_.empty() && !stall_.armed()) stall_.arm(loop_, stall_limit_);
}

void PipeTransport::stalled() {
  if (state_ == State::lingering) return leave(Close::reset);
  wire_->reset(side_);
  end(EndReason::write_stalled);
}

void PipeTransport::end(EndReason why) {
  if (state_ == State::ended) return;
  const bool was_open = state_ == State::open;
  leave(Close::now);
  why_ = why;
  detail_ = why == EndReason::closed ? "" : "simulated";
  if (user_ != nullptr) {
    std::exchange(user_, nullptr)->on_end(why);
  } else {
    owes_end_ = was_open || why != EndReason::closed;
  }
}

// Off the wire. Closing with bytes unread resets, as kernels do.
void PipeTransport::leave(Close how) {
  if (state_ != State::connecting) {
    const bool unread = wire_->in_flight(far()) != 0;
    wire_->attach(side_, nullptr);
    how == Close::reset || unread ? wire_->reset(side_) : wire_->fin(side_);
  }
  state_ = State::ended;
  in_.clear();
  out_.clear();
  stall_.disarm();
  if (self != nullptr) *self = nullptr;
  if (retired_) loop_.reap_later(*this);
}

void PipeTransport::close(Close how) {
  user_ = nullptr;
  owes_end_ = owes_open_ = false;
  if (state_ == State::ended || (state_ == State::lingering && how == Close::after_flush)) return;
  if (how == Close::after_flush && state_ == State::open && !out_.empty()) {
    state_ = State::lingering;
    in_.clear();
    loop_.flush_later(*this);
    return;
  }
  leave(how);
}

void PipeTransport::retire() noexcept {
  if (state_ != State::lingering) close(Close::now);
  user_ = nullptr;
  retired_ = true;
  if (state_ == State::ended) loop_.reap_later(*this);
}

std::unique_ptr<PipeTransport> make_pipe(SimLoop& sim, const std::shared_ptr<Wire>& wire, Wire::From side,
                                         const PipeAddresses& addresses, PipeTransport::State state) {
  return std::make_unique<PipeTransport>(sim, wire, side, addresses, state);
}

// On its way; what comes meanwhile waits on the wire. The wire's events are of one loop, so it goes on in that one, and
// where there are several nothing is packed.
class PackedPipe final : public net::Packed, public WireSide {
 public:
  PackedPipe(SimLoop& sim, std::shared_ptr<Wire> wire, Wire::From side, const PipeAddresses& addresses)
      : sim_(sim), wire_(std::move(wire)), side_(side), addresses_(addresses) {
    wire_->attach(side_, this);
  }
  PackedPipe(const PackedPipe&) = delete;
  PackedPipe& operator=(const PackedPipe&) = delete;
  ~PackedPipe() override {
    if (wire_ == nullptr) return;
    wire_->attach(side_, nullptr);
    wire_->fin(side_);
  }
  net::TransportPtr unpack(net::Loop& loop) override {
    CHECK(&loop == &sim_.loop());
    auto pipe = make_pipe(sim_, std::exchange(wire_, nullptr), side_, addresses_, PipeTransport::State::open);
    return net::TransportPtr(pipe.release());
  }
  bool ready_to_read() const override { return false; }
  void arrive(std::string_view) override { UNREACHABLE(); }
  void arrive_fin() override { UNREACHABLE(); }
  void arrive_reset() override {}
  void room_again() override {}

 private:
  SimLoop& sim_;
  std::shared_ptr<Wire> wire_;
  Wire::From side_;
  PipeAddresses addresses_;
};

std::unique_ptr<net::Packed> PipeTransport::pack() {
  if (!sim_.alone() || retired_ || !quiet_now()) return nullptr;
  if (!out_.empty() || owes_open_ || owes_end_ || shut_ != Shut::no) return nullptr;
  auto packed = std::make_unique<PackedPipe>(sim_, wire_, side_, PipeAddresses{peer_.socket_remote, peer_.local});
  user_ = nullptr;
  state_ = State::ended;
  stall_.disarm();
  return packed;
}

}  // namespace

ScriptedPair scripted_pair(SimLoop& sim, const PipeAddresses& addresses) {
  auto wire = std::make_shared<Wire>(sim);
  auto transport = make_pipe(sim, wire, Wire::From::a, addresses, PipeTransport::State::open);
  return {net::TransportPtr(transport.release()), std::make_unique<ScriptedPeer>(wire, Wire::From::b), wire};
}

TransportPair transport_pair(SimLoop& sim, const PipeAddresses& addresses) {
  auto wire = std::make_shared<Wire>(sim);
  auto a = make_pipe(sim, wire, Wire::From::a, addresses, PipeTransport::State::open);
  auto b = make_pipe(sim, wire, Wire::From::b, {addresses.far, addresses.near}, PipeTransport::State::open);
  return {net::TransportPtr(a.release()), net::TransportPtr(b.release()), wire};
}

Dialled dialled_pipe(SimLoop& sim, const std::shared_ptr<Wire>& wire, const PipeAddresses& addresses) {
  auto pipe = make_pipe(sim, wire, Wire::From::a, addresses, PipeTransport::State::connecting);
  auto self = std::make_shared<PipeTransport*>(pipe.get());
  pipe->self = self;
  const auto open = [self] {
    if (*self == nullptr) return false;
    (*self)->opened();
    return true;
  };
  const auto fail = [self](EndReason why) {
    if (*self != nullptr) (*self)->failed(why);
  };
  return {net::TransportPtr(pipe.release()), open, fail};
}

net::TransportPtr accepted_pipe(SimLoop& sim, const std::shared_ptr<Wire>& wire, const PipeAddresses& addresses) {
  return net::TransportPtr(
      make_pipe(sim, wire, Wire::From::b, {addresses.far, addresses.near}, PipeTransport::State::open).release());
}

size_t pipes_live() { return live_pipes; }

}  // namespace sluice::support

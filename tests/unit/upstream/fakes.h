// Fakes for the tests of lib/upstream: sessions whose streams end when the test says so, a connector whose connects
// succeed or fail on command, a waiter that writes down what it was told, and a world of several workers on one
// simulated clock.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/arena.h"
#include "support/sim_loop.h"
#include "upstream/cluster_impl.h"

namespace sluice::upstream::fakes {

class FakeSession;

class FakeStream final : public http::Stream {
 public:
  explicit FakeStream(FakeSession& session) : session_(session) {}
  void send_head(const http::Head&, http::End) override {}
  void send_body(net::ByteQueue&&, http::End) override {}
  void send_trailers(const http::Fields&) override {}
  void consume(size_t) override {}
  void cancel(const http::Failure&) override {}
  const net::Peer& peer() const override;
  http::Version version() const override { return http::Version::http_11; }
  base::Arena& arena() override { return arena_; }
  bool release_head(base::Arena& kept) override {
    arena_.swap(kept);
    return true;
  }
  bool reused() const override { return reused_; }
  FakeSession& session() { return session_; }
  bool reused_ = false;

 private:
  FakeSession& session_;
  base::Arena arena_;
};

// One connection with `limit` stream slots.
class FakeSession final : public http::ClientSession, public net::Runnable, public net::Reapable {
 public:
  FakeSession(net::Loop& loop, http::ClientHost& host, std::uint32_t limit,
              std::shared_ptr<std::atomic<std::uint32_t>> live)
      : loop_(loop), host_(host), limit_(limit), live_(std::move(live)), stream_(*this), idle_since_(loop.now()) {
    ++*live_;
  }
  ~FakeSession() { --*live_; }

  // The test's hand
  void finish_stream() {  // at the loop: one request is over
    --open_;
    idle_since_ = loop_.now();
    if (open_ == 0 && retiring_) return end(cause_);
    host_.on_slots(*this);
  }
  void end(http::CloseCause cause) {  // at the loop: the connection is over
    open_ = 0;
    ended_ = true;
    host_.on_session_end(*this, cause);
  }
  std::unique_ptr<http::PackedSession> pack() override;
  bool travels() const override { return goes; }
  bool goes = false;  // from worker to worker
  void become_tunnel() {
    tunnel_ = true;
    host_.on_slots(*this);
  }
  void go_bad() { bad_ = true; }  // validate() says no, and it ends by itself
  void allow(std::uint32_t streams) { limit_ = streams; }  // said by the peer, and not told to the pool yet
  void tell() { host_.on_slots(*this); }
  std::optional<base::Millis> peer_timeout;
  std::uint32_t validated_surely = 0;

  http::Stream* open(http::Sink&) override {
    if (slots() == 0) return nullptr;
    ++open_;
    stream_.reused_ = opened_ != 0;
    ++opened_;
    return &stream_;
  }
  std::uint32_t slots() const override { return retiring_ || tunnel_ || ended_ || limit_ < open_ ? 0 : limit_ - open_; }
  std::uint32_t open_streams() const override { return open_; }
  bool validate(http::Borrow how) override {
    if (how == http::Borrow::surely) ++validated_surely;
    if (!bad_) return true;
    retire_when_idle(http::CloseCause::peer_closed);
    return false;
  }
  void retire_when_idle(http::CloseCause cause) override {
    if (retiring_) return;
    retiring_ = true;
    cause_ = cause;
    if (open_ == 0) loop_.run_later(*this);
  }
  void abort(http::CloseCause cause) override {
    open_ = 0;
    retire_when_idle(cause);
  }
  void run() override { end(cause_); }
  base::Micros idle_since() const override { return idle_since_; }
  base::Millis peer_idle_timeout() const override { return peer_timeout.value_or(base::Millis{-1}); }
  std::uint64_t streams_opened() const override { return opened_; }
  void set_opened(std::uint64_t opened) { opened_ = opened; }
  bool in_tunnel() const override { return tunnel_; }
  const net::Peer& peer() const override { return peer_; }
  void retire() noexcept override {
    net::Runnable::unlink();
    loop_.reap_later(*this);
  }
  void reclaim() noexcept override { std::unique_ptr<FakeSession> self(this); }

 private:
  net::Loop& loop_;
  http::ClientHost& host_;
  std::uint32_t limit_;
  std::shared_ptr<std::atomic<std::uint32_t>> live_;
  FakeStream stream_;
  net::Peer peer_;
  std::uint32_t open_ = 0;
  std::uint64_t opened_ = 0;
  base::Micros idle_since_;
  bool retiring_ = false;
  bool ended_ = false;
  bool tunnel_ = false;
  bool bad_ = false;
  http::CloseCause cause_ = http::CloseCause::error;
};

class FakePacked final : public http::PackedSession {
 public:
  FakePacked(std::uint32_t limit, std::shared_ptr<std::atomic<std::uint32_t>> live, std::uint64_t opened)
      : limit_(limit), live_(std::move(live)), opened_(opened) {
    ++*live_;
  }
  ~FakePacked() override { --*live_; }
  http::ClientSessionPtr unpack(net::Loop& loop, http::ClientHost& host) override {
    if (dies) return nullptr;
    auto* const session = new FakeSession(loop, host, limit_, live_);
    session->goes = true;
    session->set_opened(opened_);
    return http::ClientSessionPtr(session);
  }
  static inline bool dies = false;  // on the way

 private:
  std::uint32_t limit_;
  std::shared_ptr<std::atomic<std::uint32_t>> live_;
  std::uint64_t opened_;
};
inline std::unique_ptr<http::PackedSession> FakeSession::pack() {
  if (!goes || slots() == 0 || open_ != 0) return nullptr;
  ended_ = true;
  return std::make_unique<FakePacked>(limit_, live_, opened_);
}

inline const net::Peer& FakeStream::peer() const { return session_.peer(); }
inline FakeSession& session_of(http::Stream* stream) { return static_cast<FakeStream*>(stream)->session(); }

// What a FakeConnector does with connects to an endpoint.
enum class Answer { accept, refuse, hang };

class FakeConnector;

class FakeDial final : public Dial, public net::Runnable, public net::Reapable {
 public:
  FakeDial(FakeConnector& home, const SharedEndpoint& to, DialUser& user, http::ClientHost& host, net::Loop& loop)
      : home_(home), to_(to), user_(user), host_(host), loop_(loop) {}
  void run() override;
  void succeed();
  void fail(http::Kind kind) { user_.on_dial_failed(DialFailure{kind}); }
  void fail(const DialFailure& why) { user_.on_dial_failed(why); }
  const SharedEndpoint& to() const { return to_; }
  bool abandoned = false;
  void retire() noexcept override;
  void reclaim() noexcept override { std::unique_ptr<FakeDial> self(this); }

 private:
  FakeConnector& home_;
  const SharedEndpoint& to_;
  DialUser& user_;
  http::ClientHost& host_;
  net::Loop& loop_;
};

class FakeConnector final : public Connector {
 public:
  explicit FakeConnector(net::Loop& loop) : loop_(loop) {}
  DialPtr dial(const DialTarget& target, DialUser& user, http::ClientHost& host) override {
    ++dials;
    auto made = std::make_unique<FakeDial>(*this, target.endpoint, user, host, loop_);
    FakeDial* const d = made.release();
    if (answer(target.endpoint) == Answer::hang) {
      hanging.push_back(d);
    } else {
      loop_.run_later(*d);
    }
    return DialPtr(d);
  }
  DialFailure refusal{};  // what Answer::refuse says
  std::function<Answer(const SharedEndpoint&)> answer = [](const SharedEndpoint&) { return Answer::accept; };
  std::uint32_t streams_per_connection = 1;
  bool travels = false;  // its sessions go from worker to worker
  const WayPtr& way() const override { return way_; }
  WayPtr way_;
  std::uint32_t dials = 0;
  std::uint32_t live() const { return *live_; }  // sessions
  std::deque<FakeDial*> hanging;
  std::vector<FakeSession*> sessions;  // all ever made; look only at those that live

 private:
  friend class FakeDial;
  net::Loop& loop_;
  std::shared_ptr<std::atomic<std::uint32_t>> live_ =
      std::make_shared<std::atomic<std::uint32_t>>(0);  // sessions may outlive the connector
};

inline void FakeDial::run() {
  if (home_.answer(to_) == Answer::refuse) return fail(home_.refusal);
  succeed();
}
inline void FakeDial::succeed() {
  std::erase(home_.hanging, this);
  auto session = std::make_unique<FakeSession>(loop_, host_, home_.streams_per_connection, home_.live_);
  home_.sessions.push_back(session.get());
  session->goes = home_.travels;
  user_.on_dialled(http::ClientSessionPtr(session.release()), DialTimes{base::Micros{300}, base::Micros{}});
}
inline void FakeDial::retire() noexcept {
  std::erase(home_.hanging, this);
  net::Runnable::unlink();
  loop_.reap_later(*this);
}

// One request: waits, holds its stream, writes down what came.
class Request final : public Waiter, public http::Sink {
 public:
  explicit Request(base::Micros now) : made(now) {}
  // Waiter
  void on_stream(Grant&& granted) override {
    grant = std::move(granted);
    ++upcalls;
  }
  void on_refused(const http::Failure& why, const Endpoint* endpoint) override {
    refused = why;
    refused_by = endpoint == nullptr ? "" : std::string(endpoint_name(*endpoint));
    ++upcalls;
  }
  base::Micros stalled_since() const override { return stalled; }
  void on_give_way() override {
    gave_way = true;
    finish();
  }
  // Sink
  void on_head(http::Head&, http::End) override {}
  void on_body(net::ByteQueue&&, http::End) override {}
  void on_trailers(http::Fields&) override {}
  void on_sent(size_t) override {}
  void on_malformed(http::Head&, const http::Failure&) override {}
  void on_closed(const http::Failure&) override {}

  bool served() const { return grant.stream != nullptr; }
  FakeSession& session() { return session_of(grant.stream); }
  std::string endpoint() const { return std::string(endpoint_name(*grant.lease.endpoint())); }
  // The answer is complete.
  void finish(Outcome outcome = Outcome::answered, base::Millis pause = {}) {
    FakeSession& s = session();
    grant.stream = nullptr;
    over();
    grant.lease.done(outcome, pause);
    leave_class();
    s.finish_stream();
  }

  base::Micros made;
  http::Lane lane = http::Lane::normal;  // for the test
  Grant grant;
  http::Failure refused;
  std::string refused_by;
  base::Micros stalled{};  // for the test
  bool gave_way = false;
  int upcalls = 0;
};

// N workers with a cluster each, on one loop and clock; messages between them take a turn.
class World {
 public:
  explicit World(std::uint32_t workers = 1)
      : registry(workers), shared(std::make_shared<SharedUpstream>("app", workers)) {
    options = std::make_shared<UpstreamOptions>();
    options->name = "app";
    for (std::uint32_t w = 0; w < workers; ++w) {
      peers.push_back(std::make_unique<Peers>(*this, w));
      clusters.push_back(make_cluster(
          ClusterSetup{sim.loop(), shared, w, workers > 1 ? peers.back().get() : nullptr, registry, 7 + w}));
    }
  }
  ~World() {
    requests.clear();
    clusters.clear();
    sim.settle();
  }

  void endpoints(std::vector<std::pair<std::string, std::uint32_t>> list) {
    specs.clear();
    for (auto& [name, weight] : list) specs.push_back(EndpointSpec{name, *net::Address::parse(name), weight});
  }
  void some_endpoints(std::uint32_t n) {
    std::vector<std::pair<std::string, std::uint32_t>> list;
    for (std::uint32_t i = 0; i < n; ++i)
      list.emplace_back("10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250) + ":80", 1);
    endpoints(std::move(list));
  }
  EndpointSetPtr set_specs() {
    shared->set_outlier(options->outlier);
    return shared->set_endpoints(specs, options->panic_threshold, Newcomers::at_full_weight, sim.now(),
                                 options->balance);
  }
  void start() {
    const EndpointSetPtr set = set_specs();
    for (auto& c : clusters) {
      auto made = std::make_unique<FakeConnector>(sim.loop());
      connectors.push_back(made.get());
      c->configure(options, set, std::move(made));
    }
  }
  void publish(http::CloseCause why) {
    const EndpointSetPtr set = set_specs();
    for (auto& c : clusters) c->set_endpoints(set, why);
  }
  Request& ask(std::uint32_t worker = 0, const Want& want = {}) {
    requests.push_back(std::make_unique<Request>(sim.now()));
    Request& r = *requests.back();
    clusters[worker]->acquire(want, r, r, r.grant);
    return r;
  }
  SharedEndpoint& endpoint(std::size_t i) { return *shared->endpoints()->entries[i].endpoint; }
  std::uint32_t dials() const {
    std::uint32_t n = 0;
    for (const FakeConnector* c : connectors) n += c->dials;
    return n;
  }
  std::uint64_t closed(http::CloseCause cause) const {
    std::uint64_t n = 0;
    for (const metrics::Sample& s : registry.collect(metrics::Name::upstream_connections_closed_total)) {
      if (s.labels[1] == http::cause_word(cause)) n += static_cast<std::uint64_t>(s.value);
    }
    return n;
  }
  double gauge(metrics::Name name, std::string_view label2 = "") const {
    double v = 0;
    for (const metrics::Sample& s : registry.collect(name)) {
      if (label2.empty() || s.labels[1] == label2) v += s.value;
    }
    return v;
  }

  struct Peers final : PeerWorkers {
    Peers(World& w, std::uint32_t m) : world(w), me(m) {}
    void ask_give_up(const SharedUpstream&, std::uint32_t wanted) override {
      ++world.asks;
      each([wanted, from = me](ClusterImpl& c) { c.give_up_idle(wanted, from); });
    }
    void pass_connection(const SharedUpstream&, std::uint32_t worker, std::shared_ptr<Parcel> parcel) override {
      ++world.parcels;
      send(worker, [parcel](ClusterImpl& c) { c.accept_connection(parcel); });
    }
    void pass_slot(const SharedUpstream&, std::uint32_t worker, std::shared_ptr<PassedSlot> slot) override {
      ++world.passed;
      send(worker, [slot](ClusterImpl& c) { c.accept_slot(slot); });
    }
    void pass_class_place(const SharedUpstream&, std::uint32_t worker, std::shared_ptr<ClassPlace> place) override {
      ++world.class_places;
      send(worker, [place](ClusterImpl& c) { c.accept_class_place(*place); });
    }
    void ask_spare(const SharedUpstream&, std::uint32_t worker, const SpareWanted& wanted) override {
      ++world.spares_asked;
      send(worker, [wanted](ClusterImpl& c) { c.spare_one(wanted); });
    }
    void spares_none(const SharedUpstream&, std::uint32_t worker, std::uint64_t id) override {
      send(worker, [id](ClusterImpl& c) { c.asked_in_vain(id); });
    }
    void endpoint_down(const SharedUpstream&, std::uint64_t id) override {
      each([id](ClusterImpl& c) { c.endpoint_down(id); });
    }
    void each(std::function<void(ClusterImpl&)> message) {
      for (std::uint32_t w = 0; w < world.clusters.size(); ++w) {
        if (w != me) deliver(w, message);
      }
    }
    void send(std::uint32_t worker, std::function<void(ClusterImpl&)> message) {
      if (!world.lose_slots) deliver(worker, std::move(message));
    }
    void deliver(std::uint32_t worker, std::function<void(ClusterImpl&)> message) {
      World* const home = &world;
      world.sim.post(world.delay, [home, worker, message] { message(*home->clusters[worker]); });
    }
    World& world;
    std::uint32_t me;
  };

  support::SimLoop sim;
  metrics::Registry registry;
  std::shared_ptr<SharedUpstream> shared;
  std::shared_ptr<UpstreamOptions> options;
  std::vector<EndpointSpec> specs;
  std::vector<std::unique_ptr<Peers>> peers;
  std::vector<FakeConnector*> connectors;
  std::vector<std::unique_ptr<ClusterImpl>> clusters;
  std::vector<std::unique_ptr<Request>> requests;
  std::uint32_t asks = 0;
  std::uint32_t passed = 0;
  std::uint32_t parcels = 0;
  std::uint32_t class_places = 0;
  std::uint32_t spares_asked = 0;
  bool lose_slots = false;
  base::Micros delay{5};  // of a message
};

}  // namespace sluice::upstream::fakes

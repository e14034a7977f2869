// Lease, Connection and Endpoint: what a connection does from its connect to its end. See pool.h.
#include "upstream/pool.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"
#include "base/log_event.h"

namespace sluice::upstream {
namespace {

constexpr base::Millis trial_slack =
    base::seconds(1);   // beyond connect_timeout until somebody else may try an endpoint set aside

base::Millis round_up(base::Micros span) { return base::Millis{std::max<std::int64_t>(0, (span.count + 999) / 1000)}; }

http::CloseCause cause_of(const DialFailure& why) {
  if (why.kind == http::Kind::connect_timeout) return http::CloseCause::timeout;
  return why.kind == http::Kind::tls_failed ? http::CloseCause::tls_failed : http::CloseCause::connect_failed;
}

}  // namespace

// ---- Lease

Lease::Lease(Endpoint& endpoint, Counts counts)
    : endpoint_(&endpoint),
      since_(endpoint.now()),
      asked_(since_),
      counted_(true),
      trial_(endpoint.take_trial()),
      counts_(std::move(counts)) {
  endpoint.hold();
  endpoint.begin_request();
}

Lease::Lease(Lease&& o) noexcept
    : endpoint_(std::exchange(o.endpoint_, nullptr)),
      since_(o.since_),
      asked_(o.asked_),
      counted_(std::exchange(o.counted_, false)),
      trial_(o.trial_),
      counts_(std::move(o.counts_)) {}

Lease& Lease::operator=(Lease&& o) noexcept {
  if (this != &o) {
    let_go();
    endpoint_ = std::exchange(o.endpoint_, nullptr);
    since_ = o.since_;
    asked_ = o.asked_;
    counted_ = std::exchange(o.counted_, false);
    trial_ = o.trial_;
    counts_ = std::move(o.counts_);
  }
  return *this;
}

Lease::~Lease() { let_go(); }

void Lease::request_ended() {
  if (counted_) asked_ = endpoint_->now();
}

void Lease::head(Outcome so_far, std::uint16_t status) {
  if (counted_) endpoint_->head_came(so_far, status, asked_);
}

void Lease::end(Outcome outcome, base::Millis pause) {
  counted_ = false;
  counts_.give_back();
  endpoint_->end_request({outcome, pause, trial_, endpoint_->now() - since_});
}

void Lease::leave() {
  done(Outcome::unknown);
  std::exchange(endpoint_, nullptr)->let_go();
}

std::string_view endpoint_name(const Endpoint& endpoint) { return endpoint.shared().name(); }
std::string_view endpoint_host(const Endpoint& endpoint) { return endpoint.shared().host(); }
std::uint64_t endpoint_id(const Endpoint& endpoint) { return endpoint.shared().id(); }
void note_error(const Endpoint& endpoint, http::Kind kind) { endpoint.tally().failed(kind); }
base::Micros failing_since(const Endpoint& endpoint) { return endpoint.failing_since(); }

// ---- Connection

Connection::Connection(Endpoint& endpoint) : endpoint_(endpoint) {}

void Connection::set_phase(PoolPhase phase) {
  if (phase == phase_) return;
  if (phase_ != PoolPhase::ended) --endpoint_.counts_[static_cast<unsigned>(phase_)];
  if (phase != PoolPhase::ended) ++endpoint_.counts_[static_cast<unsigned>(phase)];
  endpoint_.tell_count(phase_);
  endpoint_.tell_count(phase);
  endpoint_.host_.on_phase(std::exchange(phase_, phase), phase);
}

void Connection::move_to(base::List<Connection, PoolTag>& list) {
  base::ListHook<PoolTag>::unlink();
  if (&list == &endpoint_.available_) {
    list.push_front(*this);   // the most recently used is taken first
  } else {
    list.push_back(*this);
  }
}

void Connection::ask() {
  CHECK(phase_ == PoolPhase::ended && session_ == nullptr);
  asked_ = endpoint_.now();
  endpoint_.shared_->begin_connect();
  set_phase(PoolPhase::asking);
  move_to(endpoint_.asking_);
}

void Connection::stop_asking() {
  CHECK(phase_ == PoolPhase::asking && dialled_for_ == nullptr);
  endpoint_.shared_->end_connect();
  set_phase(PoolPhase::ended);
  move_to(endpoint_.ended_);
  endpoint_.host_.loop().reap_later(*this);
}

void Connection::start(const net::Peer* client, bool only_http1) {
  CHECK((phase_ == PoolPhase::ended || phase_ == PoolPhase::asking) && session_ == nullptr);
  PoolHost& host = endpoint_.host_;
  SharedEndpoint& shared = *endpoint_.shared_;
  const base::Millis patience{host.pool_options().connect_timeout.count + trial_slack.count};
  only_http1_ = only_http1;
  const bool claimed = endpoint_.take_trial();
  trial_ = claimed ? SharedEndpoint::Trial::yes : shared.claim_trial(host.loop().now(), patience);
  if (phase_ == PoolPhase::ended) shared.begin_connect();
  set_phase(PoolPhase::connecting);
  connecting_since_ = endpoint_.now();
  move_to(endpoint_.connecting_);
  dial_ = host.connector().dial(DialTarget{.endpoint = shared,
                                           .sessions = &endpoint_.tls_sessions_,
                                           .client = client,
                                           .timeout = host.pool_options().connect_timeout,
                                           .only_http1 = only_http1,
                                           .keepalive = host.pool_options().keepalive,
                                           .user_timeout = host.pool_options().user_timeout},
                                *this, *this);
}

void Connection::on_dialled(http::ClientSessionPtr session, const DialTimes& times) {
  CHECK(phase_ == PoolPhase::connecting && session != nullptr);
  PoolHost& host = endpoint_.host_;
  dial_ = nullptr;
  session_ = std::move(session);
  times_ = times;
  endpoint_.shared_->end_connect();
  endpoint_.shared_->connected(host.loop().now(), trial_);
  endpoint_.shared_->port_found();
  host.metrics().opened.add();
  host.metrics().connect_seconds.observe(times.connect + times.tls);
  began_ = host.loop().now();
  life_permille_ = static_cast<std::uint16_t>(800 + host.random().below(401));
  settle();
  offer();
}

void Connection::on_dial_failed(const DialFailure& why) {
  CHECK(phase_ == PoolPhase::connecting);
  dial_ = nullptr;
  endpoint_.shared_->end_connect();
  endpoint_.host_.on_dial_failed(*this, why);
  if (warming_) endpoint_.warm_pause_.note_death(endpoint_.now());
  end(cause_of(why));
}

void Connection::abandon_dial(http::CloseCause cause) {
  CHECK(phase_ == PoolPhase::connecting && dialled_for_ == nullptr);
  dial_ = nullptr;
  endpoint_.shared_->end_connect();
  end(cause);
}

std::shared_ptr<Parcel> Connection::pack() {
  if (!spare() || !free_slot() || dialled_for_ != nullptr) return nullptr;
  std::unique_ptr<http::PackedSession> session = session_->pack();
  if (session == nullptr) return nullptr;
  auto parcel = std::make_shared<Parcel>(PassedSlot(endpoint_.shared_owner()), endpoint_.host_.connector().way(),
                                         std::move(session), times_, began_, life_permille_, only_http1_);
  session_ = nullptr;
  set_phase(PoolPhase::ended);
  base::ListHook<ReadyTag>::unlink();
  move_to(endpoint_.ended_);
  endpoint_.host_.loop().reap_later(*this);
  return parcel;
}

bool Connection::unpack(Parcel& parcel) {
  CHECK((phase_ == PoolPhase::ended || phase_ == PoolPhase::asking) && session_ == nullptr);
  session_ = std::exchange(parcel.session, nullptr)->unpack(endpoint_.host_.loop(), *this);
  if (session_ == nullptr) return false;
  parcel.slot.take();
  if (phase_ == PoolPhase::asking) endpoint_.shared_->end_connect();
  endpoint_.host_.metrics().handed_over.add();
  times_ = parcel.times;
  began_ = parcel.began;
  life_permille_ = parcel.life_permille;
  only_http1_ = parcel.only_http1;
  settle();
  offer();
  return true;
}

base::Micros Connection::expires() const {
  const std::int64_t life = base::Micros(endpoint_.host_.pool_options().max_lifetime).count;
  return life <= 0 ? base::Micros{} : base::Micros{began_.count + life / 1000 * life_permille_};
}

base::Micros Connection::idle_deadline() const {
  base::Millis timeout = endpoint_.host_.pool_options().idle_timeout;
  if (const base::Millis peer = session_->peer_idle_timeout(); peer.count >= 0) timeout = std::min(timeout, peer);
  base::Micros deadline = session_->idle_since() + timeout;
  if (const base::Micros seen = endpoint_.shared_->idle_limit(endpoint_.host_.loop().now()); seen.count != 0)
    deadline = std::min(deadline, session_->idle_since() + IdleLimit::keep_for(seen));
  const base::Micros end = expires();
  return end.count != 0 ? std::min(deadline, end) : deadline;
}

void Connection::settle() {
  const std::uint32_t streams = session_->open_streams();
  if (session_->in_tunnel()) {
    set_phase(PoolPhase::tunnel);
    // At max_tunnels it goes on counting as a connection, so that the sum stays bounded.
    if (!tunnel_counted_ && endpoint_.shared_->enter_tunnel(endpoint_.host_.pool_options().max_tunnels)) {
      tunnel_counted_ = true;
      endpoint_.host_.on_slot_freed(endpoint_);
    }
  } else {
    set_phase(streams == 0 ? PoolPhase::idle : PoolPhase::active);
  }
  if (spare()) {
    endpoint_.note_idle(idle_deadline());
    if (session_->travels()) endpoint_.host_.on_spare(*endpoint_.shared_);
  }
  if (free_slot()) return move_to(endpoint_.available_);
  base::ListHook<ReadyTag>::unlink();
  move_to(endpoint_.busy_);
}

// How many streams it takes is the peer's to say, at any time: also between the look and the use. Without a slot it
// stands with the busy ones until on_slots().
http::Stream* Connection::open(http::Sink& sink) {
  http::Stream* const stream = free_slot() ? session_->open(sink) : nullptr;
  const std::uint64_t most = endpoint_.host_.pool_options().max_requests;
  if (stream != nullptr && std::exchange(warming_, false)) endpoint_.warm_pause_.note_life();
  if (stream == nullptr) {
    closing_ = closing_ || free_slot();  // it says that it has one, and gives none
  } else if (most != 0 && session_->streams_opened() >= most) {
    closing_ = true;
    session_->retire_when_idle(http::CloseCause::max_requests);
  }
  settle();
  return stream;
}

bool Connection::validate(http::Borrow how) {
  if (session_->validate(how)) return true;
  closing_ = true;
  settle();
  return false;
}

void Connection::close_when_idle(http::CloseCause cause) {
  if (closing_ || session_ == nullptr) return;
  closing_ = true;
  session_->retire_when_idle(cause);
  settle();
}

void Connection::on_slots(http::ClientSession&) {
  settle();
  offer();
}

void Connection::offer() {
  PoolHost& host = endpoint_.host_;
  if (!free_slot() && !spare()) return;
  if (endpoint_.leaving_) return close_when_idle(endpoint_.leave_cause_);
  if (worn_out(host.loop().now())) return close_when_idle(http::CloseCause::max_lifetime);
  free_slot() ? host.on_ready(*this) : host.on_useless(*this);
}

void Connection::on_session_end(http::ClientSession&, http::CloseCause cause) { end(cause); }

void Connection::on_protocol_error(http::Detail detail) { endpoint_.host_.metrics().protocol_error(detail); }

// A session that ends counts until the end of this call, so a cap is never passed.
void Connection::log_end(http::CloseCause cause, std::uint64_t requests, base::Micros age) const {
  static constexpr std::array<std::string_view, phases> words{"asking", "connecting", "idle", "active", "tunnel", ""};
  base::log_event(base::LogLevel::debug, "connection_closed",
                  {{"side", "upstream"},
                   {"upstream", endpoint_.host_.metrics().upstream()},
                   {"endpoint", endpoint_.shared_->name()},
                   {"port", session_ == nullptr ? base::LogValue("") : session_->peer().local.port()},
                   {"by", http::ended_by(cause) == http::Side::us ? "proxy" : "upstream"},
                   {"cause", http::cause_word(cause)},
                   {"during", words[static_cast<std::size_t>(phase_)]},
                   {"age_s", static_cast<double>(age.count) / 1e6},
                   {"requests", requests}});
}

void Connection::end(http::CloseCause cause) {
  CHECK(phase_ != PoolPhase::ended);
  const std::uint64_t requests = session_ == nullptr ? 0 : session_->streams_opened();
  const base::Micros age = began_.count == 0 ? base::Micros{} : endpoint_.now() - began_;
  if (base::log_enabled(base::LogLevel::debug)) log_end(cause, requests, age);
  if (spare() && requests != 0 && (cause == http::CloseCause::peer_closed || cause == http::CloseCause::peer_reset))
    endpoint_.closed_by_peer(endpoint_.host_.loop().now() - session_->idle_since());
  session_ = nullptr;
  set_phase(PoolPhase::ended);
  base::ListHook<ReadyTag>::unlink();
  move_to(endpoint_.ended_);
  endpoint_.host_.metrics().closed(cause);
  if (warming_ && age >= base::Micros{WarmPause::young}) endpoint_.warm_pause_.note_life();
  if (warming_ && age < base::Micros{WarmPause::young} && http::ended_by(cause) == http::Side::peer) {
    endpoint_.warm_pause_.note_death(endpoint_.now());
  }
  if (dialled_for_ != nullptr) endpoint_.host_.on_dial_failed(*this, {});  // before it could serve anybody
  if (tunnel_counted_) {
    endpoint_.shared_->leave_tunnel();
  } else {
    endpoint_.shared_->close_slot();
    endpoint_.host_.on_slot_freed(endpoint_);
  }
  endpoint_.host_.loop().reap_later(*this);
}

void Connection::reclaim() noexcept {
  Endpoint& endpoint = endpoint_;
  endpoint.host_.slab().recycle(this);
  if (endpoint.leaving_ && endpoint.unused()) endpoint.host_.on_unused();
}

void Connection::tear_down() noexcept {
  if (phase_ == PoolPhase::asking || phase_ == PoolPhase::connecting) endpoint_.shared_->end_connect();
  if (tunnel_counted_ && phase_ != PoolPhase::ended) {
    endpoint_.shared_->leave_tunnel();
  } else if (phase_ != PoolPhase::ended && phase_ != PoolPhase::asking) {
    endpoint_.shared_->close_slot();
  }
  set_phase(PoolPhase::ended);
  endpoint_.host_.slab().recycle(this);
}

// ---- Endpoint

Endpoint::Endpoint(PoolHost& host, std::shared_ptr<SharedEndpoint> shared, std::uint32_t weight)
    : host_(host),
      shared_(std::move(shared)),
      tally_(shared_->tally(host.worker())),
      weight_(weight),
      idle_timer_(this, net::timer_call<&Endpoint::on_idle_timer>),
      ask_timer_(this, net::timer_call<&Endpoint::on_ask_timer>) {}

void Endpoint::tell_count(PoolPhase phase) {
  using State = EndpointTally::State;
  switch (phase) {
    case PoolPhase::connecting: return tally_.set(State::connecting, count(phase));
    case PoolPhase::idle: return tally_.set(State::idle, count(phase));
    case PoolPhase::active: return tally_.set(State::active, count(phase));
    case PoolPhase::tunnel: return tally_.set(State::tunnel, count(phase));
    case PoolPhase::asking:
    case PoolPhase::ended: return;
  }
}

Endpoint::~Endpoint() {
  CHECK(leases_ == 0);
  for (auto* list : {&asking_, &connecting_, &available_, &busy_, &ended_}) {
    while (Connection* const c = list->front()) c->tear_down();
  }
}

http::Stream* Endpoint::take(http::Borrow how, http::Sink& sink, Connection*& from) {
  while (Connection* const c = available_.front()) {
    if (c->worn_out(host_.loop().now())) {
      c->close_when_idle(http::CloseCause::max_lifetime);
    } else if (c->validate(how)) {
      from = c;
      if (http::Stream* const stream = c->open(sink); stream != nullptr) return stream;
    }
  }
  return nullptr;
}

Connection& Endpoint::dial(Waiter* waiter, const net::Peer* client, bool only_http1) {
  Connection* const c = host_.slab().make(*this);
  c->set_dialled_for(waiter);
  c->start(client, only_http1);
  return *c;
}

void Endpoint::dial_for_min_idle() {
  Connection* const c = host_.slab().make(*this);
  c->for_min_idle();
  c->start(nullptr, false);
}

Connection& Endpoint::ask(Waiter& waiter) {
  Connection* const c = host_.slab().make(*this);
  c->set_dialled_for(&waiter);
  c->ask();
  if (!ask_timer_.armed()) ask_timer_.arm(host_.loop(), ask_patience);
  return *c;
}

// The answer may come yet: what it brings is one to spare here.
void Endpoint::on_ask_timer() {
  const base::Micros over = host_.loop().now() - ask_patience;
  while (Connection* const c = asking_.front()) {
    if (c->asked_ > over) return ask_timer_.arm(host_.loop(), round_up(c->asked_ - over));
    host_.on_not_spared(*c);
  }
}

Connection* Endpoint::to_spare(std::uint32_t keep) {
  Connection* const c = available_.back();
  if (c == nullptr || !c->spare() || count(PoolPhase::idle) <= keep) return nullptr;
  return host_.loop().now() - c->idle_since() >= base::Micros(spare_after) ? c : nullptr;
}

bool Endpoint::adopt(Parcel& parcel) {
  if (Connection* const waits = asking(); waits != nullptr) return waits->unpack(parcel);
  Connection* const c = host_.slab().make(*this);
  if (c->unpack(parcel)) return true;
  host_.slab().recycle(c);
  return false;
}

Connection* Endpoint::least_used() {
  for (Connection* c = busy_.front(); c != nullptr; c = busy_.next(*c)) {
    if (c->spare()) return c;
  }
  for (Connection* c = available_.back(); c != nullptr; c = available_.prev(*c)) {
    if (c->spare()) return c;
  }
  return nullptr;
}

std::uint32_t Endpoint::close_idle(http::CloseCause cause, std::uint32_t at_most) {
  const std::uint32_t useless = close_spare(busy_, cause, at_most);
  return useless + close_spare(available_, cause, at_most - useless);
}

std::uint32_t Endpoint::close_spare(base::List<Connection, PoolTag>& among, http::CloseCause cause,
                                    std::uint32_t at_most) {
  std::uint32_t idle = 0;
  for (Connection* c = among.front(); c != nullptr; c = among.next(*c)) idle += c->spare() ? 1 : 0;
  std::uint32_t spared = idle - std::min(idle, at_most);  // the most recently used ones
  std::uint32_t closed = 0;
  for (Connection *c = among.front(), *next = nullptr; c != nullptr; c = next) {
    next = among.next(*c);
    if (!c->spare()) continue;
    if (spared > 0) {
      --spared;
      continue;
    }
    c->close_when_idle(cause);
    ++closed;
  }
  return closed;
}

// Each connection in use has a request at least, whose Lease counts; both change in one turn.
void Endpoint::each_held(base::Millis slack, const HeldFound& found) {
  const base::Micros before = now() - slack;
  const PoolOptions& options = host_.pool_options();
  const auto look = [&](Connection& c, std::string_view phase, base::Micros since, base::Millis limit) {
    if (since + limit < before) found({shared_->name(), phase, since, !std::exchange(c.told_held_, true)});
  };
  for (Connection* c = connecting_.front(); c != nullptr; c = connecting_.next(*c))
    look(*c, "connecting", c->connecting_since_, options.connect_timeout);
  for (auto* list : {&available_, &busy_}) {
    for (Connection* c = list->front(); c != nullptr; c = list->next(*c)) {
      if (c->spare()) look(*c, "idle", c->idle_since(), options.idle_timeout);
    }
  }
  if (requests_ >= count(PoolPhase::active) + count(PoolPhase::tunnel)) {
    unowned_since_ = base::Micros{-1};
  } else if (unowned_since_.count < 0) {
    unowned_since_ = now();
  } else if (unowned_since_ <= before) {
    found({shared_->name(), "unowned", unowned_since_, !std::exchange(told_unowned_, true)});
  }
}

void Endpoint::close_all(http::CloseCause cause) {
  for (auto* list : {&available_, &busy_}) {
    for (Connection *c = list->front(), *next = nullptr; c != nullptr; c = next) {
      next = list->next(*c);
      c->close_when_idle(
          cause);  // goes to, or stays at, the end of busy_: its closing_ makes the second visit harmless
    }
  }
}

void Endpoint::leave(http::CloseCause cause) {
  leaving_ = true;
  leave_cause_ = cause;
  index_ = Balancer::none;
  if (unused()) host_.on_unused();
}

void Endpoint::close_some(std::uint32_t& budget) {
  CHECK(leaving_);
  for (; budget > 0 && !asking_.empty(); --budget) asking_.front()->stop_asking();
  for (; budget > 0 && !connecting_.empty(); --budget) {
    CHECK(connecting_.front()->dialled_for() == nullptr);
    connecting_.front()->abandon_dial(leave_cause_);
  }
  for (; budget > 0 && !available_.empty(); --budget) available_.front()->close_when_idle(leave_cause_);
  budget -= close_spare(busy_, leave_cause_, budget);
}

void Endpoint::note_idle(base::Micros deadline) {
  if (idle_timer_.armed() && idle_timer_.due() <= deadline) return;
  idle_timer_.arm(host_.loop(), round_up(deadline - host_.loop().now()));
}

// Deadlines move while the timer runs; it is armed for the earliest that was known, so now is the time to look again.
void Endpoint::on_idle_timer() {
  const base::Micros now = host_.loop().now();
  base::Micros earliest{};
  for (auto* list : {&available_, &busy_}) {
    for (Connection *c = list->front(), *next = nullptr; c != nullptr; c = next) {
      next = list->next(*c);
      if (!c->spare()) continue;
      const base::Micros deadline = c->idle_deadline();
      if (deadline <= now) {
        c->close_when_idle(c->worn_out(now) ? http::CloseCause::max_lifetime : http::CloseCause::idle_timeout);
      } else if (earliest.count == 0 || deadline < earliest) {
        earliest = deadline;
      }
    }
  }
  if (earliest.count != 0) note_idle(earliest);
}

// What is learned shortens our own limit, so no request meets the next close; and tells the operator, once.
void Endpoint::closed_by_peer(base::Micros idle_for) {
  const base::Micros now = host_.loop().now();
  if (shared_->idle_limit(now).count != 0 || !idle_limit_.closed_at(idle_for, now)) return;
  const base::Micros limit = idle_limit_.learned();
  shared_->note_idle_limit(limit, now);
  options_changed();
  const auto seconds = [](base::Micros span) { return static_cast<double>(span.count) / 1e6; };
  const base::Micros keep = IdleLimit::keep_for(limit);
  const auto told = fmt::format("set idle_timeout = {}ms in [upstream.pool], or a longer one there", keep.count / 1000);
  base::log_event(base::LogLevel::warn, "idle_limit_learned",
                  {{"upstream", host_.metrics().upstream()},
                   {"endpoint", shared_->name()},
                   {"closes_after_s", seconds(limit)},
                   {"idle_timeout_s", static_cast<double>(host_.pool_options().idle_timeout.count) / 1e3},
                   {"closed_now_after_s", seconds(keep)},
                   {"message", told}});
}

void Endpoint::let_go() {
  CHECK(leases_ > 0);
  --leases_;
  if (leaving_ && unused()) host_.on_unused();
}

bool Endpoint::reserve() {
  if (passed_places_ == 0) return shared_->begin_request(host_.in_flight_limit(*shared_));
  --passed_places_;
  return true;
}

void Endpoint::give_places_back() {
  for (; passed_places_ > 0; --passed_places_) {
    shared_->end_request();
    host_.on_request_ended(*this);
  }
}

base::Micros Endpoint::now() const { return host_.loop().now(); }

bool Endpoint::claim_trial() {
  trial_claimed_ = shared_->claim_trial(now(), Standing::trial_most) == SharedEndpoint::Trial::yes;
  return trial_claimed_;
}

void Endpoint::leave_trial() {
  if (take_trial()) shared_->apply({.kind = Event::Kind::trial_left}, now());
}

void Endpoint::end_request(const Report& report) {
  --requests_;
  shared_->end_request();
  host_.on_lease(-1);
  host_.on_outcome(*this, report);
  host_.on_request_ended(*this);
  switch (report.outcome) {
    case Outcome::unknown: return;
    case Outcome::answered: failing_since_ = not_failing; return host_.service_time().add(report.took);
    case Outcome::server_error: failing_since_ = not_failing; [[fallthrough]];
    case Outcome::gateway:
    case Outcome::refused:
    case Outcome::reset:
    case Outcome::timeout: return shared_->penalise(now(), host_.service_time().half_life());
    case Outcome::idle_race: return shared_->note_race(now());
    case Outcome::no_upgrade: return shared_->note_no_connect();
  }
}

}  // namespace sluice::upstream

// What all workers share about one upstream: the endpoints with their caps, load and health, the count of waiting
// requests, and the retry budget. Made by the control thread, which alone changes the endpoint set and the health bits;
// workers hold it by shared_ptr from set-up to tear-down (never per request) and touch its atomics. It outlives reloads
// that keep the upstream.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "net/address.h"
#include "upstream/adaptive_limit.h"
#include "upstream/circuit.h"
#include "upstream/client_shares.h"
#include "upstream/ejections.h"
#include "upstream/endpoint_set.h"
#include "upstream/endpoint_tally.h"
#include "upstream/head_time.h"
#include "upstream/load.h"
#include "upstream/options.h"
#include "upstream/pool_class.h"
#include "upstream/retry_budget.h"
#include "upstream/service_rate.h"
#include "upstream/standing.h"
#include "upstream/turns.h"
#include "upstream/wait_board.h"

namespace sluice::upstream {

// Do endpoints that are new in a set slow-start? Not those of a first set or of a reload: nobody else carries their
// load.
enum class Newcomers : std::uint8_t { at_full_weight, slow };

// One address. Identity: name, host and address; whoever stays in the set keeps its counts, health and set-aside state.
class alignas(64) SharedEndpoint {
 public:
  static constexpr base::Millis race_memory{
      600'000};  // an idle-close race is remembered this long, then the endpoint may have changed

  SharedEndpoint(std::uint64_t id, std::string name, net::Address address, std::string host = {},
                 std::uint32_t workers = 1);

  std::uint64_t id() const { return id_; }  // unique in the process, never used again
  const std::string& name() const {
    return name_;
  }  // label in metrics, logs and /status: as configured, or the address found
  // What the endpoint is asked for as: default server name, Host in `endpoint` mode. The configured name, port
  // included.
  const std::string& host() const { return host_.empty() ? name_ : host_; }
  const net::Address& address() const { return address_; }

  // Connection cap (relaxed elsewhere, sequentially consistent here: see SharedUpstream::announce_waiting).
  bool open_slot(std::uint32_t cap);  // false: `cap` connections are open
  void close_slot();
  std::uint32_t connections() const { return connections_.load(); }
  // A connection becomes a tunnel and leaves the cap; false: `cap` tunnels are open, so it goes on counting as a
  // connection.
  bool enter_tunnel(std::uint32_t cap);
  void leave_tunnel();
  // Which workers may have an idle connection that another one could use: a hint, of the first 64 of them. Set when one
  // becomes idle, taken back when somebody has asked in vain; so in a calm pool nobody writes it.
  void may_spare(std::uint32_t worker) {
    const std::uint64_t bit = spare_bit(worker);
    if ((spares_.load(std::memory_order_relaxed) & bit) != bit) spares_.fetch_or(bit, std::memory_order_relaxed);
  }
  void spares_none(std::uint32_t worker) { spares_.fetch_and(~spare_bit(worker), std::memory_order_relaxed); }
  // The next such worker after `worker`, in a circle; none of `but`, a set of them.
  std::optional<std::uint32_t> spare_elsewhere(std::uint32_t worker, std::uint64_t but) const;
  static std::uint64_t spare_bit(std::uint32_t worker) { return worker < 64 ? std::uint64_t{1} << worker : 0; }
  std::uint32_t tunnels() const { return tunnels_.load(std::memory_order_relaxed); }

  // Load that the balancer compares: requests in flight and connects under way.
  bool begin_request(std::uint32_t limit = 0);  // false: `limit` are in flight (0 = no limit)
  void end_request() { in_flight_.fetch_sub(1); }  // the order of close_slot()
  void begin_connect() { connecting_.fetch_add(1, std::memory_order_relaxed); }
  void end_connect() { connecting_.fetch_sub(1, std::memory_order_relaxed); }
  // Connects found no local port. None is made for port_pause, then one at a time, until one succeeds: the requests
  // wait for what comes free, and a worker would do nothing but fail for each of them.
  static constexpr base::Millis port_pause{100};
  void no_port(base::Micros now) { ports_from_.store((now + port_pause).count, std::memory_order_relaxed); }
  void port_found() {
    if (ports_from_.load(std::memory_order_relaxed) != 0) ports_from_.store(0, std::memory_order_relaxed);
  }
  bool lacks_ports() const { return ports_from_.load(std::memory_order_relaxed) != 0; }  // as of the last connect
  bool out_of_ports(base::Micros now, bool dialling) const {
    const std::int64_t from = ports_from_.load(std::memory_order_relaxed);
    return from != 0 && (dialling || now.count < from);
  }
  std::uint32_t in_flight() const { return in_flight_.load(std::memory_order_relaxed); }
  std::uint32_t load() const { return in_flight() + connecting_.load(std::memory_order_relaxed); }
  // What fails at once has nothing in flight ever, and least load would send it everything. So each request that it
  // failed or refused counts as one in flight for the upstream's usual service time, decaying (half_life: see
  // ServiceTime). Written by failures only.
  static constexpr std::uint32_t load_unit = 64;  // of load_units(): one request
  static constexpr std::uint32_t penalties_most = 8'192;  // what the penalty may count as
  void penalise(base::Micros now, base::Micros half_life);
  std::uint32_t penalty(base::Micros now, base::Micros half_life) const {
    const Penalty penalty = penalty_.load(std::memory_order_relaxed);
    return penalty.units == 0 ? 0 : decayed(penalty, now, half_life);
  }
  // Load and penalty, in 1 / load_unit of a request.
  std::uint64_t load_units(base::Micros now, base::Micros half_life) const {
    return std::uint64_t{load()} * load_unit + penalty(now, half_life);
  }

  // Time to the head of an answer, written under p2c_ewma alone: all workers' answers make one measure, so who is asked
  // seldom is known as soon as one of them asked. Two that write at once may lose one answer of many.
  HeadTime head_time() const { return head_time_.load(std::memory_order_relaxed); }
  void note_head(base::Micros took, bool well, base::Micros now) {
    const HeadTime before = head_time();
    if (const HeadTime after = before.after(took, well, now); !(after == before))
      head_time_.store(after, std::memory_order_relaxed);
  }

  // Its standing. What changes nothing writes nothing: a request that a healthy endpoint answers reads one word.
  struct Change {
    Standing before;
    Standing after;
    bool any() const { return !(before == after); }
  };
  Change apply(const Event& event, base::Micros now);
  Standing standing() const { return standing_.load(std::memory_order_relaxed); }
  bool healthy() const { return standing().down == 0; }
  bool disabled() const { return standing().disabled(); }
  // May requests go there, as checks and an operator say? Panic ignores checks, and nothing ignores the operator.
  bool may_serve(bool panic) const {
    const Standing s = standing();
    return !s.disabled() && (panic || s.down == 0);
  }
  // A check has found it well since it is checked: else nobody knows.
  void note_checked(bool yes, base::Micros now) {
    if (checked_.load(std::memory_order_relaxed) == yes) return;
    checked_.store(yes, std::memory_order_relaxed);
    changed_at_.store(now.count, std::memory_order_relaxed);
  }
  bool checked() const { return checked_.load(std::memory_order_relaxed); }
  // In the set, at the latest since now.
  void note_came(base::Micros now) {
    std::int64_t never = 0;
    changed_at_.compare_exchange_strong(never, now.count, std::memory_order_relaxed);
  }
  // When its standing, or whether it is checked, last became another in kind; at first, when it came.
  base::Micros changed_at() const { return base::Micros{changed_at_.load(std::memory_order_relaxed)}; }
  // When it began to slow-start; 0 = it never did, or is no newcomer.
  base::Micros ramp_since() const { return base::Micros{ramp_since_.load(std::memory_order_relaxed)}; }

  // Set aside after a failed connect, ejected, or paused. While aside nobody but one trial goes there (if another
  // endpoint is usable).
  bool aside(base::Micros now) const { return standing().kept_away(now); }
  // Likewise for a request; in panic an ejection is ignored, as checks are.
  bool shunned(base::Micros now, bool panic) const {
    const Standing s = standing();
    return s.kept_away(now) && !(panic && s.ejected());
  }
  // may_serve() and not shunned(), by one look at its standing: every pick asks.
  bool takes(base::Micros now, bool panic) const {
    const Standing s = standing();
    if (s == Standing{}) return true;  // as nearly always
    return !s.disabled() && (panic || s.down == 0) && (!s.kept_away(now) || (panic && s.ejected()));
  }
  enum class Trial : std::uint8_t { no, yes };
  // Call before a connect, or before a request at one that was ejected. yes: it is the trial; the others see the
  // endpoint aside until it is known how it went.
  Trial claim_trial(base::Micros now, base::Millis at_most);
  // True if this failure set the endpoint aside (the first of many that fail together does).
  bool connect_failed(base::Micros now, Trial trial);
  void connected(base::Micros now, Trial trial);  // a connect went well: nothing held against it

  // What `worker` counts of it, by that worker; and, for the scrape, of all of them.
  EndpointTally& tally(std::uint32_t worker) { return tallies_[worker]; }
  std::span<const EndpointTally> tallies() const { return {tallies_.get(), workers_}; }
  // Active checks that ended, by the control thread; read by any.
  metrics::Counter& checks(Health result) { return checks_[static_cast<std::size_t>(result)]; }
  const metrics::Counter& checks(Health result) const { return checks_[static_cast<std::size_t>(result)]; }

  // Requests in flight that it bears, as far as `adaptive` has found out.
  AdaptiveLimit& adaptive() { return adaptive_; }
  const AdaptiveLimit& adaptive() const { return adaptive_; }

  // The least that SETTINGS from here have allowed a connection of HTTP/2 at once; 0 = not known.
  std::atomic<std::uint32_t>& stream_limit() const { return stream_limit_; }

  // Its connections carry many requests each, as the last one showed; until there is one, it is believed.
  void note_multiplexes(bool yes) const { multiplexes_.store(yes, std::memory_order_relaxed); }
  bool multiplexes() const { return multiplexes_.load(std::memory_order_relaxed); }

  // Its HTTP/2 has no extended CONNECT (RFC 8441), as its SETTINGS said once.
  void note_no_connect() { lacks_connect_.store(true, std::memory_order_relaxed); }
  bool lacks_connect() const { return lacks_connect_.load(std::memory_order_relaxed); }

  // A reused connection died before any byte of the answer.
  void note_race(base::Micros now) { race_at_.store(now.count, std::memory_order_relaxed); }
  // It closes connections that were idle for so long, as was seen (IdleLimit); remembered like a race. 0 = unknown.
  void note_idle_limit(base::Micros limit, base::Micros now) {
    idle_limit_.store(limit.count, std::memory_order_relaxed);
    idle_limit_at_.store(now.count, std::memory_order_relaxed);
  }
  base::Micros idle_limit(base::Micros now) const {
    const bool fresh = now.count - idle_limit_at_.load(std::memory_order_relaxed) < base::Micros(race_memory).count;
    return fresh ? base::Micros{idle_limit_.load(std::memory_order_relaxed)} : base::Micros{};
  }
  base::Micros last_idle_limit() const { return base::Micros{idle_limit_.load(std::memory_order_relaxed)}; }
  bool race_seen(base::Micros now) const {
    const std::int64_t at = race_at_.load(std::memory_order_relaxed);
    return at != 0 && now.count - at < base::Micros(race_memory).count;
  }

 private:
  friend class SharedUpstream;
  friend class Ejections;
  // In one word, so that nobody reads the amount of one time as that of another.
  struct Penalty {
    std::uint64_t units : 20 = 0;
    std::uint64_t at : 44 = 0;  // in 16 us since the clock's start: eight years
  };
  static_assert(std::atomic<Penalty>::is_always_lock_free && std::atomic<Standing>::is_always_lock_free);
  static std::uint32_t decayed(Penalty penalty, base::Micros now, base::Micros half_life);
  // A line of its own for what every pick reads. Every request here writes it: with requests in flight counted per
  // worker, two workers would both think an endpoint idle. The rest of the line changes seldom.
  std::atomic<std::uint32_t> in_flight_{0};
  std::atomic<std::uint32_t> connecting_{0};
  std::atomic<std::int64_t> ports_from_{0};  // 0: connects find ports
  std::atomic<Standing> standing_{};
  std::atomic<std::int64_t> race_at_{0};
  std::atomic<std::int64_t> changed_at_{0};
  std::atomic<bool> checked_{false};
  std::atomic<std::int64_t> ramp_since_{0};
  std::atomic<Penalty> penalty_{};
  static_assert(std::atomic<HeadTime>::is_always_lock_free);
  std::atomic<HeadTime> head_time_{};
  Sample sample_;
  std::atomic<std::uint32_t> connections_{0};
  std::atomic<std::uint32_t> tunnels_{0};
  std::atomic<std::uint64_t> spares_{0};
  mutable std::atomic<std::uint32_t> stream_limit_{0};
  std::atomic<bool> lacks_connect_{false};
  std::atomic<std::int64_t> idle_limit_{0};
  std::atomic<std::int64_t> idle_limit_at_{0};
  mutable std::atomic<bool> multiplexes_{true};
  AdaptiveLimit adaptive_;
  // What never changes, apart: every request's log line reads it.
  alignas(64) std::uint64_t id_;
  std::string name_;
  std::string host_;
  net::Address address_;
  std::uint32_t workers_;
  std::unique_ptr<EndpointTally[]> tallies_;  // by worker
  std::array<metrics::Counter, 2> checks_;  // by Health
  EjectionHistory ejections_;
};

// A counted connection, or a counted request of max_in_flight, that one worker hands to another. Gives the slot back
// when it dies unused, so a lost message costs nothing.
class PassedSlot {
 public:
  enum class Of : std::uint8_t { connection, request };
  explicit PassedSlot(std::shared_ptr<SharedEndpoint> endpoint, Of of = Of::connection)
      : endpoint_(std::move(endpoint)), of_(of) {}
  PassedSlot(PassedSlot&& o) noexcept : endpoint_(std::exchange(o.endpoint_, nullptr)), of_(o.of_) {}
  PassedSlot(const PassedSlot&) = delete;
  PassedSlot& operator=(const PassedSlot&) = delete;
  ~PassedSlot() {
    if (endpoint_ == nullptr) return;
    of_ == Of::connection ? endpoint_->close_slot() : endpoint_->end_request();
  }
  Of of() const { return of_; }
  const SharedEndpoint* endpoint() const { return endpoint_.get(); }
  void take() { endpoint_ = nullptr; }  // the receiver's connection or request counts from here on

 private:
  std::shared_ptr<SharedEndpoint> endpoint_;
  Of of_;
};

// What the pools of an upstream's usable endpoints bear together.
struct Capacity {
  std::uint32_t endpoints = 0;
  std::uint64_t connections = 0;
  double requests = 0;  // at once: HTTP/2 carries several a connection
  double requests_each() const { return connections == 0 ? 1 : requests / static_cast<double>(connections); }
};

class SharedUpstream {
 public:
  // `first_turn`: where round_robin begins; any number, another one in each process of a fleet.
  SharedUpstream(std::string name, std::uint32_t workers, std::uint64_t first_turn = 0);
  SharedUpstream(const SharedUpstream&) = delete;
  SharedUpstream& operator=(const SharedUpstream&) = delete;

  const std::string& name() const { return name_; }
  std::uint32_t workers() const { return workers_; }

  // -- Control thread only ------------------------------------------------------------------------------------------
  // The set becomes `specs` (entries without an address are left out, doubles are merged). Endpoints that stay are the
  // same objects. Returns the set for the workers, with the tables of `balance`.
  EndpointSetPtr set_endpoints(std::span<const EndpointSpec> specs, std::uint32_t panic_threshold,
                               Newcomers newcomers = Newcomers::at_full_weight, base::Micros now = {},
                               Balance balance = Balance::p2c);
  // Before set_endpoints(), which puts them in force; until then nobody is ejected.
  void set_outlier(const std::optional<OutlierOptions>& options) { outlier_ = options; }
  const EndpointSetPtr& endpoints() const { return set_; }
  // True if the bit changed. The endpoint is one of the set. One that is up again slow-starts from `now`.
  bool set_health(SharedEndpoint& endpoint, Health health, base::Micros now = {});
  // An operator's word about one of the set: it gets no new request, whatever else, until it is enabled, when it
  // slow-starts. True if that is new. Workers see it by its bit; what is under way ends as it would.
  bool set_disabled(SharedEndpoint& endpoint, bool disabled, base::Micros now);
  // Of the endpoints that left the set, those that still have connections. `by_dns`: an answer left them out, not a
  // reload.
  struct Left {
    std::weak_ptr<const SharedEndpoint> endpoint;
    bool by_dns = false;
    base::Micros at{};
  };
  const std::vector<Left>& left() const { return left_; }
  enum class SetBy : std::uint8_t { configuration, dns };
  void set_by(SetBy who) { set_by_ = who; }  // of the next set_endpoints()

  // -- Any thread -----------------------------------------------------------------------------------------------------
  bool panic() const { return ejections_.panic(); }  // too few are healthy: health is ignored
  Ejections& ejections() { return ejections_; }
  const Ejections& ejections() const { return ejections_; }
  Turns& turns() { return turns_; }
  RetryBudget& retries() { return retries_; }
  Advisor& advisor() { return advisor_; }
  // `max_connections` each; of those that are healthy and not ejected, or of all in a panic.
  Capacity capacity(const EndpointSet& set, std::uint32_t max_connections) const;
  Circuit& circuit() { return circuit_; }
  const Circuit& circuit() const { return circuit_; }
  ServiceRate& service_rate() { return service_rate_; }
  ClientShares& clients() { return clients_; }

  // ring_hash: requests and connects of `worker`, told by that worker; and those of all.
  void tell_busy(std::uint32_t worker, std::uint32_t busy) {
    busy_[worker].count.store(busy, std::memory_order_relaxed);
  }
  std::uint32_t busy() const;

  bool enter_queue(std::uint32_t max_waiting);  // false: full
  void count_waiting() { waiting_.fetch_add(1, std::memory_order_relaxed); }  // past the limit: it was let in before
  void leave_queue() { waiting_.fetch_sub(1, std::memory_order_relaxed); }
  std::uint32_t waiting() const { return waiting_.load(std::memory_order_relaxed); }

  WaitBoard& board() { return board_; }  // of the workers that have requests waiting at the caps

  // The pool class of that name; made if nobody counts in one. At set-up and reload: takes a lock.
  std::shared_ptr<PoolClass> pool_class(const std::string& name);
  // The names of classes that stand in the scrape from now on; returns those that did.
  std::vector<std::string> swap_exported_classes(std::vector<std::string> names);

 private:
  struct alignas(64) Busy {
    std::atomic<std::uint32_t> count{0};
  };

  std::string name_;
  std::uint32_t workers_;
  // Read by every pick or release, written when something changes.
  Ejections ejections_;
  WaitBoard board_;
  std::unique_ptr<Busy[]> busy_;
  // Written by requests that wait at the caps, and only by those: max_waiting holds to the request.
  alignas(64) std::atomic<std::uint32_t> waiting_{0};
  Turns turns_;
  RetryBudget retries_;
  Advisor advisor_;
  ServiceRate service_rate_;
  Circuit circuit_;
  ClientShares clients_;
  std::mutex classes_mutex_;
  std::vector<std::weak_ptr<PoolClass>> classes_;
  std::vector<std::string> exported_classes_;
  EndpointSetPtr set_;
  std::vector<Left> left_;
  SetBy set_by_ = SetBy::configuration;
  std::optional<OutlierOptions> outlier_;
};

}  // namespace sluice::upstream

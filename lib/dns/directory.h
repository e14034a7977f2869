// Directory: all names the process follows, and what is known of each: the rules of docs/dns.md over a seam of queries.
// Control thread only; nothing of it is ever on a request's path.
//
// Order of calls: Directory(loop, queries, seed) -> configure(options) -> follow(...) as often as wished. On a reload:
// configure() with the new options, follow() everything anew, and only then drop the old Subscriptions: a name that
// stays keeps all it knows. Downcalls never call back: upcalls start at the loop, also for what is known already when
// follow() is called.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "dns/meter.h"
#include "dns/options.h"
#include "dns/queries.h"
#include "net/address.h"
#include "net/loop.h"

namespace sluice::dns {

inline constexpr std::size_t followed_max = 1024;  // different targets of one process; follow() fails above
inline constexpr std::size_t names_max =
    4096;  // names asked for, targets of services included; targets above are left out
inline constexpr std::size_t endpoints_max = 2048;  // of one target; what sorts after them is dropped with a warning
inline constexpr std::size_t history_max = 8;  // changes that status() remembers of a name
inline constexpr base::Millis query_gap{1'000};  // from one query of a name and type to the next, whatever the TTL
inline constexpr base::Millis other_family_wait{
    50};  // at the first resolution only: then one family alone is published
inline constexpr base::Millis targets_wait{
    250};  // for the addresses of new SRV targets: then those that have some are published
inline constexpr base::Millis retry_max{10'000};  // failures are retried after 1, 2, 4, 8 s, then this (-20 %)
inline constexpr base::Millis negative_ttl_default{
    5'000};  // a negative answer without an SOA (RFC 2308 5: not to be kept long)
inline constexpr base::Millis hosts_ttl{5'000};  // /etc/hosts has no TTL: looked at this often

enum class Kind : std::uint8_t { address, service };

// What to follow. address: A and AAAA of `name`, each with `port`. service: SRV of `name`, port unused (0).
struct Target {
  Kind kind = Kind::address;
  std::string name;  // as written: case and a last dot do not matter
  std::uint16_t port = 0;
};
// "NAME:PORT" as in `dns` and `endpoints`; nullopt if it is not of that form.
std::optional<Target> parse_target(std::string_view name_and_port);

enum class RecordState : std::uint8_t {
  resolving,  // nothing is known: no answer yet, or failures only
  fresh,  // as DNS says
  stale,  // past its TTL because DNS fails, or "no such name" has not yet repeated for nx_hold
  gone,  // no addresses: DNS says so, or failed for stale_max
};
std::string_view state_name(RecordState state);

struct Endpoint {
  net::Address address;  // with port
  std::uint16_t priority = 0;  // SRV; lower is used first, the next when all of one are unusable; 0 for Kind::address
  std::uint32_t weight = 1;  // 1..65535, as upstream::EndpointSpec; see docs/dns.md for how SRV weights map
  std::string host;  // the name it came from, canonical: SRV target or the name followed
  bool operator==(const Endpoint&) const = default;
};

struct Resolved {
  RecordState state = RecordState::resolving;
  std::vector<Endpoint> endpoints;  // by priority, then address; an address stands once in a list
  base::Micros changed;  // loop time when the reply that made this set arrived
  base::Micros changed_wall;  // the same since the Unix epoch
};

class Follower {
 public:
  // The set (addresses, ports, priorities or weights) has changed, or the first resolution has ended without any (state
  // gone). Never for order, TTL, or fresh <-> stale. At the loop; the reference is good within the call. May follow and
  // drop Subscriptions, also the one it came for.
  virtual void on_resolved(const Resolved& resolved) = 0;
  // The first resolution has failed (timeout, SERVFAIL, ...): nothing is known and it goes on trying. Once a
  // Subscription at most. For `required_at_start` and for readiness.
  virtual void on_unresolved(std::string_view why) = 0;

 protected:
  ~Follower() = default;
};

// ---- what GET /status shows ----

struct Change {
  base::Micros wall;  // when, since the Unix epoch
  std::vector<std::string> added;  // addresses without port; of a service "target:port priority weight"
  std::vector<std::string> removed;  // at most listed_max of each are listed ...
  std::uint32_t more = 0;  // ... and this many are not
  std::string why;  // "answer", "no such name", "stale for 3600 s"
};
inline constexpr std::size_t listed_max = 16;

// One name and type, i.e. what is asked for and kept apart.
struct RecordStatus {
  Type type = Type::a;
  RecordState state = RecordState::resolving;
  std::vector<std::string> records;  // all that is served, as in Change::added
  base::Millis ttl_left{0};  // of a fresh answer (also a negative one); 0 when past it
  base::Millis age{0};  // since the last good (or negative) answer
  base::Millis stale_for{0};  // served beyond its TTL for; 0 when fresh
  base::Millis next_query_in{0};  // 0 = under way
  std::string last_error;  // "timeout from 10.0.0.2:53", kept until the next good answer; "" = none
  base::Micros last_error_wall;  // 0 = never
  std::uint32_t failures = 0;  // in a row
  std::uint64_t lookups = 0;
};

struct NameStatus {
  std::string name;
  Kind kind = Kind::address;
  RecordState state = RecordState::resolving;
  bool followed = false;  // false: only as the target of a service
  std::vector<RecordStatus> records;  // A and AAAA, or SRV
  std::vector<Change> history;  // oldest first, at most history_max
};

class Directory;
class Watch;

// Keeps a target followed while it lives. Its destructor may run in any downcall or upcall of the control thread.
// Moved, never copied; dies before the Directory.
class Subscription {
 public:
  Subscription();
  Subscription(Subscription&&) noexcept;
  Subscription& operator=(Subscription&&) noexcept;
  ~Subscription();
  bool active() const { return watch_ != nullptr; }
  const Resolved& resolved() const;  // what is known now; active() only
  void reset();

 private:
  friend class Directory;
  explicit Subscription(std::unique_ptr<Watch> watch);
  std::unique_ptr<Watch> watch_;
};

class Directory {
 public:
  // `queries` and `meter` (may be nullptr) outlive the directory. The seed is for jitter only.
  Directory(net::Loop& loop, Queries& queries, std::uint64_t seed, Meter* meter = nullptr);
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  ~Directory();  // no Subscription is left by then

  // Also configures the queries. Changed times count from the next lookup of each name; with other servers what fails
  // is retried at once (query_gap kept).
  void configure(const DnsOptions& options);

  // The follower outlives the Subscription. Errors: not a name DNS can carry, or followed_max reached.
  base::Result<Subscription> follow(const Target& target, Follower& follower);

  std::vector<NameStatus> status() const;  // by name; every name, also targets of services
  // Of each followed name, for the scrape: status() without its texts.
  struct Gauges {
    std::string_view name;  // good until the next downcall or turn
    base::Micros stale_for;  // what it serves is past its TTL for; 0 when fresh
    std::size_t served = 0;  // addresses, or records of a service
    base::Micros answered;  // on the loop's clock: the last answer with records; 0 = never
    base::Micros changed_wall;  // since the Unix epoch; 0 = never
  };
  std::vector<Gauges> gauges() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::dns

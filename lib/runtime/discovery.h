// Discovery: what the names in upstreams' `dns`, `srv` and `endpoints` stand for, and the endpoint sets that follow.
// Owns the resolver and the directory, on the control loop. A change of an answer becomes a new set for every worker
// and for the health checks; requests never wait for a lookup, because a set is always there (at worst an empty one:
// 503 no_endpoint).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "config/snapshot.h"
#include "dns/directory.h"
#include "metrics/registry.h"
#include "net/loop.h"
#include "runtime/departures.h"
#include "runtime/generation.h"
#include "runtime/sources.h"

namespace sluice::runtime {

class Discovery final : private dns::Meter, private net::Runnable {
 public:
  class User {
   public:
    // Every worker gets the set of this upstream, and so do its health checks; connections to what is not in it any
    // more close as dns_removed. `applied` is called at control's loop once for each worker that has it.
    virtual void send_endpoints(const upstream::SharedUpstream& upstream, const upstream::EndpointSetPtr& set,
                                std::function<void()> applied) = 0;

   protected:
    ~User() = default;
  };
  struct Setup {
    net::Loop& loop;
    dns::Queries& queries;  // outlives it
    metrics::Registry& registry;
    std::uint32_t workers = 1;
    std::uint64_t seed = 0;  // jitter
    User& user;
  };

  explicit Discovery(const Setup& setup);
  Discovery(const Discovery&) = delete;
  Discovery& operator=(const Discovery&) = delete;
  ~Discovery();

  // At the start, before publish(): these names are followed from now on. Errors (too many names): those names stay
  // unresolved, with a warning.
  void follow(const config::Snapshot& snapshot);
  // Sets of all upstreams of a generation, which becomes the one in force. Names that stay keep all that is known; for
  // an upstream that stays as it is nothing is done. Newcomers of a reload do not slow-start.
  EndpointSets publish(const Generation& generation);

  // Has every name had its first resolution, good or bad, and are the workers told?
  bool settled() const;
  // For `required_at_start`: turns the loop until settled, at most as long as the attempts may take; then what does not
  // resolve, one problem a name. Nothing but signals runs on the loop yet: none once `given_up` is true after a turn.
  config::Problems await_all(const std::function<bool()>& given_up);

  dns::Directory& directory() { return directory_; }  // for names of nobody's endpoints; configured by publish()
  std::vector<dns::NameStatus> status() const { return directory_.status(); }
  void set_gauges();  // what control sets before a scrape: dns_stale_seconds and the like

 private:
  class Name;
  struct Followed;  // one upstream with its names
  using Upstreams = std::map<std::string, std::unique_ptr<Followed>, std::less<>>;  // by name; those that have names
  std::unique_ptr<Followed> followed(UpstreamOptionsPtr options);
  void follow_names(const Generation& generation);
  void place(const Backing& backing);
  void run() override;  // at the loop: publishes what has changed
  void changed(Followed& upstream);
  void publish(Followed& upstream);
  void resolve(Followed& upstream);
  upstream::EndpointSetPtr set(const Backing& backing, std::span<const upstream::EndpointSpec> specs,
                               upstream::Newcomers newcomers);
  void prune_series();
  // dns::Meter
  void on_lookup(std::string_view name, dns::Outcome outcome, base::Micros took) override;
  void on_ignored(std::string_view name, dns::Ignored reason, std::uint32_t count) override;

  net::Loop& loop_;
  metrics::Registry& registry_;
  std::uint32_t workers_;
  User& user_;
  metrics::Histogram& lookup_seconds_;
  Departures departures_;
  dns::Directory directory_;
  dns::DnsOptions options_;
  Upstreams upstreams_;  // they hold subscriptions: after directory_
  std::unordered_map<const upstream::SharedUpstream*, UpstreamOptionsPtr> placed_;  // what each set was made by
  std::unordered_set<std::string> metered_;  // names with series
  bool prune_ = false;  // some of them may have gone
};

}  // namespace sluice::runtime

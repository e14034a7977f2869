// Control: the main thread's loop. Signals, reload, drain, health probes, the admin listener; it alone changes endpoint sets
// and health bits, and it alone decides when the process ends.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "admin/admin.h"
#include "admin/helper_thread.h"
#include "dns/resolver.h"
#include "net/fd.h"
#include "net/fd_watch.h"
#include "net/tcp_network.h"
#include "runtime/control_cells.h"
#include "runtime/discovery.h"
#include "runtime/drain.h"
#include "runtime/generation.h"
#include "runtime/settling.h"
#include "runtime/worker_thread.h"
#include "upstream/health_probe.h"

namespace sluice::runtime {

class Control final : public admin::Backend,
                      public net::FdWatch::User,
                      public Peers,
                      public upstream::HealthListener,
                      public Discovery::User {
  struct Started {                                // what only start() has
    explicit Started() = default;
  };

 public:
  // Opens sockets, starts workers and the admin listener. The error is what a person should read; nothing runs then.
  static std::expected<std::unique_ptr<Control>, config::Problems> start(config::Loaded loaded);
  Control(Started, config::Loaded loaded);
  ~Control();

  // Until a drain has ended; 0.
  int run();
  // What runs now (tests, before or while run()).
  const GenerationPtr& generation() const { return generation_; }

 private:
  config::Problems set_up();
  config::Problems start_admin();
  void start_workers();
  void publish(GenerationPtr next);
  void retire_series(const config::Snapshot& before, const config::Snapshot& after);
  void series_left();
  void ask_settled();
  void place_checks(const Generation& generation, const EndpointSets& sets);
  void to_all(const std::function<void(Worker&)>& message);

  // net::FdWatch::User: the signalfd
  void on_ready(net::FdWatch::For what) override;
  void on_signal(int number);

  // upstream::HealthListener
  void on_health(const upstream::SharedUpstream& upstream, const upstream::SharedEndpoint& endpoint, upstream::Health health) override;

  // Discovery::User
  void send_endpoints(const upstream::SharedUpstream& upstream, const upstream::EndpointSetPtr& set,
                      std::function<void()> applied) override;
  void series_retired() override;

  // Peers
  void post(uint32_t worker, std::function<void(Worker&)> message) override;

  // admin::Backend
  admin::Readiness ready() override;
  std::span<const std::string> hosts() override;
  void metrics(Done done) override;
  void status(Done done) override;
  void config(Done done) override;
  void reload(Done done) override;
  void drain() override;

  void finish_reload(std::expected<GenerationPtr, config::Problems> result, const config::Problems& warnings, const Done& done);
  void say_what_needs_restart(const config::Snapshot& now, const config::Snapshot& next) const;
  void reopen_logs();
  void on_tick();
  void enter(Phase phase);
  void ask_warm();
  void on_helper(std::function<admin::Page()> make, const Done& done);
  uint64_t connections_left() const;

  std::string file_;
  config::Loaded loaded_;
  uint32_t worker_count_;
  metrics::Registry registry_;
  ControlCells cells_;
  std::unique_ptr<exchange::AccessLog> access_log_;
  Shared shared_;
  net::Loop loop_;
  net::Mailbox mailbox_;
  net::TcpNetwork network_;
  dns::Resolver resolver_;
  Discovery discovery_;
  Drain drain_;
  GenerationPtr generation_;
  std::mutex workers_mutex_;                      // over workers_: they reach each other through it
  std::vector<std::unique_ptr<WorkerThread>> workers_;
  std::unordered_map<const upstream::SharedUpstream*, std::unique_ptr<upstream::HealthChecker>> checkers_;
  net::Fd signals_;
  std::unique_ptr<net::FdWatch> signal_watch_;
  net::Timer tick_;
  net::Timer settle_timer_;
  Settling settling_;
  base::Micros started_;
  uint32_t workers_applied_ = 0;                  // that have the first generation
  uint32_t workers_closed_ = 0;                   // whose listeners are closed (drain)
  uint32_t workers_warm_ = 0;
  uint32_t warm_answers_ = 0;
  bool warm_asked_ = false;
  bool warm_ = false;
  bool reloading_ = false;
  std::vector<Done> reload_again_;
  std::unique_ptr<admin::AdminServer> admin_;
  std::unique_ptr<admin::HelperThread> helper_;   // last: its jobs use the others
};

}  // namespace sluice::runtime

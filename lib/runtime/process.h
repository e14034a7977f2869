// Process: all that runs, and the order in which it begins and ends: descriptors, threads, signals, the admin listener,
// and Control over them.
#pragma once

#include <expected>
#include <functional>
#include <memory>

#include "admin/admin.h"
#include "admin/helper_thread.h"
#include "dns/resolver.h"
#include "net/tcp_network.h"
#include "runtime/control.h"
#include "runtime/descriptors.h"
#include "runtime/signals.h"
#include "runtime/worker_threads.h"

namespace sluice::runtime {

class Process final : private Signals::User, private net::Mailbox<std::function<void()>>::User {
  using Message = std::function<void()>;
  struct Started {  // what only start() has
    explicit Started() = default;
  };

 public:
  // Opens sockets, starts workers and the admin listener. The error is what a person should read; nothing runs then.
  static std::expected<std::unique_ptr<Process>, config::Problems> start(config::Loaded loaded);
  Process(Started, const config::Loaded& loaded);
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();

  // Until a drain has ended, or at once if we were asked to end before the start was over; 0.
  int run();
  // What runs now (tests, before or while run()).
  const GenerationPtr& generation() const { return control_->generation(); }

 private:
  void share_descriptors(const config::Snapshot& snapshot);
  uint32_t fit_clients(uint32_t wanted) const;
  config::Problems set_up(const config::Loaded& loaded);
  config::Problems start_admin(const config::AdminOptions& options);
  void on_signal(int number) override;
  void on_message(Message&& message) override { message(); }
  bool started() const { return control_ != nullptr && control_->generation() != nullptr; }
  bool asked_to_end() const;  // before the start was over
  void reopen_logs();

  uint64_t descriptor_limit_ = 0;
  DescriptorShares shares_;
  metrics::Registry registry_;
  std::unique_ptr<exchange::AccessLog> access_log_;
  Shared shared_;
  net::Loop loop_;
  net::Mailbox<Message> mailbox_;
  net::TcpNetwork network_{net::Takes::kept_ones_too};  // health checks
  dns::Resolver resolver_;
  WorkerThreads workers_;
  std::unique_ptr<admin::HelperThread> helper_;
  std::unique_ptr<Control> control_;
  std::unique_ptr<Signals> signals_;
  uint64_t early_signals_ = 0;  // a bit for each number that came before the start was over
  std::unique_ptr<admin::AdminServer> admin_;
};

}  // namespace sluice::runtime

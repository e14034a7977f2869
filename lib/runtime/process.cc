#include "runtime/process.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "base/log_event.h"
#include "net/uv_driver.h"
#include "runtime/acceptor.h"
#include "runtime/cpus.h"
#include "runtime/local_ports.h"
#include "runtime/version.h"

namespace sluice::runtime {
namespace {

using config::Problems;

// The hard limit is ours to use.
uint64_t raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return UINT32_MAX;
  if (limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
      base::warn("the limit of open files cannot be raised: {}", std::strerror(errno));
    }
    getrlimit(RLIMIT_NOFILE, &limit);
  }
  return limit.rlim_cur;
}

std::string make_pseudonym() {
  exchange::Random random = exchange::Random::from_system();
  return fmt::format("sluice-{:012x}", random.next() >> 16);
}

uint32_t worker_count(const config::Snapshot& snapshot) {
  return snapshot.runtime.workers != 0 ? snapshot.runtime.workers : usable_cpus();
}

}  // namespace

std::expected<std::unique_ptr<Process>, Problems> Process::start(config::Loaded loaded) {
  auto process = std::make_unique<Process>(Started{}, loaded);
  if (Problems problems = process->set_up(loaded); !problems.empty()) return std::unexpected(std::move(problems));
  return process;
}

Process::Process(Started, const config::Loaded& loaded)
    : registry_(worker_count(*loaded.snapshot)),
      shared_{registry_, nullptr, make_pseudonym()},
      loop_(base::steady_clock(), net::make_uv_driver()),
      mailbox_(loop_, *this),
      resolver_(loop_),
      workers_(worker_count(*loaded.snapshot), mailbox_) {}

// What asks goes first, then the threads, then what they use.
Process::~Process() {
  admin_.reset();
  signals_.reset();
  helper_.reset();
  workers_.stop();
  control_.reset();
}

Problems Process::set_up(const config::Loaded& loaded) {
  const config::Snapshot& snapshot = *loaded.snapshot;
  share_descriptors(snapshot);
  auto log = exchange::AccessLog::open(snapshot.access_log, workers_.size());
  if (!log) return {std::move(log.error())};
  access_log_ = std::move(*log);
  shared_.access_log = access_log_.get();
  auto signals = Signals::open(loop_);
  if (!signals) return {std::move(signals.error())};
  signals_ = std::move(*signals);
  signals_->watch(*this);
  helper_ = std::make_unique<admin::HelperThread>(mailbox_);

  const auto load = [file = loaded.file](base::Micros wall) {
    return config::load_file(file, {.files = file_checks(wall)});
  };
  control_ = std::make_unique<Control>(Control::Setup{loop_,
                                                      network_,
                                                      resolver_,
                                                      workers_,
                                                      *helper_,
                                                      registry_,
                                                      shared_,
                                                      exchange::Random::from_system().next(),
                                                      [this](uint32_t wanted) { return fit_clients(wanted); },
                                                      {loaded.file, load},
                                                      read_local_ports},
                                       loaded.snapshot);
  control_->cells().log_dropped(access_log_.get());
  if (snapshot.dns.required_at_start == dns::AtStart::require) {
    if (Problems problems = control_->await_names([this] { return asked_to_end(); }); !problems.empty())
      return problems;
    if (asked_to_end()) return {};                // nothing serves yet: see run()
  }

  Problems warnings;
  auto built = build_generation(loaded, nullptr, workers_.size(), loop_.wall(), warnings);
  if (!built) return std::move(built.error());
  log_all(warnings);
  if (Problems problems = start_admin(snapshot.admin); !problems.empty()) return problems;
  workers_.start(shared_);
  control_->publish(std::move(*built));
  for (const int number : {SIGUSR1, SIGHUP, SIGINT, SIGTERM}) {
    if ((early_signals_ >> number & 1) != 0) on_signal(number);
  }
  return {};
}

// Each client needs a descriptor, and so does each request's upstream connection.
void Process::share_descriptors(const config::Snapshot& snapshot) {
  uint32_t addresses = 0;
  for (const auto& listener : snapshot.listeners) addresses += static_cast<uint32_t>(listener.addresses.size());
  descriptor_limit_ = raise_descriptor_limit();
  shares_ = runtime::share_descriptors(descriptor_limit_, own_descriptors(workers_.size(), addresses));
  const uint64_t first_kept = descriptor_limit_ - kept_descriptors(descriptor_limit_);
  if (first_kept < INT_MAX) net::keep_descriptors(static_cast<int>(first_kept));
  const auto share = [this](std::string_view use, auto read) {
    registry_.computed(metrics::Name::descriptors_share, {use}, read);
  };
  share("clients", [this] { return static_cast<double>(shared_.places.most); });
  share("upstreams", [this] { return static_cast<double>(shares_.clients) + shares_.upstreams - shared_.places.most; });
  share("reserve", [this] { return static_cast<double>(shares_.reserve); });
}

uint32_t Process::fit_clients(uint32_t wanted) const {
  if (wanted <= shares_.clients) return wanted;
  const std::string why = fmt::format(
      "of {} open files {} are kept for the process itself and half of the others for "
      "upstreams: raise the limit with ulimit -n or LimitNOFILE=",
      descriptor_limit_, shares_.reserve);
  base::log_event(base::LogLevel::warn, "max_connections_lowered",
                  {{"from", wanted}, {"to", shares_.clients}, {"why", why}});
  return shares_.clients;
}

Problems Process::start_admin(const config::AdminOptions& options) {
  if (!options.parsed) return {};
  auto socket =
      ListenSocket::open(*options.parsed, 1, {.share = net::ListenOptions::Share::no, .unix_mode = options.unix_mode});
  if (!socket) return {std::move(socket.error())};
  base::log_event(base::LogLevel::info, "listening", {{"listener", "admin"}, {"address", (*socket)->address().text()}});
  admin_ = std::make_unique<admin::AdminServer>(loop_, (*socket)->take(0), make_admin_session, control_->pages());
  return {};
}

int Process::run() {
  if (!started()) {
    base::log_event(base::LogLevel::info, "stopped", {{"why", "asked to end before the start was over"}, {"exit", 0}});
    return 0;
  }
  base::log_event(base::LogLevel::info, "started", {{"version", version()}, {"workers", workers_.size()}});
  loop_.run();
  base::log_event(base::LogLevel::info, "stopped", {{"why", "drained"}, {"exit", 0}});
  return 0;
}

bool Process::asked_to_end() const {
  return !started() && (early_signals_ >> SIGTERM & 1) + (early_signals_ >> SIGINT & 1) != 0;
}

// While names are awaited at the start there is nothing to drain or to reload: what comes then is done afterwards, if
// there is any.
void Process::on_signal(int number) {
  if (!started()) {
    early_signals_ |= uint64_t{1} << number;
    return;
  }
  switch (number) {
    case SIGTERM: return control_->leaving().begin(Ask::terminate);
    case SIGINT: return control_->leaving().begin(Ask::interrupt);
    case SIGHUP: return control_->pages().reload(std::nullopt, [](const admin::Page&) {});
    case SIGUSR1: return reopen_logs();
    default: return;
  }
}

void Process::reopen_logs() {
  base::log_event(base::LogLevel::info, "logs_reopened", {});
  if (access_log_ != nullptr) access_log_->reopen();
}

}  // namespace sluice::runtime

#include "runtime/control.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "base/log.h"
#include "base/pages.h"
#include "config/diff.h"
#include "config/dump.h"
#include "metrics/exposition.h"
#include "net/uv_driver.h"
#include "runtime/acceptor.h"
#include "runtime/cpus.h"
#include "runtime/memory.h"
#include "runtime/status.h"
#include "runtime/version.h"

namespace sluice::runtime {
namespace {

using config::Problems;

constexpr base::Millis tick_every = base::millis(20);       // while draining or warming; otherwise nothing ticks
constexpr base::Millis settle_every = base::seconds(1);     // after a reload: do the workers still use what it replaced?
constexpr uint32_t files_besides_clients = 256;              // libraries, logs, listeners, admin; upstream connections come on top

sigset_t our_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) sigaddset(&set, number);
  return set;
}

// The hard limit is ours to use. Each client needs a descriptor, and so does each request's upstream connection.
uint32_t fit_connections(uint32_t wanted) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return wanted;
  if (limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) base::warn("the limit of open files cannot be raised: {}", std::strerror(errno));
    getrlimit(RLIMIT_NOFILE, &limit);
  }
  const uint64_t fit = limit.rlim_cur > 2 * files_besides_clients ? (limit.rlim_cur - files_besides_clients) / 2 : 1;
  if (wanted <= fit) return wanted;
  base::warn("max_connections {} needs {} open files, but the limit is {}: lowered to {} (raise it with ulimit -n or LimitNOFILE=)", wanted,
             2 * uint64_t{wanted} + files_besides_clients, limit.rlim_cur, fit);
  return static_cast<uint32_t>(fit);
}

std::string make_pseudonym() {
  exchange::Random random = exchange::Random::from_system();
  return fmt::format("sluice-{:012x}", random.next() >> 16);
}

void log_all(const Problems& problems) {
  for (const base::Error& problem : problems) {
    if (problem.severity == base::Severity::warning) {
      base::warn("{}", base::to_text(problem));
    } else {
      base::error("{}", base::to_text(problem));
    }
  }
}

// The addresses as bound; after a reload those that are new.
void say_listening(const Generation& now, const Generation* before) {
  for (const auto& listening : now.listeners) {
    for (const auto& socket : listening->sockets) {
      const auto has = [&](const auto& old) { return std::ranges::find(old->sockets, socket) != old->sockets.end(); };
      if (before != nullptr && std::ranges::any_of(before->listeners, has)) continue;
      base::info("listening listener={} address={}", listening->options.name, socket->address().text());
    }
  }
}

std::string text_of(const Problems& problems) {
  std::string text;
  for (const base::Error& problem : problems) text += base::to_text(problem) + "\n";
  return text;
}

}  // namespace

std::expected<std::unique_ptr<Control>, Problems> Control::start(config::Loaded loaded) {
  auto control = std::make_unique<Control>(Started{}, std::move(loaded));
  if (Problems problems = control->set_up(); !problems.empty()) return std::unexpected(std::move(problems));
  return control;
}

Control::Control(Started, config::Loaded loaded)
    : file_(loaded.file),
      loaded_(std::move(loaded)),
      worker_count_(loaded_.snapshot->runtime.workers != 0 ? loaded_.snapshot->runtime.workers : usable_cpus()),
      registry_(worker_count_),
      cells_(registry_),
      shared_{registry_, nullptr, make_pseudonym()},
      loop_(base::steady_clock(), net::make_uv_driver()),
      mailbox_(loop_),
      resolver_(loop_),
      discovery_({loop_, resolver_, registry_, worker_count_, exchange::Random::from_system().next(), *this}),
      drain_(loaded_.snapshot->drain),
      tick_(this, net::timer_call<&Control::on_tick>),
      settle_timer_(this, net::timer_call<&Control::ask_settled>),
      settling_(worker_count_),
      started_(loop_.now()) {}

// Messages between workers stop first (see Peers::post), then the threads, then what they used.
Control::~Control() {
  helper_.reset();
  admin_.reset();
  checkers_.clear();
  std::vector<std::unique_ptr<WorkerThread>> workers;
  {
    const std::lock_guard lock(workers_mutex_);
    workers.swap(workers_);                       // who writes to a worker from here on finds none
  }
  workers.clear();
}

Problems Control::set_up() {
  const config::Snapshot& snapshot = *loaded_.snapshot;
  shared_.max_connections = fit_connections(snapshot.runtime.max_connections);
  auto log = exchange::AccessLog::open(snapshot.access_log, worker_count_);
  if (!log) return {std::move(log.error())};
  access_log_ = std::move(*log);
  shared_.access_log = access_log_.get();
  cells_.log_dropped(access_log_.get());

  discovery_.follow(loaded_.snapshot);
  if (snapshot.dns.required_at_start == dns::AtStart::require) {
    if (Problems problems = discovery_.await_all(); !problems.empty()) return problems;
  }

  Problems warnings;
  auto built = build_generation(loaded_, nullptr, worker_count_, loop_.wall(), warnings);
  if (!built) return std::move(built.error());
  log_all(warnings);

  const sigset_t signals = our_signals();
  signals_.reset(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) return {base::Error{fmt::format("no descriptor for signals: {}", std::strerror(errno))}};
  if (Problems problems = start_admin(); !problems.empty()) return problems;
  helper_ = std::make_unique<admin::HelperThread>(mailbox_);
  start_workers();
  publish(std::move(*built));
  say_listening(*generation_, nullptr);
  signal_watch_ = std::make_unique<net::FdWatch>(loop_, signals_.value(), *this);
  signal_watch_->watch(net::FdWatch::For::reading);
  tick_.arm(loop_, tick_every);
  return {};
}

Problems Control::start_admin() {
  const auto& address = loaded_.snapshot->admin.parsed;
  if (!address) return {};
  auto socket = ListenSocket::open(*address, 1, Probe::yes);
  if (!socket) return {std::move(socket.error())};
  base::info("listening listener=admin address={}", (*socket)->address().text());
  admin_ = std::make_unique<admin::AdminServer>(loop_, (*socket)->take(0), make_admin_session, *this);
  return {};
}

void Control::start_workers() {
  for (uint32_t i = 0; i < worker_count_; ++i) {
    auto worker = std::make_unique<WorkerThread>(i, worker_count_, shared_, *this);
    const std::lock_guard lock(workers_mutex_);
    workers_.push_back(std::move(worker));
  }
}

int Control::run() {
  base::info("sluice {} runs with {} worker{}", version(), worker_count_, worker_count_ == 1 ? "" : "s");
  loop_.run();
  base::info("drained, exit 0");
  return 0;
}

// ---- generations ------------------------------------------------------------------------------------------------

void Control::publish(GenerationPtr next) {
  if (generation_ != nullptr) retire_series(*generation_->snapshot, *next->snapshot);
  base::MemoryLimit::set(memory_limit(next->snapshot->runtime.max_memory));
  EndpointSets sets = discovery_.publish(*next);
  cells_.certificates(*next);
  generation_ = std::move(next);
  place_checks(*generation_, sets);
  to_all([this, generation = generation_, sets = std::move(sets)](Worker& worker) {
    worker.apply(generation, sets);
    mailbox_.push([this] { ++workers_applied_; });
  });
}

// Series of what left the configuration leave the scrape; their cells are used again once no worker has the old names.
void Control::retire_series(const config::Snapshot& before, const config::Snapshot& after) {
  const auto gone = [&](std::string_view label, const auto& old_ones, const auto& new_ones) {
    for (const auto& old : old_ones) {
      const auto same = [&](const auto& one) { return one.name == old.name; };
      if (std::ranges::none_of(new_ones, same)) registry_.retire(label, old.name);
    }
  };
  gone("listener", before.listeners, after.listeners);
  gone("route", before.routes, after.routes);
  gone("upstream", before.upstreams, after.upstreams);
  series_left();
}

// Their cells go to others once no worker writes them any more.
void Control::series_left() {
  settling_.changed();
  settle_timer_.arm(loop_, settle_every);
}

void Control::ask_settled() {
  to_all([this, round = settling_.ask()](Worker& worker) {
    mailbox_.push([this, round, settled = worker.settled()] {
      switch (settling_.answer(round, settled)) {
        case Settling::Verdict::open: break;
        case Settling::Verdict::settled: registry_.reclaim(); break;
        case Settling::Verdict::in_use: settle_timer_.arm(loop_, settle_every); break;
      }
    });
  });
}

// Checks of one upstream go on over reloads; what left the configuration is checked no more.
void Control::place_checks(const Generation& generation, const EndpointSets& sets) {
  std::erase_if(checkers_, [&](const auto& entry) {
    return std::ranges::none_of(generation.upstreams, [&](const Backing& b) { return b.shared.get() == entry.first; });
  });
  for (size_t i = 0; i < generation.upstreams.size(); ++i) {
    const Backing& backing = generation.upstreams[i];
    const upstream::UpstreamOptions& options = generation.snapshot->upstreams[i];
    auto& checker = checkers_[backing.shared.get()];
    if (!options.health && checker == nullptr) continue;
    if (checker == nullptr) {
      checker = std::make_unique<upstream::HealthChecker>(
          upstream::HealthChecker::Setup{loop_, backing.shared, *this, exchange::Random::from_system().next()});
    }
    const base::Millis timeout = options.health ? options.health->timeout : options.pool.connect_timeout;
    auto connector = upstream::make_connector({.upstream = options.name,
                                               .loop = loop_,
                                               .network = network_,
                                               .tls = backing.tls,
                                               .protocol = options.protocol,
                                               .proxy_protocol = options.proxy_protocol,
                                               .connect_timeout = timeout,
                                               .source_addresses = options.source_addresses});
    checker->update({generation.snapshot, &options}, sets[i], std::move(connector));
  }
}

void Control::on_health(const upstream::SharedUpstream& upstream, const upstream::SharedEndpoint& endpoint, upstream::Health health) {
  if (health == upstream::Health::up) return to_all([shared = &upstream](Worker& worker) { worker.endpoint_is_up(shared); });
  to_all([shared = &upstream, id = endpoint.id()](Worker& worker) { worker.endpoint_is_down(shared, id); });
}

void Control::send_endpoints(const upstream::SharedUpstream& upstream, const upstream::EndpointSetPtr& set, std::function<void()> applied) {
  to_all([this, shared = &upstream, set, applied = std::move(applied)](Worker& worker) {
    worker.set_endpoints(shared, set, http::CloseCause::dns_removed);
    mailbox_.push(applied);
  });
  if (const auto checker = checkers_.find(&upstream); checker != checkers_.end() && checker->second != nullptr) {
    checker->second->set_endpoints(set);
  }
}

void Control::series_retired() {
  if (generation_ != nullptr) cells_.certificates(*generation_);   // a certificate may bear a name that DNS had, too
  series_left();
}

void Control::to_all(const std::function<void(Worker&)>& message) {
  for (auto& worker : workers_) worker->post(message);
}

void Control::post(uint32_t worker, std::function<void(Worker&)> message) {
  const std::lock_guard lock(workers_mutex_);
  if (worker < workers_.size() && workers_[worker] != nullptr) workers_[worker]->post(std::move(message));
}

// ---- signals ----------------------------------------------------------------------------------------------------

void Control::on_ready(net::FdWatch::For) {
  signalfd_siginfo info{};
  while (::read(signals_.value(), &info, sizeof info) == sizeof info) on_signal(static_cast<int>(info.ssi_signo));
}

void Control::on_signal(int number) {
  switch (number) {
    case SIGTERM:
    case SIGINT: return drain();
    case SIGHUP: return reload([](admin::Page) {});
    case SIGUSR1: return reopen_logs();
    default: return;
  }
}

void Control::reopen_logs() {
  base::info("log files are opened again");
  if (access_log_ != nullptr) access_log_->reopen();
}

// ---- reload -----------------------------------------------------------------------------------------------------

void Control::reload(Done done) {
  if (drain_.phase() != Phase::serving) return done({409, "text/plain; charset=utf-8", "409: draining, nothing is loaded any more\n"});
  if (reloading_) {
    reload_again_.push_back(std::move(done));     // the file may have changed since the one under way was read
    return;
  }
  reloading_ = true;
  struct Outcome {
    std::expected<GenerationPtr, Problems> generation;
    std::expected<config::Loaded, Problems> loaded;
    Problems warnings;
  };
  auto outcome = std::make_shared<Outcome>();
  const base::Micros wall = loop_.wall();
  const auto work = [this, outcome, wall] {
    outcome->loaded = config::load_file(file_, {.files = file_checks(wall)});
    if (!outcome->loaded) {
      outcome->generation = std::unexpected(outcome->loaded.error());
      return;
    }
    outcome->warnings = outcome->loaded->warnings;
    outcome->generation = build_generation(*outcome->loaded, generation_.get(), worker_count_, wall, outcome->warnings);
  };
  const auto then = [this, outcome, done] {
    finish_reload(std::move(outcome->generation), outcome->warnings, done);
    if (outcome->loaded && generation_->snapshot == outcome->loaded->snapshot) loaded_ = std::move(*outcome->loaded);
  };
  if (!helper_->submit(work, then)) {
    reloading_ = false;
    done({503, "text/plain; charset=utf-8", "503: busy, try again\n"});
  }
}

void Control::finish_reload(std::expected<GenerationPtr, Problems> result, const Problems& warnings, const Done& done) {
  reloading_ = false;
  log_all(warnings);
  if (!result || drain_.phase() != Phase::serving) {
    cells_.reloaded(false);
    const Problems problems = result ? Problems{base::Error{"draining, nothing is loaded any more"}} : result.error();
    log_all(problems);
    base::error("reload of {} failed: nothing has changed", file_);
    done({400, "text/plain; charset=utf-8", text_of(problems) + "nothing has changed\n"});
  } else {
    say_what_needs_restart(*generation_->snapshot, *(*result)->snapshot);
    drain_.set_options((*result)->snapshot->drain);
    say_listening(**result, generation_.get());
    publish(std::move(*result));
    cells_.reloaded(true);
    base::info("reloaded {}", file_);
    done({200, "text/plain; charset=utf-8", "reloaded\n" + text_of(warnings)});
  }
  if (reload_again_.empty()) return;
  std::vector<Done> waiting = std::move(reload_again_);
  reload_again_.clear();
  reload([waiting = std::move(waiting)](const admin::Page& page) {
    for (const Done& one : waiting) one(page);
  });
}

void Control::say_what_needs_restart(const config::Snapshot& now, const config::Snapshot& next) const {
  for (const std::string& key : config::diff(now, next).restart) {
    base::warn("{} has changed, but only a restart takes it: the running value stays", key);
  }
}

// ---- drain ------------------------------------------------------------------------------------------------------

void Control::drain() {
  drain_.begin(loop_.now());
  enter(drain_.phase());
  on_tick();
}

void Control::enter(Phase phase) {
  base::info("drain: {}", rule_of(phase).name);
  switch (phase) {
    case Phase::serving:
    case Phase::deregistering: break;
    case Phase::draining: to_all([this](Worker& worker) { worker.leave([this] { mailbox_.push([this] { ++workers_closed_; }); }); }); break;
    case Phase::closing:
      to_all([this](Worker& worker) {
        worker.leave([this] { mailbox_.push([this] { ++workers_closed_; }); });
        worker.abort_all();
      });
      break;
    case Phase::gone: loop_.stop(); break;
  }
}

// Runs while something is awaited: readiness at the start, and the phases of a drain. A listener's accept queue may hold
// connections that no count shows yet, so "nothing is left" needs every worker's word that its listeners are closed.
void Control::on_tick() {
  if (!warm_) ask_warm();
  const Phase before = drain_.phase();
  const Phase now = drain_.step(loop_.now(), connections_left());
  cells_.drain(now, drain_.time_left(loop_.now()), connections_left());
  if (now != before) enter(now);
  if (now == Phase::gone) return;
  if (!warm_ || now != Phase::serving) tick_.arm(loop_, tick_every);
}

uint64_t Control::connections_left() const {
  if (drain_.phase() != Phase::serving && workers_closed_ < worker_count_) return shared_.connections.load() + 1;
  return shared_.connections.load();
}

// ---- readiness --------------------------------------------------------------------------------------------------

void Control::ask_warm() {
  if (workers_applied_ < worker_count_) return;
  const bool resolved = discovery_.settled();
  if (loop_.now() - started_ >= base::Micros(generation_->snapshot->runtime.warm_timeout)) {
    base::warn("after warm_timeout {}: ready all the same",
               resolved ? "not every pool has its min_idle connections" : "DNS has not answered for every name");
    warm_ = true;
    return;
  }
  if (warm_asked_ || !resolved) return;
  warm_asked_ = true;
  workers_warm_ = 0;
  warm_answers_ = 0;
  to_all([this](Worker& worker) {
    mailbox_.push([this, warm = worker.warm()] {
      workers_warm_ += warm ? 1 : 0;
      if (++warm_answers_ < worker_count_) return;
      warm_asked_ = false;
      warm_ = warm_ || workers_warm_ == worker_count_;
    });
  });
}

admin::Readiness Control::ready() {
  if (!rule_of(drain_.phase()).ready) return {false, "draining"};
  if (workers_applied_ < worker_count_) return {false, "starting"};
  if (!warm_) return {false, "warming"};
  return {true, ""};
}

std::span<const std::string> Control::hosts() { return generation_->snapshot->admin.hosts; }

// ---- admin pages ------------------------------------------------------------------------------------------------

void Control::on_helper(std::function<admin::Page()> make, const Done& done) {
  auto page = std::make_shared<admin::Page>();
  const bool taken = helper_->submit([page, make = std::move(make)] { *page = make(); }, [page, done] { done(std::move(*page)); });
  if (!taken) done({503, "text/plain; charset=utf-8", "503: too many requests for this page are under way\n"});
}

void Control::metrics(Done done) {
  discovery_.set_gauges();
  on_helper([this] { return admin::Page{200, metrics::exposition_content_type, metrics::exposition(registry_)}; }, done);
}

void Control::config(Done done) {
  on_helper([snapshot = generation_->snapshot] { return admin::Page{200, "application/toml", config::dump(*snapshot)}; }, done);
}

// Asks every worker for its part; the page is made when the last one has answered.
void Control::status(Done done) {
  struct Gather {
    StatusFacts facts;
    uint32_t answers = 0;
  };
  auto gather = std::make_shared<Gather>();
  gather->facts.workers.resize(worker_count_);
  gather->facts.listener_connections.resize(worker_count_);
  const GenerationPtr generation = generation_;
  to_all([this, gather, generation, done](Worker& worker) {
    auto clusters = std::make_shared<std::vector<upstream::ClusterStatus>>(worker.status());
    auto connections = std::make_shared<std::vector<uint32_t>>(worker.listener_connections());
    mailbox_.push([this, gather, generation, done, clusters, connections, index = worker.index()] {
      gather->facts.workers[index] = std::move(*clusters);
      gather->facts.listener_connections[index] = std::move(*connections);
      if (++gather->answers < worker_count_) return;
      gather->facts.ready = ready();
      gather->facts.names = discovery_.status();
      gather->facts.wall = loop_.wall();
      gather->facts.phase = drain_.phase();
      gather->facts.uptime = loop_.now() - started_;
      gather->facts.drain_left = drain_.time_left(loop_.now());
      gather->facts.connections = shared_.connections.load();
      done({200, "application/json", status_json(*generation, gather->facts)});
    });
  });
}

}  // namespace sluice::runtime

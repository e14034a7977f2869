// The program `sluice`: a command line to a command. Everything that runs is started by runtime::Process.
#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <span>
#include <variant>

#include "base/log.h"
#include "base/log_thread.h"
#include "config/commands.h"
#include "config/problems.h"
#include "options.h"
#include "runtime/process.h"
#include "runtime/version.h"
#include "top.h"
#include "why.h"

namespace {

using namespace sluice;

void print(std::FILE* to, std::string_view text) { std::fwrite(text.data(), 1, text.size(), to); }

int show(const config::Outcome& outcome) {
  print(stdout, outcome.out);
  print(stderr, outcome.err);
  return outcome.code;
}

config::LoadOptions load_options() { return {.files = runtime::file_checks(base::steady_clock().wall())}; }

// Signals come through control's descriptor: they are blocked in every thread, so before the first one starts.
void prepare_signals() {
  std::signal(SIGPIPE, SIG_IGN);   // a peer that left is an error of its write, not a death
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) sigaddset(&set, number);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

// A descriptor that was closed when we began would be given to the next socket, and the log, or what a library prints,
// would go there.
bool open_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) return false;  // the lowest that is free
  }
  return true;
}

int run(const proxy::RunCommand& command) {
  prepare_signals();
  const base::LogThread log_thread;
  auto loaded = config::load_file(command.file, load_options());
  if (!loaded) {
    base::log_text(config::to_text(loaded.error()));
    return proxy::exit_usage;
  }
  const config::LogOptions& log = loaded->snapshot->log;
  base::set_log(static_cast<base::LogLevel>(log.level), static_cast<base::LogFormat>(log.format));
  for (const base::Error& warning : loaded->warnings) base::warn("{}", base::to_text(warning));
  auto process = runtime::Process::start(std::move(*loaded));
  if (!process) {
    base::log_text(config::to_text(process.error()));
    return proxy::exit_failure;
  }
  return (*process)->run();
}

struct Act {
  int operator()(const proxy::RunCommand& c) const { return run(c); }
  int operator()(const proxy::CheckCommand& c) const {
    return show(config::check_command(c.file, c.format, c.strict, load_options()));
  }
  int operator()(const proxy::ExplainUrlCommand& c) const {
    return show(config::explain_command(c.file, c.question, load_options()));
  }
  int operator()(const proxy::ExplainKeyCommand& c) const {
    return show(config::explain_command(c.file, c.key, load_options()));
  }
  int operator()(const proxy::GraphCommand& c) const {
    return show(config::graph_command(c.file, c.format, load_options()));
  }
  int operator()(const proxy::TopCommand& c) const { return proxy::top(c); }
  int operator()(const proxy::WhyCommand& c) const { return proxy::why(c); }
  int operator()(const proxy::VersionCommand&) const {
    print(stdout, runtime::version_text());
    return proxy::exit_good;
  }
  int operator()(const proxy::HelpCommand& c) const {
    print(stdout, c.text);
    return proxy::exit_good;
  }
};

}  // namespace

int main(int count, char** arguments) {
  if (!open_standard_descriptors()) return sluice::proxy::exit_failure;
  const std::span<const char* const> all(arguments, static_cast<size_t>(count));
  auto command = sluice::proxy::parse_command_line(all.subspan(count > 0 ? 1 : 0));
  if (!command) {
    print(stderr, command.error());
    return sluice::proxy::exit_usage;
  }
  return std::visit(Act{}, *command);
}

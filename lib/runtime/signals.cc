#include "runtime/signals.h"

#include <fmt/format.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

namespace sluice::runtime {

base::Result<std::unique_ptr<Signals>> Signals::open(net::Loop& loop) {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) sigaddset(&set, number);
  net::Fd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return base::fail(fmt::format("no descriptor for signals: {}", std::strerror(errno)));
  return std::make_unique<Signals>(loop, std::move(fd));
}

void Signals::watch(User& user) {
  user_ = &user;
  watch_ = std::make_unique<net::FdWatch>(loop_, fd_.value(), *this);
  watch_->watch(net::FdWatch::For::reading);
}

void Signals::on_ready(net::FdWatch::For) {
  signalfd_siginfo info{};
  while (::read(fd_.value(), &info, sizeof info) == sizeof info) user_->on_signal(static_cast<int>(info.ssi_signo));
}

}  // namespace sluice::runtime

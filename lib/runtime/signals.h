// Signals: SIGTERM, SIGINT, SIGHUP and SIGUSR1 as events of a loop (signalfd). They must be blocked in every thread.
#pragma once

#include <memory>

#include "base/error.h"
#include "net/fd.h"
#include "net/fd_watch.h"

namespace sluice::runtime {

class Signals final : public net::FdWatch::User {
 public:
  class User {
   public:
    virtual void on_signal(int number) = 0;

   protected:
    ~User() = default;
  };
  // The descriptor: signals wait in it until watch().
  static base::Result<std::unique_ptr<Signals>> open(net::Loop& loop);
  void watch(User& user);
  Signals(net::Loop& loop, net::Fd fd) : loop_(loop), fd_(std::move(fd)) {}

 private:
  void on_ready(net::FdWatch::For what) override;

  net::Loop& loop_;
  net::Fd fd_;
  User* user_ = nullptr;
  std::unique_ptr<net::FdWatch> watch_;
};

}  // namespace sluice::runtime

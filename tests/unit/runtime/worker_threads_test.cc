// The crew on threads: mail between workers, and how they end while they write to each other.
#include "runtime/worker_threads.h"

#include <atomic>
#include <functional>
#include <memory>

#include "net/uv_driver.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using runtime::Worker;

namespace {

constexpr uint32_t workers = 3;

struct House final : net::Mailbox<std::function<void()>>::User {
  void on_message(std::function<void()>&& message) override { message(); }

  net::Loop loop{base::steady_clock(), net::make_uv_driver()};
  net::Mailbox<std::function<void()>> mailbox{loop, *this};
  metrics::Registry registry{workers};
  runtime::Shared shared{registry, nullptr, "test"};
  runtime::WorkerThreads crew{workers, mailbox};
};

}  // namespace

TEST_CASE("only what workers say to each other may get lost") {
  CHECK(runtime::WorkerMail(runtime::GiveUpIdle{nullptr, 1, 0}).may_get_lost());
  CHECK(runtime::WorkerMail(runtime::TakeSlot{nullptr, nullptr}).may_get_lost());
  CHECK(runtime::WorkerMail(runtime::TakeConnection{nullptr, nullptr}).may_get_lost());
  CHECK(runtime::WorkerMail(runtime::EndpointDown{nullptr, 1}).may_get_lost());
  CHECK_FALSE(runtime::WorkerMail([](Worker&) {}).may_get_lost());
}

TEST_CASE("a slot in mail that is never read goes back") {
  const auto endpoint = std::make_shared<upstream::SharedEndpoint>(1, "a", *net::Address::parse("127.0.0.1:80"));
  REQUIRE(endpoint->open_slot(1));
  {
    const runtime::WorkerMail lost(runtime::TakeSlot{nullptr, std::make_shared<upstream::PassedSlot>(endpoint)});
  }
  CHECK(endpoint->connections() == 0);
}

TEST_CASE("every worker answers, and the answers come together") {
  House house;
  house.crew.start(house.shared);
  std::vector<uint32_t> answers;
  house.crew.ask_all<uint32_t>([](Worker& worker) { return worker.index(); },
                               [&](std::vector<uint32_t> all) {
                                 answers = std::move(all);
                                 house.loop.stop();
                               });
  house.loop.run();
  CHECK(answers == std::vector<uint32_t>{0, 1, 2});
}

// Far more than a mailbox has room for: what may get lost is dropped, control's word is not.
TEST_CASE("workers write to each other while they end, and nobody writes to one that is gone") {
  for (int round = 0; round < 10; ++round) {
    House house;
    house.crew.start(house.shared);
    std::atomic<uint32_t> told{0};
    house.crew.to_all([&house, &told](Worker& worker) {
      for (uint32_t i = 0; i < 2'000; ++i)
        house.crew.post((worker.index() + 1 + i % 2) % workers, runtime::EndpointDown{nullptr, i});
      ++told;
    });
    house.crew.stop();
    CHECK(told == workers);
    house.crew.post(0, [](Worker&) { FAIL("there is none"); });
  }
}

// Messages between threads: the order of each sender, nothing lost that was posted, what a full ring says, and the
// wake-up.
#include "net/mailbox.h"

#include <array>
#include <barrier>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <variant>
#include <vector>

#include "net/uv_driver.h"
#include "support/sim_loop.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;

namespace {

struct Number {
  uint32_t sender = 0;
  int value = 0;
};
using Mail = std::variant<std::monostate, Number, std::shared_ptr<int>>;

struct Reader final : net::Mailbox<Mail>::User {
  void on_message(Mail&& message) override {
    if (const auto* number = std::get_if<Number>(&message)) {
      got.push_back(*number);
      if (on_number) on_number(*number);
    }
  }
  std::vector<int> values() const {
    std::vector<int> all;
    for (const Number& n : got) all.push_back(n.value);
    return all;
  }
  std::vector<Number> got;
  std::function<void(const Number&)> on_number;
};

}  // namespace

TEST_CASE("a ring takes as many as it has room for, not one more, round after round") {
  net::MailRing<Mail> ring(4);
  Mail message;
  CHECK_FALSE(ring.pop(message));
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < 4; ++i) {
      message = Number{0, round * 4 + i};
      REQUIRE(ring.push(message));
    }
    message = Number{0, -1};
    CHECK_FALSE(ring.push(message));
    CHECK(std::get<Number>(message).value == -1);  // as it was
    CHECK(ring.size() == 4);
    for (int i = 0; i < 4; ++i) {
      REQUIRE(ring.pop(message));
      CHECK(std::get<Number>(message).value == round * 4 + i);
    }
    CHECK_FALSE(ring.pop(message));
  }
}

TEST_CASE("messages arrive at the next turn, in their order") {
  support::SimLoop sim;
  Reader reader;
  net::Mailbox<Mail> box(sim.loop(), reader);
  for (int i = 0; i < 3; ++i) box.post(Number{0, i});
  CHECK(reader.got.empty());
  sim.settle();
  CHECK(reader.values() == std::vector<int>{0, 1, 2});
}

TEST_CASE("a full mailbox refuses what is offered, and keeps what is posted, in order") {
  support::SimLoop sim;
  Reader reader;
  net::Mailbox<Mail> box(sim.loop(), reader, 8);
  for (int i = 0; i < 8; ++i) CHECK(box.offer(Number{0, i}));
  CHECK_FALSE(box.offer(Number{0, -1}));
  for (int i = 8; i < 20; ++i) box.post(Number{0, i});
  CHECK_FALSE(box.offer(Number{0, -1}));
  sim.settle();
  std::vector<int> all(20);
  for (int i = 0; i < 20; ++i) all[static_cast<size_t>(i)] = i;
  CHECK(reader.values() == all);
  CHECK(box.offer(Number{0, 20}));  // there is room again
  sim.settle();
  CHECK(reader.got.size() == 21);
}

TEST_CASE("a message sent by a message is for the next turn") {
  support::SimLoop sim;
  Reader reader;
  net::Mailbox<Mail> box(sim.loop(), reader);
  std::vector<uint32_t> turns;
  reader.on_number = [&](const Number& number) {
    turns.push_back(sim.loop().turns());
    if (number.value < 3) box.post(Number{0, number.value + 1});
  };
  box.post(Number{0, 1});
  sim.settle();
  REQUIRE(turns.size() == 3);
  CHECK(turns[1] > turns[0]);
  CHECK(turns[2] > turns[1]);
}

TEST_CASE("what is sent during a delivery, past a full ring, keeps its order") {
  support::SimLoop sim;
  Reader reader;
  net::Mailbox<Mail> box(sim.loop(), reader, 4);
  reader.on_number = [&](const Number& number) {
    if (number.value != 0) return;
    for (int i = 1; i <= 6; ++i) box.post(Number{0, i});  // four stand in the ring, two behind it
  };
  box.post(Number{0, 0});
  sim.settle();
  CHECK(reader.values() == std::vector<int>{0, 1, 2, 3, 4, 5, 6});
}

TEST_CASE("what a message holds goes with its delivery, or with the mailbox") {
  support::SimLoop sim;
  Reader reader;
  const auto held = std::make_shared<int>(1);
  {
    net::Mailbox<Mail> box(sim.loop(), reader, 2);
    box.post(held);
    sim.settle();
    CHECK(held.use_count() == 1);
    for (int i = 0; i < 5; ++i) box.post(held);
    CHECK(held.use_count() == 6);
  }
  CHECK(held.use_count() == 1);
}

TEST_CASE("messages of other threads wake the loop, and each sender's keep their order, also past a full ring") {
  constexpr uint32_t senders = 3;
  constexpr int each = 20'000;
  for (const size_t room : {size_t{4}, net::Mailbox<Mail>::usual_room}) {
    CAPTURE(room);
    net::Loop loop(base::steady_clock(), net::make_uv_driver());
    Reader reader;
    net::Mailbox<Mail> box(loop, reader, room);
    const std::thread::id here = std::this_thread::get_id();
    bool elsewhere = false;
    reader.on_number = [&](const Number&) {
      elsewhere = elsewhere || std::this_thread::get_id() != here;
      if (reader.got.size() == size_t{senders} * each) loop.stop();
    };
    std::vector<std::jthread> threads;
    for (uint32_t s = 0; s < senders; ++s) {
      threads.emplace_back([&box, s] {
        for (int i = 0; i < each; ++i) box.post(Number{s, i});
      });
    }
    loop.run();
    CHECK_FALSE(elsewhere);
    std::array<int, senders> next{};
    bool in_order = true;
    for (const Number& number : reader.got) in_order = in_order && number.value == next[number.sender]++;
    CHECK(in_order);
  }
}

TEST_CASE("what was offered arrives, or was refused; never both, never twice") {
  constexpr int each = 20'000;
  net::Loop loop(base::steady_clock(), net::make_uv_driver());
  Reader reader;
  net::Mailbox<Mail> box(loop, reader, 4);
  std::vector<std::vector<int>> sent(2);
  {
    std::vector<std::jthread> threads;
    for (uint32_t s = 0; s < 2; ++s) {
      threads.emplace_back([&box, &mine = sent[s], s] {
        for (int i = 0; i < each; ++i) {
          if (i % 100 == 0) {
            box.post(Number{s, i});
            mine.push_back(i);
          } else if (box.offer(Number{s, i})) {
            mine.push_back(i);
          }
        }
      });
    }
    for (int i = 0; i < 200; ++i) loop.turn(base::Micros{1'000});
  }
  for (int i = 0; i < 3; ++i) loop.turn(base::Micros{0});
  std::vector<std::vector<int>> got(2);
  for (const Number& number : reader.got) got[number.sender].push_back(number.value);
  CHECK(got == sent);
}

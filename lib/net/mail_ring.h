// MailRing: messages of many writers on their way to one reader, in cells that are there from the start: no lock, no
// allocation. The turn of a cell says whose it is: a writer claims the place at the end, fills its cell and then hands
// it to the reader, who hands it to the writer of the next round (D. Vyukov's bounded queue). A writer that is held up
// between the two holds up what was claimed behind it, and nothing else.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

#include "base/check.h"

namespace sluice::net {

template <class Message>
class MailRing {
  static_assert(std::is_nothrow_default_constructible_v<Message> && std::is_nothrow_move_assignable_v<Message>);

 public:
  // `room`: messages, a power of two.
  explicit MailRing(size_t room) : mask_(room - 1), cells_(std::make_unique<Cell[]>(room)) {
    CHECK(std::has_single_bit(room));
    for (size_t i = 0; i < room; ++i) cells_[i].turn.store(i, std::memory_order_relaxed);
  }

  // Any thread. False: full, and the message is as it was.
  bool push(Message& message) {
    size_t at = end_.load(std::memory_order_relaxed);
    while (true) {
      Cell& cell = cells_[at & mask_];
      const size_t turn = cell.turn.load(std::memory_order_acquire);
      if (turn == at) {
        if (!end_.compare_exchange_weak(at, at + 1, std::memory_order_relaxed)) continue;
        cell.message = std::move(message);
        cell.turn.store(at + 1, std::memory_order_release);
        return true;
      }
      if (static_cast<std::ptrdiff_t>(turn - at) < 0) return false;  // the reader has not had the one of a round ago
      at = end_.load(std::memory_order_relaxed);
    }
  }

  // The reader. False: none is there, or the first one is not filled yet.
  bool pop(Message& to) {
    Cell& cell = cells_[front_ & mask_];
    if (cell.turn.load(std::memory_order_acquire) != front_ + 1) return false;
    to = std::exchange(cell.message, Message{});
    cell.turn.store(front_ + mask_ + 1, std::memory_order_release);
    ++front_;
    return true;
  }

  // The reader: how many are there or being filled.
  size_t size() const { return end_.load(std::memory_order_relaxed) - front_; }

 private:
  struct Cell {
    std::atomic<size_t> turn;
    Message message;
  };
  size_t mask_;
  std::unique_ptr<Cell[]> cells_;
  alignas(64) std::atomic<size_t> end_{0};  // of the writers
  alignas(64) size_t front_ = 0;  // of the reader
};

}  // namespace sluice::net

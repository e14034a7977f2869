// ClientShares: how many requests in flight each client address has at one upstream, in the whole process (threats.md
// row 57). By a hash that nobody can foresee in a fixed table: two addresses of the same place count as one, with a
// chance of one in 1,024 at most. Made when the upstream is first used. Any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "net/address.h"

namespace sluice::upstream {

// The same for all of a client: an IPv4 address, or the first 64 bits of an IPv6 one. 0: nobody knows the client (a
// Unix socket), and it counts nowhere. Others in each process.
std::uint32_t client_mark(const net::Address& address);

class ClientShares {
 public:
  static constexpr std::size_t places = 2'048;  // 8 KiB

  // One request that counts, until it dies or is moved from. The shares outlive it.
  class Hold {
   public:
    Hold() = default;
    Hold(Hold&& o) noexcept : count_(std::exchange(o.count_, nullptr)) {}
    Hold& operator=(Hold&& o) noexcept {
      if (this != &o) {
        give_back();
        count_ = std::exchange(o.count_, nullptr);
      }
      return *this;
    }
    ~Hold() { give_back(); }
    void give_back() {
      if (count_ != nullptr) std::exchange(count_, nullptr)->fetch_sub(1, std::memory_order_relaxed);
    }

   private:
    friend class ClientShares;
    explicit Hold(std::atomic<std::uint32_t>& count) : count_(&count) { count.fetch_add(1, std::memory_order_relaxed); }
    std::atomic<std::uint32_t>* count_ = nullptr;
  };

  ClientShares() = default;
  ClientShares(const ClientShares&) = delete;
  ClientShares& operator=(const ClientShares&) = delete;
  ~ClientShares();
  Hold hold(std::uint32_t mark);
  std::uint32_t held(std::uint32_t mark) const;

 private:
  struct Table {
    std::array<std::atomic<std::uint32_t>, places> counts{};
  };
  Table& table();
  std::atomic<Table*> table_{nullptr};
};

}  // namespace sluice::upstream

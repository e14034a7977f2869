// See client_shares.h.
#include "upstream/client_shares.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <random>
#include <span>

namespace sluice::upstream {
namespace {

std::uint64_t drawn() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

// The client in 64 bits: its network, or its IPv4 address as the end of a mapped one (RFC 4291 2.5.5.2).
std::uint64_t key_of(std::span<const std::uint8_t> ip) {
  constexpr std::array<std::uint8_t, 12> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
  const bool is_ipv6 = ip.size() == 16;
  const bool is_mapped = is_ipv6 && std::ranges::equal(ip.first(mapped.size()), mapped);
  if (is_ipv6 && !is_mapped) {
    std::uint64_t network = 0;
    std::memcpy(&network, ip.data(), sizeof network);
    return network;
  }
  std::uint32_t host = 0;
  std::memcpy(&host, ip.last(sizeof host).data(), sizeof host);
  return (std::uint64_t{0xFFFF} << 32) | host;
}

}  // namespace

// Multiply-shift (Dietzfelbinger, Hagerup, Katajainen, Penttonen: A reliable randomized algorithm for the
// closest-pair problem, 1997): whichever two clients somebody chooses, with a factor that he does not know the first N
// bits of their products are the same with a chance of 2 in 2^N. The bits that choose the place come first.
std::uint32_t client_mark(const net::Address& address) {
  static const std::uint64_t factor = drawn() | 1;
  const std::span<const std::uint8_t> ip = address.ip_bytes();
  if (ip.empty()) return 0;
  const auto product = static_cast<std::uint32_t>((key_of(ip) * factor) >> 32);
  return std::max(std::rotl(product, std::bit_width(ClientShares::places - 1)), 1U);
}

ClientShares::~ClientShares() { const std::unique_ptr<Table> owned(table_.load(std::memory_order_acquire)); }

// The first two workers may both make one; the second is dropped.
ClientShares::Table& ClientShares::table() {
  Table* there = table_.load(std::memory_order_acquire);
  if (there != nullptr) return *there;
  auto made = std::make_unique<Table>();
  if (table_.compare_exchange_strong(there, made.get(), std::memory_order_acq_rel)) return *made.release();
  return *there;
}

ClientShares::Hold ClientShares::hold(std::uint32_t mark) {
  return mark == 0 ? Hold() : Hold(table().counts[mark % places]);
}

std::uint32_t ClientShares::held(std::uint32_t mark) const {
  const Table* const there = table_.load(std::memory_order_acquire);
  return mark == 0 || there == nullptr ? 0 : there->counts[mark % places].load(std::memory_order_relaxed);
}

}  // namespace sluice::upstream

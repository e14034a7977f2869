// See client_shares.h.
#include "upstream/client_shares.h"

#include <algorithm>
#include <memory>
#include <random>
#include <span>
#include <string_view>

#include "base/keyed_hash.h"

namespace sluice::upstream {
namespace {

base::KeyedHash drawn() {
  std::random_device device;
  const auto word = [&device] { return (std::uint64_t{device()} << 32) | device(); };
  return {word(), word()};
}

}  // namespace

std::uint32_t client_mark(const net::Address& address) {
  static const base::KeyedHash hash = drawn();
  constexpr std::size_t network_bytes = 8;
  constexpr std::array<std::uint8_t, 12> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};  // RFC 4291 2.5.5.2
  std::span<const std::uint8_t> bytes = address.ip_bytes();
  if (bytes.empty()) return 0;
  if (bytes.size() == 16) {
    const bool is_mapped = std::ranges::equal(bytes.first(mapped.size()), mapped);
    bytes = is_mapped ? bytes.subspan(mapped.size()) : bytes.first(network_bytes);
  }
  const std::uint64_t h = hash(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  return std::max(static_cast<std::uint32_t>(h), 1U);
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

// The slow part of RequestCounters: a combination that was not seen yet.
#include "metrics/request_counters.h"

#include <algorithm>
#include <charconv>

#include "base/check.h"

namespace sluice::metrics {
namespace {

constexpr size_t first_slots = 64;
constexpr size_t listeners_max = (1U << 12) - 1;
constexpr size_t routes_max = (1U << 24) - 1;

}  // namespace

RequestCounters::RequestCounters(Registry& registry, unsigned writer, std::shared_ptr<const RequestLabels> labels)
    : registry_(registry),
      writer_(writer),
      labels_(std::move(labels)),
      listeners_(static_cast<uint32_t>(std::min(labels_->listeners.size(), listeners_max))),
      routes_(static_cast<uint32_t>(std::min(labels_->routes.size(), routes_max))),
      slots_(first_slots),
      mask_(first_slots - 1) {
  CHECK(!labels_->methods.empty() && labels_->methods.size() <= 256);
}

Counter& RequestCounters::insert(uint64_t key, uint32_t listener, uint32_t route, uint8_t method, uint16_t code) {
  if (2 * (used_ + 1) > slots_.size()) {
    std::vector<Slot> old(slots_.size() < slots_max ? slots_.size() * 2 : slots_max);
    std::swap(old, slots_);
    mask_ = slots_.size() - 1;
    used_ = 0;
    if (old.size() < slots_max) {
      for (const Slot& slot : old) {
        if (slot.key != 0) place(slot);
      }
    }
  }
  char digits[8];
  const auto end = std::to_chars(digits, digits + sizeof digits, static_cast<unsigned>(code & 1023U)).ptr;
  const std::string_view listener_word =
      listener < listeners_ ? std::string_view(labels_->listeners[listener]) : std::string_view();
  const std::string_view route_word = route < routes_ ? std::string_view(labels_->routes[route]) : std::string_view();
  const std::string_view method_word = labels_->methods[std::min<size_t>(method, labels_->methods.size() - 1)];
  Counter& cell =
      registry_.counter(Name::requests_total,
                        {listener_word, route_word, method_word, {digits, static_cast<size_t>(end - digits)}}, writer_);
  place(Slot{key, &cell});
  return cell;
}

void RequestCounters::place(Slot slot) {
  size_t i = hash(slot.key) & mask_;
  while (slots_[i].key != 0) i = (i + 1) & mask_;
  slots_[i] = slot;
  ++used_;
}

}  // namespace sluice::metrics

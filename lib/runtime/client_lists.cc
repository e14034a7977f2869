#include "runtime/client_lists.h"

#include <iterator>

namespace sluice::runtime {
namespace {

constexpr ClientStage who_may_go[] = {ClientStage::early, ClientStage::leaving, ClientStage::idle};
static_assert(std::size(who_may_go) == Fronts::stages && static_cast<size_t>(ClientStage::idle) + 1 == Fronts::stages);

bool has_to_go(ClientStage stage, base::Micros since, base::Micros now) {
  return stage != ClientStage::early || now - since > base::Micros{Fronts::early_grace};
}

}  // namespace

void Fronts::set(ClientStage stage, std::optional<base::Micros> since) {
  std::atomic<int64_t>& cell = since_[static_cast<size_t>(stage)];
  const int64_t value = since ? since->count : nobody;
  if (cell.load(std::memory_order_relaxed) != value) cell.store(value, std::memory_order_relaxed);
}

std::optional<uint32_t> Fronts::first_to_go(std::span<const Fronts> workers, base::Micros now, uint32_t self) {
  for (const ClientStage stage : who_may_go) {
    std::optional<uint32_t> best;
    int64_t oldest = nobody;
    for (uint32_t i = 0; i < workers.size(); ++i) {
      const int64_t since = workers[i].since_[static_cast<size_t>(stage)].load(std::memory_order_relaxed);
      if (since == nobody || !has_to_go(stage, base::Micros{since}, now)) continue;
      if (since > oldest || (since == oldest && i != self)) continue;
      oldest = since;
      best = i;
    }
    if (best) return best;
  }
  return std::nullopt;
}

void ClientLists::enter(ListedClient& client, ClientStage stage, base::Micros now) {
  leave(client);
  client.stage_ = stage;
  client.since_ = now;
  of(stage).push_back(client);
  ++(stage == ClientStage::waiting ? waiting_ : placed_);
  publish(stage);
}

void ClientLists::leave(ListedClient& client) {
  if (!client.listed()) return;
  static_cast<base::ListHook<struct ByStage>&>(client).unlink();
  --(client.stage_ == ClientStage::waiting ? waiting_ : placed_);
  publish(client.stage_);
}

ListedClient* ClientLists::any() {
  for (ByStageList& list : lists_) {
    if (!list.empty()) return list.front();
  }
  return nullptr;
}

ListedClient* ClientLists::first_to_go(base::Micros now) {
  for (const ClientStage stage : who_may_go) {
    ListedClient* const first = of(stage).front();
    if (first != nullptr && has_to_go(stage, first->since_, now)) return first;
  }
  return nullptr;
}

void ClientLists::publish(ClientStage stage) {
  if (static_cast<size_t>(stage) >= Fronts::stages) return;
  ListedClient* const first = of(stage).front();
  fronts_.set(stage, first == nullptr ? std::nullopt : std::optional(first->since_));
}

}  // namespace sluice::runtime

#include "runtime/series.h"

#include <unordered_set>
#include <vector>

namespace sluice::runtime {

void Series::publish(const config::Snapshot& snapshot) {
  const auto names_of = [](const auto& all) {
    std::vector<std::string_view> names;
    for (const auto& one : all) names.emplace_back(one.name);
    return names;
  };
  publish(kinds_[0], names_of(snapshot.listeners));
  publish(kinds_[1], names_of(snapshot.routes));
  publish(kinds_[2], names_of(snapshot.upstreams));
}

// A name that comes back before its cells were given away goes on with them: its life began when it first came.
void Series::publish(Kind& kind, const std::vector<std::string_view>& names) {
  const metrics::Registry::Values wanted(names.begin(), names.end());
  metrics::Registry::Values left;
  for (auto it = kind.live.begin(); it != kind.live.end();) {
    const auto here = it++;
    if (wanted.contains(here->first)) continue;
    here->second.end = epochs_.now();
    left.insert(kind.gone.insert(kind.live.extract(here)).position->first);
  }
  metrics::Registry::Values back;
  for (const std::string_view name : wanted) {
    if (const auto gone = kind.gone.find(name); gone != kind.gone.end()) {
      back.insert(kind.live.insert(kind.gone.extract(gone)).position->first);
    } else if (!kind.live.contains(name)) {
      kind.live.emplace(name, Life{epochs_.now(), 0});
    }
  }
  if (!left.empty()) env_.registry.retire(kind.label, left);
  if (!back.empty()) env_.registry.revive(kind.label, back);
}

void Series::look() {
  for (Kind& kind : kinds_) {
    metrics::Registry::Values over;
    for (const auto& [name, life] : kind.gone) {
      if (epochs_.over(life)) over.insert(name);
    }
    if (over.empty()) continue;
    env_.registry.reclaim(kind.label, over);
    std::erase_if(kind.gone, [this](const auto& entry) { return epochs_.over(entry.second); });
  }
}

}  // namespace sluice::runtime

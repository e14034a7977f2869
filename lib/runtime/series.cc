#include "runtime/series.h"

#include <algorithm>
#include <utility>

#include "runtime/cells.h"
#include "upstream/metrics.h"

namespace sluice::runtime {

// On the helper's thread.
class Series::Books {
 public:
  Books(metrics::Registry& registry, const base::Clock& clock) : registry_(registry), clock_(clock) {}

  void publish(const Generation& next, Epoch now) {
    const config::Snapshot& snapshot = *next.snapshot;
    publish(kinds_[0], names_of(snapshot.listeners), now);
    const auto routes = publish(kinds_[1], names_of(snapshot.routes), now);
    for (const std::string_view name : routes) declare_route(registry_, name);
    for (const route::RouteOptions& route : snapshot.routes) {
      if (route.rate_limit) declare_rate_limit(registry_, route.name);
      if (route.concurrency_limit) declare_concurrency_limit(registry_, route.name);
      if (route.fallback) declare_fallback(registry_, route.name);
    }
    const auto upstreams = publish(kinds_[2], names_of(snapshot.upstreams), now);
    for (const Backing& backing : next.upstreams) {
      if (!upstreams.contains(backing.options->name)) continue;
      declare_upstream(registry_, backing.options->name);
      upstream::export_shared(registry_, backing.shared, {}, *backing.options, clock_);
    }
  }

  void reclaim(const Epochs& epochs) {
    for (Kind& kind : kinds_) {
      metrics::Registry::Values over;
      for (const auto& [name, life] : kind.gone) {
        if (epochs.over(life)) over.insert(name);
      }
      if (over.empty()) continue;
      registry_.reclaim(kind.label, over);
      std::erase_if(kind.gone, [&](const auto& entry) { return epochs.over(entry.second); });
    }
  }

  bool gone() const {
    return std::ranges::any_of(kinds_, [](const Kind& kind) { return !kind.gone.empty(); });
  }

 private:
  using Names = std::map<std::string, Life, std::less<>>;
  struct Kind {
    std::string_view label;
    Names live;  // end is not set
    Names gone;
  };

  template <class Items>
  static metrics::Registry::Values names_of(const Items& all) {
    metrics::Registry::Values names(all.size());
    for (const auto& one : all) names.emplace(one.name);
    return names;
  }

  // Those that came. A name that comes back before its cells were given away goes on with them: its life began when it
  // first came.
  metrics::Registry::Values publish(Kind& kind, const metrics::Registry::Values& wanted, Epoch now) {
    metrics::Registry::Values left;
    for (auto it = kind.live.begin(); it != kind.live.end();) {
      const auto here = it++;
      if (wanted.contains(here->first)) continue;
      here->second.end = now;
      left.insert(kind.gone.insert(kind.live.extract(here)).position->first);
    }
    metrics::Registry::Values back;
    metrics::Registry::Values came;
    for (const std::string_view name : wanted) {
      if (kind.live.contains(name)) continue;
      came.insert(name);
      if (const auto gone = kind.gone.find(name); gone != kind.gone.end()) {
        back.insert(kind.live.insert(kind.gone.extract(gone)).position->first);
      } else {
        kind.live.emplace(name, Life{now, 0});
      }
    }
    if (!left.empty()) registry_.retire(kind.label, left);
    if (!back.empty()) registry_.revive(kind.label, back);
    return came;
  }

  metrics::Registry& registry_;
  const base::Clock& clock_;
  Kind kinds_[3] = {{"listener", {}, {}}, {"route", {}, {}}, {"upstream", {}, {}}};
};

Series::Series(ControlEnv& env, const Epochs& epochs)
    : env_(env), epochs_(epochs), books_(std::make_shared<Books>(env.registry, env.loop.clock())) {}

void Series::publish_first(const Generation& next) { books_->publish(next, epochs_.now()); }

void Series::publish(GenerationPtr next, std::function<void()> then) {
  gone_ = true;
  ++published_;
  env_.helper.submit_always(
      [books = books_, next = std::move(next), now = epochs_.now()] { books->publish(*next, now); }, std::move(then));
}

// One at a time; what comes meanwhile is looked at afterwards.
void Series::look() {
  again_ = looking_;
  if (!gone_ || looking_) return;
  looking_ = true;
  auto left = std::make_shared<bool>();
  const auto work = [books = books_, epochs = epochs_, left] {
    books->reclaim(epochs);
    *left = books->gone();
  };
  env_.helper.submit_always(work, [this, left, published = published_] {
    looking_ = false;
    if (published == published_) gone_ = *left;
    if (again_) look();
  });
}

}  // namespace sluice::runtime

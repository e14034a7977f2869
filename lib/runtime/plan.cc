#include "runtime/plan.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <utility>

namespace sluice::runtime {
namespace {

bool has_certificates(const Generation& generation) {
  return std::ranges::any_of(generation.listeners, [](const auto& listening) { return listening->tls != nullptr; });
}

bool has_error_pages(const Generation& generation) {
  const auto some = [](const exchange::ErrorPages& pages) { return !pages.empty(); };
  return std::ranges::any_of(generation.listener_pages, some) || std::ranges::any_of(generation.route_pages, some);
}

std::string words_of(const config::Diff& diff, const Generation& next) {
  std::string words = config::to_text(diff);
  if (diff.empty() && has_certificates(next)) words += "; certificates were read again";
  if (diff.empty() && has_error_pages(next)) words += "; error pages were read again";
  for (const config::Waiting& one : next.waiting) words += "; waits for a restart: " + one.key + " = " + one.value;
  return words;
}

}  // namespace

std::expected<Plan, config::Problems> make_plan(config::Loaded loaded, const Generation& running, uint32_t workers,
                                                base::Micros wall, Sockets sockets) {
  auto snapshot = std::make_shared<config::Snapshot>(*loaded.snapshot);
  std::vector<config::Waiting> waiting = config::keep_until_restart(*running.snapshot, *snapshot);
  const config::Diff diff = config::diff(*running.snapshot, *snapshot);
  loaded.snapshot = std::move(snapshot);
  Plan plan;
  plan.warnings = std::move(loaded.warnings);
  auto built = build_generation(loaded, &running, workers, wall, plan.warnings, sockets, std::move(waiting));
  if (!built) {
    config::Problems problems = std::move(built.error());
    std::ranges::move(plan.warnings, std::back_inserter(problems));   // they may say why
    return std::unexpected(std::move(problems));
  }
  plan.next = std::move(*built);
  plan.words = words_of(diff, *plan.next);
  return plan;
}

}  // namespace sluice::runtime

#include "runtime/port_forecast.h"

#include <algorithm>

namespace sluice::runtime {
namespace {

// Ports a second over the window, by its ends; what falls, or is too short to say, does not run out.
std::optional<base::Micros> runs_out(const std::deque<std::pair<base::Micros, std::uint32_t>>& looks,
                                     std::uint32_t available) {
  const auto& [first_at, first] = looks.front();
  const auto& [last_at, last] = looks.back();
  if (last <= first || last_at - first_at < PortForecast::window_least) return std::nullopt;
  const std::uint64_t left = available - std::min(available, last);
  const auto span = static_cast<double>((last_at - first_at).count);
  return base::Micros{static_cast<std::int64_t>(static_cast<double>(left) * span / static_cast<double>(last - first))};
}

}  // namespace

// Most of them in TIME_WAIT: connections end young. A small range can grow at once; with it used up each source address
// has as many ports again.
std::string first_fix(const PortRow& row) {
  constexpr std::uint32_t small_range = 40'000;
  if (row.time_wait * 2 > row.used)
    return "let connections live: raise idle_timeout in [upstream.pool], no max_requests there, and keep-alive at the "
           "server";
  if (row.available < small_range) return "widen net.ipv4.ip_local_port_range";
  return "add source_addresses to the upstream";
}

const std::vector<PortRow>& PortForecast::look(const PortsSeen& seen, base::Micros now) {
  rows_.clear();
  for (const PortUse& use : seen.uses) {
    rows_.push_back({.source = use.source.ip_text(),
                     .destination = use.destination.text(),
                     .used = use.used,
                     .time_wait = use.time_wait,
                     .available = seen.available});
  }
  const auto fuller = [](const PortRow& a, const PortRow& b) {
    return a.used != b.used ? a.used > b.used : a.subject() < b.subject();
  };
  const std::size_t kept = std::min(rows_.size(), subjects_most);
  std::ranges::partial_sort(rows_, rows_.begin() + static_cast<std::ptrdiff_t>(kept), fuller);
  rows_.resize(kept);
  std::map<std::string, Subject, std::less<>> next;
  for (PortRow& row : rows_) {
    auto node = subjects_.extract(row.subject());
    Subject& subject = next[row.subject()];
    if (!node.empty()) subject = std::move(node.mapped());
    subject.looks.emplace_back(now, row.used);
    while (now - subject.looks.front().first > window) subject.looks.pop_front();
    row.runs_out = runs_out(subject.looks, row.available);
    const std::uint64_t percent = row.available == 0 ? 100 : std::uint64_t{row.used} * 100 / row.available;
    const bool rises = row.runs_out && *row.runs_out < soon && percent >= trend_percent;
    row.short_of = percent >= full_percent || rises || (subject.short_of && percent >= well_percent);
    subject.short_of = row.short_of;
  }
  subjects_ = std::move(next);
  return rows_;
}

}  // namespace sluice::runtime

// An operator takes an endpoint out, or puts it in again: POST /upstreams/NAME/endpoints/ENDPOINT/disable, /enable.
// There is one concept for both "disable" and "drain": what is under way always ends as it would.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/log_event.h"
#include "runtime/pages.h"

namespace sluice::runtime {
namespace {

constexpr const char* plain_text = "text/plain; charset=utf-8";
constexpr std::size_t named_at_most = 64;

std::string listed(const std::vector<std::string_view>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < named_at_most; ++i) text += fmt::format(" {}", names[i]);
  if (names.size() > named_at_most) text += fmt::format(" and {} more", names.size() - named_at_most);
  return text.empty() ? " none" : text;
}

admin::Page unknown_upstream(const Generation& generation, std::string_view name) {
  std::vector<std::string_view> names;
  for (const Backing& backing : generation.upstreams) names.push_back(backing.options->name);
  return {404, plain_text, fmt::format("404: there is no upstream {}; known:{}\n", name, listed(names))};
}

admin::Page unknown_endpoint(const upstream::SharedUpstream& upstream, std::string_view name) {
  std::vector<std::string_view> names;
  for (const upstream::EndpointEntry& e : upstream.endpoints()->entries) names.push_back(e.endpoint->name());
  return {404, plain_text,
          fmt::format("404: upstream {} has no endpoint {}; known:{}\n", upstream.name(), name, listed(names))};
}

// Of what is left, in words; "" if something is.
std::string warning(const upstream::SharedUpstream& upstream, std::uint32_t max_connections) {
  if (upstream.capacity(*upstream.endpoints(), max_connections).endpoints != 0) return "";
  return fmt::format("warning: upstream {} has no usable endpoint left: its requests are answered 503 no_endpoint\n",
                     upstream.name());
}

}  // namespace

void Pages::switch_endpoint(const admin::EndpointOrder& order, Done done) {
  const Generation& generation = *rooms_.in_force;
  const auto backing =
      std::ranges::find_if(generation.upstreams, [&](const Backing& b) { return b.options->name == order.upstream; });
  if (backing == generation.upstreams.end()) return done(unknown_upstream(generation, order.upstream));
  const std::shared_ptr<upstream::SharedUpstream> shared = backing->shared;
  // Two names may lead to one address: whoever names it means it, whatever it is asked for as.
  std::vector<std::shared_ptr<upstream::SharedEndpoint>> meant;
  for (const upstream::EndpointEntry& e : shared->endpoints()->entries) {
    if (e.endpoint->name() == order.endpoint) meant.push_back(e.endpoint);
  }
  if (meant.empty()) return done(unknown_endpoint(*shared, order.endpoint));
  bool changed = false;
  uint32_t in_flight = 0;
  for (const auto& endpoint : meant) {
    changed = shared->set_disabled(*endpoint, order.disable, env_.loop.now()) || changed;
    in_flight += endpoint->in_flight();
  }
  std::string text = fmt::format("{}{}: {} of upstream {}", order.disable ? "disabled" : "enabled",
                                 changed ? "" : " already", order.endpoint, shared->name());
  if (order.disable) text += fmt::format("; {} requests in flight end as they would", in_flight);
  if (changed)
    base::log_event(base::LogLevel::warn, "endpoint_state",
                    {{"upstream", shared->name()},
                     {"endpoint", order.endpoint},
                     {"from", order.disable ? "in_use" : "disabled"},
                     {"to", order.disable ? "disabled" : "in_use"},
                     {"by", "operator"},
                     {"in_flight", in_flight}});
  text += "\n";
  if (order.disable) text += warning(*shared, backing->options->pool.max_connections);
  // Whoever has heard of it sends nothing there any more.
  env_.crew.ask_all<bool>(
      [shared, meant](Worker& worker) {
        for (const auto& endpoint : meant) worker.endpoint_switched(shared.get(), endpoint->id());
        return true;
      },
      [text, done](const std::vector<bool>&) { done({200, plain_text, text}); });
}

}  // namespace sluice::runtime

#include "rig.h"

#include <algorithm>
#include <ranges>

#include "base/text.h"
#include "config/load.h"
#include "config/source.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

namespace sluice::sim {

Rig::Rig(std::string_view toml, exchange::AccessLog* log) {
  shared.access_log = log;
  shared.places.most = 1000;
  worker = std::make_unique<runtime::Worker>(runtime::Worker::Setup{0, 1, sim.loop(), network, shared, peers_});
  worker->report_held([this](const runtime::Held& held) { held_ = held; });
  reload(toml);
}

Rig::~Rig() {
  network.hush();
  for (const auto& client : clients_) client->on_event = nullptr;
  worker->leave([] {});
  worker->abort_all();
  sim.settle();
  worker.reset();
  sim.settle();
}

void Rig::reload(std::string_view toml) {
  begin_reload(toml);
  sim.settle();
}

void Rig::begin_reload(std::string_view toml) {
  auto loaded = config::load(*config::Source::of("sim.toml", std::string(toml)));
  if (!loaded) FAIL(base::to_text(loaded.error().front()));
  config::Problems warnings;
  auto built =
      runtime::build_generation(*loaded, generation.get(), 1, sim.loop().wall(), warnings, runtime::Sockets::none);
  if (!built) FAIL(base::to_text(built.error().front()));
  generation = *built;
  shared.max_lateness = base::Micros{generation->snapshot->runtime.max_lateness}.count;
  auto sets = std::make_shared<runtime::EndpointSets>();
  for (size_t i = 0; i < generation->upstreams.size(); ++i) {
    const auto& options = generation->snapshot->upstreams[i];
    generation->upstreams[i].shared->set_outlier(options.outlier);
    sets->push_back(generation->upstreams[i].shared->set_endpoints(
        options.endpoints, options.panic_threshold, upstream::Newcomers::at_full_weight, sim.now(), options.balance));
  }
  worker->apply(generation, sets, ++epoch_);
}

support::ScriptedPeer& Rig::client(uint32_t listener, const char* address) {
  support::PipeAddresses addresses;
  addresses.far = *net::Address::parse_ip(address, 5000);
  auto pair = support::scripted_pair(sim, addresses);
  clients_.push_back(std::move(pair.peer));
  worker->bring(listener, std::move(pair.transport));
  return *clients_.back();
}

std::string Rig::ask(std::string_view request) {
  support::ScriptedPeer& peer = client();
  peer.send(request);
  sim.settle();
  return peer.take();
}

double Rig::metric(metrics::Name name, std::vector<std::string> labels) const {
  double sum = 0;
  for (const metrics::Sample& sample : registry.collect(name)) {
    if (std::ranges::equal(labels, sample.labels | std::views::take(labels.size()))) sum += sample.value;
  }
  return sum;
}

support::SimNetwork::OnPeer answering(std::string answer) {
  return [answer](support::ScriptedPeer& peer) {
    peer.on_event = [answer, pending = std::string()](support::ScriptedPeer& p) mutable {
      pending += p.take();
      while (true) {
        const size_t end = pending.find("\r\n\r\n");
        if (end == std::string::npos) return;
        size_t length = 0;
        const size_t at = base::to_lower(pending).find("\r\ncontent-length:");
        if (at < end) length = std::stoul(pending.substr(at + 17));
        if (pending.size() < end + 4 + length) return;
        pending.erase(0, end + 4 + length);
        p.send(answer);
      }
    };
  };
}

}  // namespace sluice::sim

// A directory over a script in simulated time, and a follower that notes what it hears. For the tests of this folder.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "dns/directory.h"
#include "support/dns_script.h"
#include "support/sim_loop.h"

#include <doctest/doctest.h>

namespace sluice::dns_test {

using Texts = std::vector<std::string>;

inline Texts texts(const dns::Resolved& resolved) {
  Texts all;
  for (const auto& e : resolved.endpoints) all.push_back(e.address.text());
  return all;
}

struct Follower final : dns::Follower {
  void on_resolved(const dns::Resolved& resolved) override {
    ++resolutions;
    last = resolved;
    if (on_news) on_news();
  }
  void on_unresolved(std::string_view why) override {
    ++unresolved;
    reason = why;
  }
  Texts texts() const { return dns_test::texts(last); }

  int resolutions = 0, unresolved = 0;
  std::string reason;
  dns::Resolved last;
  std::function<void()> on_news;
};

struct World {
  explicit World(std::uint64_t seed = 1, dns::Meter* meter = nullptr) : directory(sim.loop(), script, seed, meter) {
    directory.configure(options);
  }
  ~World() { subscription.reset(); }

  void configure() { directory.configure(options); }
  void follow(const std::string& name = "app.example", dns::Kind kind = dns::Kind::address) {
    auto made =
        directory.follow({kind, name, static_cast<std::uint16_t>(kind == dns::Kind::address ? 80 : 0)}, follower);
    REQUIRE(made.has_value());
    subscription = std::move(*made);
  }
  dns::NameStatus status(const std::string& name = "app.example") {
    for (const auto& s : directory.status())
      if (s.name == name) return s;
    FAIL("not in the status: " << name);
    return {};
  }
  dns::RecordState state() { return subscription.resolved().state; }
  void run(base::Millis span) { sim.run_for(span); }

  support::SimLoop sim;
  support::DnsScript script{sim};
  dns::DnsOptions options;
  dns::Directory directory;
  Follower follower;
  dns::Subscription subscription;
};

}  // namespace sluice::dns_test

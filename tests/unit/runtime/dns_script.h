// Name servers of a test: queries that are answered by a script, in simulated time.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "dns/queries.h"
#include "support/sim_loop.h"

namespace sluice::runtime::test {

// Answers after 1 ms with what stands in `zone`; a name that does not stand there fails with `outcome`.
class Script final : public dns::Queries {
 public:
  explicit Script(support::SimLoop& sim) : sim_(sim) {}
  std::unique_ptr<dns::Lookup> ask(std::string_view name, dns::Type type, Asker& asker) override {
    auto lookup = std::make_unique<Asked>();
    dns::Reply reply;
    reply.started = sim_.now();
    const auto at = zone.find(std::string(name));
    if (at == zone.end()) {
      reply.outcome = reply.answer.outcome = missing;
    } else {
      const auto family = type == dns::Type::a ? net::Address::Family::ipv4 : net::Address::Family::ipv6;
      for (const std::string& text : at->second) {
        if (const auto address = net::Address::parse_ip(text); address->family() == family)
          reply.answer.addresses.push_back(*address);
      }
      const bool some = !reply.answer.addresses.empty();
      reply.outcome = reply.answer.outcome = some ? dns::Outcome::ok : dns::Outcome::empty;
      if (some) reply.answer.ttl = 1;
    }
    reply.answer.canonical_name = name;
    ++asked;
    sim_.post(base::millis(1), [alive = lookup->alive, reply, &asker, this]() mutable {
      reply.ended = sim_.now();
      if (*alive) asker.on_reply(reply);
    });
    return lookup;
  }
  void configure(const dns::DnsOptions&) override {}

  std::map<std::string, std::vector<std::string>> zone;
  dns::Outcome missing = dns::Outcome::nxdomain;
  int asked = 0;

 private:
  struct Asked final : dns::Lookup {
    ~Asked() override { *alive = false; }
    std::shared_ptr<bool> alive = std::make_shared<bool>(true);
  };
  support::SimLoop& sim_;
};

}  // namespace sluice::runtime::test

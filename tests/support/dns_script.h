// DnsScript: a seam of queries in simulated time. A test writes what the DNS says of each name; every query is noted.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dns/queries.h"
#include "support/sim_loop.h"

namespace sluice::support {

class DnsScript final : public dns::Queries {
 public:
  struct Says {
    dns::Outcome outcome = dns::Outcome::empty;
    std::vector<std::string> addresses;          // without port, in any order
    std::vector<dns::ServiceRecord> services;
    std::uint32_t ttl = 60;
    std::optional<std::uint32_t> negative_ttl;
    base::Micros latency{1'000};                 // an outcome of timeout takes this long, too
  };
  struct Query {
    std::string name;
    dns::Type type;
    base::Micros at;
  };

  explicit DnsScript(SimLoop& sim) : sim_(sim) {}

  // What is said from now on; what is under way is answered with this, too.
  Says& at(const std::string& name, dns::Type type) { return zone_[{name, type}]; }
  void addresses(const std::string& name, std::vector<std::string> v4, std::uint32_t ttl = 60,
                 std::vector<std::string> v6 = {}) {
    set(name, dns::Type::a, std::move(v4), ttl);
    set(name, dns::Type::aaaa, std::move(v6), ttl);
  }
  void services(const std::string& name, std::vector<dns::ServiceRecord> records, std::uint32_t ttl = 60) {
    Says& says = at(name, dns::Type::srv);
    says.outcome = dns::Outcome::ok;
    says.services = std::move(records);
    says.ttl = ttl;
  }
  void outcome(const std::string& name, dns::Outcome outcome, std::optional<std::uint32_t> negative_ttl = {}) {
    for (const auto type : {dns::Type::a, dns::Type::aaaa, dns::Type::srv})
      at(name, type).outcome = outcome, at(name, type).negative_ttl = negative_ttl;
  }

  std::vector<Query> queries;
  std::size_t configured = 0, in_flight = 0;
  bool twice_in_flight = false;                  // a name and type was asked for while it was being asked for
  std::size_t count(const std::string& name, dns::Type type) const {
    std::size_t n = 0;
    for (const Query& q : queries) n += q.name == name && q.type == type ? 1 : 0;
    return n;
  }

  std::unique_ptr<dns::Lookup> ask(std::string_view name, dns::Type type, Asker& asker) override {
    const Key key{std::string(name), type};
    queries.push_back({key.first, type, sim_.now()});
    twice_in_flight = twice_in_flight || under_way_[key]++ != 0;
    auto lookup = std::make_unique<Pending>(*this, key);
    sim_.post(zone_[key].latency, [this, key, &asker, asked = sim_.now(), alive = lookup->alive] {
      if (!*alive) return;
      *alive = false;
      const dns::Reply reply = say(key, asked);
      asker.on_reply(reply);
    });
    return lookup;
  }
  void configure(const dns::DnsOptions&) override { ++configured; }

 private:
  using Key = std::pair<std::string, dns::Type>;
  struct Pending final : dns::Lookup {
    Pending(DnsScript& of, Key what) : script(of), key(std::move(what)) { ++script.in_flight; }
    ~Pending() override {
      *alive = false;
      --script.in_flight;
      --script.under_way_[key];
    }
    DnsScript& script;
    Key key;
    std::shared_ptr<bool> alive = std::make_shared<bool>(true);
  };

  void set(const std::string& name, dns::Type type, std::vector<std::string> texts, std::uint32_t ttl) {
    Says& says = at(name, type);
    says.outcome = texts.empty() ? dns::Outcome::empty : dns::Outcome::ok;
    says.addresses = std::move(texts);
    says.ttl = ttl;
  }
  dns::Reply say(const Key& key, base::Micros asked) {
    const Says& says = zone_[key];
    dns::Reply reply;
    reply.outcome = reply.answer.outcome = says.outcome;
    reply.server = "script:53";
    reply.started = reply.asked = asked;
    reply.ended = sim_.loop().now();
    reply.answer.ttl = says.ttl;
    reply.answer.negative_ttl = says.negative_ttl;
    if (says.outcome != dns::Outcome::ok) return reply;
    for (const std::string& text : says.addresses) reply.answer.addresses.push_back(*net::Address::parse_ip(text));
    std::sort(reply.answer.addresses.begin(), reply.answer.addresses.end(),
              [](const net::Address& a, const net::Address& b) {
                return std::lexicographical_compare(a.ip_bytes().begin(), a.ip_bytes().end(), b.ip_bytes().begin(),
                                                    b.ip_bytes().end());
              });
    reply.answer.services = says.services;
    std::sort(reply.answer.services.begin(), reply.answer.services.end());
    return reply;
  }

  SimLoop& sim_;
  std::map<Key, Says> zone_;
  std::map<Key, int> under_way_;
};

}  // namespace sluice::support

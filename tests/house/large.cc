#include "large.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "house.h"

namespace sluice::house {
namespace {

constexpr int small_size = 200;
constexpr int large_size = 1'000;  // upstreams; four routes each

// What the longest turns may take beyond those of the small configuration. A vector that grows counts by its logarithm.
constexpr uint64_t slack = 100;
// Control looks at each upstream: a table and a list of sets, one entry each.
constexpr uint64_t control_per_upstream = 4;

std::string configuration(int upstreams, const std::string& prefix, int timeout) {
  std::string text =
      "[log]\nlevel = \"error\"\n[runtime]\nmax_connections = 1000\n[[listener]]\nname = \"a\"\naddress = "
      "\"127.0.0.1:8080\"\n";
  for (int i = 0; i < upstreams; ++i) {
    text += fmt::format("[[upstream]]\nname = \"{}{}\"\nendpoints = [\"10.0.0.1:80\"]\n", prefix, i);
    for (int r = 0; r < 4; ++r) {
      text += fmt::format(
          "[[route]]\nname = \"{0}{1}.{2}\"\npath_prefix = \"/{1}/{2}\"\nupstream = \"{0}{1}\"\ntimeout = \"{3}s\"\n",
          prefix, i, r, i == 0 && r == 0 ? timeout : 20);
    }
  }
  return text;
}

void serve(support::ScriptedPeer& peer) {
  peer.on_event = [pending = std::string()](support::ScriptedPeer& p) mutable {
    pending += p.take();
    for (size_t end = 0; (end = pending.find("\r\n\r\n")) != std::string::npos; pending.erase(0, end + 4)) {
      p.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
  };
}

struct Costs {
  uint64_t worker = 0;
  uint64_t control = 0;
};

class Grown {
 public:
  explicit Grown(int upstreams) : upstreams_(upstreams), house_(1, configuration(upstreams, "a", 10)) {
    house_.each_network([](support::SimNetwork& network) { network.serve(net::Address::ipv4(0x0A000001, 80), serve); });
    house_.settle();
    for (uint32_t worker = 0; worker < House::workers; ++worker) use_all(worker);
    house_.after_step = [this] {
      const House::Turn turn = house_.last_turn();
      if (turn.runner == House::Runner::worker) costs_.worker = std::max(costs_.worker, turn.work);
      if (turn.runner == House::Runner::control) costs_.control = std::max(costs_.control, turn.work);
    };
  }

  // Of the longest turns until all that follows from it is done.
  Costs reload(const std::string& prefix, int timeout) {
    costs_ = {};
    house_.file = configuration(upstreams_, prefix, timeout);
    int status = 0;
    house_.reload([&](const admin::Page& page) { status = page.status; });
    house_.run_for(base::seconds(20));
    if (status != 200) throw Broken{fmt::format("the reload was answered {}", status)};
    return costs_;
  }

 private:
  // Every upstream has a connection on every worker.
  void use_all(uint32_t worker) {
    auto client = house_.client(worker, 0);
    for (int i = 0; i < upstreams_; ++i) {
      client->send(fmt::format("GET /{}/0 HTTP/1.1\r\nHost: a.test\r\n\r\n", i));
      std::string answer;  // a message to another worker may be lost, and a thread may lose its processor
      for (int waits = 0; waits < 50 && !answer.ends_with("ok"); ++waits) {
        house_.run_for(base::Millis{4});
        answer += client->take();
      }
      if (!answer.ends_with("ok")) throw Broken{fmt::format("upstream {} does not answer", i)};
    }
    client->fin();
    house_.settle();
  }

  int upstreams_;
  Costs costs_;
  House house_;
};

void at_most(const char* what, uint64_t cost, uint64_t budget) {
  if (cost > budget) throw Broken{fmt::format("{}: {} calls of malloc in a turn, at most {}", what, cost, budget)};
}

}  // namespace

void large() {
  Grown few(small_size);
  Grown many(large_size);
  constexpr uint64_t more = (large_size - small_size) * control_per_upstream + slack;
  struct Case {
    const char* what;
    const char* prefix;
    int timeout;
  };
  for (const Case& one : {Case{"one route", "a", 11}, Case{"all names", "b", 11}, Case{"one route again", "b", 12}}) {
    const Costs of_few = few.reload(one.prefix, one.timeout);
    const Costs of_many = many.reload(one.prefix, one.timeout);
    std::printf(
        "%s: longest turn of a worker %llu calls of malloc with %d upstreams, %llu with %d; of control %llu, %llu\n",
        one.what, static_cast<unsigned long long>(of_few.worker), small_size,
        static_cast<unsigned long long>(of_many.worker), large_size, static_cast<unsigned long long>(of_few.control),
        static_cast<unsigned long long>(of_many.control));
    at_most(one.what, of_many.worker, of_few.worker + slack);
    at_most(one.what, of_many.control, of_few.control + more);
  }
}

}  // namespace sluice::house

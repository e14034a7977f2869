// One snapshot for all who ask: while it is young, after a reload, and when a worker does not answer.
#include "runtime/snapshots.h"

#include <deque>
#include <utility>
#include <vector>

#include "rig.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using base::Micros;
using runtime::Snapshot;
using runtime::SnapshotPtr;
using runtime::Snapshots;
using runtime::WorkerWord;
using sim::Rig;

namespace {

const std::string toml =
    "[[listener]]\naddress = \"127.0.0.1:8080\"\n[[upstream]]\nname = \"app\"\nendpoints = [\"10.0.0.1:3000\"]\n"
    "[[route]]\nname = \"r\"\nupstream = \"app\"\n";

// The rig's worker twice; the mail of the second one may be held up.
struct Pair final : runtime::Crew {
  explicit Pair(Rig& r) : rig(r) {}
  uint32_t size() const override { return 2; }
  void post(uint32_t worker, Message message) override {
    if (worker == 1 && stuck) return held.push_back(std::move(message));
    ++answers;
    message(*rig.worker);
  }
  void to_control(std::function<void()> message) override { message(); }
  void let_go() {
    stuck = false;
    for (Message& one : std::exchange(held, {})) one(*rig.worker);
  }
  Rig& rig;
  bool stuck = false;
  int answers = 0;
  std::deque<Message> held;
};

struct AtOnce final : admin::Helper {
  bool submit(std::function<void()> work, std::function<void()> then) override {
    work();
    then();
    return true;
  }
  void submit_always(std::function<void()> work, std::function<void()> then) override { submit(work, then); }
};

struct House {
  SnapshotPtr ask(bool now = false) {
    SnapshotPtr got;
    snapshots.ask(now, [&](SnapshotPtr one) { got = std::move(one); });
    return got;
  }
  // As Pages does it.
  Snapshot make(const runtime::GenerationPtr& generation, const std::vector<WorkerWord>& words) {
    Snapshot made{generation, {}, {}};
    made.facts.now = rig.sim.loop().now();
    for (const WorkerWord& word : words) {
      made.facts.worker_ages.push_back(word.at.count < 0 ? word.at : rig.sim.loop().now() - word.at);
      made.facts.workers.push_back(word.status.clusters);
    }
    return made;
  }

  Rig rig{toml};
  Pair crew{rig};
  AtOnce helper;
  metrics::Registry registry{2};
  runtime::ControlCells cells{registry};
  exchange::Random random{1};
  runtime::ControlEnv env{rig.sim.loop(), crew, helper, registry, rig.shared, cells, random};
  Snapshots snapshots{env, rig.generation, [this](const auto& g, const auto& words) { return make(g, words); }};
};

constexpr Micros second{1'000'000};

}  // namespace

TEST_CASE("who asks while it is young gets the same one, and no worker is asked; then a new one") {
  House house;
  const SnapshotPtr first = house.ask();
  REQUIRE(first != nullptr);
  CHECK(first->facts.workers.size() == 2);
  CHECK(first->facts.workers[0].size() == 1);
  CHECK(house.crew.answers == 2);
  house.rig.sim.run_for(base::millis(Snapshots::young.count - 1));
  CHECK(house.ask() == first);
  CHECK(house.crew.answers == 2);
  const SnapshotPtr now = house.ask(true);
  CHECK(now != first);
  CHECK(house.crew.answers == 4);
  house.rig.sim.run_for(Snapshots::young);
  CHECK(house.ask() != now);
  CHECK(house.crew.answers == 6);
}

TEST_CASE("many upstreams: each worker says it in pieces, a turn each, and all of it arrives in its order") {
  std::string many = "[[listener]]\naddress = \"127.0.0.1:8080\"\n[[route]]\nname = \"r\"\nupstream = \"u0\"\n";
  constexpr size_t upstreams = 3 * runtime::WorkerStatus::endpoints_a_turn / 2 + 1;  // with one endpoint each
  for (size_t i = 0; i < upstreams; ++i) {
    many += "[[upstream]]\nname = \"u" + std::to_string(i) + "\"\nendpoints = [\"10.0.0.1:3000\"]\n";
  }
  House house;
  house.rig.reload(many);
  house.crew.answers = 0;
  const SnapshotPtr got = house.ask();
  REQUIRE(got != nullptr);
  CHECK(house.crew.answers == 2 * 4);
  for (const auto& worker : got->facts.workers) {
    REQUIRE(worker.size() == upstreams);
    for (size_t i = 0; i < upstreams; ++i) CHECK(worker[i].name == "u" + std::to_string(i));
  }
}

TEST_CASE("after a reload it is no more the state; what nobody asks for keeps no configuration alive") {
  House house;
  const std::weak_ptr<const runtime::Generation> before = house.rig.generation;
  const Snapshot* const first = house.ask().get();
  house.rig.reload(toml);
  house.rig.sim.settle();
  const SnapshotPtr second_one = house.ask();
  CHECK(second_one.get() != first);
  CHECK(second_one->generation == house.rig.generation);
  CHECK(before.expired());
}

TEST_CASE("a worker that does not answer: its figures of before, with their age; its mail does not pile up") {
  House house;
  REQUIRE(house.ask() != nullptr);
  house.crew.stuck = true;
  SnapshotPtr late, also;
  house.rig.sim.run_for(base::seconds(1));
  house.snapshots.ask(false, [&](SnapshotPtr one) { late = std::move(one); });
  house.snapshots.ask(false, [&](SnapshotPtr one) { also = std::move(one); });
  house.rig.sim.run_for(base::millis(Snapshots::patience.count - 1));
  CHECK(late == nullptr);
  house.rig.sim.run_for(base::millis(2));
  REQUIRE(late != nullptr);
  CHECK(late == also);
  CHECK(late->facts.workers[1].size() == 1);
  CHECK(late->facts.worker_ages[0] >= second);
  CHECK(late->facts.worker_ages[1] >= second + second);
  SnapshotPtr later;
  house.rig.sim.run_for(base::seconds(1));
  house.snapshots.ask(false, [&](SnapshotPtr one) { later = std::move(one); });
  CHECK(house.crew.held.size() == 1);
  house.crew.let_go();
  REQUIRE(later != nullptr);
  CHECK(later->facts.worker_ages[1] == Micros{0});
}

TEST_CASE("now is after the question, also while the workers are being asked for another one") {
  House house;
  house.crew.stuck = true;
  SnapshotPtr first, now;
  house.snapshots.ask(false, [&](SnapshotPtr one) { first = std::move(one); });
  house.snapshots.ask(true, [&](SnapshotPtr one) { now = std::move(one); });
  house.crew.let_go();
  REQUIRE(first != nullptr);
  REQUIRE(now != nullptr);
  CHECK(first != now);
  CHECK(house.crew.answers == 3);
}

TEST_CASE("a worker that has never answered has no age") {
  House house;
  house.crew.stuck = true;
  SnapshotPtr got;
  house.snapshots.ask(false, [&](SnapshotPtr one) { got = std::move(one); });
  house.rig.sim.run_for(Snapshots::patience);
  REQUIRE(got != nullptr);
  CHECK(got->facts.worker_ages[1] == Micros{-1});
  CHECK(got->facts.workers[1].empty());
}

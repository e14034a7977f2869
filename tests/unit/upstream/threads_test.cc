// Two workers on two real threads with one cap between them: for the thread sanitizer, and for the order of
// announcements and counts that one thread cannot show. Simulated time runs apart in each; messages go through queues
// with a lock.
#include <atomic>
#include <barrier>
#include <functional>
#include <mutex>
#include <thread>

#include "fakes.h"
#include "support/random.h"

#include <doctest/doctest.h>

namespace {

using namespace sluice;
using namespace sluice::upstream;
using fakes::Request;

constexpr std::uint32_t cap = 3;
constexpr int rounds = 10'000;

struct Inbox {
  void push(std::function<void(ClusterImpl&)> message) {
    const std::lock_guard lock(mutex);
    messages.push_back(std::move(message));
  }
  std::vector<std::function<void(ClusterImpl&)>> take() {
    const std::lock_guard lock(mutex);
    return std::exchange(messages, {});
  }
  std::mutex mutex;
  std::vector<std::function<void(ClusterImpl&)>> messages;
};

struct Other final : PeerWorkers {
  Other(Inbox& to, std::uint32_t my) : inbox(to), me(my) {}
  void ask_give_up(const SharedUpstream&, std::uint32_t wanted) override {
    inbox.push([wanted, from = me](ClusterImpl& c) { c.give_up_idle(wanted, from); });
  }
  void pass_connection(const SharedUpstream&, std::uint32_t, std::shared_ptr<Parcel> parcel) override {
    inbox.push([parcel = std::move(parcel)](ClusterImpl& c) { c.accept_connection(parcel); });
  }
  void pass_slot(const SharedUpstream&, std::uint32_t, std::shared_ptr<PassedSlot> slot) override {
    inbox.push([slot = std::move(slot)](ClusterImpl& c) { c.accept_slot(slot); });
  }
  void pass_class_place(const SharedUpstream&, std::uint32_t, std::shared_ptr<ClassPlace> place) override {
    inbox.push([place = std::move(place)](ClusterImpl& c) { c.accept_class_place(*place); });
  }
  void ask_spare(const SharedUpstream&, std::uint32_t, const SpareWanted& wanted) override {
    inbox.push([wanted](ClusterImpl& c) { c.spare_one(wanted); });
  }
  void spares_none(const SharedUpstream&, std::uint32_t, std::uint64_t id) override {
    inbox.push([id](ClusterImpl& c) { c.asked_in_vain(id); });
  }
  void endpoint_down(const SharedUpstream&, std::uint64_t id) override {
    inbox.push([id](ClusterImpl& c) { c.endpoint_down(id); });
  }
  Inbox& inbox;
  std::uint32_t me;
};

struct Result {
  int served = 0;
  int refused = 0;
  int messages = 0;
  std::uint32_t most = 0;
  std::uint32_t most_in_class = 0;
  bool finished = false;
};

Result live(std::uint32_t me, const std::shared_ptr<SharedUpstream>& shared,
            const std::shared_ptr<const UpstreamOptions>& options, Inbox& mine, Inbox& other,
            std::barrier<>& together) {
  Result result;
  support::SimLoop sim;
  metrics::Registry registry(2);
  Other peers(other, me);
  support::Random random(me + 1);
  const std::shared_ptr<PoolClass> bulk = shared->pool_class("bulk");
  {
    auto cluster = make_cluster({sim.loop(), shared, me, &peers, registry, me});
    auto connector = std::make_unique<fakes::FakeConnector>(sim.loop());
    connector->answer = [&random](const SharedEndpoint&) {
      return random.one_in(50) ? fakes::Answer::refuse : fakes::Answer::accept;
    };
    connector->travels = true;
    cluster->configure(options, shared->endpoints(), std::move(connector));
    std::vector<std::unique_ptr<Request>> open;
    together.arrive_and_wait();
    auto turn = [&] {
      for (auto& message : mine.take()) {
        ++result.messages;
        sim.post({}, [&cluster, message = std::move(message)] { message(*cluster); });
      }
      sim.run_for(base::Millis{1});
      result.most = std::max(result.most, shared->endpoints()->entries[0].endpoint->connections());
      result.most_in_class = std::max(result.most_in_class, bulk->in_flight());
      std::erase_if(open, [&](const std::unique_ptr<Request>& r) {
        if (r->served()) {
          if (!random.one_in(3)) return false;
          sim.post({}, [q = r.get()] { q->finish(); });  // which leaves its class
          sim.settle();
          ++result.served;
          return true;
        }
        result.refused += r->refused.clean() ? 0 : 1;
        return !r->refused.clean();
      });
    };
    for (int i = 0; i < rounds; ++i) {
      while (open.size() < 8) {
        open.push_back(std::make_unique<Request>(sim.now()));
        Request& r = *open.back();
        cluster->acquire({.route = open.size() % 2 == 0 ? "slow" : "fast"}, r, r, r.grant);
      }
      turn();
      if (i % 64 == 0) std::this_thread::yield();
    }
    for (int i = 0; i < 3'000 && !open.empty(); ++i) turn();
    CHECK(open.empty());
    together.arrive_and_wait();  // nobody sends any more but in answer to what is in the queues
    cluster->retire(http::CloseCause::drain);
    for (int i = 0; i < 50; ++i) turn();
    together.arrive_and_wait();
    for (int i = 0; i < 50; ++i) turn();
    result.finished = cluster->finished();
    together.arrive_and_wait();
    mine.take();
  }
  sim.settle();
  return result;
}

void two_threads(std::vector<PoolClassOptions> classes) {
  const std::uint32_t class_limit = classes.empty() ? 0 : classes[0].max_connections;
  auto shared = std::make_shared<SharedUpstream>("app", 2);
  auto options = std::make_shared<UpstreamOptions>();
  options->name = "app";
  options->pool.max_connections = cap;
  options->pool_classes = std::move(classes);
  options->endpoints = {EndpointSpec{"10.0.0.1:80", *net::Address::parse("10.0.0.1:80"), 1}};
  shared->set_endpoints(options->endpoints, 50);
  Inbox boxes[2];
  Result results[2];
  std::barrier<> together(2);
  std::thread a([&] { results[0] = live(0, shared, options, boxes[0], boxes[1], together); });
  std::thread b([&] { results[1] = live(1, shared, options, boxes[1], boxes[0], together); });
  a.join();
  b.join();
  for (const Result& r : results) {
    CHECK(r.finished);
    CHECK(r.most <= cap);
    CHECK(r.most_in_class <= class_limit);
    CHECK(r.messages > 0);
  }
  CHECK(results[0].served + results[1].served > 0);  // by which is up to the scheduler: the clocks run apart
  const SharedEndpoint& e = *shared->endpoints()->entries[0].endpoint;
  CHECK(e.connections() == 0);
  CHECK(e.load() == 0);
  CHECK(shared->waiting() == 0);
  CHECK_FALSE(shared->board().anyone());
  PoolClass& bulk = *shared->pool_class("bulk");
  CHECK((bulk.in_flight() == 0 && bulk.waiting() == 0));
  CHECK_FALSE(bulk.board().anyone());
}

TEST_CASE("two threads, one cap") { two_threads({}); }

TEST_CASE("two threads, one cap, and a class of half of it") {
  two_threads({{.name = "bulk", .max_connections = cap / 2, .routes = {"slow"}}});
}

}  // namespace

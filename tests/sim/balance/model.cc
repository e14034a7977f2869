#include "model.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <memory>
#include <queue>

#include "upstream/balancer.h"
#include "upstream/maglev.h"
#include "upstream/service_time.h"

namespace sluice::sim {
namespace {

using base::Micros;
using upstream::SharedEndpoint;

constexpr Micros start{10'000'000};
constexpr double service_mean = 20'000;  // microseconds
constexpr double slow_factor = 10;
constexpr double cold_factor = 4;  // of a server that has just come back, falling to 1 over `cold_for`
constexpr double cold_for = 5'000'000;
constexpr std::int64_t fails_after = 100;  // microseconds
constexpr std::int64_t refused_after = 500;
constexpr std::int64_t noticed_after = 2'000'000;  // by health checks
constexpr std::size_t spans = 20;

std::string name_of(std::uint32_t i) {
  return "10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250) + ":80";
}

struct Instance {
  Instance(const Story& story, std::uint32_t number)
      : shared("app", 1, number), balancer(story.seed * 7'919 + number, shared.turns()) {
    std::vector<upstream::EndpointSpec> specs;
    for (std::uint32_t i = 0; i < story.servers; ++i)
      specs.push_back({name_of(i), *net::Address::parse(name_of(i)), 1});
    set = shared.set_endpoints(specs, 50, upstream::Newcomers::at_full_weight, start, story.balance);
    balancer.use(set, story.slow_start);
  }
  SharedEndpoint& at(std::uint32_t i) { return *set->entries[i].endpoint; }

  upstream::SharedUpstream shared;
  upstream::EndpointSetPtr set;
  upstream::Balancer balancer;
  upstream::ServiceTime usual;
  std::uint32_t in_flight = 0;
};

struct Request {
  std::uint32_t instance = 0;
  std::uint32_t server = 0;
  Micros came{};
  Micros sent{};
};

struct Server {
  double service = service_mean;
  std::uint32_t busy = 0;
  std::deque<std::uint32_t> waiting;  // requests
  std::uint64_t asked = 0;
  double worked = 0;  // place-microseconds
};

enum class Kind : std::uint8_t { arrival, ended, down, up, told_down, told_up };
struct Event {
  std::int64_t at = 0;
  std::uint64_t order = 0;
  Kind kind = Kind::arrival;
  std::uint32_t request = 0;
  bool operator<(const Event& o) const { return at != o.at ? at > o.at : order > o.order; }
};

double percentile(std::vector<double>& values, double share) {
  if (values.empty()) return 0;
  const auto at = static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return values[static_cast<std::size_t>(at)];
}

class Model {
 public:
  explicit Model(const Story& story) : story_(story), random_(story.seed), servers_(story.servers) {
    for (std::uint32_t i = 0; i < story.instances; ++i) instances_.push_back(std::make_unique<Instance>(story, i));
    double rate = 0;  // a microsecond
    for (Server& s : servers_) {
      s.service = service_mean * std::pow(story.spread, 2 * unit() - 1);
      rate += story.places / s.service;
    }
    between_ = 1 / (rate * story.load);
    span_ = between_ * story.requests / static_cast<double>(spans);
    if (story.trouble == Trouble::slow) servers_[0].service *= slow_factor;
    requests_.reserve(story.requests);
    over_time_.resize(spans);
  }

  Result run() {
    plan(Kind::arrival, start.count);
    if (story_.trouble == Trouble::lost || story_.trouble == Trouble::returns) plan_loss();
    while (!events_.empty()) {
      const Event event = events_.top();
      events_.pop();
      now_ = Micros{event.at};
      handle(event);
    }
    return summary();
  }

 private:
  double unit() { return static_cast<double>(random_.next() >> 11) * 0x1.0p-53; }
  double exponential(double mean) { return -std::log(1 - unit()) * mean; }
  void plan(Kind kind, std::int64_t at, std::uint32_t request = 0) { events_.push({at, ++order_, kind, request}); }

  // Where it comes back cold, checks have taken it out meanwhile; where it is only lost, requests find it so.
  void plan_loss() {
    const auto length = static_cast<std::int64_t>(span_ * spans);
    plan(Kind::down, start.count + length / 4);
    plan(Kind::up, start.count + length / 2);
    if (story_.trouble != Trouble::returns) return;
    plan(Kind::told_down, start.count + length / 4 + std::min(noticed_after, length / 16));
    plan(Kind::told_up, start.count + length / 2);
  }

  void handle(const Event& event) {
    switch (event.kind) {
      case Kind::arrival: return arrive();
      case Kind::ended: return end(event.request);
      case Kind::down: away_ = true; return;
      case Kind::up:
        away_ = false;
        back_at_ = now_;
        return;
      case Kind::told_down: return tell(upstream::Health::down);
      case Kind::told_up: return tell(upstream::Health::up);
    }
  }

  void tell(upstream::Health health) {
    for (const auto& i : instances_) i->shared.set_health(i->at(0), health, now_);
  }

  void arrive() {
    const auto number = static_cast<std::uint32_t>(requests_.size());
    requests_.push_back({.instance = random_.below(story_.instances), .came = now_});
    send(number);
    if (requests_.size() < story_.requests)
      plan(Kind::arrival, now_.count + static_cast<std::int64_t>(exponential(between_)) + 1);
  }

  // As the cluster does: a refused connect sets the endpoint aside, and the request goes on elsewhere.
  void send(std::uint32_t number) {
    Request& request = requests_[number];
    Instance& from = *instances_[request.instance];
    upstream::AvoidList avoid;
    std::int64_t lost = 0;
    for (std::uint32_t tries = 0; tries < 3; ++tries) {
      ++tries_;
      const std::uint64_t key = upstream::Maglev::mix(1 + number % story_.keys * 0x9e37'79b9u);
      const std::uint32_t i = from.balancer.pick({.now = now_,
                                                  .panic = from.shared.panic(),
                                                  .avoid = &avoid,
                                                  .half_life = from.usual.half_life(),
                                                  .usual_head = from.usual.usual_head(),
                                                  .key = key,
                                                  .in_flight = from.in_flight});
      const SharedEndpoint::Trial trial = from.at(i).claim_trial(now_, base::Millis{1'000});
      if (i == 0 && away_) {
        from.at(i).connect_failed(now_, trial);
        avoid.add(from.at(i).id());
        lost += refused_after;
        continue;
      }
      from.at(i).connected(now_, trial);
      return begin(number, i, lost);
    }
  }

  void begin(std::uint32_t number, std::uint32_t i, std::int64_t lost) {
    Request& request = requests_[number];
    Instance& from = *instances_[request.instance];
    from.at(i).begin_request();
    ++from.in_flight;
    request.server = i;
    request.came = Micros{request.came.count - lost};
    request.sent = now_;
    Server& server = servers_[i];
    ++server.asked;
    if (failing(i)) return plan(Kind::ended, now_.count + fails_after, number);
    if (server.busy == story_.places) return server.waiting.push_back(number);
    work(server, number);
  }

  bool failing(std::uint32_t i) const { return i == 0 && story_.trouble == Trouble::fails; }

  void work(Server& server, std::uint32_t number) {
    ++server.busy;
    double mean = server.service;
    const double since = static_cast<double>((now_ - back_at_).count);
    if (&server == servers_.data() && story_.trouble == Trouble::returns && back_at_.count != 0 && since < cold_for)
      mean *= cold_factor - (cold_factor - 1) * since / cold_for;
    const double took = exponential(mean) + 1;
    server.worked += took;
    waits_.push_back(static_cast<double>((now_ - requests_[number].sent).count) / 1'000);
    plan(Kind::ended, now_.count + static_cast<std::int64_t>(took), number);
  }

  void end(std::uint32_t number) {
    const Request& request = requests_[number];
    Instance& from = *instances_[request.instance];
    SharedEndpoint& endpoint = from.at(request.server);
    endpoint.end_request();
    --from.in_flight;
    const Micros took = now_ - request.sent;
    const bool well = !failing(request.server);
    if (story_.balance == upstream::Balance::p2c_ewma) endpoint.note_head(took, well, now_);
    if (!well) return endpoint.penalise(now_, from.usual.half_life());
    from.usual.add(took);
    if (story_.balance == upstream::Balance::p2c_ewma) from.usual.add_head(endpoint.head_time().micros);
    const double whole = static_cast<double>((now_ - request.came).count) / 1'000;
    times_.push_back(whole);
    const auto span = static_cast<std::size_t>(static_cast<double>((request.sent - start).count) / span_);
    over_time_[std::min(span, spans - 1)].push_back(whole);
    Server& server = servers_[request.server];
    --server.busy;
    if (server.waiting.empty()) return;
    const std::uint32_t next = server.waiting.front();
    server.waiting.pop_front();
    work(server, next);
  }

  Result summary() {
    Result result;
    result.wait_p50 = percentile(waits_, 0.5);
    result.wait_p99 = percentile(waits_, 0.99);
    result.time_p99 = percentile(times_, 0.99);
    result.tries = static_cast<double>(tries_) / static_cast<double>(requests_.size());
    result.share = static_cast<double>(servers_[0].asked) * story_.servers / static_cast<double>(requests_.size());
    double worked = 0;
    double most = 0;
    for (std::uint32_t i = story_.trouble == Trouble::none ? 0 : 1; i < story_.servers; ++i) {
      worked += servers_[i].worked;
      most = std::max(most, servers_[i].worked);
    }
    const double counted = story_.trouble == Trouble::none ? story_.servers : story_.servers - 1;
    result.busiest = most * counted / worked;
    for (std::vector<double>& span : over_time_) result.over_time.push_back(percentile(span, 0.99));
    return result;
  }

  const Story& story_;
  upstream::Random random_;
  std::vector<std::unique_ptr<Instance>> instances_;
  std::vector<Server> servers_;
  std::vector<Request> requests_;
  std::priority_queue<Event> events_;
  std::uint64_t order_ = 0;
  Micros now_ = start;
  Micros back_at_{};
  bool away_ = false;
  double between_ = 0;
  double span_ = 0;
  std::uint64_t tries_ = 0;
  std::vector<double> waits_;
  std::vector<double> times_;
  std::vector<std::vector<double>> over_time_;
};

}  // namespace

Result run(const Story& story) { return Model(story).run(); }

}  // namespace sluice::sim

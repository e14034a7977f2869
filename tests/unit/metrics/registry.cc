// The registry: cells by writer, sums, the limit of series, retire and reclaim, and the text of a scrape.
#include "metrics/registry.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <functional>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "metrics/exposition.h"
#include "metrics/process.h"
#include "metrics/request_counters.h"

#include <doctest/doctest.h>

using namespace sluice;  // NOLINT: a test
using metrics::Name;
using metrics::Registry;
using Strings = std::vector<std::string>;

namespace {

double value_of(const Registry& registry, Name name, const Strings& labels) {
  for (const auto& sample : registry.collect(name)) {
    if (sample.labels == labels) return sample.value;
  }
  return -1;
}

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

#ifndef NDEBUG
// What a process like this one says when it does that and ends for it; "": it lives on.
std::string last_words(const std::function<void()>& what) {
  int ends[2];
  CHECK(::pipe(ends) == 0);
  const pid_t other = ::fork();
  if (other == 0) {
    std::signal(SIGABRT, SIG_DFL);
    ::dup2(ends[1], STDERR_FILENO);
    what();
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string said(4096, '\0');
  const ssize_t length = ::read(ends[0], said.data(), said.size());
  ::close(ends[0]);
  int status = 0;
  CHECK(::waitpid(other, &status, 0) == other);
  said.resize(length > 0 ? static_cast<size_t>(length) : 0);
  CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) == !said.empty());
  return said;
}
#endif

}  // namespace

TEST_CASE("table: names are unique, prefixed kinds end as they must") {
  std::map<std::string_view, int> seen;
  for (const auto& d : metrics::definitions) {
    CAPTURE(d.name);
    CHECK(++seen[d.name] == 1);
    CHECK(!d.help.empty());
    CHECK(d.name.ends_with("_total") == (d.type == metrics::Type::counter));
    if (d.type == metrics::Type::histogram) CHECK(d.name.ends_with("_seconds"));
    for (size_t i = d.label_count(); i < metrics::labels_max; ++i) CHECK(d.labels[i].empty());
  }
  CHECK(metrics::definition_of(Name::requests_total).name == "requests_total");
  CHECK(metrics::definition_of(Name::requests_total).label_count() == 4);
}

TEST_CASE("cells of all writers are summed, and one writer gets the same cell again") {
  Registry registry(2);
  auto& a = registry.counter(Name::local_replies_total, {"no_route"}, 0);
  auto& b = registry.counter(Name::local_replies_total, {"no_route"}, 1);
  auto& c = registry.counter(Name::local_replies_total, {"no_route"}, registry.control());
  CHECK(registry.control() == 2);
  CHECK(&a != &b);
  CHECK(&a == &registry.counter(Name::local_replies_total, {"no_route"}, 0));
  a.add();
  b.add(10);
  c.add(100);
  registry.counter(Name::local_replies_total, {"timeout"}, 1).add(5);
  CHECK(value_of(registry, Name::local_replies_total, {"no_route"}) == 111);
  CHECK(value_of(registry, Name::local_replies_total, {"timeout"}) == 5);
  auto& g = registry.gauge(Name::upstream_connections, {"app", "idle"}, 0);
  g.add(3);
  g.add(-1);
  registry.gauge(Name::upstream_connections, {"app", "idle"}, 1).set(7);
  CHECK(value_of(registry, Name::upstream_connections, {"app", "idle"}) == 9);
}

TEST_CASE("cells of two writers never share a cache line") {
  Registry registry(3);
  std::map<uintptr_t, unsigned> owner;
  for (int i = 0; i < 200; ++i) {
    const std::string label = std::to_string(i);
    for (unsigned w = 0; w <= 3; ++w) {
      const auto line = reinterpret_cast<uintptr_t>(&registry.counter(Name::local_replies_total, {label}, w)) / 64;
      CHECK(owner.try_emplace(line, w).first->second == w);
    }
  }
}

TEST_CASE("histogram: bounds are inclusive, what is above counts in +Inf") {
  metrics::Histogram h;
  h.observe(base::Micros{0});
  h.observe(base::Micros{-5});  // a clock that was read out of order
  h.observe(base::Micros{100});
  h.observe(base::Micros{101});
  h.observe(base::seconds(300));
  h.observe(base::Micros{300'000'001});
  CHECK(h.bucket(0) == 3);
  CHECK(h.bucket(1) == 1);
  CHECK(h.bucket(metrics::Histogram::buckets - 2) == 1);
  CHECK(h.bucket(metrics::Histogram::buckets - 1) == 1);
  CHECK(h.sum() == 100 + 101 + 300'000'000 + 300'000'001);
  for (size_t i = 1; i < metrics::Histogram::bounds.size(); ++i)
    CHECK(metrics::Histogram::bounds[i - 1] < metrics::Histogram::bounds[i]);
}

TEST_CASE("a histogram of requests shows its own bounds, one of spans the others, and both count the same") {
  Registry registry(1);
  for (const Name name : {Name::request_duration_seconds, Name::upstream_connect_seconds}) {
    registry.histogram(name, {"a"}, 0).observe(base::Micros{80'000});
  }
  const std::string text = metrics::exposition(registry);
  CHECK(has_line(text, "sluice_request_duration_seconds_bucket{route=\"a\",le=\"0.075\"} 0"));
  CHECK(has_line(text, "sluice_request_duration_seconds_bucket{route=\"a\",le=\"0.1\"} 1"));
  CHECK(text.find("route=\"a\",le=\"0.0002\"") == std::string::npos);
  CHECK(has_line(text, "sluice_upstream_connect_seconds_bucket{upstream=\"a\",le=\"0.05\"} 0"));
  CHECK(has_line(text, "sluice_upstream_connect_seconds_bucket{upstream=\"a\",le=\"0.1\"} 1"));
  CHECK(text.find("upstream=\"a\",le=\"0.075\"") == std::string::npos);
}

TEST_CASE("exemplars: of each bucket that is shown the newest request of all workers, in OpenMetrics alone") {
  Registry registry(2);
  const std::string traces[] = {std::string(32, 'a'), std::string(32, 'b'), std::string(32, 'c'), "short"};
  const auto note = [&](unsigned writer, base::Micros value, size_t trace, base::Micros at) {
    const size_t bucket = registry.histogram(Name::request_duration_seconds, {"r"}, writer).observe(value);
    registry.exemplars(Name::request_duration_seconds, {"r"}, writer).note(bucket, value, traces[trace], at);
  };
  const base::Micros noon{1'000'000'000'000};
  note(0, base::Micros{150}, 0, noon);  // two buckets of cells, one of the scrape
  note(1, base::Micros{700}, 1, noon + base::millis(1));
  note(0, base::Micros{80'000}, 2, noon);
  note(0, base::Micros{80'001}, 0, noon + base::millis(999));  // too soon for another one
  note(0, base::Micros{200'000}, 3, noon);  // no trace
  const std::string text = metrics::exposition(registry, metrics::Format::openmetrics);
  const std::string bucket = "sluice_request_duration_seconds_bucket{route=\"r\",le=";
  CHECK(has_line(text, bucket + "\"0.001\"} 2 # {trace_id=\"" + traces[1] + "\"} 0.0007 1000000.001"));
  CHECK(has_line(text, bucket + "\"0.1\"} 4 # {trace_id=\"" + traces[2] + "\"} 0.08 1000000.000"));
  CHECK(has_line(text, bucket + "\"0.25\"} 5"));
  CHECK(metrics::exposition(registry).find("trace_id") == std::string::npos);
  note(0, base::Micros{80'002}, 1, noon + base::seconds(1));
  CHECK(metrics::exposition(registry, metrics::Format::openmetrics).find("} 0.080002 1000001.000") !=
        std::string::npos);
}

TEST_CASE("the limit of series: what is beyond shares one, and is counted") {
  Registry registry(1);
  const auto max = metrics::definition_of(Name::requests_total).series_max;
  for (uint32_t i = 0; i < max; ++i)
    registry.counter(Name::requests_total, {"l", std::to_string(i), "GET", "200"}, 0).add();
  CHECK(registry.series(Name::requests_total) == max);
  CHECK(registry.collect(Name::metrics_series_overflow_total).empty());
  auto& over = registry.counter(Name::requests_total, {"l", "one more", "GET", "200"}, 0);
  auto& over2 = registry.counter(Name::requests_total, {"l", "two more", "GET", "200"}, 0);
  CHECK(&over == &over2);
  over.add(3);
  CHECK(registry.series(Name::requests_total) == max + 1);
  CHECK(value_of(registry, Name::requests_total, {"other", "other", "other", "other"}) == 3);
  CHECK(value_of(registry, Name::metrics_series_overflow_total, {"requests_total"}) == 2);
  registry.counter(Name::requests_total, {"l", "0", "GET", "200"}, 0).add();  // a known one is still found
  CHECK(value_of(registry, Name::requests_total, {"l", "0", "GET", "200"}) == 2);
}

TEST_CASE("retire takes series out of the scrape, their cells stay; revive brings them back; reclaim recycles") {
  Registry registry(1);
  auto& app = registry.counter(Name::upstream_connections_opened_total, {"app"}, 0);
  auto& web = registry.counter(Name::upstream_connections_opened_total, {"web"}, 0);
  app.add(5);
  web.add(6);

  registry.retire("upstream", {"app", "never was"});
  CHECK(value_of(registry, Name::upstream_connections_opened_total, {"app"}) == -1);
  CHECK(value_of(registry, Name::upstream_connections_opened_total, {"web"}) == 6);
  app.add();  // an old request ends
  CHECK(&registry.counter(Name::upstream_connections_opened_total, {"app"}, 0) == &app);
  CHECK(value_of(registry, Name::upstream_connections_opened_total, {"app"}) == -1);   // asking alone shows nothing
  registry.revive("upstream", {"app"});
  CHECK(value_of(registry, Name::upstream_connections_opened_total, {"app"}) == 6);

  registry.retire("upstream", {"app"});
  CHECK(registry.retired() == 1);
  registry.reclaim("upstream", {"app"});
  CHECK(registry.retired() == 0);
  auto& fresh = registry.counter(Name::upstream_connections_opened_total, {"new"}, 0);
  CHECK(&fresh == &app);  // its memory is used again
  CHECK(fresh.value() == 0);
  CHECK(value_of(registry, Name::upstream_connections_opened_total, {"web"}) == 6);
}

TEST_CASE("a series that an old request makes of a name that is gone stands in no scrape") {
  Registry registry(1);
  registry.retire("route", {"old"});
  registry.counter(Name::requests_total, {"in", "old", "GET", "200"}, 0).add();
  CHECK(registry.series(Name::requests_total) == 0);
  CHECK(registry.retired() == 1);
  registry.retire("listener", {"in"});
  registry.revive("route", {"old"});
  CHECK(registry.series(Name::requests_total) == 0);   // its other name is gone, too
  registry.revive("listener", {"in"});
  CHECK(registry.series(Name::requests_total) == 1);
  registry.retire("route", {"old"});
  registry.reclaim("route", {"old"});
  registry.counter(Name::requests_total, {"in", "old", "GET", "200"}, 0).add();   // a new one of that name
  CHECK(registry.series(Name::requests_total) == 1);
}

TEST_CASE("names that are gone take no place from those that are there") {
  Registry registry(1);
  const auto max = metrics::definition_of(Name::upstream_connections_opened_total).series_max;
  for (uint32_t round = 0; round < 2; ++round) {
    std::vector<std::string> names;
    for (uint32_t i = 0; i < max; ++i) names.push_back("up" + std::to_string(round) + "." + std::to_string(i));
    for (const std::string& name : names) registry.counter(Name::upstream_connections_opened_total, {name}, 0);
    CHECK(registry.series(Name::upstream_connections_opened_total) == max);
    CHECK(value_of(registry, Name::upstream_connections_opened_total, {"other"}) == -1);
    registry.retire("upstream", {names.begin(), names.end()});
  }
}

TEST_CASE("remove takes series and their cells at once") {
  Registry registry(1);
  for (const char* const endpoint : {"a:1", "b:1", "c:1"})
    registry.gauge(Name::upstream_endpoint_healthy, {"app", endpoint}, 0).set(1);
  registry.gauge(Name::upstream_endpoint_healthy, {"web", "a:1"}, 0).set(1);
  registry.remove("upstream", "app", "endpoint", {"a:1", "c:1", "never was"});
  CHECK(registry.series(Name::upstream_endpoint_healthy) == 2);
  CHECK(value_of(registry, Name::upstream_endpoint_healthy, {"app", "a:1"}) == -1);
  registry.remove(Name::upstream_endpoint_healthy, {"web", "a:1"});
  registry.remove(Name::upstream_endpoint_healthy, {"web", "none"});
  CHECK(registry.series(Name::upstream_endpoint_healthy) == 1);
  CHECK(registry.retired() == 0);
}

#ifdef NDEBUG
TEST_CASE("a cell that is written after it was given back is found") {
  Registry registry(1);
  auto& cell = registry.gauge(Name::upstream_circuit_in_flight, {"app"}, 0);
  registry.retire("upstream", {"app"});
  registry.reclaim("upstream", {"app"});
  CHECK(registry.written_after_reclaim() == 0);
  cell.add(-1);
  CHECK(registry.written_after_reclaim() == 1);
}
#else
TEST_CASE("a cell that is written after it was given back ends a debug build, until another series has it") {
  Registry registry(1);
  auto& gauge = registry.gauge(Name::upstream_circuit_in_flight, {"app"}, 0);
  auto& counter = registry.counter(Name::upstream_connections_opened_total, {"app"}, 0);
  auto& histogram = registry.histogram(Name::upstream_connect_seconds, {"app"}, 0);
  const std::function<void()> writes[] = {[&] { gauge.add(-1); }, [&] { gauge.set(0); }, [&] { counter.add(); },
                                          [&] { histogram.observe(base::Micros{1}); }};
  registry.retire("upstream", {"app"});
  for (const auto& write : writes) CHECK(last_words(write).empty());   // old requests still count
  registry.reclaim("upstream", {"app"});
  for (const auto& write : writes) {
    CHECK(last_words(write).find("a metric cell is written after it was given back") != std::string::npos);
  }
  CHECK(registry.written_after_reclaim() == 0);
  CHECK(&registry.gauge(Name::upstream_circuit_in_flight, {"new"}, 0) == &gauge);
  CHECK(&registry.counter(Name::upstream_connections_opened_total, {"new"}, 0) == &counter);
  CHECK(&registry.histogram(Name::upstream_connect_seconds, {"new"}, 0) == &histogram);
  CHECK(gauge.value() == 0);
  CHECK(counter.value() == 0);
  CHECK(histogram.sum() == 0);
  for (const auto& write : writes) CHECK(last_words(write).empty());
}
#endif

TEST_CASE("computed values are read at each scrape, never after retire") {
  Registry registry(1);
  double now = 1.5;
  int calls = 0;
  registry.computed(Name::certificate_expiry_timestamp_seconds, {"https", "a.pem"}, [&] {
    ++calls;
    return now;
  });
  CHECK(value_of(registry, Name::certificate_expiry_timestamp_seconds, {"https", "a.pem"}) == 1.5);
  now = 2.5;
  CHECK(value_of(registry, Name::certificate_expiry_timestamp_seconds, {"https", "a.pem"}) == 2.5);
  registry.retire("name", {"a.pem"});
  CHECK(registry.collect(Name::certificate_expiry_timestamp_seconds).empty());
  CHECK(calls == 2);
}

TEST_CASE("request counters: indices to labels, growth, start-over, indices out of range") {
  Registry registry(1);
  metrics::RequestLabels labels{{"http", "https"}, {}, {"GET", "POST", "other"}};
  for (int i = 0; i < 3000; ++i) labels.routes.push_back("r" + std::to_string(i));
  metrics::RequestCounters counters(registry, 0, std::make_shared<metrics::RequestLabels>(labels));
  for (int round = 0; round < 2; ++round) {
    for (uint32_t route = 0; route < 3000; ++route) {
      for (uint16_t code = 200; code < 203; ++code)
        counters.count(1, route, 1, code);  // 9,000 combinations: grows, then starts over
    }
  }
  CHECK(registry.series(Name::requests_total) == 9000);
  for (const auto& sample : registry.collect(Name::requests_total)) REQUIRE(sample.value == 2);
  CHECK(value_of(registry, Name::requests_total, {"https", "r2999", "POST", "202"}) == 2);
  counters.count(0, UINT32_MAX, 0, 404);
  counters.count(0, 3000, 0, 404);
  CHECK(value_of(registry, Name::requests_total, {"http", "none", "GET", "404"}) == 2);
  counters.count(9, 0, 200, 499);
  CHECK(value_of(registry, Name::requests_total, {"none", "r0", "other", "499"}) == 1);
}

TEST_CASE("request counters beyond the limit of series") {
  Registry registry(1);
  metrics::RequestLabels labels{{"l"}, {}, {"other"}};
  for (int i = 0; i < 30'000; ++i) labels.routes.push_back("r" + std::to_string(i));
  metrics::RequestCounters counters(registry, 0, std::make_shared<metrics::RequestLabels>(labels));
  for (uint32_t route = 0; route < 30'000; ++route) counters.count(0, route, 0, 200);
  double sum = 0;
  for (const auto& sample : registry.collect(Name::requests_total)) sum += sample.value;
  CHECK(sum == 30'000);  // nothing is lost
  CHECK(value_of(registry, Name::requests_total, {"other", "other", "other", "other"}) == 10'000);
}

TEST_CASE("the text of a scrape") {
  Registry registry(2);
  registry.counter(Name::requests_total, {"l", "a\"b\\c\nd", "GET", "200"}, 0).add(41);
  registry.counter(Name::requests_total, {"l", "a\"b\\c\nd", "GET", "200"}, 1).add(1);
  auto& h = registry.histogram(Name::upstream_connect_seconds, {"app"}, 0);
  h.observe(base::Micros{150});
  h.observe(base::Micros{1'500'000});
  registry.histogram(Name::upstream_connect_seconds, {"app"}, 1).observe(base::seconds(100));
  registry.gauge(Name::drain_phase, {}, registry.control()).set(0);
  const std::string text = metrics::exposition(registry);
  CAPTURE(text);
  CHECK(has_line(text, "# TYPE sluice_requests_total counter"));
  CHECK(
      has_line(text, "sluice_requests_total{listener=\"l\",route=\"a\\\"b\\\\c\\nd\",method=\"GET\",code=\"200\"} 42"));
  CHECK(has_line(text, "# TYPE sluice_upstream_connect_seconds histogram"));
  CHECK(has_line(text, "sluice_upstream_connect_seconds_count{upstream=\"app\"} 3"));
  CHECK(has_line(text, "sluice_upstream_connect_seconds_sum{upstream=\"app\"} 101.50015"));
  CHECK(has_line(text, "sluice_upstream_connect_seconds_bucket{upstream=\"app\",le=\"0.0002\"} 1"));
  CHECK(has_line(text, "sluice_upstream_connect_seconds_bucket{upstream=\"app\",le=\"2\"} 2"));
  CHECK(has_line(text, "sluice_upstream_connect_seconds_bucket{upstream=\"app\",le=\"60\"} 2"));
  CHECK(has_line(text, "sluice_upstream_connect_seconds_bucket{upstream=\"app\",le=\"+Inf\"} 3"));
  CHECK(has_line(text, "sluice_drain_phase 0"));
  CHECK(text.find("sluice_dns_stale_seconds") == std::string::npos);  // no series, no family
  CHECK(has_line(text, "# TYPE process_cpu_seconds_total counter"));
  // Each line is a comment or "name{...} value": nothing a label held has broken one.
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("# HELP ") && !line.starts_with("# TYPE ")) CHECK(line.find_last_of(' ') > 5);
  }
}

TEST_CASE("facts of this process") {
  const auto facts = metrics::read_process();
  CHECK(facts.resident_bytes > 100'000);
  CHECK(facts.virtual_bytes >= facts.resident_bytes);
  CHECK(facts.threads >= 1);
  CHECK(facts.open_fds >= 2);
  CHECK(facts.open_fds <= facts.max_fds);
  CHECK(facts.start_time > 1.6e9);
  CHECK(facts.start_time <= base::steady_clock().wall().seconds() + 1);
}

TEST_CASE("writers and scrapes at once: counts only rise, and all arrive (tsan)") {
  Registry registry(3);
  std::atomic<bool> stop{false};
  std::vector<std::thread> writers;
  constexpr int each = 20'000;
  for (unsigned w = 0; w < 3; ++w) {
    writers.emplace_back([&registry, w] {
      metrics::RequestCounters counters(
          registry, w,
          std::make_shared<metrics::RequestLabels>(metrics::RequestLabels{{"l"}, {"a", "b", "c", "d"}, {"GET"}}));
      auto& duration = registry.histogram(Name::request_duration_seconds, {"a"}, w);
      for (int i = 0; i < each; ++i) {
        counters.count(0, static_cast<uint32_t>(i) % 4, 0, static_cast<uint16_t>(200 + i % 50));
        duration.observe(base::Micros{i});
      }
    });
  }
  std::thread scraper([&] {
    double last = 0;
    while (!stop.load()) {
      double sum = 0;
      for (const auto& s : registry.collect(Name::requests_total)) sum += s.value;
      CHECK(sum >= last);
      last = sum;
      (void)metrics::exposition(registry);
    }
  });
  for (auto& t : writers) t.join();
  stop.store(true);
  scraper.join();
  double sum = 0;
  for (const auto& s : registry.collect(Name::requests_total)) sum += s.value;
  CHECK(sum == 3.0 * each);
}

TEST_CASE("what is declared stands in the scrape at zero, and its cells are those that are asked for later") {
  Registry registry(2);
  registry.declare(Name::upstream_idle_races_total, {"app", "replayed"});
  registry.declare(Name::request_duration_seconds, {"r"});
  CHECK(value_of(registry, Name::upstream_idle_races_total, {"app", "replayed"}) == 0);
  CHECK(has_line(metrics::exposition(registry), "sluice_request_duration_seconds_count{route=\"r\"} 0"));
  registry.counter(Name::upstream_idle_races_total, {"app", "replayed"}, 1).add(3);
  registry.declare(Name::upstream_idle_races_total, {"app", "replayed"});
  CHECK(value_of(registry, Name::upstream_idle_races_total, {"app", "replayed"}) == 3);
}

TEST_CASE("what nobody has a cell of is gone with its name, and does not come back with it") {
  Registry registry(1);
  registry.declare(Name::upstream_idle_races_total, {"app", "replayed"});
  registry.computed(Name::upstream_endpoint_healthy, {"app", "10.0.0.1:80"}, [] { return 1.0; });
  registry.counter(Name::upstream_idle_races_total, {"app", "lost"}, 0).add(5);
  registry.retire("upstream", {"app"});
  CHECK(registry.retired() == 1);
  registry.computed(Name::upstream_endpoint_healthy, {"app", "10.0.0.2:80"}, [] { return 1.0; });  // too late
  registry.revive("upstream", {"app"});
  CHECK(registry.collect(Name::upstream_endpoint_healthy).empty());
  CHECK(value_of(registry, Name::upstream_idle_races_total, {"app", "replayed"}) == -1);
  CHECK(value_of(registry, Name::upstream_idle_races_total, {"app", "lost"}) == 5);
}

TEST_CASE("more series than are looked at under one lock: all of them, each once, at the bounds too") {
  for (const size_t count : {Registry::locked_series - 1, Registry::locked_series, Registry::locked_series + 1,
                             3 * Registry::locked_series}) {
    CAPTURE(count);
    Registry registry(1);
    std::vector<std::string> names;
    for (size_t i = 0; i < count; ++i) names.push_back("r" + std::to_string(i));
    for (const std::string& name : names) registry.gauge(Name::requests_in_flight, {name}, 0).add(1);
    registry.gauge(Name::requests_in_flight, {"stays"}, 0).add(1);
    const Registry::Values all(names.begin(), names.end());
    CHECK(registry.collect(Name::requests_in_flight).size() == count + 1);
    registry.retire("route", all);
    CHECK(registry.series(Name::requests_in_flight) == 1);
    CHECK(registry.retired() == count);
    registry.revive("route", all);
    CHECK(registry.series(Name::requests_in_flight) == count + 1);
    registry.retire("route", all);
    registry.reclaim("route", all);
    CHECK(registry.retired() == 0);
    CHECK(registry.collect(Name::requests_in_flight).size() == 1);
  }
}

TEST_CASE("cells are had while others walk all series over and over") {
  Registry registry(2);
  constexpr size_t many = 8 * Registry::locked_series;
  std::vector<std::string> names;
  for (size_t i = 0; i < many; ++i) names.push_back("r" + std::to_string(i));
  for (const std::string& name : names) registry.declare(Name::requests_in_flight, {name});
  std::atomic<bool> stop = false;
  std::thread walker([&] {
    while (!stop) CHECK(registry.collect(Name::requests_in_flight).size() >= many);
  });
  for (size_t i = 0; i < 1'000; ++i) registry.gauge(Name::requests_in_flight, {names[i]}, 0).add(1);
  stop = true;
  walker.join();
  double sum = 0;
  for (const metrics::Sample& sample : registry.collect(Name::requests_in_flight)) sum += sample.value;
  CHECK(sum == 1'000);
}

TEST_CASE("listed: several gauges whose labels are known only at the scrape, until their name is retired") {
  Registry registry(1);
  const auto list = [](std::string upstream, std::string state) {
    return [upstream, state](std::vector<metrics::Sample>& to) {
      for (const char* endpoint : {"a", "b"}) to.push_back({{upstream, endpoint, state, "none"}, 1, {}, 0});
    };
  };
  registry.listed(Name::upstream_endpoint_state, {"one", "", "", ""}, list("one", "unchecked"));
  registry.listed(Name::upstream_endpoint_state, {"two", "", "", ""}, list("two", "unchecked"));
  registry.listed(Name::upstream_endpoint_state, {"one", "", "", ""}, list("one", "disabled"));  // in its place
  const auto found = registry.collect(Name::upstream_endpoint_state);
  REQUIRE(found.size() == 4);
  CHECK(found[0].labels == std::vector<std::string>{"one", "a", "disabled", "none"});
  CHECK(found[3].labels == std::vector<std::string>{"two", "b", "unchecked", "none"});
  registry.remove("upstream", "one", "endpoint", {"a"});  // what the list says is its own matter
  CHECK(registry.collect(Name::upstream_endpoint_state).size() == 4);
  registry.retire("upstream", {"one"});
  CHECK(registry.collect(Name::upstream_endpoint_state).size() == 2);
}

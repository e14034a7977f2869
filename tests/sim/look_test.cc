// What a worker says of its clients and requests, in every phase, and pages of it while clients come and go.
#include <set>
#include <string>
#include <vector>

#include "peer.h"
#include "rig.h"
#include "runtime/looks.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using runtime::ConnectionLook;
using runtime::Looked;
using runtime::LookPage;
using runtime::Question;
using runtime::RequestLook;
using runtime::Subject;
using sim::Rig;
using support::ScriptedPeer;

namespace {

const net::Address app = net::Address::ipv4(0x0A000001, 3000);
constexpr std::string_view get = "GET /a?b=secret HTTP/1.1\r\nHost: a.test\r\n\r\n";
constexpr std::string_view ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const std::string toml = R"(
[[listener]]
name = "main"
address = "127.0.0.1:8080"
protocols = ["h2", "http/1.1"]
[[listener]]
name = "behind"
address = "127.0.0.1:8081"
proxy_protocol = "required"
[[upstream]]
name = "app"
endpoints = ["10.0.0.1:3000"]
[upstream.pool]
max_connections = 1
acquire_timeout = "4s"
[[route]]
name = "all"
upstream = "app"
upgrade = ["websocket"]
)";

void quiet(ScriptedPeer&) {}

ConnectionLook connection(Rig& rig) {
  const Looked looked = rig.worker->clients().look({});
  REQUIRE(looked.connections.size() == 1);
  CHECK(looked.whole);
  return looked.connections.front();
}

std::vector<RequestLook> requests(Rig& rig, Subject subject = Subject::requests) {
  return rig.worker->clients().look({.subject = subject}).requests;
}

RequestLook request(Rig& rig) {
  const auto all = requests(rig);
  REQUIRE(all.size() == 1);
  return all.front();
}

// The rig's worker as a crew of one.
struct OneWorker final : runtime::Crew {
  explicit OneWorker(Rig& r) : rig(r) {}
  uint32_t size() const override { return 1; }
  void post(uint32_t, Message message) override {
    ++turns;
    message(*rig.worker);
  }
  void to_control(std::function<void()> message) override { message(); }
  Rig& rig;
  uint32_t turns = 0;
};

LookPage page(Rig& rig, const Question& question, uint32_t* turns = nullptr) {
  OneWorker crew(rig);
  runtime::Looks looks(crew);
  LookPage page;
  REQUIRE(looks.ask(question, [&](LookPage made) { page = std::move(made); }));
  if (turns != nullptr) *turns = crew.turns;
  return page;
}

}  // namespace

TEST_CASE("a connection of HTTP/1 in its phases") {
  Rig rig(toml);
  rig.network.serve(app, quiet);
  ScriptedPeer& client = rig.client();
  rig.sim.run_for(base::seconds(2));
  ConnectionLook row = connection(rig);
  CHECK(row.phase == "first_bytes");
  CHECK(row.listener == "main");
  CHECK(row.peer == "192.0.2.7:5000");
  CHECK(row.age == base::Micros{base::seconds(2)});
  CHECK(row.phase_age == base::Micros{base::seconds(2)});

  client.send(get.substr(0, 10));
  rig.sim.run_for(base::seconds(1));
  row = connection(rig);
  CHECK(row.phase == "head");
  CHECK(row.protocol == "HTTP/1.1");
  CHECK(row.phase_age == base::Micros{base::seconds(1)});
  CHECK(requests(rig).empty());

  client.send(get.substr(10));
  rig.sim.settle();
  row = connection(rig);
  CHECK(row.phase == "busy");
  CHECK(row.streams == 1);
  CHECK(row.requests == 1);

  rig.network.last_peer().send(ok);
  rig.sim.run_for(base::seconds(3));
  row = connection(rig);
  CHECK(row.phase == "idle");
  CHECK(row.streams == 0);
  CHECK(row.phase_age == base::Micros{base::seconds(3)});
  CHECK(row.age == base::Micros{base::seconds(6)});

  client.send("GET / HTTP/1.1\r\n\r\n");  // without a Host: it is told so, and has time to read it
  rig.sim.settle();
  CHECK(connection(rig).phase == "lingering");
  client.fin();
  rig.sim.settle();
  CHECK(rig.worker->clients().look({}).connections.empty());
}

TEST_CASE("a connection that waits for its PROXY header") {
  Rig rig(toml);
  rig.client(1);
  rig.sim.settle();
  CHECK(connection(rig).phase == "proxy_header");
  CHECK(connection(rig).listener == "behind");
}

TEST_CASE("a request on its way: body, connect, queue, answer") {
  Rig rig(toml);
  rig.network.serve(app, quiet);
  ScriptedPeer& slow = rig.client();
  slow.send("POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhalf");
  rig.sim.settle();
  CHECK(request(rig).phase == exchange::phase::reading_body);
  rig.sim.run_for(base::seconds(3));  // over pause_max: it goes without the rest
  CHECK(request(rig).phase == exchange::phase::sending_body);
  slow.send("-half.");
  rig.sim.run_for(base::seconds(1));
  const RequestLook row = request(rig);
  CHECK(row.phase == exchange::phase::awaiting_answer);
  CHECK(row.method == "POST");
  CHECK(row.host == "a.test");
  CHECK(row.path == "/up");
  CHECK(row.route == "all");
  CHECK(row.upstream == "app");
  CHECK(row.endpoint == "10.0.0.1:3000");
  CHECK(row.client == "192.0.2.7");
  CHECK(row.request_id.size() == 32);
  CHECK(row.bytes_in == 10);
  CHECK(row.age == base::Micros{base::seconds(4)});
  CHECK(row.silent == base::Micros{base::seconds(1)});
  CHECK_FALSE(row.waits);

  rig.client().send(get);
  rig.sim.run_for(base::seconds(1));
  const auto waiting = requests(rig, Subject::waiting);
  REQUIRE(waiting.size() == 1);
  CHECK(waiting.front().path == "/a");  // without its query
  CHECK(waiting.front().phase == exchange::phase::waiting);
  CHECK(waiting.front().waits_for == "pool");
  CHECK(waiting.front().phase_age == base::Micros{base::seconds(1)});
  CHECK(waiting.front().left == base::Micros{base::seconds(3)});
  CHECK(requests(rig).size() == 2);

  rig.network.last_peer().send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha");
  rig.sim.settle();
  CHECK(requests(rig).front().phase == exchange::phase::answering);
  CHECK(requests(rig).front().status == 200);
  rig.network.last_peer().send("lf");
  rig.sim.settle();
  CHECK(request(rig).path == "/a");
  CHECK(request(rig).phase == exchange::phase::awaiting_answer);
}

TEST_CASE("a request for which a connect is under way") {
  Rig rig(toml);
  rig.network.black_hole(app);
  rig.client().send(get);
  rig.sim.run_for(base::Millis{100});
  const auto waiting = requests(rig, Subject::waiting);
  REQUIRE(waiting.size() == 1);
  CHECK(waiting.front().phase == exchange::phase::connecting);
  CHECK(waiting.front().waits_for == "connect");
  CHECK(waiting.front().endpoint == "10.0.0.1:3000");
  CHECK(waiting.front().left == base::Micros{base::seconds(4)});
}

TEST_CASE("a tunnel") {
  Rig rig(toml);
  rig.network.serve(app, quiet);
  rig.client().send("GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
  rig.sim.settle();
  rig.network.last_peer().send("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
  rig.sim.settle();
  CHECK(connection(rig).phase == "tunnel");
  CHECK(request(rig).phase == exchange::phase::tunnel);
}

TEST_CASE("HTTP/2: each stream is a request, and pages may part them") {
  Rig rig(toml);
  rig.network.serve(app, quiet);
  http2::Peer client(http2::Peer::Role::client, rig.client());
  for (int i = 0; i < 5; ++i) client.get("/" + std::to_string(i));
  client.flush();
  rig.sim.settle();
  CHECK(connection(rig).protocol == "HTTP/2.0");
  CHECK(connection(rig).phase == "busy");
  CHECK(connection(rig).streams == 5);
  std::string paths;
  Question question{.subject = Subject::requests, .limit = 2};
  for (int pages = 1;; ++pages) {
    const LookPage part = page(rig, question);
    for (const RequestLook& row : part.requests) paths += row.path;
    if (!part.next) break;
    REQUIRE(pages < 4);
    question.after = *part.next;
  }
  CHECK(paths == "/0/1/2/3/4");
  rig.worker->leave([] {});
  rig.sim.settle();
  CHECK(connection(rig).phase == "leaving");
}

TEST_CASE("texts of clients are cut at their bound, and a byte above") {
  Rig rig(toml);
  rig.network.serve(app, quiet);
  for (const size_t size : {Looked::text_max, Looked::text_max + 1})
    rig.client().send("GET /" + std::string(size - 1, 'x') + " HTTP/1.1\r\nHost: a.test\r\n\r\n");
  rig.sim.settle();
  const auto all = requests(rig);
  REQUIRE(all.size() == 2);
  CHECK(all[0].path == "/" + std::string(Looked::text_max - 1, 'x'));
  CHECK(all[1].path == "/" + std::string(Looked::text_max - 1, 'x') + "...");
}

TEST_CASE("only what is old enough") {
  Rig rig(toml);
  rig.network.serve(app, quiet);
  rig.client().send(get);
  rig.sim.run_for(base::seconds(5));
  rig.client().send(get);
  rig.sim.run_for(base::seconds(1));
  for (const Subject subject : {Subject::connections, Subject::requests}) {
    const auto rows = [&](int64_t older) {
      return rig.worker->clients().look({.subject = subject, .older = base::seconds(older)}).rows();
    };
    CHECK(rows(0) == 2);
    CHECK(rows(1) == 2);
    CHECK(rows(2) == 1);
    CHECK(rows(6) == 1);
    CHECK(rows(7) == 0);
  }
}

TEST_CASE("no turn looks at more than its share; pages have no gap and no double while clients come and go") {
  constexpr uint32_t clients = 2 * Looked::clients_max + 100;
  Rig rig(toml);
  rig.shared.places.most = 2 * clients;
  std::vector<ScriptedPeer*> all;
  for (uint32_t i = 0; i < clients; ++i) all.push_back(&rig.client());
  rig.sim.settle();
  CHECK_FALSE(rig.worker->clients().look({.subject = Subject::requests}).whole);
  uint32_t turns = 0;
  CHECK(page(rig, {.subject = Subject::requests}, &turns).requests.empty());  // none, and all were looked at
  CHECK(turns == 3);

  // Those that stay, each exactly once, although others go before and behind the place to go on from.
  std::multiset<int64_t> seen;
  Question question{.limit = Question::limit_max};
  for (uint32_t pages = 0; pages < 20; ++pages) {
    const LookPage part = page(rig, question);
    for (const ConnectionLook& row : part.connections) seen.insert(row.place.came.count);
    if (!part.next) break;
    question.after = *part.next;
    for (uint32_t i = 0; i < 20; ++i) all[(pages * 997 + i * 131) % clients / 2 * 2]->reset();  // even ones
    for (int i = 0; i < 5; ++i) rig.client();
    rig.sim.settle();
  }
  const LookPage now = page(rig, {.limit = Question::limit_max});
  CHECK(now.connections.size() == Question::limit_max);
  std::set<int64_t> stayed;
  Question again{.limit = Question::limit_max};
  while (true) {
    const LookPage part = page(rig, again);
    for (const ConnectionLook& row : part.connections) stayed.insert(row.place.came.count);
    if (!part.next) break;
    again.after = *part.next;
  }
  CHECK(stayed.size() > clients / 2);
  for (const int64_t one : stayed) CHECK(seen.count(one) == 1);
  CHECK(seen.size() == std::set<int64_t>(seen.begin(), seen.end()).size());
}

TEST_CASE("of pages that are asked for at once some wait, and what is beyond is refused") {
  Rig rig(toml);
  struct Slow final : runtime::Crew {
    uint32_t size() const override { return 1; }
    void post(uint32_t, Message message) override { waiting.push_back(std::move(message)); }
    void to_control(std::function<void()> message) override { message(); }
    std::vector<Message> waiting;
  } crew;
  runtime::Looks looks(crew);
  size_t made = 0;
  const auto done = [&](const LookPage&) { ++made; };
  for (size_t i = 0; i < 1 + runtime::Looks::waiting_max; ++i) CHECK(looks.ask({}, done));
  CHECK_FALSE(looks.ask({}, done));
  while (!crew.waiting.empty()) {
    const auto message = std::move(crew.waiting.back());
    crew.waiting.pop_back();
    message(*rig.worker);
  }
  CHECK(made == 1 + runtime::Looks::waiting_max);
  CHECK(looks.ask({}, done));
}

// The access log of a whole worker in simulated time: what has a line, what is in it, and streams that go on for long.
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "rig.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using metrics::Name;
using sim::Rig;

namespace {

const net::Address app = net::Address::ipv4(0x0A000001, 3000);
constexpr const char* get = "GET /a?token=s HTTP/1.1\r\nHost: a.test\r\nX-Tenant: t1\r\n\r\n";
constexpr const char* ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nAge: 7\r\n\r\nhello";
constexpr const char* upgrade =
    "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
constexpr const char* switching =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
constexpr const char* events =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    "Transfer-Encoding: chunked\r\n\r\n3\r\n:a\n\r\n";

// A rig that writes a log to a file.
class Logged {
 public:
  explicit Logged(const std::string& log = "", const std::string& route = "", const std::string& listener = "")
      : log_(open()), rig_(std::make_unique<Rig>(toml(log, route, listener), log_.get())) {}
  ~Logged() {
    rig_.reset();
    log_.reset();
    unlink(path_.c_str());
    rmdir(folder_);
  }

  static std::string toml(const std::string& log, const std::string& route = "", const std::string& listener = "") {
    return "[access_log]\n" + log +
           "\n[[listener]]\nname = \"l\"\naddress = \"127.0.0.1:8080\"\nprotocols = [\"http/1.1\"]\n" + listener +
           "\n[[upstream]]\nname = \"app\"\nendpoints = [\"10.0.0.1:3000\"]\n[upstream.retry]\nattempts = 1\n" +
           "[[route]]\nname = \"r\"\nupstream = \"app\"\nstream_idle_timeout = \"0s\"\n" + route + "\n";
  }
  Rig& operator*() { return *rig_; }
  Rig* operator->() { return rig_.get(); }
  // Answers each request with that.
  void serve(const char* answer) { rig_->network.serve(app, sim::answering(answer)); }
  support::ScriptedPeer& ask(const char* request) {
    support::ScriptedPeer& client = rig_->client();
    client.send(request);
    rig_->sim.settle();
    return client;
  }
  // All lines; the worker is gone afterwards.
  std::vector<std::string> lines() {
    rig_.reset();
    log_.reset();
    std::vector<std::string> all;
    std::ifstream file(path_);
    for (std::string line; std::getline(file, line);) all.push_back(line);
    return all;
  }

 private:
  std::unique_ptr<exchange::AccessLog> open() {
    REQUIRE(mkdtemp(folder_) != nullptr);
    path_ = std::string(folder_) + "/access.log";
    auto log = exchange::AccessLog::open({exchange::AccessLogOutput::file, path_}, 1);
    REQUIRE(log.has_value());
    return std::move(*log);
  }

  char folder_[28] = "/tmp/sluice-simlog-XXXXXX";
  std::string path_;
  std::unique_ptr<exchange::AccessLog> log_;
  std::unique_ptr<Rig> rig_;
};

bool has(const std::string& line, std::string_view part) { return line.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("a line says which request of which connection it was, from which port, and to which") {
  Logged rig;
  rig.serve(ok);
  support::ScriptedPeer& first = rig.ask(get);
  first.send(get);
  rig->sim.settle();
  rig.ask(get);
  const auto lines = rig.lines();
  REQUIRE(lines.size() == 3);
  CHECK(has(lines[0], R"({"v":2,"time":")"));
  CHECK(has(lines[0], R"("conn":1,"conn_request":1,"client":"192.0.2.7","client_port":5000,"listener":"l",)"));
  CHECK(has(lines[1], R"("conn":1,"conn_request":2,)"));
  CHECK(has(lines[2], R"("conn":2,"conn_request":1,)"));
  CHECK(has(lines[0], R"("path":"/a","query":"token=s","protocol":"HTTP/1.1","status":200,"ended":"complete",)"));
  CHECK(has(lines[0], R"("upstream":"app","endpoint":"10.0.0.1:3000","upstream_port":)"));
  CHECK(has(lines[0], R"("reused":false,"attempts":1,)"));
  CHECK(has(lines[1], R"("reused":true,"attempts":1,)"));
  CHECK(has(lines[0], R"("span_id":")"));  // of the traceparent that we made
  for (const char* key : {"tls", "sni", "alpn", "reason", "detail", "tries", "limited_by", "told", "user_agent"})
    CHECK_FALSE(has(lines[0], "\"" + std::string(key) + "\":"));
}

TEST_CASE("the client's own span is not ours") {
  Logged rig;
  rig.serve(ok);
  rig.ask("GET / HTTP/1.1\r\nHost: a\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n");
  const auto lines = rig.lines();
  REQUIRE(lines.size() == 1);
  CHECK(has(lines[0], R"("trace_id":"4bf92f3577b34da6a3ce929d0e0e4736",)"));
  CHECK_FALSE(has(lines[0], "span_id"));
}

TEST_CASE("headers are those that the client sent, and those that it got") {
  Logged rig("headers = [\"x-tenant\", \"response:age\", \"response:x-added\", \"x-absent\"]",
             "request_headers = { set = { x-tenant = \"ours\" } }\nresponse_headers = { set = { x-added = \"1\" } }");
  rig.serve(ok);
  rig.ask(get);
  const auto lines = rig.lines();
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].ends_with(R"(,"request.x-tenant":"t1","response.age":"7","response.x-added":"1"})"));
}

TEST_CASE("headers and what else is told survive the release of a big head") {
  Logged rig("headers = [\"x-tenant\", \"response:age\"]");
  rig->network.serve(app, [](support::ScriptedPeer&) {});
  const std::string big =
      "GET /a HTTP/1.1\r\nHost: a.test\r\nX-Tenant: t1\r\nX-Big: " + std::string(20'000, 'b') + "\r\n\r\n";
  rig.ask(big.c_str());
  rig->network.last_peer().send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nAge: 7\r\n\r\nhe");
  rig->sim.settle();
  rig->network.last_peer().send("llo");
  rig->sim.settle();
  const auto lines = rig.lines();
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].ends_with(R"(,"request.x-tenant":"t1","response.age":"7"})"));
  CHECK(has(lines[0], R"("span_id":")"));
}

TEST_CASE("only slow or failed: what ended well in good time has no line") {
  Logged rig("only = \"slow_or_failed\"");
  rig.serve(ok);
  rig.ask(get);
  rig.serve("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  rig->sim.settle();
  Rig& sim = *rig;
  sim.network.serve(app, [&sim](support::ScriptedPeer& peer) {
    peer.on_event = [&sim](support::ScriptedPeer& p) {
      if (p.take().find("\r\n\r\n") == std::string::npos) return;
      sim.sim.post(base::seconds(2), [&p] { p.send(ok); });
    };
  });
  sim.reload(Logged::toml("only = \"slow_or_failed\""));
  sim.network.last_peer().fin();
  sim.sim.settle();
  rig.ask("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
  sim.sim.run_for(base::seconds(3));
  rig.ask("GET /bad\x01 HTTP/1.1\r\nHost: a\r\n\r\n");
  const auto lines = rig.lines();
  REQUIRE(lines.size() == 2);
  CHECK(has(lines[0], R"("limited_by":"upstream")"));
  CHECK(has(lines[1], R"("reason":"bad_request")"));
}

TEST_CASE("a sample of nothing still has what failed") {
  Logged rig("sample = 0");
  rig.serve("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
  rig.ask(get);
  const auto lines = rig.lines();
  REQUIRE(lines.size() == 1);
  CHECK(has(lines[0], R"("status":500)"));
}

TEST_CASE("a listener or a route without a log") {
  for (const bool listener : {false, true}) {
    const std::string off = "access_log = false";
    Logged rig("", listener ? "" : off, listener ? off : "");
    rig.serve(ok);
    rig.ask(get);
    CHECK(rig.lines().empty());
  }
}

TEST_CASE("a reload changes what is logged, of requests that begin after it") {
  Logged rig;
  rig->network.serve(app, [](support::ScriptedPeer&) {});
  rig.ask(get);
  support::ScriptedPeer& before = rig->network.last_peer();
  rig->reload(Logged::toml("fields = [\"status\", \"query\"]\nredact_query = [\"token\"]"));
  rig.serve(ok);
  rig.ask(get);
  before.send(ok);
  rig->sim.settle();
  const auto lines = rig.lines();
  REQUIRE(lines.size() == 2);
  CHECK(lines[0] == R"({"status":200,"query":"token=***"})");
  CHECK(has(lines[1], R"("query":"token=s")"));
}

TEST_CASE("a tunnel has a line when it begins, one each long_every, and one at its end") {
  Logged rig("long_every = \"10m\"\nfields = [\"told\", \"ended\", \"status\", \"total_us\", \"bytes_out\"]");
  rig->network.serve(app, [](support::ScriptedPeer&) {});
  support::ScriptedPeer& client = rig.ask(upgrade);
  rig->network.last_peer().send(std::string(switching) + "hello");
  rig->sim.run_for(base::minutes(25));
  client.fin();
  rig->network.last_peer().fin();
  rig->sim.settle();
  const auto lines = rig.lines();
  REQUIRE(lines.size() == 4);
  CHECK(lines[0] == R"({"told":"begun","status":101,"total_us":0,"bytes_out":0})");
  CHECK(has(lines[1], R"({"told":"open","status":101,"total_us":60000)"));
  CHECK(has(lines[2], R"({"told":"open","status":101,"total_us":120000)"));
  CHECK(has(lines[2], R"("bytes_out":5)"));
  CHECK(has(lines[3], R"({"ended":"tunnel","status":101,"total_us":1500000000)"));
}

TEST_CASE("a stream of events is told when it begins; an answer that only goes on for long when it has") {
  for (const bool stream : {true, false}) {
    Logged rig("fields = [\"told\", \"path\"]");
    rig->network.serve(app, [](support::ScriptedPeer&) {});
    rig.ask(get);
    rig->network.last_peer().send(stream ? events : "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na");
    rig->sim.run_for(base::minutes(11));
    const auto lines = rig.lines();
    REQUIRE(lines.size() == (stream ? 3 : 2));
    if (stream) CHECK(lines[0] == R"({"told":"begun","path":"/a"})");
    CHECK(lines[stream ? 1 : 0] == R"({"told":"open","path":"/a"})");
  }
}

TEST_CASE("long_every 0: one line, at the end") {
  Logged rig("long_every = \"0s\"");
  rig->network.serve(app, [](support::ScriptedPeer&) {});
  rig.ask(upgrade);
  rig->network.last_peer().send(switching);
  rig->sim.run_for(base::minutes(25));
  CHECK(rig.lines().size() == 1);
}

TEST_CASE("max_stream_duration ends a tunnel in good order, with the reason") {
  Logged rig("", "max_stream_duration = \"1h\"");
  rig->network.serve(app, [](support::ScriptedPeer&) {});
  support::ScriptedPeer& client = rig.ask(upgrade);
  rig->network.last_peer().send(std::string(switching) + "hello");
  rig->sim.run_for(base::minutes(59));
  CHECK_FALSE(client.ended());
  rig->sim.run_for(base::minutes(2));
  CHECK(client.received().ends_with("hello"));
  CHECK(client.got_fin());
  CHECK_FALSE(client.got_reset());
  CHECK(rig->network.last_peer().ended());
  CHECK(rig->metric(Name::upstream_connections_closed_total, {"app", "route_timeout"}) == 1);
  client.fin();
  rig->sim.settle();
  const auto lines = rig.lines();
  CHECK(has(lines.back(), R"("ended":"tunnel","ended_by":"proxy","during":"response_body","reason":"timeout",)"
                          R"("detail":"max_stream_duration")"));
}

TEST_CASE("max_stream_duration ends a stream of events as a whole answer, and anything else as a cut one") {
  for (const bool stream : {true, false}) {
    Logged rig("", "max_stream_duration = \"10s\"");
    rig->network.serve(app, [](support::ScriptedPeer&) {});
    support::ScriptedPeer& client = rig.ask(get);
    rig->network.last_peer().send(stream ? events
                                         : "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n:a\n\r\n");
    rig->sim.run_for(base::seconds(11));
    CHECK(client.received().ends_with("0\r\n\r\n") == stream);
    CHECK(client.got_reset() == !stream);
    CHECK(rig->network.last_peer().ended());
    const auto lines = rig.lines();
    CHECK(has(lines.back(), R"("ended":"cut","ended_by":"proxy","during":"response_body","reason":"timeout",)"
                            R"("detail":"max_stream_duration")"));
  }
}

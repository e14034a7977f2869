// Who lives how long on the admin listener: connections are dropped (the oldest of 128, or all at the exit) while a
// page is made.
#include <arpa/inet.h>
#include <sys/socket.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "admin/admin.h"
#include "base/clock.h"
#include "count_live.h"
#include "net/uv_driver.h"

#include <doctest/doctest.h>

using namespace sluice;

namespace {

// The end of a session that the admin server sees. It goes on living when it was retired, so that what is done to it
// then is seen.
struct FakeSession final : http::ServerSession, http::Stream {
  FakeSession(net::TransportPtr t, http::ServerHost& h) : transport(std::move(t)), host(h) {}

  // A request comes, as sessions tell of it.
  void get(std::string_view path) { ask(http::Method::get, path); }
  void ask(http::Method method, std::string_view path) {
    head.method = method;
    sink = &host.on_stream(*this, *this);
    head.target = path;
    sink->on_head(head, http::End::yes);
  }

  http::Sink* sink = nullptr;
  std::string body;  // of the answer, as far as it was given
  size_t largest = 0;  // piece of it
  bool ended = false;
  bool cancelled = false;

  net::TransportPtr transport;
  http::ServerHost& host;
  base::Arena memory;
  http::Head head{memory};
  std::string answers;  // one status after the other
  bool retired = false;
  int calls_too_late = 0;  // downcalls after the session was let go of

 private:
  void call() { calls_too_late += retired ? 1 : 0; }
  // http::Stream
  void send_head(const http::Head& answer, http::End) override {
    call();
    answers += std::to_string(answer.status) + " ";
  }
  void send_body(net::ByteQueue&& bytes, http::End end) override {
    call();
    largest = std::max(largest, bytes.size());
    std::string piece(bytes.size(), '\0');
    bytes.peek(piece.data(), piece.size());
    body += piece;
    ended = end == http::End::yes;
  }
  void send_trailers(const http::Fields&) override { call(); }
  void consume(size_t) override { call(); }
  void cancel(const http::Failure&) override {
    call();
    cancelled = true;
  }
  const net::Peer& peer() const override { return transport->peer(); }
  http::Version version() const override { return {}; }
  bool release_head(base::Arena&) override { return false; }
  base::Arena& arena() override {
    call();
    return memory;
  }
  // http::ServerSession
  void drain(http::CloseCause) override {}
  void close_after_answer(bool) override {}
  void spread_age(uint16_t) override {}
  void options_changed() override {}
  void abort(const http::Failure&, http::CloseCause) override {}
  uint32_t open_streams() const override { return 1; }
  http::SessionLook look() override { return {}; }
  void show_sinks(http::SinkVisitor&) override {}
  void retire() noexcept override {
    retired = true;
    transport.reset();
  }
};

std::vector<std::unique_ptr<FakeSession>>& sessions() {
  static std::vector<std::unique_ptr<FakeSession>> all;
  return all;
}

http::ServerSessionPtr make_session(net::Loop&, net::TransportPtr transport, const http::DownstreamOptions&,
                                    http::ServerHost& host) {
  sessions().push_back(std::make_unique<FakeSession>(std::move(transport), host));
  return http::ServerSessionPtr(sessions().back().get());
}

// Pages are made when the test says so.
struct SlowBackend final : admin::Backend {
  admin::Readiness ready() override { return {true, ""}; }
  std::span<const std::string> hosts() override { return {}; }
  void pack(admin::Page page, Done done) override { done(std::move(page)); }
  void metrics(admin::Form, Done done) override { waiting.push_back(std::move(done)); }
  admin::Page set_log_level(const admin::Query&) override { return {}; }
  void status(admin::Form, const admin::Query&, Done done) override { waiting.push_back(std::move(done)); }
  void config(Done done) override { waiting.push_back(std::move(done)); }
  void advice(admin::Form, Done done) override { waiting.push_back(std::move(done)); }
  void recent(admin::Form, const admin::Query&, Done) override {}
  void debug(admin::Debug, const admin::Query&, Done done) override { waiting.push_back(std::move(done)); }
  admin::Page confirm() override { return {}; }
  void reload(std::optional<base::Millis>, Done done) override { waiting.push_back(std::move(done)); }
  void drain() override {}
  void deregister(Done done) override { waiting.push_back(std::move(done)); }
  void register_again(Done done) override { waiting.push_back(std::move(done)); }
  void switch_endpoint(const admin::EndpointOrder& order, Done done) override {
    orders.push_back((order.disable ? "disable " : "enable ") + std::string(order.upstream) + " " +
                     std::string(order.endpoint));
    waiting.push_back(std::move(done));
  }
  std::vector<std::string> orders;
  void pages_are_ready() {
    for (Done& done : std::exchange(waiting, {})) done({good ? 200 : 400, "text/plain", text});
  }
  std::vector<Done> waiting;
  std::string text = "page";
  bool good = true;
};

class Site {
 public:
  Site() {
    auto socket = net::open_socket(net::Address::ipv4(INADDR_LOOPBACK, 0));
    REQUIRE(socket.has_value());
    address_ = *net::bound_address(*socket);
    server = std::make_unique<admin::AdminServer>(loop_, std::move(*socket), make_session, backend, base::millis(1));
  }
  ~Site() {
    server.reset();
    std::vector<std::unique_ptr<FakeSession>>().swap(sessions());
  }

  FakeSession& client() {
    clients_.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_storage raw;
    const socklen_t length = address_.to_sockaddr(raw);
    REQUIRE(::connect(clients_.back().value(), reinterpret_cast<sockaddr*>(&raw), length) == 0);
    const size_t before = sessions().size();
    while (sessions().size() == before) loop_.turn(base::Micros{-1});
    return *sessions().back();
  }

  void turn() { loop_.turn(base::Micros{-1}); }

  SlowBackend backend;

 private:
  net::Loop loop_{base::steady_clock(), net::make_uv_driver()};
  net::Address address_;
  std::vector<net::Fd> clients_;

 public:
  std::unique_ptr<admin::AdminServer> server;  // goes before the loop
};

}  // namespace

TEST_CASE("a page is given to the request that asked for it") {
  Site site;
  FakeSession& one = site.client();
  one.get("/status");
  FakeSession& two = site.client();
  two.get("/healthz");
  CHECK(one.answers.empty());
  CHECK(two.answers == "200 ");
  site.backend.pages_are_ready();
  CHECK(one.answers == "200 ");
}

TEST_CASE("an order about an endpoint: names as sent, slashes and all; what is none is 404") {
  Site site;
  FakeSession& client = site.client();
  const auto post = [&](const std::string& path) {
    site.backend.orders.clear();
    client.ask(http::Method::post, path);
    return site.backend.orders.empty() ? std::string() : site.backend.orders[0];
  };
  CHECK(post("/upstreams/app/endpoints/10.0.0.1:80/disable") == "disable app 10.0.0.1:80");
  CHECK(post("/upstreams/a/b/endpoints/unix:/run/app.sock/enable") == "enable a/b unix:/run/app.sock");
  CHECK(post("/upstreams/app/endpoints/[::1]:80/disable") == "disable app [::1]:80");
  for (const char* none :
       {"/upstreams/app/endpoints/10.0.0.1:80/drain", "/upstreams/app/disable", "/upstreams//disable", "/upstreams/",
        "/upstreams/app/endpoints/disable", "/upstreams/app/endpoints/10.0.0.1:80/disable/",
        "/xupstreams/app/endpoints/10.0.0.1:80/disable"}) {
    CAPTURE(none);
    client.answers.clear();
    CHECK(post(none).empty());
    CHECK(client.answers == "404 ");
  }
}

TEST_CASE("a long page is given in pieces, the next when the client has taken of the one before") {
  constexpr size_t piece = 256 << 10;
  for (const size_t size : {piece, piece + 1, 5 * piece / 2}) {
    Site site;
    for (size_t i = 0; i < size; ++i) site.backend.text += static_cast<char>('a' + i % 26);
    FakeSession& client = site.client();
    client.get("/metrics");
    site.backend.pages_are_ready();
    CHECK(client.body.size() == std::min(piece, site.backend.text.size()));
    while (!client.ended) {
      const size_t before = client.body.size();
      client.sink->on_sent(1);
      REQUIRE(client.body.size() > before);
      client.sink->on_sent(before - 1);
    }
    CHECK(client.largest <= piece);
    CHECK(client.body == site.backend.text);
  }
}

TEST_CASE("an event stream: one after the other as they are read; who does not read loses them, and then the stream") {
  Site site;
  site.backend.text = "{}\n";
  FakeSession& client = site.client();
  client.head.fields.add("accept", "text/event-stream");
  client.get("/status");
  CHECK(client.answers.empty());
  site.backend.pages_are_ready();
  CHECK(client.answers == "200 ");
  CHECK(client.body == "data: {}\n\n");
  CHECK_FALSE(client.ended);
  client.sink->on_sent(client.body.size());
  while (site.backend.waiting.empty()) site.turn();
  site.backend.pages_are_ready();
  CHECK(client.body == "data: {}\n\ndata: {}\n\n");
  while (!client.cancelled) site.turn();  // nothing is taken any more
  CHECK(site.backend.waiting.empty());
  CHECK_FALSE(client.ended);
}

TEST_CASE("so many event streams are open at a time; one that ends, or whose question is none, makes room") {
  Site site;
  const auto open = [&](FakeSession& client) {
    client.head.fields.add("accept", "text/event-stream");
    client.get("/status");
    site.backend.pages_are_ready();
  };
  std::vector<FakeSession*> all;
  for (size_t i = 0; i < admin::AdminServer::streams_max; ++i) open(*all.emplace_back(&site.client()));
  for (const FakeSession* one : all) CHECK(one->answers == "200 ");
  FakeSession& above = site.client();
  open(above);
  CHECK(above.answers == "503 ");
  all.front()->sink->on_closed({});
  site.backend.good = false;
  FakeSession& wrong = site.client();
  open(wrong);
  CHECK(wrong.answers == "400 ");
  CHECK(wrong.ended);
  site.backend.good = true;
  FakeSession& next = site.client();
  open(next);
  CHECK(next.answers == "200 ");
}

TEST_CASE("a page that is ready after its connection made room for a new one is for nobody") {
  Site site;
  FakeSession& oldest = site.client();
  oldest.get("/metrics");
  while (!oldest.retired) site.client();
  CHECK(sessions().size() == admin::AdminServer::connections_max + 1);
  site.backend.pages_are_ready();
  CHECK(oldest.answers.empty());
  CHECK(oldest.calls_too_late == 0);
}

TEST_CASE("a page that is ready after the server has gone is for nobody") {
  Site site;
  FakeSession& session = site.client();
  session.get("/config");
  site.server.reset();
  REQUIRE(session.retired);
  site.backend.pages_are_ready();
  CHECK(session.answers.empty());
  CHECK(session.calls_too_late == 0);
}

TEST_CASE("a request whose connection was dropped leaves nothing behind") {
  const auto live_after = [](std::string_view path) {
    {
      Site site;
      site.client().get(path);
      site.server.reset();
    }
    return support::live_objects.load();
  };
  for (const char* path : {"/metrics", "/none"}) {  // one whose page is being made, one that was answered
    const long before = live_after(path);  // what is kept for later uses is kept once
    CHECK(live_after(path) == before);
  }
}

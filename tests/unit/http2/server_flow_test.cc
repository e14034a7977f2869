// Windows, credit, order and time limits of the server session: what a slow client may cost, and whom it hurts.
#include "bench.h"
#include "net/chunk.h"
#include "wire.h"

#include <doctest/doctest.h>

using namespace sluice;
using http::End;
using http2::end_headers;
using http2::end_stream;
using http2::Lines;
using http2::Peer;
using http2::ServerBench;
using http2::Wire;
using support::ProbeSink;

namespace {

struct Bench : ServerBench {
  explicit Bench(const http::DownstreamOptions& o = {}, const Peer::Options& p = {})
      : ServerBench(o), client(Peer::Role::client, *pair.peer, p) {
    host.prepare = nullptr;
    client.flush();
    sim.settle();
  }
  ~Bench() {
    CHECK(contract.text() == "");
    CHECK(client.broken == "");
  }
  void begin_answer(size_t i) {
    http::Head head(sink(i).stream->arena());
    head.status = 200;
    sink(i).send_head(head, End::no);
  }
  Peer client;
};

struct Raw : ServerBench {
  explicit Raw(const http::DownstreamOptions& o = {}, const std::string& settings = "")
      : ServerBench(o), wire(*pair.peer) {
    host.prepare = nullptr;
    send(http2::client_preface + settings);
  }
  ~Raw() { CHECK(contract.text() == ""); }
  void send(const std::string& bytes) {
    wire.send(bytes);
    sim.settle();
  }
  Wire wire;
};

Lines post_lines() {
  Lines lines = http2::get_lines();
  lines[0].second = "POST";
  return lines;
}

}  // namespace

TEST_CASE("a sink that takes nothing is sent stream_window, and not a byte more") {
  for (const uint64_t window : {uint64_t{20'000}, uint64_t{65'535}, uint64_t{256 * 1024}}) {
    http::DownstreamOptions o;
    o.http2.stream_window = window;
    Bench b(o);
    b.host.prepare = [](ProbeSink& s) { s.hold = true; };
    const std::string body(1'000'000, 'x');
    b.client.ask(post_lines(), &body);
    b.sim.settle();
    CHECK(b.sink().body.size() == window);
    CHECK_FALSE(b.sink().stream->credit_open());
    b.sink().consume(window / 2);
    CHECK(b.sink().stream->credit_open());
    b.sim.settle();
    CHECK(b.sink().body.size() == window + window / 2);
    b.sink().hold = false;
    b.sink().consume(b.sink().unconsumed);
    b.sim.settle();
    CHECK(b.sink().body.size() == body.size());
    CHECK(b.sink().ended);
  }
}

TEST_CASE("all streams together hold connection_buffer at most, and one that is stalled stops no other") {
  http::DownstreamOptions o;
  o.http2.stream_window = 100'000;
  o.http2.connection_buffer = 400'000;
  Bench b(o);
  b.host.prepare = [](ProbeSink& s) { s.hold = true; };
  const std::string body(100'000, 'x');
  for (int i = 0; i < 20; ++i) b.client.ask(post_lines(), &body);
  b.sim.settle();
  size_t held = 0;
  for (const auto& s : b.host.sinks) held += s->unconsumed;
  CHECK(held <= 400'000);
  CHECK(held >= 300'000);
  for (const auto& s : b.host.sinks) CHECK_FALSE(s->stream->credit_open());
  for (auto& s : b.host.sinks) {
    s->hold = false;
    if (s->unconsumed != 0) s->consume(s->unconsumed);
  }
  b.sim.settle();
  for (const auto& s : b.host.sinks) CHECK(s->body.size() == body.size());

  Bench one;
  one.host.prepare = [n = 0](ProbeSink& s) mutable { s.hold = n++ == 0; };   // the first is stalled
  const std::string large(3'000'000, 'x');
  for (int i = 0; i < 10; ++i) one.client.ask(post_lines(), &large);
  one.sim.settle();
  CHECK_FALSE(one.sink(0).ended);
  for (size_t i = 1; i < 10; ++i) CHECK(one.sink(i).body.size() == large.size());
}

TEST_CASE("while the connection's window is shut its client owes no body; from then on it has body_timeout") {
  http::DownstreamOptions o;
  o.http2.stream_window = 200'000;
  o.http2.connection_buffer = 200'000;
  o.min_rate = 0;
  Bench b(o);
  b.host.prepare = [](ProbeSink& s) { s.hold = true; };
  const int32_t waiting = b.client.begin(post_lines());
  const std::string body(150'000, 'x');
  for (int i = 0; i < 2; ++i) b.client.ask(post_lines(), &body);
  b.sim.settle();
  b.client.more(waiting, "there is no window for it");
  b.sim.run_for(base::minutes(5));
  for (const auto& s : b.host.sinks) CHECK_FALSE(s->malformed);
  CHECK(b.sink(0).body.empty());
  for (size_t i = 1; i < 3; ++i) {
    b.sink(i).hold = false;
    b.sink(i).consume(b.sink(i).unconsumed);
  }
  b.sim.run_for(base::seconds(29));
  CHECK(b.sink(0).body == "there is no window for it");
  CHECK_FALSE(b.sink(0).malformed);
  b.sim.run_for(base::seconds(3));
  CHECK(b.sink(0).malformed);
}

TEST_CASE("a client that opens no window is given that much and no more; its neighbours go on") {
  Raw b({}, http2::settings_frame({{4, 1000}}) + http2::window_frame(0, 1'000'000));
  b.send(http2::head_frame(1, http2::get_lines()) + http2::head_frame(3, http2::get_lines()) +
         http2::window_frame(3, 100'000));
  const std::string body(50'000, 'a');
  b.sink(0).answer(200, body);
  b.sink(1).answer(200, body);
  b.sim.settle();
  CHECK(b.wire.data_bytes() == 1000 + 50'000);
  CHECK(b.sink(0).sent == 1000);
  CHECK(b.sink(1).closed);
  b.send(http2::window_frame(1, 100'000));
  CHECK(b.sink(0).trace.ends_with("closed clean\n"));
}

TEST_CASE("DATA frames are at most as large as the client allows, and fill one TLS record") {
  Bench b;
  const int32_t id = b.client.get();
  b.sim.settle();
  b.sink().answer(200, std::string(60'000, 'x'));
  b.sim.settle();
  for (const size_t n : b.client.seen(id).frames) CHECK(n <= 16 * 1024 - 9);
  CHECK(b.client.seen(id).body.size() == 60'000);
}

TEST_CASE("one-byte frames do not pin a chunk each") {
  http::DownstreamOptions o;
  o.min_rate = 0;
  Raw b(o);
  b.host.prepare = [](ProbeSink& s) { s.hold = true; };
  b.send(http2::head_frame(1, post_lines(), end_headers));
  const size_t before = net::Chunk::live();
  for (int i = 0; i < 2000; ++i) {
    b.send(http2::data_frame(1, "x"));
    if (i % 500 == 0) b.sim.run_for(base::seconds(1));
  }
  CHECK(b.sink().body.size() == 2000);
  CHECK(net::Chunk::live() < before + 10);
}

TEST_CASE("priorities: the more urgent first, incremental ones share, by field and by PRIORITY_UPDATE") {
  struct Case {
    const char* name;
    const char* first;       // Priority of stream 1
    const char* second;
    std::string update;      // before the answers
    bool second_first;
    bool shared;
  };
  for (const Case& c :
       {Case{"none: in order", "", "", "", false, false}, Case{"urgent second", "u=5", "u=1", "", true, false},
        Case{"urgent first", "u=1", "u=5", "", false, false}, Case{"incremental", "u=3, i", "u=3, i", "", false, true},
        Case{"update outweighs the field", "u=1", "u=3", http2::update_frame(1, "u=7"), true, false},
        Case{"update before its stream", "", "", "early", true, false}}) {
    CAPTURE(c.name);
    Raw b({}, http2::window_frame(0, 1'000'000) + http2::settings_frame({{4, 1'000'000}}) +
                  (c.update == "early" ? http2::update_frame(3, "u=0") : ""));
    b.pair.peer->window(40'000);                     // so that bytes compete
    const auto head = [&](uint32_t id, std::string_view priority) {
      Lines lines = http2::get_lines();
      if (!priority.empty()) lines.emplace_back("priority", priority);
      return http2::head_frame(id, lines);
    };
    b.send(head(1, c.first) + head(3, c.second) + (c.update == "early" ? "" : c.update));
    b.pair.peer->hold();
    std::string order;
    for (size_t i : {size_t{0}, size_t{1}}) {
      b.sink(i).when_sent = [&order, i](ProbeSink&) { order += static_cast<char>('1' + i); };
      b.sink(i).answer(200, std::string(400'000, 'x'));
    }
    b.sim.settle();
    for (int turn = 0; turn < 100; ++turn) {
      b.pair.peer->resume();
      b.sim.settle();
    }
    REQUIRE(b.sink(0).closed);
    REQUIRE(b.sink(1).closed);
    const size_t one = order.find_last_of('1');
    const size_t two = order.find_last_of('2');
    if (c.shared) {
      CHECK(order.find('2') < one);
      CHECK(order.find('1') < two);
    } else if (c.second_first) {
      CHECK(two < one);
      CHECK(order.find('1') >= two - 1);              // a frame that was under way may have been first
    } else {
      CHECK(one < two);
      CHECK(order.find('2') >= one - 1);
    }
  }
}

TEST_CASE("an answer that is not taken is reset at write_timeout, never ended as if whole") {
  http::DownstreamOptions o;
  o.min_rate = 0;
  Raw b(o, http2::settings_frame({{4, 1000}}));
  b.send(http2::head_frame(1, http2::get_lines()));
  b.sink().answer(200, std::string(5000, 'x'));
  b.sim.run_for(base::seconds(29));
  CHECK_FALSE(b.sink().closed);
  b.sim.run_for(base::seconds(2));
  CHECK(b.sink().trace.ends_with("closed request_timeout slow_read\n"));
  CHECK(b.wire.stream(1).ends_with("RST 8"));
  CHECK(b.wire.stream(1).find("END") == std::string::npos);
  CHECK(b.wire.goaway() == "");
}

TEST_CASE("so it is when its sink has let go of it") {
  Raw b({}, http2::settings_frame({{4, 1000}}));
  b.send(http2::head_frame(1, http2::get_lines()));
  b.sink().answer(200, std::string(5000, 'x'));
  b.sink().cancel({});
  b.sim.run_for(base::seconds(32));
  CHECK(b.wire.stream(1).ends_with("RST 8"));
  b.sim.run_for(base::seconds(80));
  CHECK(b.host.ended);                               // nothing is open: it was idle
}

TEST_CASE("an answer that is taken too slowly is reset, one that is just as fast is not") {
  for (const uint32_t rate : {200U, 300U}) {
    Raw b({}, http2::settings_frame({{4, 1000}}));
    b.send(http2::head_frame(1, http2::get_lines()));
    b.sink().answer(200, std::string(100'000, 'x'));
    for (int s = 0; s < 60 && !b.sink().closed; ++s) {
      b.sim.run_for(base::seconds(1));
      b.send(http2::window_frame(1, rate));
    }
    CHECK(b.sink().closed == (rate == 200));
  }
}

TEST_CASE("a client that reads nothing at all is cut") {
  Bench b;
  b.pair.peer->window(1000);
  b.pair.peer->hold();
  b.client.get();
  b.sim.settle();
  b.sink().answer(200, std::string(600'000, 'x'));
  b.sim.run_for(base::seconds(35));
  CHECK(b.host.ended);
  CHECK(b.sink().trace.ends_with("closed request_timeout slow_read\n"));
  CHECK(b.host.cause == http::CloseCause::write_stalled);
}

TEST_CASE(
    "what the client has taken counts, also while the kernel takes nothing from us because too little of its buffer is "
    "free") {
  for (const uint32_t rate : {200U, 300U}) {
    CAPTURE(rate);
    Raw b({}, http2::settings_frame({{4, 1'000'000}}) + http2::window_frame(0, 1'000'000));
    b.pair.peer->window(90'000, 60'000);
    b.pair.peer->hold();
    b.send(http2::head_frame(1, http2::get_lines()));
    b.pair.wire->set_tear(support::Wire::From::a, support::tear_every(rate));
    b.pair.peer->on_event = [](support::ScriptedPeer& peer) { peer.hold(); };
    b.sink().answer(200, std::string(160'000, 'x'));
    int seconds = 0;
    for (; seconds < 120 && !b.host.ended; ++seconds) {
      b.pair.peer->resume();
      b.sim.run_for(base::seconds(1));
    }
    CHECK(b.host.ended == (rate == 200));
    CHECK(seconds >= 31);
    if (rate == 200) CHECK(seconds <= 33);
  }
}

TEST_CASE("a body with a gap, and one slower than min_rate, is answered 408 and reset; its neighbour goes on") {
  for (const bool drips : {false, true}) {
    http::DownstreamOptions o;
    if (!drips) o.min_rate = 0;
    Raw b(o);
    b.host.prepare = http2::answer_ok;
    b.send(http2::head_frame(1, post_lines(), end_headers) + http2::data_frame(1, "abc"));
    for (int s = 0; s < 45 && !b.sink().malformed; ++s) {
      b.sim.run_for(base::seconds(1));
      if (drips) b.send(http2::data_frame(1, std::string(100, 'x')));
      if (s == 5) b.send(http2::head_frame(3, http2::get_lines()));
    }
    b.sim.settle();
    CHECK(b.sink().malformed);
    CHECK(b.sink().trace.ends_with("malformed request_timeout slow_body\nclosed clean\n"));
    CHECK(b.wire.stream(1).starts_with("[:status: 408]"));
    CHECK(b.wire.stream(1).ends_with("RST 0"));
    CHECK(b.wire.stream(3).ends_with("ok END"));
    CHECK(b.wire.goaway() == "");
  }
}

TEST_CASE(
    "min_rate is measured over the timeout's window: a long pause passes, and a byte less than the rate does not") {
  constexpr uint32_t enough = 240 * 30;
  for (const uint32_t bytes : {enough, enough - 1}) {
    CAPTURE(bytes);
    Raw body;
    body.send(http2::head_frame(1, post_lines(), end_headers));
    body.sim.run_for(base::seconds(20));
    body.send(http2::data_frame(1, std::string(bytes, 'x')));
    body.sim.run_for(base::seconds(11));
    CHECK(body.sink().malformed == (bytes < enough));

    Raw answer({}, http2::settings_frame({{4, 1000}}));
    answer.send(http2::head_frame(1, http2::get_lines()));
    answer.sink().answer(200, std::string(100'000, 'x'));
    answer.sim.run_for(base::seconds(20));
    answer.send(http2::window_frame(1, bytes - 1000));
    answer.sim.run_for(base::seconds(11));
    CHECK(answer.sink().closed == (bytes < enough));
  }
}

TEST_CASE("a two-way stream: no limit of the client runs, whoever is silent or does not read") {
  for (const bool request_ends : {true, false}) {
    Raw b({}, http2::settings_frame({{4, 1000}}));
    b.send(http2::head_frame(1, post_lines(), end_headers) + http2::data_frame(1, "ping"));
    http::Head head(b.sink().stream->arena());
    head.status = 200;
    b.sink().send_head(head, End::no);
    b.sink().send_body(std::string(5000, 'x'), End::no);
    b.sim.run_for(base::minutes(10));
    b.send(http2::data_frame(1, "ping"));
    b.sim.run_for(base::minutes(10));
    CHECK(b.sink().body == "pingping");
    CHECK_FALSE(b.sink().closed);
    CHECK_FALSE(b.sink().malformed);
    if (request_ends) {                                // the client owes us its reading
      b.send(http2::data_frame(1, "", end_stream));
    } else {                                           // both
      b.sink().send_body("end", End::yes);
    }
    b.sim.run_for(base::seconds(29));
    CHECK_FALSE(b.sink().closed);
    CHECK_FALSE(b.sink().malformed);
    b.sim.run_for(base::seconds(2));
    if (request_ends) {
      CHECK(b.sink().trace.ends_with("closed request_timeout slow_read\n"));
    } else {
      CHECK((b.sink().closed || b.sink().malformed));
    }
  }
}

TEST_CASE("no limit runs while we are the slow side") {
  Raw b({}, http2::frame(4, http2::ack, 0, ""));
  b.host.prepare = [](ProbeSink& s) { s.hold = true; };
  b.send(http2::head_frame(1, post_lines(), end_headers));
  for (int i = 0; i < 17; ++i) b.send(http2::data_frame(1, std::string(15'000, 'x')));
  b.send(http2::head_frame(3, http2::get_lines()));
  b.sim.run_for(base::minutes(30));
  CHECK_FALSE(b.sink(0).closed);
  CHECK_FALSE(b.sink(0).malformed);
  CHECK_FALSE(b.sink(1).closed);
  CHECK_FALSE(b.host.ended);
}

TEST_CASE("a head that drips ends the connection at the absolute deadline") {
  Raw b;
  const std::string lines = http2::block(http2::get_lines());
  b.send(http2::frame(1, end_stream, 1, lines.substr(0, 5)));
  for (int s = 0; s < 8; ++s) {
    b.sim.run_for(base::millis(1400));
    if (s < 5) b.send(http2::frame(9, 0, 1, ""));
  }
  CHECK(b.wire.goaway().ends_with(", 11"));
  CHECK(b.host.sinks.empty());
  CHECK(b.host.protocol_errors == std::vector<http::Detail>{http::Detail::slow_head});
  b.sim.run_for(base::seconds(2));
  CHECK(b.host.cause == http::CloseCause::timeout);
  Raw quick;                                         // a block that ends in time
  quick.send(http2::frame(1, end_stream, 1, lines.substr(0, 5)));
  quick.sim.run_for(base::seconds(9));
  quick.send(http2::frame(9, end_headers, 1, lines.substr(5)));
  quick.sim.run_for(base::seconds(5));
  CHECK(quick.host.sinks.size() == 1);
  CHECK(quick.wire.goaway() == "");
}

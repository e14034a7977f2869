// The client session against an nghttp2 server and against frames by hand: slots, SETTINGS, windows, liveness, and the
// client column of the table of ends (lib/http/README.md), a case a row.
#include "bench.h"
#include "wire.h"

#include <doctest/doctest.h>

using namespace sluice;
using http::CloseCause;
using http::End;
using http2::ClientBench;
using http2::end_headers;
using http2::end_stream;
using http2::Lines;
using http2::Peer;
using http2::Wire;
using support::ProbeSink;

namespace {

// By hand. Sinks stay until the end.
struct Raw : ClientBench {
  explicit Raw(const std::string& settings = http2::settings_frame(), std::atomic<uint32_t>* limit = nullptr)
      : ClientBench({}, limit), wire(*pair.peer) {
    sim.settle();
    if (!settings.empty()) send(settings);
  }
  ~Raw() {
    for (auto& s : sinks) {
      if (s->stream != nullptr) s->cancel({});
    }
    CHECK(contract.text() == "");
  }
  void send(const std::string& bytes) {
    wire.send(bytes);
    sim.settle();
  }
  ProbeSink& request(std::string_view method = "GET", End end = End::yes, std::string_view upgrade = {}) {
    sinks.push_back(std::make_unique<ProbeSink>(contract));
    REQUIRE(ask(*sinks.back(), method, end, upgrade));
    sim.settle();
    return *sinks.back();
  }
  Wire wire;
  std::vector<std::unique_ptr<ProbeSink>> sinks;
};

const Lines ok = {{":status", "200"}};
std::string head(uint32_t id, uint8_t flags = end_headers) { return http2::head_frame(id, ok, flags); }

}  // namespace

TEST_CASE("a request and its answer, with a real server; nothing is pushed") {
  ClientBench b;
  Peer server(Peer::Role::server, *b.pair.peer);
  server.flush();
  const std::string body = "hello";
  server.on_request = [&](int32_t id) { server.answer(id, {{":status", "200"}, {"a", "b"}}, &body, {{"t", "1"}}); };
  ProbeSink sink(b.contract);
  REQUIRE(b.ask(sink, "POST", End::no));
  sink.send_body("ping", End::yes);
  b.sim.settle();
  CHECK(sink.trace == "answer 200 [a: b]\nbody hello\ntrailers [t: 1]\nend\nclosed clean\n");
  CHECK(server.seen(1).heads == "[:method: POST][:scheme: http][:authority: origin][:path: /]");
  CHECK(server.seen(1).body == "ping");
  CHECK(nghttp2_session_get_remote_settings(server.raw(), NGHTTP2_SETTINGS_ENABLE_PUSH) == 0);
  CHECK(server.broken == "");
  CHECK(b.contract.text() == "");
}

TEST_CASE("before the SETTINGS one stream, or as many as were learned") {
  for (const uint32_t learned : {0U, 1U, 7U, 5000U}) {
    std::atomic<uint32_t> limit{learned};
    Raw b("", &limit);
    const uint32_t expected = learned == 5000 ? 1000 : std::max(learned, 1U);
    CHECK(b.host.session->slots() == expected);
    b.request();
    CHECK(b.host.session->slots() == expected - 1);
    b.send(http2::settings_frame({{3, 20}}));
    CHECK(b.host.session->slots() == 19);
    CHECK(limit == (learned == 0 ? 20 : std::min(learned, 20U)));  // the least that was seen
    CHECK(b.host.slots_told > 0);
  }
  Raw unlimited(http2::settings_frame());
  CHECK(unlimited.host.session->slots() == 1000);
}

TEST_CASE("what others learn meanwhile changes nothing for a connection that has no SETTINGS yet") {
  std::atomic<uint32_t> limit{100};
  Raw b("", &limit);
  for (const uint32_t elsewhere : {1U, 0U, 1000U}) {
    limit = elsewhere;
    CHECK(b.host.session->slots() == 100);
  }
}

TEST_CASE("the peer's limit lowered and raised while streams are open") {
  std::atomic<uint32_t> limit{0};
  Raw b(http2::settings_frame({{3, 3}}), &limit);
  for (int i = 0; i < 3; ++i) b.request();
  CHECK(b.host.session->slots() == 0);
  ProbeSink none(b.contract);
  CHECK_FALSE(b.ask(none));
  b.send(http2::settings_frame({{3, 1}}));
  CHECK(b.host.session->slots() == 0);
  CHECK(limit == 1);
  b.send(head(1, end_headers | end_stream));
  b.send(head(3, end_headers | end_stream));
  CHECK(b.host.session->slots() == 0);  // one is open still
  const unsigned told = b.host.slots_told;
  b.send(head(5, end_headers | end_stream));
  CHECK(b.host.session->slots() == 1);
  CHECK(b.host.slots_told > told);
  b.send(http2::settings_frame({{3, 0}}));
  CHECK(b.host.session->slots() == 0);
  b.send(http2::settings_frame({{3, 2}}));
  CHECK(b.host.session->slots() == 2);
  for (const auto& s : b.sinks) CHECK(s->trace == "answer 200\nend\nclosed clean\n");
}

TEST_CASE("a limit of streams that is passed by a lowered one waits and is not lost") {
  std::atomic<uint32_t> limit{4};
  Raw b("", &limit);
  for (int i = 0; i < 4; ++i) b.request();
  b.send(http2::settings_frame({{3, 2}}));  // four are with it already; it must not count them as errors
  for (const uint32_t id : {1U, 3U, 5U, 7U}) b.send(head(id, end_headers | end_stream));
  for (const auto& s : b.sinks) CHECK(s->trace.ends_with("closed clean\n"));
}

TEST_CASE("a stream that was cancelled takes no slot, and what still comes on it hurts nobody") {
  Raw b(http2::settings_frame({{3, 1}}));
  ProbeSink& s = b.request();
  s.cancel({});
  b.sim.settle();
  CHECK(b.wire.stream(1).ends_with("RST 8"));
  CHECK(b.host.session->slots() == 1);
  b.send(head(1) + http2::data_frame(1, "late", end_stream));
  ProbeSink& t = b.request();
  b.send(head(3, end_headers | end_stream));
  CHECK(t.trace.ends_with("closed clean\n"));
  CHECK(s.trace == "cancel\n");
}

TEST_CASE("a header table of size 0 is obeyed, also when it comes later") {
  ClientBench b;
  Peer::Options options;
  options.settings = {{NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 0}};
  Peer server(Peer::Role::server, *b.pair.peer, options);
  server.flush();
  b.sim.settle();
  const std::string body = "ok";
  server.on_request = [&](int32_t id) { server.answer(id, ok, &body); };
  for (int i = 0; i < 5; ++i) {
    ProbeSink sink(b.contract);
    REQUIRE(b.ask(sink));
    b.sim.settle();
    CHECK(sink.trace.ends_with("closed clean\n"));
  }
  CHECK(server.broken == "");
  CHECK(nghttp2_session_get_hd_inflate_dynamic_table_size(server.raw()) == 0);
}

TEST_CASE("GOAWAY: streams above its id are untouched, those below finish, no new ones") {
  Raw b;
  ProbeSink& one = b.request();
  ProbeSink& two = b.request("POST");
  b.send(http2::goaway_frame(1));
  CHECK(two.trace == "closed reset untouched\n");
  CHECK(b.host.session != nullptr);
  CHECK(b.host.session->slots() == 0);
  CHECK_FALSE(b.host.session->validate(http::Borrow::quick));
  b.send(head(1) + http2::data_frame(1, "x", end_stream));
  CHECK(one.trace == "answer 200\nbody x\nend\nclosed clean\n");
  CHECK(b.host.ended);
  CHECK(b.host.cause == CloseCause::peer_asked);
}

TEST_CASE("GOAWAY in two steps, as sluice itself sends it") {
  Raw b;
  ProbeSink& one = b.request();
  b.send(http2::goaway_frame(0x7fffffff) + http2::ping_frame());
  CHECK(one.stream != nullptr);
  CHECK(b.host.session->slots() == 0);
  CHECK(b.wire.connection().ends_with("PING ACK"));
  b.send(http2::goaway_frame(1) + head(1, end_headers | end_stream));
  CHECK(one.trace.ends_with("closed clean\n"));
  CHECK(b.host.ended);
}

TEST_CASE("REFUSED_STREAM is untouched, unless an answer had begun; other resets are not") {
  Raw b;
  b.request();
  b.send(http2::reset_frame(1, 7));
  CHECK(b.sinks[0]->trace == "closed reset untouched\n");
  CHECK(b.sinks[0]->why.kind == http::Kind::refused_stream);
  b.request();
  b.send(head(3) + http2::reset_frame(3, 7));
  CHECK(b.sinks[1]->trace == "answer 200\nclosed reset truncated\n");
  for (const uint32_t code : {0U, 1U, 2U, 8U, 11U}) {
    ProbeSink& s = b.request();
    const uint32_t id = static_cast<uint32_t>(2 * b.sinks.size() - 1);
    b.send(head(id) + http2::data_frame(id, "half"));
    b.send(http2::reset_frame(id, code));
    CHECK(s.trace == "answer 200\nbody half\nclosed reset truncated\n");
  }
  CHECK_FALSE(b.host.ended);
}

TEST_CASE("a connection that dies in the middle never looks complete") {
  for (const bool fin : {true, false}) {
    Raw b;
    b.request();
    b.request();
    b.request();
    b.send(head(1) + http2::data_frame(1, "half") + head(3, end_headers | end_stream));
    fin ? b.pair.peer->fin() : b.pair.peer->reset();
    b.sim.settle();
    CHECK(b.sinks[0]->trace == "answer 200\nbody half\nclosed reset truncated\n");
    CHECK(b.sinks[1]->trace == "answer 200\nend\nclosed clean\n");
    CHECK(b.sinks[2]->trace == "closed reset truncated\n");
    CHECK(b.host.ended);
  }
}

TEST_CASE("a connection that dies before an answer: reset, without the word only for the stream that met it idle") {
  Raw b;
  b.request();
  b.pair.peer->fin();
  b.sim.settle();
  CHECK(b.sinks[0]->trace == "closed reset\n");
  CHECK(b.host.cause == CloseCause::peer_closed);
}

TEST_CASE("an answer whole before its request: clean at once, and the rest of the request is called off") {
  for (const bool body : {false, true}) {
    Raw b;
    ProbeSink& s = b.request("POST", End::no);
    s.send_body("part", End::no);
    b.sim.settle();
    b.send(body ? head(1) + http2::data_frame(1, "no", end_stream) : head(1, end_headers | end_stream));
    CHECK(s.trace == (body ? "answer 200\nbody no\nend\nclosed clean\n" : "answer 200\nend\nclosed clean\n"));
    CHECK(b.wire.stream(1).find("RST") != std::string::npos);
    CHECK(b.wire.stream(1).find("END") == std::string::npos);
    CHECK(b.host.session->open_streams() == 0);
  }
}

TEST_CASE("... which the sink may do first") {
  Raw b;
  ProbeSink& s = b.request("POST", End::no);
  s.when_ended = [](ProbeSink& e) { e.cancel({}); };
  b.send(head(1, end_headers | end_stream));
  CHECK(s.trace == "answer 200\nend\ncancel\n");
  CHECK(b.wire.stream(1).find("RST") != std::string::npos);
}

TEST_CASE("cancel: RST_STREAM CANCEL, before it was sent too") {
  Raw b;
  ProbeSink& s = b.request();
  s.cancel({});
  b.sim.settle();
  CHECK(b.wire.stream(1).ends_with("RST 8"));
  ProbeSink unsent(b.contract);
  unsent.stream = b.host.session->open(unsent);
  unsent.cancel({});
  b.sim.settle();
  CHECK(b.host.session->open_streams() == 0);
  CHECK(b.host.session->slots() == 1000);
}

TEST_CASE("101, then ends of both directions") {
  Raw b(http2::settings_frame({{8, 1}}));
  ProbeSink& s = b.request("GET", End::no, "websocket");
  CHECK(b.wire.stream(1) == "[:method: CONNECT][:protocol: websocket][:scheme: http][:authority: origin][:path: /]");
  b.send(head(1) + http2::data_frame(1, "hi"));
  s.send_body("there", End::no);
  b.send(http2::data_frame(1, "", end_stream));
  CHECK(s.trace == "answer 101 upgrade=websocket\nbody hi\nend\n");
  s.send_body("!", End::yes);
  b.sim.settle();
  CHECK(b.wire.stream(1).ends_with("there ! END"));
  CHECK(s.trace.ends_with("end\nclosed clean\n"));
  CHECK(b.wire.stream(1).find("RST") == std::string::npos);
}

TEST_CASE("the last bytes of a tunnel whose client is gone: 30 s without progress, and they are lost") {
  Raw b(http2::settings_frame({{8, 1}, {4, 4}}));  // a window of 4 bytes
  ProbeSink& s = b.request("GET", End::no, "websocket");
  b.send(head(1) + http2::data_frame(1, "", end_stream));
  s.send_body("123456789", End::yes);
  s.cancel({});
  b.sim.settle();
  const auto ended = [&] { return b.wire.stream(1).find("RST") != std::string::npos; };
  b.sim.run_for(base::seconds(21));
  b.send(http2::frame(6, http2::ack, 0, std::string("\1\0\0\0\0\0\0\0", 8)));  // it is alive: the PING is answered
  b.sim.run_for(base::seconds(8));
  b.send(http2::window_frame(1, 4));  // progress: 30 s anew
  b.sim.run_for(base::seconds(29));
  CHECK_FALSE(ended());
  b.sim.run_for(base::seconds(2));
  CHECK(ended());
  CHECK(b.wire.stream(1).find("1234 5678") != std::string::npos);
  CHECK(b.host.session->slots() == 1000);
}

TEST_CASE("what comes while a tunnel without a client runs out makes no connection unusable") {
  Raw b(http2::settings_frame({{8, 1}, {4, 4}}));
  ProbeSink& s = b.request("GET", End::no, "websocket");
  b.send(head(1) + http2::data_frame(1, "", end_stream));
  s.send_body("12345678", End::yes);
  s.cancel({});
  b.sim.settle();
  b.wire.send(http2::window_frame(1, 4));  // not read yet: not quiet
  CHECK(b.host.session->validate(http::Borrow::surely));
  b.sim.run_for(base::seconds(1));
  CHECK_FALSE(b.host.ended);
  CHECK(b.wire.stream(1).ends_with("1234 5678 END"));
}

TEST_CASE("an upgrade waits for the SETTINGS; a peer that does not know it refuses") {
  Raw b("");
  ProbeSink& s = b.request("GET", End::no, "websocket");
  CHECK(b.wire.stream(1) == "");
  b.send(http2::settings_frame());
  CHECK(s.trace == "closed not_implemented upgrade untouched\n");
  CHECK(b.wire.stream(1) == "");
  CHECK(b.host.session->slots() == 1000);
}

TEST_CASE("upgrades that wait for the SETTINGS, and pass the limit that these bring, are refused untouched") {
  std::atomic<uint32_t> learned{3};
  Raw b("", &learned);
  for (int i = 0; i < 3; ++i) b.request("GET", End::no, "websocket");
  b.send(http2::settings_frame({{8, 1}, {3, 1}}));
  CHECK(b.sinks[0]->trace == "");
  for (size_t i = 1; i < 3; ++i) {
    CHECK(b.sinks[i]->trace == "closed reset untouched\n");
    CHECK(b.sinks[i]->why.kind == http::Kind::refused_stream);
  }
  CHECK(b.wire.stream(3) == "");
  b.send(head(1));
  CHECK(b.sinks[0]->trace == "answer 101 upgrade=websocket\n");
}

TEST_CASE("retire_when_idle: busy it finishes what is open; idle it says GOAWAY") {
  Raw b;
  ProbeSink& s = b.request();
  b.host.session->retire_when_idle(CloseCause::max_lifetime);
  CHECK(b.host.session->slots() == 0);
  b.sim.settle();
  CHECK_FALSE(b.host.ended);
  b.send(head(1, end_headers | end_stream));
  CHECK(s.trace.ends_with("closed clean\n"));
  CHECK(b.wire.goaway() == "0, 0");
  CHECK(b.host.ended);
  CHECK(b.host.cause == CloseCause::max_lifetime);
}

TEST_CASE("abort") {
  Raw b;
  ProbeSink& s = b.request();
  b.host.session->abort(CloseCause::drain);
  b.sim.settle();
  CHECK(s.trace == "closed reset\n");
  CHECK(b.host.ended);
}

TEST_CASE("an idle connection is asked by PING; one that does not answer is given up, one that does is asked no more") {
  Raw b;
  b.request();
  b.send(head(1, end_headers | end_stream));
  b.sim.run_for(base::millis(20'010));
  CHECK(b.wire.connection().ends_with("PING"));
  b.sim.run_for(base::seconds(6));
  CHECK(b.host.ended);
  CHECK(b.host.cause == CloseCause::timeout);

  ClientBench alive;
  Peer server(Peer::Role::server, *alive.pair.peer);
  server.flush();
  server.on_request = [&](int32_t id) { server.answer(id, ok); };
  ProbeSink sink(alive.contract);
  REQUIRE(alive.ask(sink));
  alive.sim.run_for(base::minutes(10));
  CHECK(server.pings == 1);
  CHECK_FALSE(alive.host.ended);
  ProbeSink again(alive.contract);
  REQUIRE(alive.ask(again));
  alive.sim.run_for(base::minutes(1));
  CHECK(server.pings == 2);
}

TEST_CASE(
    "a stream that timed out on a silent connection: no further stream until a PING is answered, and the end without") {
  for (const bool alive : {true, false}) {
    CAPTURE(alive);
    Raw b;
    b.request();
    b.send(head(1, end_headers | end_stream));
    ProbeSink& late = b.request();
    ProbeSink& other = b.request();
    b.sim.run_for(base::millis(300));
    late.cancel({http::Kind::timeout, http::Where::upstream});
    CHECK(b.host.session->slots() == 0);
    const unsigned told = b.host.slots_told;
    b.sim.settle();
    CHECK(b.wire.connection().ends_with("PING"));
    CHECK(b.host.slots_told > told);
    b.sim.run_for(base::millis(900));
    CHECK_FALSE(b.host.ended);
    if (alive) b.send(http2::ping_frame(http2::ack));
    b.sim.run_for(base::millis(200));
    CHECK(b.host.ended == !alive);
    if (!alive) CHECK(b.host.cause == CloseCause::timeout);
    if (!alive) CHECK(other.trace == "closed reset\n");
    if (alive) CHECK(b.host.session->slots() == 999);
  }
}

TEST_CASE("the PING that asks a silent connection waits for connect_timeout") {
  for (const base::Millis patience : {base::millis(200), base::seconds(3)}) {
    ClientBench b({}, nullptr, patience);
    b.pair.peer->send(http2::settings_frame());
    ProbeSink late(b.contract);
    ProbeSink other(b.contract);
    b.sim.settle();
    REQUIRE(b.ask(late));
    REQUIRE(b.ask(other));
    b.sim.run_for(base::millis(100));
    late.cancel({http::Kind::timeout, http::Where::upstream});
    b.sim.run_for(base::Millis{patience.count - 10});
    CHECK_FALSE(b.host.ended);
    b.sim.run_for(base::millis(20));
    CHECK(b.host.ended);
    CHECK(other.closed);
  }
}

// Row 60. Nothing of the peer's acknowledges what is under way: its host, or the way to it, has gone.
TEST_CASE("a host that acknowledges nothing: no further stream, then the end; one that does not read is left alone") {
  enum class How : uint8_t { lost, lost_and_found, does_not_read, says_nothing, nothing_to_say };
  for (const How how : {How::lost, How::lost_and_found, How::does_not_read, How::says_nothing, How::nothing_to_say}) {
    CAPTURE(static_cast<int>(how));
    Raw b;
    ProbeSink& first = b.request("POST", End::no);
    if (how == How::lost || how == How::lost_and_found) b.pair.peer->lose();
    if (how == How::does_not_read) b.pair.peer->hold();
    b.sim.run_for(base::seconds(60));
    CHECK_FALSE(b.host.ended);  // nothing is owed
    CHECK(b.host.session->slots() == 999);
    if (how != How::nothing_to_say) first.send_body(std::string(64, 'b'), End::no);
    b.sim.run_for(base::millis(1'900));
    const bool mute = how == How::lost || how == How::lost_and_found;
    CHECK(b.host.session->slots() == (mute ? 0 : 999));
    CHECK_FALSE(b.host.ended);
    if (how == How::lost_and_found) {
      const unsigned told = b.host.slots_told;
      b.pair.wire->find();
      b.sim.run_for(base::seconds(1));
      CHECK(b.host.session->slots() == 999);
      CHECK(b.host.slots_told > told);
    }
    b.sim.run_for(base::seconds(60));
    CHECK(b.host.ended == (how == How::lost));
    if (how == How::lost) CHECK(b.host.cause == CloseCause::timeout);
    if (how == How::lost) CHECK(first.trace == "closed reset\n");
  }
}

TEST_CASE("a stream that timed out, or was given up, while others are served asks for no PING") {
  Raw b;
  ProbeSink& slow = b.request();
  ProbeSink& left = b.request();
  b.request();
  b.sim.run_for(base::millis(300));
  b.send(head(5) + http2::data_frame(5, "x"));
  slow.cancel({http::Kind::timeout, http::Where::upstream});
  b.sim.run_for(base::seconds(2));
  left.cancel({http::Kind::client_closed, http::Where::downstream});
  b.sim.settle();
  CHECK(b.wire.connection().find("PING") == std::string::npos);
  CHECK(b.host.session->slots() == 999);
}

TEST_CASE("half a frame, then silence: idle, the connection is not used again; busy, not before a PING is answered") {
  for (const std::string& torn : {std::string("\0\0\x08", 3), http2::frame(6, 0, 0, "12345678").substr(0, 12),
                                  head(1, end_stream)}) {  // the last: a header block that goes on
    Raw b;
    b.request();
    if (torn.size() < 13) b.send(head(1, end_headers | end_stream));
    b.send(torn);
    if (torn.size() >= 13) b.sinks[0]->cancel({});
    b.sim.settle();
    CHECK_FALSE(b.host.session->validate(http::Borrow::quick));
    b.sim.run_for(base::millis(10));
    CHECK(b.host.ended);
  }
  Raw b;
  b.request();
  b.send(head(1) + http2::data_frame(1, "12345678").substr(0, 12));
  b.request();  // the rest may be on its way
  b.sim.run_for(base::millis(150));
  ProbeSink third(b.contract);
  CHECK_FALSE(b.ask(third));
  b.sim.settle();
  CHECK(b.wire.connection().ends_with("PING"));
  b.send("45678");  // it lives
  CHECK(b.host.session->slots() == 998);
  REQUIRE(b.ask(third));
  third.cancel({});
  b.sim.settle();
}

TEST_CASE(
    "MAX_HEADER_LIST_SIZE is kept: at it the request goes, one above it is refused untouched, and the others live") {
  // :method GET, :scheme http, :authority origin, :path /
  const uint32_t size = 7 + 3 + 7 + 4 + 10 + 6 + 5 + 1 + 4 * 32;
  for (const uint32_t most : {size, size - 1, 0U}) {
    CAPTURE(most);
    Raw b(http2::settings_frame({{6, most}}));
    ProbeSink& s = b.request();
    if (most == size) {
      b.send(head(1, end_headers | end_stream));
      CHECK(s.trace == "answer 200\nend\nclosed clean\n");
      continue;
    }
    CHECK(s.trace == "closed headers_too_large untouched\n");
    CHECK(b.wire.stream(1) == "");
    CHECK(b.host.session->slots() == 1000);
    b.send(http2::settings_frame({{6, size}}));
    ProbeSink& next = b.request();
    b.send(head(1, end_headers | end_stream));
    CHECK(next.trace == "answer 200\nend\nclosed clean\n");
  }
}

TEST_CASE("DATA behind the answer to HEAD: the answer is clean, the stream is reset, the rest is dropped") {
  Raw b;
  ProbeSink& s = b.request("HEAD");
  b.send(http2::head_frame(1, {{":status", "200"}, {"content-length", "5"}}, end_headers));
  CHECK(s.trace == "answer 200 length=5\nend\n");
  b.send(http2::data_frame(1, "hello"));
  CHECK(s.trace.ends_with("end\nclosed clean\n"));
  CHECK(b.wire.stream(1).ends_with("RST 1"));
  b.send(http2::data_frame(1, "more", end_stream));
  b.request();
  b.send(head(3, end_headers | end_stream));
  CHECK(b.sinks[1]->trace == "answer 200\nend\nclosed clean\n");
  CHECK_FALSE(b.host.ended);
  // An END_STREAM that follows by itself is no such thing, also when the sink has left.
  for (const bool leaves : {false, true}) {
    ProbeSink& t = b.request("HEAD");
    const uint32_t id = leaves ? 7 : 5;
    b.send(head(id));
    if (leaves) t.cancel({});
    b.send(http2::data_frame(id, "", end_stream));
    if (!leaves) CHECK(t.trace == "answer 200\nend\nclosed clean\n");
    CHECK(b.wire.stream(id).find("RST") == std::string::npos);
  }
  CHECK(b.host.session->slots() == 1000);
}

TEST_CASE("resets of streams, ours and the peer's, do not spend the connection") {
  Raw b;
  for (uint32_t i = 0; i < 400; ++i) {
    ProbeSink& s = b.request();
    const uint32_t id = 2 * i + 1;
    if (i % 2 == 0) {
      s.cancel({});
      b.sim.settle();
      b.send(head(id) + http2::data_frame(id, "late", end_stream));
    } else {
      b.send(http2::reset_frame(id, i % 4 == 1 ? 7 : 2));
    }
  }
  CHECK_FALSE(b.host.ended);
  CHECK(b.host.session->slots() == 1000);
  ProbeSink& s = b.request();
  b.send(head(801, end_headers | end_stream));
  CHECK(s.trace == "answer 200\nend\nclosed clean\n");
}

TEST_CASE(
    "streams that met the end of an idle connection: by FIN, by a GOAWAY below them; not once a stream has heard "
    "anything") {
  for (const bool goaway : {false, true}) {
    Raw b;
    b.request();
    b.send(head(1, end_headers | end_stream));
    b.request();
    b.request();
    b.send(goaway ? http2::goaway_frame(1) : http2::ping_frame());
    b.pair.peer->fin();
    b.sim.settle();
    for (size_t i = 1; i < 3; ++i) CHECK(b.sinks[i]->trace == (goaway ? "closed reset untouched\n" : "closed reset\n"));
    CHECK(b.sinks[2]->why.kind == http::Kind::reset);
  }
  Raw b;
  b.request();
  b.send(head(1, end_headers | end_stream));
  b.request();
  b.request();
  b.send(head(3, end_headers | end_stream));
  b.pair.peer->fin();
  b.sim.settle();
  CHECK(b.sinks[2]->trace == "closed reset truncated\n");
}

TEST_CASE("validate sees a FIN, an error and stray bytes on an idle connection") {
  Raw b;
  b.request();
  b.send(head(1, end_headers | end_stream));
  CHECK(b.host.session->validate(http::Borrow::surely));
  b.wire.send("x");
  CHECK_FALSE(b.host.session->validate(http::Borrow::surely));
  b.sim.settle();
  CHECK(b.host.ended);
}

TEST_CASE("1xx: ten and 16 KiB at most") {
  for (const int n : {10, 11}) {
    Raw b;
    ProbeSink& s = b.request();
    std::string frames;
    for (int i = 0; i < n; ++i) frames += http2::head_frame(1, {{":status", "103"}}, end_headers);
    b.send(frames + head(1, end_headers | end_stream));
    CHECK(s.trace.ends_with(n == 10 ? "closed clean\n" : "closed bad_response informational\n"));
  }
  for (const size_t bytes : {size_t{15'000}, size_t{17'000}}) {
    Raw b;
    ProbeSink& s = b.request();
    b.send(http2::head_frame(1, {{":status", "103"}, {"x", std::string(bytes / 2, 'v')}}, end_headers));
    b.send(http2::head_frame(1, {{":status", "103"}, {"x", std::string(bytes / 2, 'v')}}, end_headers) +
           head(1, end_headers | end_stream));
    CHECK(s.trace.ends_with(bytes == 15'000 ? "closed clean\n" : "closed bad_response informational\n"));
  }
}

TEST_CASE("a broken connection: GOAWAY with the code, the answers under way end as broken, no further stream") {
  struct Case {
    std::string name;
    std::string bytes;
    const char* code;
  };
  for (const Case& c :
       {Case{"HTTP/1", "HTTP/1.1 400 Bad Request\r\n\r\n", "1"},
        Case{"a frame too large", http2::frame(0, 0, 1, std::string(17'000, 'x')), "6"},
        Case{"PUSH_PROMISE", http2::frame(5, 4, 1, http2::number(2) + http2::block(http2::get_lines())), "1"},
        Case{"HEADERS of no stream", head(9), "1"},
        Case{"HPACK that is none", http2::frame(1, 5, 1, "\xff\xff\xff\xff\xff\xff"), "9"},
        Case{"CONTINUATION alone", http2::frame(9, 4, 1, ""), "1"},
        Case{"a window beyond 2^31", http2::window_frame(0, 0x7fffffff), "3"}}) {
    CAPTURE(c.name);
    Raw b(c.name == "HTTP/1" ? "" : http2::settings_frame() + http2::frame(4, http2::ack, 0, ""));
    ProbeSink& s = b.request();
    b.send(c.bytes);
    CHECK(s.closed);
    CHECK(s.why.kind == http::Kind::bad_response);
    CHECK_FALSE(s.why.untouched);
    CHECK(b.wire.goaway().ends_with(std::string(", ") + c.code));
    CHECK(b.host.ended);
    CHECK(b.host.protocol_errors.size() == 1);
  }
}

TEST_CASE("an upstream's fault on one stream is not its neighbours'") {
  const std::string faults[] = {
      http2::window_frame(1, 0), http2::window_frame(1, 0x7fffffff),
      http2::head_frame(1, ok, end_headers) + http2::data_frame(1, std::string(16'000, 'x')) +
          http2::data_frame(1, std::string(16'000, 'x')) + http2::data_frame(1, std::string(16'000, 'x')) +
          http2::data_frame(1, std::string(16'000, 'x')) + http2::data_frame(1, std::string(16'000, 'x'))};
  for (const std::string& fault : faults) {
    Raw b;
    ProbeSink& one = b.request();
    ProbeSink& two = b.request();
    one.hold = true;
    b.send(fault);
    CHECK(one.trace.find("closed bad_response") != std::string::npos);
    CHECK(b.wire.stream(1).find("RST ") != std::string::npos);
    CHECK(b.wire.goaway() == "");
    b.send(http2::window_frame(1, 0) + http2::data_frame(1, "late", end_stream));  // our reset has not been seen
    b.send(http2::head_frame(3, ok, end_headers | end_stream));
    CHECK(two.trace.ends_with("closed clean\n"));
    CHECK(b.wire.goaway() == "");
  }
}

TEST_CASE("header blocks of an upstream are bounded too") {
  Raw b;
  ProbeSink& s = b.request();
  std::string frames = http2::frame(1, 0, 1, http2::block(ok));
  for (int i = 0; i < 9; ++i) frames += http2::frame(9, 0, 1, "");
  b.send(frames);
  CHECK(s.trace == "closed bad_response continuation_flood\n");
  CHECK(b.wire.goaway().ends_with(", 11"));
  for (const size_t size : {60'000, 70'000, 250'000, 270'000}) {
    Raw large;
    ProbeSink& t = large.request();
    http2::Lines lines = {{":status", "200"}};
    for (size_t i = 0; i < size / 10'000; ++i)
      lines.emplace_back("x", std::string(10'000, '~'));  // 13 bits each, so as they are
    const std::string text = http2::block(lines);
    std::string blocks = http2::frame(1, end_stream, 1, text.substr(0, 16'000));
    for (size_t at = 16'000; at < text.size(); at += 16'000)
      blocks += http2::frame(9, at + 16'000 >= text.size() ? 4 : 0, 1, text.substr(at, 16'000));
    large.send(blocks);
    CAPTURE(size);
    const bool broken = size == 270'000;  // else it is the fault of one answer, and others share the connection
    CHECK(t.trace.ends_with(size == 60'000 ? "closed clean\n"
                            : broken       ? "closed bad_response continuation_flood\n"
                                           : "closed bad_response head_size\n"));
    CHECK((large.wire.goaway() == "") == !broken);
  }
}

TEST_CASE("an answer that its sink does not take holds its window, and its neighbours go on") {
  Raw b;
  b.send(http2::frame(4, http2::ack, 0, ""));
  ProbeSink& held = b.request();
  held.hold = true;
  ProbeSink& other = b.request();
  b.send(head(1) + head(3));
  for (int i = 0; i < 4; ++i) b.send(http2::data_frame(1, std::string(16'384, 'x')));
  CHECK(held.body.size() == 64 * 1024);
  for (int i = 0; i < 100; ++i) b.send(http2::data_frame(3, std::string(16'384, 'x')));
  CHECK(other.body.size() == 100 * 16'384);
  b.send(http2::data_frame(1, "x"));  // beyond what was allowed
  CHECK(held.trace.ends_with("closed bad_response flow_control\n"));
  CHECK(b.wire.stream(1).ends_with("RST 3"));
}

TEST_CASE("an answer that is read fast gets a wide window, one that is not read keeps its own") {
  Raw b;
  b.send(http2::frame(4, http2::ack, 0, ""));
  ProbeSink& s = b.request();
  b.send(head(1));
  for (int i = 0; i < 16; ++i) b.send(http2::data_frame(1, std::string(16'384, 'x')));  // 256 KiB, taken as they come
  CHECK(s.body.size() == 256 * 1024);
  s.hold = true;
  for (int i = 0; i < 16; ++i) b.send(http2::data_frame(1, std::string(16'384, 'x')));
  CHECK(s.body.size() == 512 * 1024);
  b.send(http2::data_frame(1, "x"));
  CHECK(s.trace.ends_with("closed bad_response flow_control\n"));
}

TEST_CASE("a request body waits for the windows, which SETTINGS may change while it does") {
  Raw b(http2::settings_frame({{4, 100}}));
  ProbeSink& s = b.request("POST", End::no);
  s.send_body(std::string(1000, 'x'), End::yes);
  b.sim.settle();
  CHECK(b.wire.data_bytes() == 100);
  b.send(http2::settings_frame({{4, 50}}));
  CHECK(b.wire.data_bytes() == 100);
  b.send(http2::settings_frame({{4, 300}}));
  CHECK(b.wire.data_bytes() == 300);
  CHECK(s.sent == 300);
  b.send(http2::window_frame(1, 10'000));
  CHECK(b.wire.data_bytes() == 1000);
  CHECK(b.wire.stream(1).ends_with("END"));
}

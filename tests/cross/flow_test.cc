// Bytes in flow: large bodies, readers that stop, writers that are slow, deliveries that are torn, and events that may
// not wait.
#include "net/chunk.h"
#include "stage.h"
#include "support/random.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using cross::Ask;
using cross::Body;
using cross::Call;
using cross::Ending;
using cross::for_all_pairs;
using cross::Reply;
using cross::Stage;
using cross::Turn;

namespace {

constexpr Reply unknown{200, {}, Body::follows, {}};

// No run of it looks like another.
std::string pattern(size_t size) {
  support::Random random(size);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>('a' + random.below(26));
  return text;
}

const std::string much = pattern(3'000'000);

}  // namespace

TEST_CASE("large bodies both ways at once, of known and of unknown length") {
  for (const std::optional<uint64_t> length : {std::optional<uint64_t>(much.size()), std::optional<uint64_t>()}) {
    for_all_pairs([&](Stage& s) {
      Call& call = s.ask({.method = "POST", .body = Body::follows, .length = length});
      Turn& turn = s.turn();
      turn.answer({200, {}, Body::follows, length});
      for (size_t at = 0; at < much.size(); at += 100'000) {
        call.send(std::string_view(much).substr(at, 100'000));
        if (at + 100'000 == much.size()) call.end();
        s.settle();  // a whole answer before a whole request would cut the request (row 31)
        turn.send(std::string_view(much).substr(at, 100'000));
      }
      turn.end();
      s.settle();
      CHECK(turn.request().ending == Ending::whole);
      CHECK(call.answer().ending == Ending::whole);
      CHECK((turn.request().body == much));
      CHECK((call.answer().body == much));
    });
  }
}

TEST_CASE("a client that stops reading holds its origin back, not our memory; then it gets all of it") {
  for_all_pairs([](Stage& s) {
    cross::Client& client = s.client();
    Call& call = client.ask({});
    Turn& turn = s.turn();
    const size_t before = net::Chunk::live();
    client.wire().hold();
    turn.answer(unknown);
    turn.wire().tear(support::tear_every(16 * 1024));  // as a socket is read
    turn.send(much);
    turn.end();
    s.rig.sim.run_for(base::seconds(8));  // not yet too slow
    CHECK((net::Chunk::live() - before) * 16 * 1024 <= 1024 * 1024);
    CHECK(call.answer().ending == Ending::open);
    client.wire().resume();
    s.rig.sim.run_for(base::seconds(1));
    CHECK(call.answer().ending == Ending::whole);
    CHECK((call.answer().body == much));
  });
}

TEST_CASE("a client that reads nothing any more: its answer is cut, and the origin is told") {
  for_all_pairs([](Stage& s) {
    cross::Client& client = s.client();
    Call& call = client.ask({});
    Turn& turn = s.turn();
    client.wire().hold();
    turn.answer(unknown);
    turn.send(much);
    turn.end();
    s.rig.sim.run_for(base::minutes(2));
    CHECK(turn.left());
    client.wire().resume();
    s.settle();
    CHECK(call.answer().ending == Ending::cut);
  });
}

TEST_CASE("an origin that stops reading holds its client back, not our memory; then it gets all of it") {
  for_all_pairs([](Stage& s) {
    cross::Client& client = s.client();
    Call& call = client.ask({.method = "POST", .body = Body::follows});
    Turn& turn = s.turn();
    const size_t before = net::Chunk::live();
    turn.wire().hold();
    client.wire().tear(support::tear_every(16 * 1024));
    call.send(much);
    call.end();
    s.rig.sim.run_for(base::seconds(60));
    CHECK((net::Chunk::live() - before) * 16 * 1024 <= 1024 * 1024);
    CHECK(turn.request().ending == Ending::open);
    turn.wire().resume();
    s.rig.sim.run_for(base::seconds(1));
    CHECK(turn.request().ending == Ending::whole);
    CHECK((turn.request().body == much));
    turn.answer(200, "");
    s.settle();
    CHECK(call.answer().text() == "200 | whole");
  });
}

TEST_CASE("slow writers, on both ends") {
  for_all_pairs([](Stage& s) {
    const std::string piece(5'000, 'p');
    Call& call = s.ask({.method = "POST", .body = Body::follows});
    Turn& turn = s.turn();
    turn.answer(unknown);
    for (int i = 1; i <= 60; ++i) {  // a minute: longer than any limit but those of a silence
      call.send(piece);
      turn.send(piece);
      s.rig.sim.run_for(base::seconds(1));
      CHECK(turn.request().body.size() == static_cast<size_t>(i) * piece.size());
      CHECK(call.answer().body.size() == static_cast<size_t>(i) * piece.size());
    }
    call.end();
    s.settle();
    turn.end();
    s.settle();
    CHECK(turn.request().ending == Ending::whole);
    CHECK(call.answer().ending == Ending::whole);
  });
}

TEST_CASE("torn and slow at random places, the same is heard") {
  for (uint64_t seed = 1; seed <= 25; ++seed) {
    CAPTURE(seed);
    for_all_pairs(
        "POST example.com /t [x-a: b] te | one two three | [x-sum: 1] | whole\n"
        "103 [link: </a>] | 200 [x-b: c] | first second | [x-sum: 2] | whole",
        [seed](Stage& s) {
          s.rig.network.set_tear([seed] { return support::tear_randomly(seed); });
          cross::Client& client = s.client();
          client.wire().tear(support::tear_randomly(seed + 100));
          Call& call =
              client.ask({.method = "POST", .path = "/t", .fields = {{"x-a", "b"}}, .body = Body::follows, .te = true});
          call.send("one ");
          Turn& turn = s.turn();
          turn.inform(103, {{"link", "</a>"}});
          call.send("two ");
          turn.answer({200, {{"x-b", "c"}}, Body::follows});
          turn.send("first ");
          s.settle();
          call.send("three");
          call.end({{"x-sum", "1"}});
          s.settle();
          turn.send("second");
          turn.end({{"x-sum", "2"}});
          s.settle();
          return turn.request().text() + "\n" + call.answer().text();
        });
  }
}

// From the origin's wire into the proxy, and out of it in the same turn; then from the proxy's wire to the client.
TEST_CASE("a Server-Sent Event goes out in the turn in which it came") {
  for_all_pairs([](Stage& s) {
    Call& call = s.ask({.path = "/events", .fields = {{"accept", "text/event-stream"}}});
    Turn& turn = s.turn();
    turn.answer({200, {{"content-type", "text/event-stream"}}, Body::follows});
    s.settle();
    CHECK(call.answer().start == "200");  // the head does not wait for the first event
    std::string all;
    for (int i = 0; i < 5; ++i) {
      s.rig.sim.run_for(base::seconds(20));
      const std::string event = "data: " + std::to_string(i) + "\n\n";
      all += event;
      const base::Micros at = s.rig.sim.now();
      const uint64_t before = s.rig.sim.turns();
      turn.send(event);
      CHECK(s.rig.sim.until([&] { return call.answer().body == all; }));
      CHECK(s.rig.sim.now() == at);
      CHECK(s.rig.sim.turns() - before <= 2);
    }
  });
}

TEST_CASE("a piece of a request goes out in the turn in which it came") {
  for_all_pairs([](Stage& s) {
    Call& call = s.ask({.method = "POST", .body = Body::follows});
    Turn& turn = s.turn();
    const std::string piece(5'000, 'p');  // enough for min_rate
    std::string all;
    for (int i = 0; i < 5; ++i) {
      s.rig.sim.run_for(base::seconds(5));
      all += piece;
      const uint64_t before = s.rig.sim.turns();
      call.send(piece);
      CHECK(s.rig.sim.until([&] { return turn.request().body == all; }));
      CHECK(s.rig.sim.turns() - before <= 2);
    }
  });
}

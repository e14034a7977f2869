// Which stream's bytes leave first (RFC 9218 10): the session's side of it is in server_flow_test.
#include <algorithm>
#include <string>

#include "bench.h"
#include "wire.h"

#include <doctest/doctest.h>

using namespace sluice;
using http::End;
using http2::Lines;
using http2::ServerBench;
using http2::Wire;

namespace {

constexpr size_t frame_bytes = 16'375;               // Engine::data_bytes_max

// Answers begin at once; their bytes come when the test says; nothing leaves before open().
struct Bench : ServerBench {
  Bench() : wire(*pair.peer) {
    host.prepare = [](support::ProbeSink& sink) {
      sink.when_head = [](support::ProbeSink& s) {
        http::Head head(s.stream->arena());
        head.status = s.head->upgrade.empty() ? 200 : 101;
        head.upgrade = s.head->upgrade;
        s.send_head(head, End::no);
      };
    };
    wire.send(http2::client_preface + http2::settings_frame({{4, 0x7fffffff}}));
    sim.settle();
  }
  void ask(const Lines& more = {}, bool call = false) {
    Lines lines = http2::get_lines();
    if (call) lines.emplace_back("content-type", "application/grpc");
    lines.insert(lines.end(), more.begin(), more.end());
    wire.send(http2::head_frame(static_cast<uint32_t>(2 * host.sinks.size() + 1), lines));
    sim.settle();
  }
  void give(size_t which, size_t frames, End end = End::yes) {
    sink(which).send_body(std::string(frames * frame_bytes, static_cast<char>('a' + which)), end);
    sim.settle();
  }
  // Of which streams the frames are that leave when the connection's window opens, a letter each.
  std::string open(uint32_t frames) {
    const size_t before = wire.data().size();
    wire.send(http2::window_frame(0, static_cast<uint32_t>(frames * frame_bytes)));
    sim.settle();
    std::string order;
    for (const auto& [id, size] :
         std::vector(wire.data().begin() + static_cast<ptrdiff_t>(before), wire.data().end())) {
      if (size != 0) order += static_cast<char>('a' + id / 2);
    }
    return order;
  }

  Wire wire;
};

// Takes the window of a connection at its start: four frames and 35 bytes.
void use_up(Bench& b) {
  b.ask();
  b.sink(0).send_body(std::string(65'535, 'a'), End::no);
  b.sim.settle();
}

}  // namespace

TEST_CASE("of one urgency the lowest id goes first, also if a later one had bytes before it") {
  Bench b;
  use_up(b);
  for (int i = 0; i < 3; ++i) b.ask();
  b.give(3, 2);
  b.give(2, 2);
  b.give(1, 2);
  CHECK(b.open(3) == "bbc");
  b.give(0, 1);
  CHECK(b.open(10) == "acdd");
}

TEST_CASE("urgency outweighs the id, and a change of it counts at once") {
  Bench b;
  use_up(b);
  b.ask();
  b.ask({{"priority", "u=5"}});
  b.ask({{"priority", "u=1"}});
  for (const size_t i : {1, 2, 3}) b.give(i, 4);
  CHECK(b.open(2) == "dd");
  b.wire.send(http2::update_frame(5, "u=0"));
  b.wire.send(http2::update_frame(3, "u=7"));
  CHECK(b.open(20) == "ccccddbbbb");
}

TEST_CASE("incremental ones share; beside others they have every other frame") {
  Bench b;
  use_up(b);
  b.ask({{"priority", "i"}});
  b.ask({{"priority", "i"}});
  b.ask();
  b.ask();
  for (const size_t i : {1, 2, 3, 4}) b.give(i, 4);
  const std::string order = b.open(16);
  CHECK(order == "bdcdbdcdbecebece");
}

TEST_CASE("calls and tunnels share unless their client says otherwise") {
  for (const bool told : {false, true}) {
    Bench b;
    use_up(b);
    const Lines priority = told ? Lines{{"priority", "u=3"}} : Lines{};
    b.ask(priority, true);
    b.ask(priority, true);
    for (const size_t i : {1, 2}) b.give(i, 3);
    CHECK(b.open(6) == (told ? "bbbccc" : "bcbcbc"));
  }
}

TEST_CASE("a long answer does not stop what came after it") {
  Bench b;
  use_up(b);
  for (int i = 0; i < 3; ++i) b.ask();
  for (const size_t i : {1, 2, 3}) b.give(i, 200);
  const std::string order = b.open(192);
  CHECK(std::ranges::count(order, 'b') >= 180);
  CHECK(std::ranges::count(order, 'c') >= 2);
  CHECK(std::ranges::count(order, 'd') >= 2);
  CHECK(order.substr(0, 31) == std::string(31, 'b'));
}

TEST_CASE("streams that are reset, or whose window shuts, leave the order") {
  Bench b;
  use_up(b);
  for (int i = 0; i < 4; ++i) b.ask();
  for (const size_t i : {1, 2, 3, 4}) b.give(i, 3);
  b.wire.send(http2::reset_frame(5) + http2::reset_frame(7));
  b.sim.settle();
  CHECK(b.open(4) == "bbbe");
  b.wire.send(http2::settings_frame({{4, 0}}));
  CHECK(b.open(4) == "");
  b.wire.send(http2::settings_frame({{4, 0x7fffffff}}));
  b.sim.settle();
  CHECK(b.sink(4).closed);
}

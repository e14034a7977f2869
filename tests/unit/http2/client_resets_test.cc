// Resets towards an upstream (threats.md row 55): so many, then what nobody wants is left to run out within its window,
// and reset bit by bit.
#include "bench.h"
#include "http2/client.h"
#include "wire.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using http::End;
using http2::Client;
using http2::ClientBench;
using http2::end_headers;
using http2::end_stream;
using http2::Wire;
using support::ProbeSink;

namespace {

struct Upstream : ClientBench {
  Upstream() : wire(*pair.peer) {
    sim.settle();
    send(http2::settings_frame() + http2::frame(4, http2::ack, 0, ""));
  }
  ~Upstream() {
    for (auto& s : sinks) {
      if (s->stream != nullptr) s->cancel({});
    }
    CHECK(contract.text() == "");
  }
  void send(const std::string& bytes) {
    wire.send(bytes);
    sim.settle();
  }
  ProbeSink& request(std::string_view method = "GET", End end = End::yes) {
    sinks.push_back(std::make_unique<ProbeSink>(contract));
    REQUIRE(ask(*sinks.back(), method, end));
    sim.settle();
    return *sinks.back();
  }
  uint32_t id() const { return static_cast<uint32_t>(2 * sinks.size() - 1); }  // of the latest
  void give_up(ProbeSink& sink) {
    sink.cancel({});
    sim.settle();
  }
  void spend() {
    for (uint32_t i = 0; i < Client::resets_burst; ++i) give_up(request());
    REQUIRE(wire.resets() == Client::resets_burst);
  }
  uint32_t taken() const { return Client::streams_max - host.session->slots(); }

  Wire wire;
  std::vector<std::unique_ptr<ProbeSink>> sinks;
};

const http2::Lines ok = {{":status", "200"}};
std::string head(uint32_t id, uint8_t flags = end_headers) { return http2::head_frame(id, ok, flags); }

}  // namespace

TEST_CASE("a hundred resets at once; the next ones wait, count as open, and leave three a second") {
  Upstream b;
  b.spend();
  CHECK(b.taken() == 0);
  for (int i = 0; i < 30; ++i) b.give_up(b.request());
  CHECK(b.wire.resets() == Client::resets_burst);
  CHECK(b.taken() == 30);
  b.sim.run_for(base::millis(1020));
  CHECK(b.wire.resets() == Client::resets_burst + 3);
  CHECK(b.taken() == 27);
  b.sim.run_for(base::seconds(10));
  CHECK(b.wire.resets() == Client::resets_burst + 30);
  CHECK(b.taken() == 0);
  b.sim.run_for(base::seconds(8));  // no PING yet, which nobody would answer
  for (int i = 0; i < 60; ++i) b.give_up(b.request());
  CHECK(b.wire.resets() >= Client::resets_burst + 30 + 8 * Client::resets_a_second);
  CHECK(b.wire.resets() <= Client::resets_burst + 30 + 10 * Client::resets_a_second);
  CHECK(b.wire.goaway() == "");
}

TEST_CASE("an answer that nobody wants runs out within its window, and ends the stream if it is whole") {
  Upstream b;
  b.spend();
  b.give_up(b.request());
  const uint32_t id = b.id();
  ProbeSink& other = b.request();
  b.send(head(id));
  for (uint32_t sent = 0; sent + 16'384 <= Client::answer_window; sent += 16'384)
    b.send(http2::data_frame(id, std::string(16'384, 'x')));
  CHECK(b.wire.connection().find("WINDOW") == std::string::npos);
  CHECK(b.wire.stream(id).find("WINDOW") == std::string::npos);
  b.send(head(b.id()) + http2::data_frame(b.id(), "all", end_stream));
  CHECK(other.trace == "answer 200\nbody all\nend\nclosed clean\n");
  b.give_up(b.request());
  CHECK(b.taken() == 2);
  b.send(head(b.id()) + http2::data_frame(b.id(), "unwanted", end_stream));
  CHECK(b.taken() == 1);
  CHECK(b.wire.resets() == Client::resets_burst);
  b.send(http2::data_frame(id, "x"));  // beyond its window: the upstream's fault, which is told at once
  CHECK(b.wire.stream(id).ends_with("RST 3"));
  CHECK(b.taken() == 0);
}

TEST_CASE("an upload that was cut never looks whole, and one whose answer came early is clean at once") {
  Upstream b;
  b.spend();
  ProbeSink& cut = b.request("POST", End::no);
  cut.send_body("part", End::no);
  b.sim.settle();
  b.give_up(cut);
  const uint32_t first = b.id();
  ProbeSink& early = b.request("POST", End::no);
  early.send_body(std::string(70'000, 'x'), End::yes);  // more than its window
  b.sim.settle();
  b.send(head(b.id(), end_headers | end_stream));
  CHECK(early.trace == "answer 200\nend\nclosed clean\n");
  CHECK(b.taken() == 2);
  b.sim.run_for(base::seconds(1));
  CHECK(b.wire.stream(first).ends_with("part RST 8"));
  CHECK(b.wire.stream(b.id()).find("END") == std::string::npos);
  CHECK(b.wire.stream(b.id()).ends_with("RST 8"));
}

TEST_CASE("what waits to be reset goes with its connection") {
  for (const bool by_peer : {true, false}) {
    Upstream b;
    b.spend();
    for (int i = 0; i < 3; ++i) b.give_up(b.request());
    if (by_peer) {
      b.pair.peer->reset();
    } else {
      b.host.session->abort(http::CloseCause::drain);
    }
    b.sim.run_for(base::seconds(5));
    CHECK(b.host.ended);
    CHECK(http2::client_streams_live() == 0);
  }
}

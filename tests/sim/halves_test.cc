// Half of anything, followed by silence: the loop turns when a time limit is looked at, and sleeps otherwise. Turns are
// counted, not time. On both sides, in both versions; TLS and PROXY headers are in tests/e2e/test_slow.py.
#include <string>
#include <utility>
#include <vector>

#include "peer.h"
#include "rig.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using http2::frame;
using http2::number;

namespace {

const net::Address app = net::Address::ipv4(0x0A000001, 3000);
constexpr base::Millis silence = base::minutes(2);
// For each limit that may pass in that time, and those that look more often (a FIN behind unread bytes: every second;
// the load of an upstream, requests that are held: every ten seconds), not one a millisecond.
constexpr uint64_t turns_max = 200;

std::string toml(std::string_view protocol) {
  return "[[listener]]\naddress = \"127.0.0.1:8080\"\n[[upstream]]\nname = \"app\"\nprotocol = \"" +
         std::string(protocol) +
         "\"\nendpoints = [\"10.0.0.1:3000\"]\n[[route]]\nupstream = \"app\"\ntimeout = \"90s\"\n";
}

struct Half {
  const char* name;
  std::string bytes;
};

uint64_t turns_of(sim::Rig& rig) {
  const uint64_t before = rig.sim.turns();
  rig.sim.run_for(silence);
  return rig.sim.turns() - before;
}

std::string h2_head(const http2::Lines& lines, uint8_t flags) { return frame(1, flags, 1, http2::block(lines)); }

http2::Lines post() {
  http2::Lines lines = http2::get_lines();
  lines[0].second = "POST";
  return lines;
}

// A whole text, cut at each of these places of its last part.
std::string half(std::string whole, const std::string& part, size_t of_it) { return whole + part.substr(0, of_it); }

std::vector<Half> from_clients() {
  const std::string get = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
  const std::string chunked = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
  const std::string& hello = http2::client_preface;
  const std::string open = hello + h2_head(post(), 4);
  return {
      {"nothing", ""},
      {"a request line", get.substr(0, 9)},
      {"a field", get.substr(0, 20)},
      {"an empty line", get.substr(0, get.size() - 1)},
      {"a pipelined request", get + get.substr(0, 20)},
      {"a body", "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhello"},
      {"a chunk header", chunked + "5"},
      {"a chunk", chunked + "5\r\nhel"},
      {"the end of a chunk", chunked + "5\r\nhello\r"},
      {"trailers", chunked + "0\r\nx: y\r\n"},
      {"a preface", hello.substr(0, 12)},
      {"a preface without SETTINGS", hello.substr(0, 24)},
      {"SETTINGS", hello.substr(0, 28)},
      {"a frame header", half(hello, h2_head(post(), 4), 5)},
      {"a header block", half(hello, h2_head(post(), 4), 15)},
      {"a header block in frames", hello + h2_head(post(), 0)},
      {"CONTINUATION", half(hello + h2_head(post(), 0), frame(9, 4, 1, "abc"), 10)},
      {"a frame header of DATA", half(open, frame(0, 0, 1, "hello"), 4)},
      {"DATA", half(open, frame(0, 0, 1, "hello"), 12)},
      {"padded DATA", half(open, frame(0, 8, 1, std::string("\x03hello", 6)), 9)},
      {"a body of frames", open + frame(0, 0, 1, "hello")},
      {"WINDOW_UPDATE", half(open, frame(8, 0, 0, number(1)), 11)},
      {"PING", half(open, frame(6, 0, 0, "12345678"), 12)},
      {"an unknown frame", half(open, frame(0xfb, 0, 0, "12345678"), 12)},
  };
}

std::vector<Half> from_upstreams_1() {
  const std::string head = "HTTP/1.1 200 OK\r\n";
  return {
      {"nothing", ""},
      {"a status line", head.substr(0, 10)},
      {"a field", head + "a: b\r\nc"},
      {"an informational head", "HTTP/1.1 103 Early\r\nlink: x\r\n"},
      {"a body", head + "Content-Length: 10\r\n\r\nhello"},
      {"a body without length", head + "\r\nhello"},
      {"a chunk header", head + "Transfer-Encoding: chunked\r\n\r\n5"},
      {"a chunk", head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhel"},
      {"trailers", head + "Transfer-Encoding: chunked\r\n\r\n0\r\nx: y"},
  };
}

std::vector<Half> from_upstreams_2() {
  const std::string settings = http2::settings_frame();
  const std::string answer = frame(1, 4, 1, http2::block({{":status", "200"}}));
  return {
      {"nothing", ""},
      {"SETTINGS", settings.substr(0, 4)},
      {"only SETTINGS", settings},
      {"a frame header", settings + answer.substr(0, 5)},
      {"a header block", settings + answer.substr(0, answer.size() - 1)},
      {"a header block in frames", settings + frame(1, 0, 1, http2::block({{":status", "200"}}))},
      {"a frame header of DATA", half(settings + answer, frame(0, 1, 1, "hello"), 4)},
      {"DATA", half(settings + answer, frame(0, 1, 1, "hello"), 12)},
      {"GOAWAY", half(settings + answer, frame(7, 0, 0, number(1) + number(0)), 12)},
  };
}

}  // namespace

TEST_CASE("half of what a client sends, then silence") {
  for (const Half& h : from_clients()) {
    CAPTURE(std::string(h.name));
    sim::Rig rig(toml("http/1.1"));
    rig.network.serve(app, [](support::ScriptedPeer&) {});
    support::ScriptedPeer& client = rig.client();
    client.send(h.bytes);
    rig.sim.settle();
    CHECK(turns_of(rig) < turns_max);
  }
}

TEST_CASE("half of what an upstream sends, then silence") {
  for (const bool h2 : {false, true}) {
    for (const Half& h : h2 ? from_upstreams_2() : from_upstreams_1()) {
      for (const bool client_of_h2 : {false, true}) {
        CAPTURE(h2);
        CAPTURE(client_of_h2);
        CAPTURE(std::string(h.name));
        sim::Rig rig(toml(h2 ? "h2" : "http/1.1"));
        rig.network.serve(app, [&h](support::ScriptedPeer& wire) {
          wire.on_event = [&h, sent = false](support::ScriptedPeer& p) mutable {
            if (!std::exchange(sent, true)) p.send(h.bytes);  // the request is there
          };
        });
        support::ScriptedPeer& client = rig.client();
        client.send(client_of_h2 ? http2::client_preface + h2_head(http2::get_lines(), 5)
                                 : "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        rig.sim.settle();
        CHECK(turns_of(rig) < turns_max);
      }
    }
  }
}

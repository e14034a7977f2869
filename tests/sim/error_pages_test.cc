// error_pages: files as bodies of the failures that the proxy tells itself, over both versions; nothing else changes.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "exchange/error_pages.h"
#include "peer.h"
#include "rig.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using metrics::Name;
using sim::Rig;

namespace {

const net::Address app = net::Address::ipv4(0x0A000001, 3000);
const std::string get = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

// Files of a test, gone with it.
class Folder {
 public:
  Folder() { REQUIRE(::mkdtemp(name_) != nullptr); }
  ~Folder() { std::filesystem::remove_all(name_); }
  std::string path(const std::string& file) const { return std::string(name_) + "/" + file; }
  std::string write(const std::string& file, const std::string& text) const {
    std::ofstream(path(file), std::ios::binary) << text;
    return path(file);
  }

 private:
  char name_[32] = "/tmp/sluice-pages-XXXXXX";
};

std::string toml(const std::string& of_listener, const std::string& of_route) {
  const auto key = [](const std::string& pages) {
    return "error_pages = { " + pages.substr(0, pages.rfind(',')) + " }\n";
  };
  return "[[listener]]\naddress = \"127.0.0.1:8080\"\nprotocols = [\"http/1.1\"]\n" + key(of_listener) +
         "[[listener]]\naddress = \"127.0.0.1:8081\"\nprotocols = [\"h2\"]\n" + key(of_listener) +
         "[[upstream]]\nname = \"app\"\nendpoints = [\"10.0.0.1:3000\"]\n[upstream.pool]\nacquire_timeout = \"1s\"\n"
         "[[route]]\nname = \"r\"\nhosts = [\"a.test\"]\nupstream = \"app\"\n" +
         key(of_route) + "[[route]]\nhosts = [\"b.test\"]\ndeny = [\"0.0.0.0/0\"]\nrespond = {}\n";
}
std::string page(const std::string& status, const std::string& file) { return status + " = \"" + file + "\", "; }

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

std::string ask(Rig& rig, const std::string& request) {
  support::ScriptedPeer& peer = rig.client();
  peer.send(request);
  rig.sim.run_for(base::seconds(5));
  return peer.take();
}

}  // namespace

TEST_CASE("the page of the status, else of its class; of the route, else of the listener; else one line") {
  Folder files;
  const std::string gone = files.write("404.html", "<h1>gone</h1>");
  const std::string ours = files.write("5xx.json", "{}");
  const std::string theirs = files.write("502.txt", "try the other door");
  const std::string any = files.write("4xx.txt", "you");
  Rig rig(toml(page("404", gone) + page("5xx", ours) + page("4xx", any), page("502", theirs)));
  rig.network.fail(app, net::EndReason::refused);
  const std::string no_route = ask(rig, "GET / HTTP/1.1\r\nHost: c.test\r\n\r\n");
  CHECK(no_route.starts_with("HTTP/1.1 404 Not Found\r\n"));
  CHECK(has(no_route, "content-length: 13\r\n"));
  CHECK(has(no_route, "content-type: text/html; charset=utf-8\r\n"));
  CHECK(has(no_route, "cache-control: no-store\r\n"));
  CHECK(no_route.ends_with("\r\n\r\n<h1>gone</h1>"));
  const std::string refused = ask(rig, get);
  CHECK(refused.starts_with("HTTP/1.1 502 "));
  CHECK(has(refused, "content-type: text/plain; charset=utf-8\r\n"));
  CHECK(refused.ends_with("\r\n\r\ntry the other door"));
  CHECK(ask(rig, "GET / HTTP/1.1\r\nHost: b.test\r\n\r\n").ends_with("\r\n\r\nyou"));  // 403
  CHECK(ask(rig, "nonsense\r\n\r\n").ends_with("\r\n\r\nyou"));  // 400, before there is a request
  rig.network.serve(app, [](support::ScriptedPeer&) {});
  const std::string late = [&] {
    support::ScriptedPeer& peer = rig.client();
    peer.send(get);
    rig.sim.run_for(base::seconds(31));
    return peer.take();
  }();
  CHECK(late.starts_with("HTTP/1.1 504 "));
  CHECK(has(late, "content-type: application/json\r\n"));
  CHECK(late.ends_with("\r\n\r\n{}"));
  Rig none(toml("", page("404", gone)));
  none.network.fail(app, net::EndReason::refused);
  CHECK(ask(none, get).ends_with("\r\n\r\n502 Bad Gateway\n"));
}

TEST_CASE("HEAD gets the head alone, a gRPC call its status, an upstream's answer passes as it is") {
  Folder files;
  Rig rig(toml("", page("502", files.write("a.html", "page")) + page("503", files.write("b.html", "page"))));
  rig.network.fail(app, net::EndReason::refused);
  const std::string head = ask(rig, "HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n");
  CHECK(has(head, "content-length: 4\r\n"));
  CHECK(head.ends_with("\r\n\r\n"));
  const std::string call =
      ask(rig, "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n");
  CHECK(has(call, "grpc-status: 14\r\n"));
  CHECK(has(call, "grpc-message: 502 Bad Gateway\r\n"));
  CHECK_FALSE(has(call, "page"));
  rig.network.serve(app, sim::answering("HTTP/1.1 503 No\r\nContent-Length: 3\r\n\r\napp"));
  const std::string theirs = ask(rig, get);
  CHECK(theirs.ends_with("\r\n\r\napp"));
  CHECK_FALSE(has(theirs, "no-store"));
}

TEST_CASE("a page at its limit goes out whole, over both versions, again and again, and takes no new memory for it") {
  Folder files;
  std::string text;
  while (text.size() < exchange::error_page_bytes_max) text += std::to_string(text.size()) + "\n";
  text.resize(exchange::error_page_bytes_max);
  Rig rig(toml("", page("5xx", files.write("big.html", text))));
  rig.network.fail(app, net::EndReason::refused);
  support::ScriptedPeer& wire = rig.client(1);
  http2::Peer client(http2::Peer::Role::client, wire);
  for (int i = 0; i < 3; ++i) {
    CHECK(ask(rig, get).ends_with("\r\n\r\n" + text));
    http2::Lines lines = {{":method", "GET"}, {":scheme", "http"}, {":authority", "a.test"}, {":path", "/"}};
    const int32_t whole = client.ask(lines);
    lines[0].second = "HEAD";
    const int32_t head = client.ask(lines);
    rig.sim.run_for(base::seconds(5));
    CHECK(client.seen(whole).body == text);
    CHECK(has(client.seen(whole).heads, "[:status: 502]"));
    CHECK(has(client.seen(whole).heads, "[content-type: text/html; charset=utf-8]"));
    CHECK(client.seen(head).body.empty());
    CHECK(has(client.seen(head).heads, "[content-length: 65536]"));
  }
  CHECK(net::Chunk::live() == 1);  // the page's own: all answers referred to it
}

TEST_CASE("a client that reads nothing of a page holds no copy of it; a reload brings what the file says then") {
  Folder files;
  const std::string file = files.write("p.txt", std::string(40'000, 'x'));
  const std::string text = toml("", page("5xx", file));
  Rig rig(text);
  rig.network.fail(app, net::EndReason::refused);
  support::ScriptedPeer& slow = rig.client();
  slow.hold();
  slow.send(get);
  rig.sim.run_for(base::seconds(5));
  files.write("p.txt", "new");
  CHECK(ask(rig, get).ends_with("xxx"));
  rig.reload(text);
  CHECK(ask(rig, get).ends_with("\r\n\r\nnew"));
  slow.resume();
  rig.sim.run_for(base::seconds(1));
  CHECK(slow.take().ends_with(std::string(40'000, 'x')));
}

TEST_CASE("an empty file is an answer without a body") {
  Folder files;
  Rig rig(toml("", page("502", files.write("e.txt", ""))));
  rig.network.fail(app, net::EndReason::refused);
  const std::string answer = ask(rig, get);
  CHECK(has(answer, "content-length: 0\r\n"));
  CHECK(answer.ends_with("\r\n\r\n"));
}

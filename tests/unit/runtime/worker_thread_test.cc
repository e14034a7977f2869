// A worker's thread that ends while requests are open: what they hold is given back before the pools go. A pool that
// dies under a lease ends the process.
#include "runtime/worker_thread.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <csignal>
#include <memory>
#include <string>
#include <string_view>

#include "config/load.h"
#include "config/source.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;

namespace {

constexpr timeval longest_wait{20, 0};  // then the test fails rather than hang

net::Fd tcp_socket() {
  net::Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ::setsockopt(fd.value(), SOL_SOCKET, SO_RCVTIMEO, &longest_wait, sizeof longest_wait);
  return fd;
}

net::Fd connected(const net::Address& to) {
  net::Fd fd = tcp_socket();
  sockaddr_storage raw;
  const socklen_t length = to.to_sockaddr(raw);
  REQUIRE(::connect(fd.value(), reinterpret_cast<sockaddr*>(&raw), length) == 0);
  return fd;
}

void send(const net::Fd& fd, std::string_view bytes) {
  REQUIRE(::send(fd.value(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
}

// Reads until what came holds `text`, or to the end if there is none.
std::string read_until(const net::Fd& fd, std::string_view text) {
  std::string all;
  char buffer[4096];
  while (text.empty() || all.find(text) == std::string::npos) {
    const ssize_t n = ::recv(fd.value(), buffer, sizeof buffer, 0);
    REQUIRE((n >= 0 || errno == ECONNRESET));  // anything else: nothing came
    if (n <= 0) return all;
    all.append(buffer, static_cast<size_t>(n));
  }
  return all;
}

// An upstream that takes requests and answers none.
class Silent {
 public:
  Silent() : listener_(tcp_socket()) {
    sockaddr_storage raw;
    const socklen_t length = net::Address::ipv4(INADDR_LOOPBACK, 0).to_sockaddr(raw);
    REQUIRE(::bind(listener_.value(), reinterpret_cast<sockaddr*>(&raw), length) == 0);
    REQUIRE(::listen(listener_.value(), 16) == 0);
  }
  std::string address() const { return net::bound_address(listener_)->text(); }
  net::Fd accept() const {
    net::Fd fd(::accept(listener_.value(), nullptr, nullptr));
    REQUIRE(static_cast<bool>(fd));
    ::setsockopt(fd.value(), SOL_SOCKET, SO_RCVTIMEO, &longest_wait, sizeof longest_wait);
    return fd;
  }

 private:
  net::Fd listener_;
};

struct NoPeers final : runtime::Peers {
  void post(uint32_t, Message) override {}
};

// One worker between a listener and that upstream, as control makes it.
class Site {
 public:
  explicit Site(const std::string& upstream) {
    ::signal(SIGPIPE, SIG_IGN);  // as main() does
    shared_.places.most = 100;
    const std::string toml =
        "[[listener]]\naddress = \"127.0.0.1:0\"\nprotocols = [\"h2\", \"http/1.1\"]\n[[upstream]]\nname = "
        "\"app\"\nendpoints = [\"" +
        upstream + "\"]\n[[route]]\nupstream = \"app\"\n";
    const auto loaded = config::load(*config::Source::of("test.toml", toml));
    REQUIRE(loaded.has_value());
    config::Problems warnings;
    auto built = runtime::build_generation(*loaded, nullptr, 1, base::Micros{0}, warnings);
    REQUIRE(built.has_value());
    generation_ = *built;
    const auto& options = generation_->snapshot->upstreams[0];
    sets_->push_back(generation_->upstreams[0].shared->set_endpoints(options.endpoints, options.panic_threshold));
    worker = std::make_unique<runtime::WorkerThread>(0, 1, shared_, peers_);
    worker->post([this](runtime::Worker& w) { w.apply(generation_, sets_, 1); });
  }
  const net::Address& address() const { return generation_->listeners[0]->sockets[0]->address(); }

 private:
  NoPeers peers_;
  metrics::Registry registry_{1};
  runtime::Shared shared_{registry_, nullptr, "test"};
  runtime::GenerationPtr generation_;
  std::shared_ptr<runtime::EndpointSets> sets_ = std::make_shared<runtime::EndpointSets>();

 public:
  std::unique_ptr<runtime::WorkerThread> worker;  // goes first
};

constexpr std::string_view get_http1 = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
// The preface, empty SETTINGS, and HEADERS of the same request.
constexpr std::string_view get_http2{
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    "\0\0\0\4\0\0\0\0\0"
    "\0\0\x0b\1\5\0\0\0\1"
    "\x82\x86\x84\x01\x06"
    "a.test",
    24 + 9 + 9 + 11};

}  // namespace

TEST_CASE("a thread that ends while a request waits for its answer gives the connection back first") {
  for (const std::string_view request : {get_http1, get_http2}) {
    const Silent upstream;
    Site site(upstream.address());
    const net::Fd client = connected(site.address());
    send(client, request);
    const net::Fd taken = upstream.accept();
    CHECK(read_until(taken, "\r\n\r\n").starts_with("GET / HTTP/1.1\r\n"));
    site.worker.reset();
    CHECK(read_until(taken, {}).empty());  // the connection has ended, and both sides see it
    CHECK(read_until(client, {}).find("200") == std::string::npos);
  }
}

TEST_CASE("a thread that ends in the middle of an answer gives the connection back first, and the answer looks cut") {
  const Silent upstream;
  Site site(upstream.address());
  const net::Fd client = connected(site.address());
  send(client, get_http1);
  const net::Fd taken = upstream.accept();
  read_until(taken, "\r\n\r\n");
  send(taken, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
  std::string got = read_until(client, "hello\r\n");
  site.worker.reset();
  got += read_until(client, {});
  CHECK(got.find("hello") != std::string::npos);
  CHECK(got.find("\r\n0\r\n") == std::string::npos);
}

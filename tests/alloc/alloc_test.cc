// No allocation from the heap per request on a keep-alive connection, in the clear and over TLS, HTTP/1 and HTTP/2: a
// whole proxy (control, one worker, a respond route on a second listener as its backend) runs in this process with
// malloc counted; h2load is the client. Twice the same connections with few and with many requests: the further
// requests must cost nothing.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

#include "runtime/process.h"
#include "support/count_allocations.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;

namespace {

constexpr int connections = 4;
constexpr int few = 400;
constexpr int many = 4400;

int shell(const std::string& command) {
  const int status = std::system(command.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

class Proxy {
 public:
  Proxy() {
    char folder[] = "/tmp/sluice-alloc-XXXXXX";
    folder_ = mkdtemp(folder);
    REQUIRE(shell("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost "
                  "-keyout " +
                  folder_ + "/k.pem -out " + folder_ + "/c.pem >/dev/null 2>&1") == 0);
    const std::string file = folder_ + "/sluice.toml";
    std::ofstream(file) << R"(
[runtime]
workers = 1
[drain]
deregister_wait = "0s"
[admin]
address = ""
[access_log]
output = ")" + folder_ + R"(/access.log"
[[listener]]
name = "backend"
address = "unix:)" + folder_ + R"(/backend"
[[listener]]
name = "clear"
address = "127.0.0.1:0"
[[listener]]
name = "tls"
address = "127.0.0.1:0"
  [listener.tls]
  certificates = [{ cert = "c.pem", key = "k.pem" }]
[[listener]]
name = "h2"
address = "127.0.0.1:0"
[[upstream]]
name = "up"
endpoints = ["unix:)" + folder_ +
                               R"(/backend"]
[[upstream]]
name = "up2"
protocol = "h2"
endpoints = ["unix:)" + folder_ +
                               R"(/backend"]
[[route]]
listeners = ["backend"]
respond = { status = 200, body = "hello" }
[[route]]
listeners = ["clear", "tls"]
upstream = "up"
[[route]]
listeners = ["h2"]
upstream = "up2"
)";
    auto loaded = config::load_file(file, {.files = runtime::file_checks(base::steady_clock().wall())});
    if (!loaded) FAIL(base::to_text(loaded.error().front()));
    auto process = runtime::Process::start(std::move(*loaded));
    if (!process) FAIL(base::to_text(process.error().front()));
    process_ = std::move(*process);
    thread_ = std::thread([this] { process_->run(); });
  }
  ~Proxy() {
    kill(getpid(), SIGTERM);  // blocked in every thread: control's descriptor takes it
    thread_.join();
    process_.reset();
    shell("rm -rf " + folder_);
  }

  std::string address(size_t listener) const {
    return process_->generation()->listeners[listener]->sockets[0]->address().text();
  }

 private:
  std::string folder_;
  std::unique_ptr<runtime::Process> process_;
  std::thread thread_;
};

// Allocations of the worker while h2load sends `requests`. Control looks around once a second, and may allocate.
uint64_t cost(const std::string& how, const std::string& url, int requests) {
  const uint64_t before = support::allocations_of("worker-");
  REQUIRE(before != 0);
  REQUIRE(shell("h2load " + how + " -c " + std::to_string(connections) + " -n " + std::to_string(requests) + " " + url +
                " | grep -q ' " + std::to_string(requests) + " succeeded'") == 0);
  return support::allocations_of("worker-") - before;
}

void check_requests_cost_nothing(const std::string& how, const std::string& url) {
  CAPTURE(how);
  CAPTURE(url);
  cost(how, url, few);  // pools and free lists fill
  const uint64_t first = cost(how, url, few);
  const uint64_t second = cost(how, url, many);
  CAPTURE(first);
  CAPTURE(second);
  // What the connections and the most that is open at once cost varies by some dozens; one allocation per request would
  // be 4,000.
  CHECK(second <= first + (many - few) / 20);
}

}  // namespace

TEST_CASE("no allocation per request, in the clear and over TLS, in HTTP/1 and HTTP/2") {
  if (shell("command -v h2load >/dev/null") != 0) {
    MESSAGE("skipped: h2load is not installed (apt-get install nghttp2-client)");
    return;
  }
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) sigaddset(&set, number);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  Proxy proxy;
  check_requests_cost_nothing("--h1", "http://" + proxy.address(1) + "/");
  check_requests_cost_nothing("--h1", "https://" + proxy.address(2) + "/");
  // HTTP/2 with ten streams at a time, over HTTP/1 and over HTTP/2 to the backend.
  check_requests_cost_nothing("-m 10", "http://" + proxy.address(1) + "/");
  check_requests_cost_nothing("-m 10", "https://" + proxy.address(2) + "/");
  check_requests_cost_nothing("-m 10", "http://" + proxy.address(3) + "/");
  check_requests_cost_nothing("--h1", "http://" + proxy.address(3) + "/");
}

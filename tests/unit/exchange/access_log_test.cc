// Access log lines as JSON and in the common format: every key, what is escaped, and what a full ring costs.
#include "exchange/access_log.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

using namespace sluice;
using exchange::AccessLog;
using exchange::AccessRecord;

namespace {

AccessRecord sample() {
  AccessRecord r;
  r.wall = base::Micros{1'700'000'000'123'456};
  r.client = "192.0.2.1";
  r.method = "GET";
  r.path = "/a?b";
  r.protocol = "HTTP/1.1";
  r.status = 200;
  r.bytes_out = 12;
  return r;
}

std::string json(const AccessRecord& r) {
  std::string line(exchange::line_bytes_max, '\0');
  line.resize(exchange::format_json(r, line.data()));
  return line;
}

std::string common(const AccessRecord& r) {
  std::string line(exchange::line_bytes_max, '\0');
  line.resize(exchange::format_common(r, line.data()));
  return line;
}

}  // namespace

TEST_CASE("one JSON line has every key in the order of the documentation") {
  const std::string line = json(sample());
  size_t at = 0;
  for (const char* key : {"time",
                          "client",
                          "listener",
                          "route",
                          "method",
                          "host",
                          "path",
                          "protocol",
                          "status",
                          "ended",
                          "reason",
                          "detail",
                          "bytes_in",
                          "bytes_out",
                          "upstream",
                          "endpoint",
                          "attempts",
                          "reused",
                          "total_us",
                          "client_request_us",
                          "queue_us",
                          "connect_us",
                          "upstream_head_us",
                          "upstream_body_us",
                          "client_write_us",
                          "proxy_us",
                          "tls_us",
                          "first_byte_us",
                          "request_id",
                          "trace_id",
                          "user_agent",
                          "referer"}) {
    const size_t found = line.find("\"" + std::string(key) + "\":", at);
    CAPTURE(key);
    REQUIRE(found != std::string::npos);
    at = found;
  }
  CHECK(line.starts_with("{\"time\":\"2023-11-14T22:13:20.123456Z\","));
  CHECK(line.ends_with("}\n"));
}

TEST_CASE("the status of a gRPC call stands in its line, and in no other") {
  AccessRecord r = sample();
  CHECK(json(r).find("grpc_status") == std::string::npos);
  r.grpc_status = 0;
  CHECK(json(r).find(",\"status\":200,\"grpc_status\":0,\"ended\"") != std::string::npos);
  r.grpc_status = 14;
  CHECK(json(r).find(",\"grpc_status\":14,") != std::string::npos);
}

TEST_CASE("how it ended, where, and what was tried before stand in its line only where there is something to say") {
  AccessRecord r = sample();
  for (const char* key : {"ended_by", "during", "limited_by", "tries"})
    CHECK(json(r).find("\"" + std::string(key) + "\"") == std::string::npos);
  const exchange::Try tries[] = {{"10.0.0.1:80", "reset", base::Micros{900}}, {"10.0.0.2:80", "status_503", {}}};
  r.ended = "cut";
  r.ended_by = "upstream";
  r.during = "response_body";
  r.limited_by = "proxy";
  r.tries = tries;
  r.phase[static_cast<size_t>(exchange::Phase::client_write)] = base::Micros{204};
  const std::string line = json(r);
  CHECK(line.find(",\"ended\":\"cut\",\"ended_by\":\"upstream\",\"during\":\"response_body\","
                  "\"limited_by\":\"proxy\",") != std::string::npos);
  CHECK(line.find(",\"tries\":[{\"endpoint\":\"10.0.0.1:80\",\"reason\":\"reset\",\"us\":900},"
                  "{\"endpoint\":\"10.0.0.2:80\",\"reason\":\"status_503\",\"us\":0}],") != std::string::npos);
  CHECK(line.find(",\"client_write_us\":204,") != std::string::npos);
}

TEST_CASE("bytes that could break a line are escaped") {
  AccessRecord r = sample();
  r.user_agent = "a\"b\\c\n\x1b\xff";
  CHECK(json(r).find("\"user_agent\":\"a\\\"b\\\\c\\u000a\\u001b\\u00ff\"") != std::string::npos);
  CHECK(common(r).find("\"a\\\"b\\\\c\\x0a\\x1b\\xff\"\n") != std::string::npos);
}

TEST_CASE("the longest values fit, cut and marked") {
  const std::string wild(100'000, '\x01');
  AccessRecord r = sample();
  r.path = r.host = r.user_agent = r.referer = r.method = r.listener = r.route = r.request_id = r.trace_id = wild;
  const std::string line = json(r);
  CHECK(line.size() < exchange::line_bytes_max);
  CHECK(line.find("...\"") != std::string::npos);
  CHECK(common(r).size() < exchange::line_bytes_max);
}

TEST_CASE("the common format is Apache's combined line") {
  CHECK(common(sample()) == "192.0.2.1 - - [14/Nov/2023:22:13:20 +0000] \"GET /a?b HTTP/1.1\" 200 12 \"-\" \"-\"\n");
}

TEST_CASE("lines reach the file, and a reopen follows a renamed one") {
  char folder[] = "/tmp/sluice-log-XXXXXX";
  REQUIRE(mkdtemp(folder) != nullptr);
  const std::string path = std::string(folder) + "/access.log";
  exchange::AccessLogOptions options{exchange::AccessLogOutput::file, path, exchange::AccessLogFormat::common};
  const auto read = [](const std::string& file) {
    std::stringstream text;
    text << std::ifstream(file).rdbuf();
    return text.str();
  };
  {
    auto log = AccessLog::open(options, 2);
    REQUIRE(log.has_value());
    (*log)->write(0, sample());
    (*log)->write(1, sample());
  }
  CHECK(read(path) == common(sample()) + common(sample()));
  {
    auto log = AccessLog::open(options, 1);
    REQUIRE(log.has_value());
    REQUIRE(rename(path.c_str(), (path + ".1").c_str()) == 0);
    (*log)->reopen();
    (*log)->write(0, sample());
  }
  CHECK((read(path) + read(path + ".1")).size() == 3 * common(sample()).size());
  unlink(path.c_str());
  unlink((path + ".1").c_str());
  rmdir(folder);
}

TEST_CASE("an output that cannot be opened is an error that names it") {
  auto log =
      AccessLog::open({exchange::AccessLogOutput::file, "/nonexistent/x.log", exchange::AccessLogFormat::json}, 1);
  REQUIRE(!log.has_value());
  CHECK(log.error().message.find("/nonexistent/x.log") != std::string::npos);
}

TEST_CASE("without a descriptor left it is an error") {
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  const int lowest = dup(STDIN_FILENO);
  REQUIRE(lowest >= 0);
  close(lowest);
  for (const auto output : {exchange::AccessLogOutput::file, exchange::AccessLogOutput::standard_output}) {
    rlimit tight = before;
    tight.rlim_cur = static_cast<rlim_t>(lowest);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &tight) == 0);
    auto log = AccessLog::open({output, "/dev/null", exchange::AccessLogFormat::json}, 1);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
    REQUIRE(!log.has_value());
    CHECK(log.error().message.find("Too many open files") != std::string::npos);
  }
  const int after = dup(STDIN_FILENO);      // none was kept
  CHECK(after == lowest);
  close(after);
}

TEST_CASE("a FIFO that nobody has opened to read is an error, no wait") {
  char folder[] = "/tmp/sluice-log-XXXXXX";
  REQUIRE(mkdtemp(folder) != nullptr);
  const std::string path = std::string(folder) + "/fifo";
  REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  CHECK_FALSE(AccessLog::open({exchange::AccessLogOutput::file, path, exchange::AccessLogFormat::json}, 1).has_value());
  unlink(path.c_str());
  rmdir(folder);
}

TEST_CASE("a pipe that nobody reads loses lines, counted, and stalls nobody") {
  signal(SIGPIPE, SIG_IGN);
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const int saved = dup(STDOUT_FILENO);
  dup2(ends[1], STDOUT_FILENO);
  uint64_t dropped = 0;
  {
    auto log = AccessLog::open({exchange::AccessLogOutput::standard_output, "", exchange::AccessLogFormat::json}, 1);
    dup2(saved, STDOUT_FILENO);
    REQUIRE(log.has_value());
    for (int i = 0; i < 100'000 && (*log)->dropped() == 0; ++i) (*log)->write(0, sample());
    dropped = (*log)->dropped();
  }                        // ends, too
  ::close(ends[0]);        // lets the writer's thread go: EPIPE
  ::close(ends[1]);
  ::close(saved);
  CHECK(dropped > 0);
}

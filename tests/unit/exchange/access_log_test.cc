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
#include <vector>

#include "exchange/ending_code.h"

using namespace sluice;
using exchange::AccessLog;
using exchange::AccessLogOptions;
using exchange::AccessRecord;
using exchange::LogField;
using exchange::LoggedHeader;
using exchange::LogNames;
using exchange::LogPlan;

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

std::string json(const AccessRecord& r, const AccessLogOptions& options = {}) {
  const LogPlan plan(options);
  std::string line(exchange::line_bytes_max, '\0');
  line.resize(exchange::format_json(r, plan, line.data()));
  return line;
}

std::string common(const AccessRecord& r, const AccessLogOptions& options = {}) {
  const LogPlan plan(options);
  std::string line(exchange::line_bytes_max, '\0');
  line.resize(exchange::format_common(r, plan, line.data()));
  return line;
}

// Every key has a value.
AccessRecord full() {
  static const exchange::Try tries[] = {{"10.0.0.1:80", "reset", base::Micros{900}}};
  AccessRecord r = sample();
  r.start = r.wall;
  r.request_id = r.trace_id = r.span_id = r.client = r.listener = r.sni = r.alpn = r.route = r.host = "x";
  r.told = r.ended = r.ended_by = r.during = r.reason = r.detail = r.limited_by = r.fallback = "x";
  r.upstream = r.endpoint = r.user_agent = r.referer = "x";
  r.conn = r.conn_request = r.client_port = r.upstream_port = 1;
  r.attempts = 2;
  r.tls_version = 0x0304;
  r.grpc_status = 0;
  r.tls = r.first_byte = base::Micros{1};
  r.tries = tries;
  return r;
}

size_t place_of(const std::string& line, std::string_view key) { return line.find("\"" + std::string(key) + "\":"); }

}  // namespace

TEST_CASE("a line of schema 2 has every key in the order of the list, in each vocabulary") {
  for (const LogNames names : {LogNames::sluice, LogNames::otel, LogNames::ecs}) {
    const std::string line = json(full(), {.names = names});
    size_t at = 0;
    for (size_t i = 0; i < exchange::log_fields; ++i) {
      const size_t found = place_of(line, exchange::field_word(static_cast<LogField>(i), names));
      CAPTURE(exchange::field_word(static_cast<LogField>(i), names));
      REQUIRE(found != std::string::npos);
      REQUIRE(found >= at);
      at = found;
    }
    CHECK(line.ends_with("}\n"));
  }
  CHECK(json(full()).starts_with("{\"v\":2,\"time\":\"2023-11-14T22:13:20.123456Z\",\"start\":"));
  CHECK(json(full()).find("\"tls\":\"1.3\"") != std::string::npos);
}

TEST_CASE("what has no value is left out") {
  const std::string line = json(AccessRecord{});
  for (const LogField field : {LogField::v, LogField::time, LogField::start, LogField::total_us, LogField::proxy_us,
                               LogField::bytes_in, LogField::bytes_out})
    CHECK(place_of(line, exchange::field_word(field)) != std::string::npos);
  for (const LogField field :
       {LogField::request_id, LogField::conn, LogField::client_port, LogField::tls, LogField::sni, LogField::query,
        LogField::status, LogField::grpc_status, LogField::reason, LogField::first_byte_us, LogField::tls_us,
        LogField::upstream_port, LogField::reused, LogField::attempts, LogField::tries, LogField::referer})
    CHECK(place_of(line, exchange::field_word(field)) == std::string::npos);
  CHECK(json(AccessRecord{}, {.fields = {LogField::route}}) == "{}\n");
}

TEST_CASE("the configuration chooses keys and their order") {
  CHECK(json(sample(), {.fields = {LogField::status, LogField::client, LogField::path, LogField::query}}) ==
        "{\"status\":200,\"client\":\"192.0.2.1\",\"path\":\"/a\",\"query\":\"b\"}\n");
}

TEST_CASE("headers stand behind the fields, named by the vocabulary") {
  AccessLogOptions options{.fields = {LogField::status}};
  options.headers = {{LoggedHeader::Of::request, "x-tenant"},
                     {LoggedHeader::Of::response, "age"},
                     {LoggedHeader::Of::response, "etag"}};
  AccessRecord r = sample();
  const std::string_view values[] = {"a\"b", "", "w"};
  r.headers = values;
  CHECK(json(r, options) == "{\"status\":200,\"request.x-tenant\":\"a\\\"b\",\"response.etag\":\"w\"}\n");
  options.names = LogNames::otel;
  CHECK(json(r, options) ==
        "{\"http.response.status_code\":200,\"http.request.header.x-tenant\":[\"a\\\"b\"],"
        "\"http.response.header.etag\":[\"w\"]}\n");
}

TEST_CASE("values of secret parameters are masked, however they are written") {
  const AccessLogOptions options{.fields = {LogField::query, LogField::referer}, .redact_query = {"token", "k"}};
  const auto query = [&](std::string_view target) {
    AccessRecord r = sample();
    r.path = target;
    const std::string line = json(r, options);
    return line.substr(10, line.size() - 10 - 3);
  };
  CHECK(query("/?token=secret") == "token=***");
  CHECK(query("/?a=1&TOKEN=secret&b=2") == "a=1&TOKEN=***&b=2");
  CHECK(query("/?%74oken=secret") == "%74oken=***");
  CHECK(query("/?a;token=sec;ret&b") == "a;token=***&b");
  CHECK(query("/?token=a=b?c") == "token=***");
  CHECK(query("/?token&xtoken=1&tokenx=2&token=") == "token&xtoken=1&tokenx=2&token=***");
  CHECK(query("/?k=1&k=2&&=&%6") == "k=***&k=***&&=&%6");
  AccessRecord r = sample();
  r.path = "/";
  r.referer = "https://x.test/?q=1&token=secret";
  CHECK(json(r, options) == "{\"referer\":\"https://x.test/?q=1&token=***\"}\n");
  r.path = "/p?token=secret";
  CHECK(common(r, options).find("secret") == std::string::npos);
}

TEST_CASE("a share of what is ordinary is taken, or none") {
  CHECK(LogPlan({}).takes_ordinary());
  CHECK_FALSE(LogPlan({}).draws());
  CHECK_FALSE(LogPlan({.only = exchange::LogOnly::slow_or_failed}).takes_ordinary());
  CHECK_FALSE(LogPlan({.sample = 0}).takes_ordinary());
  const LogPlan half({.sample = 0.5});
  CHECK((half.takes_ordinary() && half.draws()));
  CHECK(half.takes(0x7fff'ffff'ffff'ffff));
  CHECK_FALSE(half.takes(0x8000'0000'0000'0000));
}

TEST_CASE("credentials do not belong in a log") {
  for (const char* name : {"Authorization", "cookie", "Set-Cookie", "proxy-authorization", "X-Api-Key"})
    CHECK_FALSE(exchange::header_is_secret(name).empty());
  CHECK(exchange::header_is_secret("x-tenant").empty());
}

TEST_CASE("two letters say who ended it and where") {
  AccessRecord r = sample();
  const auto code = [&](std::string_view ended, std::string_view by, std::string_view during, std::string_view reason) {
    r.ended = ended;
    r.ended_by = by;
    r.during = during;
    r.reason = reason;
    return std::string(exchange::ending_code(r).text());
  };
  CHECK(code("complete", "", "", "") == "--");
  CHECK(code("tunnel", "", "", "") == "-T");
  CHECK(code("cut", "upstream", "response_body", "reset") == "uB");
  CHECK(code("cut", "client", "response_body", "client_closed") == "cW");
  CHECK(code("refused", "proxy", "queue", "pool_timeout") == "pQ");
  CHECK(code("cut", "proxy", "response_body", "drain") == "pD");
  CHECK(code("refused", "client", "request_head", "bad_request") == "cR");
  CHECK(code("refused", "client", "request_body", "request_timeout") == "cI");
  CHECK(code("refused", "upstream", "connect", "connect_timeout") == "uC");
  CHECK(code("refused", "upstream", "response_head", "timeout") == "uH");
  CHECK(code("tunnel", "client", "response_body", "client_closed") == "cT");
  r.limited_by = "queue";
  CHECK(code("complete", "", "", "") == "-q");
  r.told = "begun";
  CHECK(code("", "", "", "") == "+b");
}

TEST_CASE("the status of a gRPC call stands in its line, and in no other") {
  AccessRecord r = sample();
  CHECK(json(r).find("grpc_status") == std::string::npos);
  r.grpc_status = 0;
  CHECK(json(r).find(",\"status\":200,\"grpc_status\":0,") != std::string::npos);
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
  CHECK(common(r).find("\"a\\\"b\\\\c\\x0a\\x1b\\xff\" 0 --\n") != std::string::npos);
}

TEST_CASE("the longest values fit, cut and marked") {
  const std::string wild(100'000, '\x01');
  AccessRecord r = sample();
  for (std::string_view* text :
       {&r.client, &r.listener, &r.sni, &r.alpn, &r.route, &r.method, &r.host, &r.reason, &r.detail, &r.upstream,
        &r.endpoint, &r.request_id, &r.trace_id, &r.span_id, &r.user_agent, &r.referer})
    *text = wild;
  const std::string target = "/" + wild + "?token=&" + wild;
  r.path = target;
  const std::vector<std::string_view> headers(LogPlan::headers_max, wild);
  r.headers = headers;
  const std::vector<exchange::Try> tries(exchange::tries_told, {wild, "reset", base::Micros{INT64_MAX}});
  r.tries = tries;
  AccessLogOptions options{.redact_query = {"token"}};
  options.headers.assign(LogPlan::headers_max, {LoggedHeader::Of::request, "x"});
  const std::string line = json(r, options);
  CHECK(line.size() < exchange::line_bytes_max);
  CHECK(line.find("...\"") != std::string::npos);
  CHECK(common(r, options).size() < exchange::line_bytes_max);
}

TEST_CASE("the common format is Apache's combined line, then what it took and how it ended") {
  AccessRecord r = sample();
  r.total = base::Micros{1234};
  CHECK(common(r) == "192.0.2.1 - - [14/Nov/2023:22:13:20 +0000] \"GET /a?b HTTP/1.1\" 200 12 \"-\" \"-\" 1234 --\n");
}

TEST_CASE("lines reach the file, and a reopen follows a renamed one") {
  char folder[] = "/tmp/sluice-log-XXXXXX";
  REQUIRE(mkdtemp(folder) != nullptr);
  const std::string path = std::string(folder) + "/access.log";
  const AccessLogOptions options{exchange::AccessLogOutput::file, path, exchange::AccessLogFormat::common};
  const LogPlan plan(options);
  const auto read = [](const std::string& file) {
    std::stringstream text;
    text << std::ifstream(file).rdbuf();
    return text.str();
  };
  {
    auto log = AccessLog::open(options, 2);
    REQUIRE(log.has_value());
    (*log)->write(0, sample(), plan);
    (*log)->write(1, sample(), plan);
  }
  CHECK(read(path) == common(sample()) + common(sample()));
  {
    auto log = AccessLog::open(options, 1);
    REQUIRE(log.has_value());
    REQUIRE(rename(path.c_str(), (path + ".1").c_str()) == 0);
    (*log)->reopen();
    (*log)->write(0, sample(), plan);
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
    const LogPlan plan({});
    for (int i = 0; i < 100'000 && (*log)->dropped() == 0; ++i) (*log)->write(0, sample(), plan);
    dropped = (*log)->dropped();
  }                        // ends, too
  ::close(ends[0]);        // lets the writer's thread go: EPIPE
  ::close(ends[1]);
  ::close(saved);
  CHECK(dropped > 0);
}

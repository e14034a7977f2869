// Values: durations, sizes, numbers, words, texts, lists, addresses; each type's wrong kinds and limits, at and above.
#include "config/value.h"

#include "config/dump.h"
#include "helpers.h"

namespace sluice::config {
namespace {

using namespace test;

std::string in_drain(std::string_view value) {
  return whole(concat({"[drain]\nderegister_wait = \"0s\"\ndeadline = ", value}));
}
std::string in_listener(std::string_view lines) { return concat({listener, lines, "\n", upstream, route}); }
std::string in_upstream(std::string_view lines) { return concat({listener, upstream, lines, "\n", route}); }
std::string in_route(std::string_view lines) { return concat({listener, upstream, route, lines, "\n"}); }

TEST_CASE("durations") {
  CHECK(good(in_drain("\"250ms\"")).drain.deadline == base::millis(250));
  CHECK(good(in_drain("\"5s\"")).drain.deadline == base::seconds(5));
  CHECK(good(in_drain("\"10m\"")).drain.deadline == base::minutes(10));
  CHECK(good(in_drain("\"2h\"")).drain.deadline == base::hours(2));
  CHECK(good(in_drain("\"0\"")).drain.deadline == base::millis(0));
  CHECK(good(in_drain("\"0s\"")).drain.deadline == base::millis(0));
  CHECK(good(in_drain("\"8760h\"")).drain.deadline == duration_max);
  CHECK_HAS(bad(in_drain("\"8761h\"")), "deadline must be at most \"8760h\"");
  CHECK_HAS(bad(in_drain("\"99999999999999999999s\"")), "deadline takes a duration");
  CHECK_HAS(bad(in_drain("\"18446744073709551615h\"")), "deadline takes a duration");
  for (const char* wrong : {"\"\"", "\"s\"", "\"5 s\"", "\"-5s\"", "\"+5s\"", "\"1.5s\"", "\"5x\"", "\"5\"", "5.0",
                            "true", "[]", "{}", "1979-05-27"}) {
    CAPTURE(wrong);
    CHECK_HAS(bad(in_drain(wrong)), "deadline takes a duration in quotes");
  }
  CHECK_HAS(bad(in_drain("5")), "did you mean \"5s\"?");
  CHECK_HAS(bad(in_drain("\"5\"")), "did you mean \"5s\"?");
  CHECK_HAS(bad(in_drain("\"5sec\"")), "did you mean \"5s\"?");
  CHECK_HAS(bad(in_drain("\"5 MS\"")), "did you mean \"5ms\"?");
  CHECK_HAS(bad(in_drain("\"5min\"")), "did you mean \"5m\"?");
  CHECK_HAS(bad(in_listener("idle_timeout = \"0s\"")), "idle_timeout must be at least \"1ms\"");
}

TEST_CASE("sizes") {
  const auto max_body = [](std::string_view value) { return in_route(concat({"max_body = ", value})); };
  CHECK(good(max_body("\"0\"")).routes[0].max_body == 0);
  CHECK(good(max_body("\"7B\"")).routes[0].max_body == 7);
  CHECK(good(max_body("\"64KiB\"")).routes[0].max_body == 65'536);
  CHECK(good(max_body("\"8MiB\"")).routes[0].max_body == 8u << 20);
  CHECK(good(max_body("\"2GiB\"")).routes[0].max_body == std::uint64_t{2} << 30);
  for (const char* wrong : {"\"64\"", "\"64KB\"", "\"64kb\"", "\"64k\"", "\"64 KiB\"", "64", "\"KiB\"", "\"-1B\""}) {
    CAPTURE(wrong);
    CHECK_HAS(bad(max_body(wrong)), "max_body takes a size in quotes");
  }
  CHECK_HAS(bad(max_body("\"64kb\"")), "did you mean \"64KiB\"?");
  CHECK_HAS(bad(max_body("\"64M\"")), "did you mean \"64MiB\"?");
  CHECK_HAS(bad(max_body("65536")), "did you mean \"64KiB\"?");
  CHECK_HAS(bad(max_body("\"99999999GiB\"")), "max_body must be at most");
  CHECK_HAS(bad(in_listener("max_request_line = \"255B\"")), "max_request_line must be at least \"256B\"");
  CHECK(good(in_listener("max_request_line = \"256B\"")).listeners[0].downstream.limits.max_request_line == 256);
}

TEST_CASE("numbers at and beyond their limits") {
  CHECK(good(in_upstream("panic_threshold = 0")).upstreams[0].panic_threshold == 0);
  CHECK(good(in_upstream("panic_threshold = 100")).upstreams[0].panic_threshold == 100);
  CHECK_HAS(bad(in_upstream("panic_threshold = 101")), "panic_threshold must be from 0 to 100");
  CHECK_HAS(bad(in_upstream("panic_threshold = -1")), "panic_threshold must be from 0 to 100");
  CHECK_HAS(bad(in_upstream("panic_threshold = \"50\"")), "panic_threshold takes a whole number, not text");
  CHECK_HAS(bad(in_upstream("panic_threshold = \"50\"")), "did you mean \"50\"?");
  CHECK_HAS(bad(in_upstream("panic_threshold = 5.5")), "panic_threshold takes a whole number, not a fraction");
  CHECK(good(in_listener("max_requests = 1000000000")).listeners[0].downstream.max_requests == 1'000'000'000);
  CHECK_HAS(bad(in_listener("max_requests = 1000000001")), "max_requests must be from 1 to 1000000000");
  CHECK_HAS(bad(in_listener("max_requests = 0")), "max_requests must be from 1");
}

TEST_CASE("max_memory is auto or a size, at the least there may be and below") {
  // File modes.
  CHECK(good(whole("[admin]\nunix_mode = \"0600\"")).admin.unix_mode == 0600);
  CHECK(good(whole("[admin]\nunix_mode = \"777\"")).admin.unix_mode == 0777);
  CHECK(good(concat({listener, "unix_mode = \"0000\"\n", upstream, route})).listeners[0].unix_mode == 0);
  for (const std::string_view mode : {"\"1777\"", "\"0668\"", "\"66\"", "\"\"", "\"rw-rw----\"", "\"00660\""}) {
    CHECK_HAS(bad(whole(concat({"[admin]\nunix_mode = ", mode}))),
              "unix_mode takes octal digits in quotes, such as \"0660\", from");
  }
  CHECK_HAS(bad(whole("[admin]\nunix_mode = 660")), "unix_mode takes octal digits in quotes");
  CHECK(good(whole("[runtime]\nmax_memory = \"auto\"")).runtime.max_memory == 0);
  CHECK(good(whole("[runtime]\nmax_memory = \"16MiB\"")).runtime.max_memory == 16 << 20);
  CHECK_HAS(bad(whole("[runtime]\nmax_memory = \"16383KiB\"")), "max_memory must be at least \"16MiB\"");
  CHECK_HAS(bad(whole("[runtime]\nmax_memory = \"all\"")), "max_memory takes \"auto\" or a size in quotes");
  CHECK_HAS(bad(whole("[runtime]\nmax_memory = 7")), "max_memory takes");
}

TEST_CASE("workers is auto or a number") {
  CHECK(good(whole("[runtime]\nworkers = \"auto\"")).runtime.workers == 0);
  CHECK(good(whole("[runtime]\nworkers = 3")).runtime.workers == 3);
  CHECK_HAS(bad(whole("[runtime]\nworkers = 0")), "workers must be from 1 to 1024");
  CHECK_HAS(bad(whole("[runtime]\nworkers = \"all\"")), "workers takes \"auto\" or a number");
  CHECK_HAS(bad(whole("[runtime]\nworkers = true")), "workers takes \"auto\" or a number, not true or false");
}

TEST_CASE("the retry budget is a fraction") {
  const auto budget = [](std::string_view value) { return in_upstream(concat({"retry.budget = ", value})); };
  CHECK(good(budget("0")).upstreams[0].retry.budget == 0);
  CHECK(good(budget("1")).upstreams[0].retry.budget == 1);
  CHECK(good(budget("0.25")).upstreams[0].retry.budget == 0.25);
  CHECK_HAS(bad(budget("1.01")), "budget must be from 0 to 1");
  CHECK_HAS(bad(budget("nan")), "budget must be from 0 to 1");
  CHECK_HAS(bad(budget("inf")), "budget must be from 0 to 1");
  CHECK_HAS(bad(budget("\"0.2\"")), "budget takes a fraction");
}

TEST_CASE("true and false") {
  CHECK(good(in_upstream("tls.verify = false")).upstreams[0].tls->verify == tls::Verify::no);
  CHECK_HAS(bad(in_upstream("tls.verify = \"no\"")), "verify takes true or false, not text");
  CHECK_HAS(bad(in_upstream("tls.verify = \"no\"")), "did you mean \"false\"?");
  CHECK_HAS(bad(in_upstream("tls.verify = 1")), "verify takes true or false, not a number");
}

TEST_CASE("words of a closed list") {
  CHECK(good(in_upstream("balance = \"round_robin\"")).upstreams[0].balance == upstream::Balance::round_robin);
  CHECK_HAS(bad(in_upstream("balance = \"round-robin\"")), "did you mean \"round_robin\"?");
  CHECK(good(in_upstream("balance = \"p2c_ewma\"")).upstreams[0].balance == upstream::Balance::p2c_ewma);
  CHECK_HAS(bad(in_upstream("balance = 1")), "balance takes text in quotes, not a number");
  CHECK_HAS(bad(in_listener("protocols = []")), "protocols must name at least one");
  CHECK_HAS(bad(in_listener("protocols = [\"http/1.1\", \"http/1.1\"]")), "protocols is named twice");
  CHECK_HAS(bad(in_listener("protocols = \"http/1.1\"")), "did you mean \"[\"http/1.1\"]\"?");
  CHECK_HAS(bad(in_listener("protocols = [\"http/1\"]")), "did you mean \"http/1.1\"?");
}

TEST_CASE("listener addresses") {
  const auto address = [](std::string_view value) {
    return concat({"[[listener]]\naddress = ", value, "\n", upstream, route});
  };
  CHECK(good(address("[\"127.0.0.1:1\", \"[::1]:1\", \"unix:/tmp/x\"]")).listeners[0].addresses.size() == 3);
  CHECK(good(address("\"127.0.0.1:0\"")).listeners[0].addresses[0].parsed.port() == 0);
  CHECK_HAS(bad(address("[]")), "address must name at least one address");
  CHECK_HAS(bad(address("\"8080\"")), "did you mean \"0.0.0.0:8080\"?");
  CHECK_HAS(bad(address("\":8080\"")), "did you mean \"0.0.0.0:8080\"?");
  CHECK_HAS(bad(address("\"localhost:8080\"")), "did you mean \"127.0.0.1:8080\"?");
  CHECK_HAS(bad(address("8080")), "address takes an address in quotes");
  CHECK_HAS(bad(address("[\"127.0.0.1:99999\"]")), "test.toml:2:12: error: address is no address");
  CHECK_HAS(bad("[[listener]]\n"), "[[listener]] needs an address");
}

TEST_CASE("endpoints") {
  const auto endpoints = [](std::string_view value) {
    return concat({listener, "[[upstream]]\nname = \"app\"\nendpoints = ", value, "\n", route});
  };
  const Snapshot s =
      good(endpoints("[\"127.0.0.1:3000\", { address = \"[::1]:3001\", weight = 2 }, \"unix:/run/app.sock\"]"));
  REQUIRE(s.upstreams[0].endpoints.size() == 3);
  CHECK(s.upstreams[0].endpoints[1].weight == 2);
  CHECK(s.upstreams[0].endpoints[2].address->path() == "/run/app.sock");
  CHECK_HAS(bad(endpoints("[]")), "endpoints must name at least one endpoint");
  CHECK_HAS(bad(endpoints("\"127.0.0.1:3000\"")), "did you mean \"[\"127.0.0.1:3000\"]\"?");
  CHECK_HAS(bad(endpoints("[\"http://127.0.0.1:3000/x\"]")), "takes addresses, not URLs");
  CHECK_HAS(bad(endpoints("[\"http://127.0.0.1:3000/x\"]")), "did you mean \"127.0.0.1:3000\"?");
  CHECK_HAS(bad(endpoints("[\"127.0.0.1\"]")), "endpoints holds no address: \"127.0.0.1\" has no port");
  CHECK_HAS(bad(endpoints("[\"127.0.0.1:0\"]")), "endpoints needs a port above 0");
  CHECK_HAS(bad(endpoints("[\"300.0.0.1:80\"]")), "endpoints holds no address: \"300.0.0.1:80\"");
  CHECK_HAS(bad(endpoints("[{ address = \"127.0.0.1:1\", weight = 0 }]")), "endpoints.weight must be from 1 to 65535");
  CHECK_HAS(bad(endpoints("[{ address = \"127.0.0.1:1\", weight = 65536 }]")),
            "endpoints.weight must be from 1 to 65535");
  CHECK_HAS(bad(endpoints("[{ addres = \"127.0.0.1:1\" }]")), "endpoints has no key \"addres\"");
  CHECK_HAS(bad(endpoints("[{ addres = \"127.0.0.1:1\" }]")), "endpoints needs address");
  CHECK_HAS(bad(endpoints("[1]")), "endpoints takes an address in quotes");
  CHECK_HAS(bad(endpoints("[\"127.0.0.1:1\", \"127.0.0.1:1\"]")), "is named twice");
  CHECK_FALSE(good(endpoints("[\"app.internal:80\"]")).upstreams[0].endpoints[0].address.has_value());
}

TEST_CASE("names of upstreams and listeners are labels") {
  CHECK_HAS(bad("[[listener]]\nname = \"a b\"\naddress = \"127.0.0.1:1\"\n"), "name must be printable ASCII");
  CHECK_HAS(bad("[[listener]]\nname = \"\"\naddress = \"127.0.0.1:1\"\n"), "name must not be empty");
  const std::string longest(128, 'x');
  CHECK(good(concat({"[[listener]]\nname = \"", longest, "\"\naddress = \"127.0.0.1:1\"\n"})).listeners[0].name ==
        longest);
  CHECK_HAS(bad(concat({"[[listener]]\nname = \"", longest, "x\"\naddress = \"127.0.0.1:1\"\n"})),
            "at most 128 characters");
}

TEST_CASE("blocks of addresses") {
  CHECK(good(in_listener("trusted_proxies = [\"10.0.0.0/8\", \"::1\"]")).listeners[0].trusted_proxies.size() == 2);
  CHECK(good(in_listener("")).listeners[0].forwarded_by == exchange::ForwardedBy::x_forwarded_for);
  CHECK(good(in_listener("forwarded_by = \"forwarded\"")).listeners[0].forwarded_by ==
        exchange::ForwardedBy::forwarded);
  CHECK_HAS(bad(in_listener("forwarded_by = \"x-real-ip\"")), "forwarded_by is one of");
  CHECK_HAS(bad(in_listener("trusted_proxies = [\"10.0.0.1/8\"]")), "trusted_proxies holds no block: \"10.0.0.1/8\"");
  CHECK_HAS(bad(in_listener("trusted_proxies = [\"10.0.0.0/33\"]")), "trusted_proxies holds no block: \"10.0.0.0/33\"");
  CHECK_HAS(bad(in_listener("trusted_proxies = \"10.0.0.0/8\"")), "did you mean \"[\"10.0.0.0/8\"]\"?");
  CHECK(good(in_route("allow = [\"10.0.0.0/8\"]")).routes[0].allow->size() == 1);
  CHECK_FALSE(good(in_route("")).routes[0].allow.has_value());
  CHECK_HAS(bad(in_route("allow = []")), "allow = [] would refuse everybody");
}

TEST_CASE("access log, admin, source addresses, expected statuses") {
  CHECK(good(whole("[access_log]\noutput = \"off\"\nformat = \"common\"")).access_log.output ==
        exchange::AccessLogOutput::off);
  CHECK_HAS(bad(whole("[access_log]\noutput = \"stdot\"")), "did you mean \"stdout\"?");
  CHECK_HAS(bad(whole("[access_log]\noutput = \"\"")), "output must not be empty");
  CHECK_HAS(bad(whole("[access_log]\nfields = [\"pathh\"]")), "did you mean \"path\"?");
  CHECK_HAS(bad(whole("[access_log]\nfields = [\"path\", \"path\"]")), "fields is named twice");
  CHECK(good(whole("[access_log]\nfields = []")).access_log.fields.empty());
  CHECK_HAS(bad(whole("[access_log]\nheaders = [\"Cookie\"]")),
            "headers must not name \"Cookie\": it holds credentials, which do not belong in a log");
  CHECK_HAS(bad(whole("[access_log]\nheaders = [\"response:set-cookie\"]")), "holds credentials");
  CHECK_HAS(bad(whole("[access_log]\nheaders = [\"x-a\", \"request:X-A\"]")), "twice");
  CHECK_HAS(bad(whole("[access_log]\nheaders = [\"x a\"]")), "headers");
  std::string most = "[access_log]\nheaders = [\"x-0\"";
  for (int i = 1; i < 16; ++i) most += ", \"x-" + std::to_string(i) + "\"";
  CHECK(good(whole(most + "]")).access_log.headers.size() == 16);
  CHECK_HAS(bad(whole(most + ", \"x-16\"]")), "headers takes at most 16 names");
  CHECK(good(whole("[access_log]\nheaders = [\"response:Age\"]")).access_log.headers[0] ==
        exchange::LoggedHeader{exchange::LoggedHeader::Of::response, "age"});
  CHECK_HAS(bad(whole("[access_log]\nredact_query = [\"a=b\"]")), "is no name of a parameter");
  CHECK(good(whole("[access_log]\nredact_query = [\"Token\"]")).access_log.redact_query[0] == "token");
  CHECK_HAS(bad(whole("[access_log]\nsample = 1.5")), "sample");
  CHECK_FALSE(good(whole("[admin]\naddress = \"\"")).admin.parsed.has_value());
  CHECK(good(whole("[admin]\naddress = \"127.0.0.1:0\"")).admin.parsed->port() == 0);
  CHECK(good(whole()).admin.parsed->port() == 9901);
  CHECK_HAS(bad(whole("[admin]\naddress = \"9901\"")), "address is no address: \"9901\" has no port");
  CHECK(good(in_upstream("source_addresses = [\"127.0.0.2\"]")).upstreams[0].source_addresses[0].port() == 0);
  CHECK_HAS(bad(in_upstream("source_addresses = [\"127.0.0.2:1\"]")), "takes IP addresses without a port");

  const auto expect = [](std::string_view value) { return in_upstream(concat({"health.expect = ", value})); };
  const auto ranges = good(expect("\"200,204,300-399\"")).upstreams[0].health->expect;
  REQUIRE(ranges.size() == 3);
  CHECK(ranges[2] == upstream::StatusRange{300, 399});
  for (const char* wrong : {"\"\"", "\"99\"", "\"600\"", "\"300-200\"", "\"abc\"", "\"200-\"", "\"-200\""}) {
    CAPTURE(wrong);
    CHECK_HAS(bad(expect(wrong)), "expect takes statuses from 100 to 599");
  }
  CHECK_HAS(bad(expect("200")), "expect takes statuses in quotes");
}

TEST_CASE("host: preserve, endpoint or a name") {
  CHECK(good(in_upstream("host = \"endpoint\"")).upstreams[0].host == upstream::HostMode::endpoint);
  const Snapshot s = good(in_upstream("host = \"app.example.com\""));
  CHECK(s.upstreams[0].host == upstream::HostMode::literal);
  CHECK(s.upstreams[0].host_name == "app.example.com");
  CHECK_HAS(bad(in_upstream("host = \"perserve\"")), "did you mean \"preserve\"?");
  CHECK_HAS(bad(in_upstream("host = \"a b\"")), "host is a host name");
  CHECK_HAS(bad(in_upstream("host = \"x:y\"")), "no good port");
}

TEST_CASE("retry causes") {
  const auto on = good(in_upstream("retry.on = [\"503\"]")).upstreams[0].retry.on;
  CHECK(on == upstream::RetryOn{.connect = false, .reset = false, .refused_stream = false, .status_503 = true});
  CHECK(good(in_upstream("retry.on = []")).upstreams[0].retry.on.connect == false);
  CHECK_HAS(bad(in_upstream("retry.on = [\"conect\"]")), "did you mean \"connect\"?");
}

TEST_CASE("printed values are read back as they were") {
  CHECK(print_duration(base::millis(0)) == "\"0s\"");
  CHECK(print_duration(base::millis(1'500)) == "\"1500ms\"");
  CHECK(print_duration(base::seconds(90)) == "\"90s\"");
  CHECK(print_duration(base::minutes(5)) == "\"5m\"");
  CHECK(print_size(0) == "\"0\"");
  CHECK(print_size(65'536) == "\"64KiB\"");
  CHECK(print_size(1'000) == "\"1000B\"");
  CHECK(quoted("a\"b\\c\n\x01") == "\"a\\\"b\\\\c\\n\\u0001\"");
}

}  // namespace
}  // namespace sluice::config

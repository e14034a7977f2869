// Cross checks: names, actions, contradictions, files, features not built, routes that can never be reached.
#include "config/check.h"

#include "helpers.h"

namespace sluice::config {
namespace {

using namespace test;

std::string with_upstream(std::string_view lines) { return concat({listener, upstream, lines, "\n", route}); }
std::string with_routes(std::string_view routes) { return concat({listener, upstream, routes}); }

TEST_CASE("a route does exactly one thing") {
  CHECK_HAS(bad(with_routes("[[route]]\npath = \"/\"\n")),
            "test.toml:6:1: error: [[route]] needs one of upstream, split, redirect, respond");
  CHECK_HAS(bad(with_routes("[[route]]\nupstream = \"app\"\nrespond = { status = 200 }\n")),
            "test.toml:8:11: error: respond cannot stand beside upstream");
  CHECK_HAS(bad(with_routes("[[route]]\nsplit = [{ upstream = \"app\" }]\nredirect = { to = \"/x\" }\n")),
            "redirect cannot stand beside split");
  CHECK_HAS(bad(with_routes("[[route]]\nupstream = \"app\"\npath = \"/a\"\npath_prefix = \"/b\"\n")),
            "path_prefix cannot stand beside path");
}

TEST_CASE("names that are not defined, with the nearest that is") {
  CHECK_HAS(bad(with_routes("[[route]]\nupstream = \"ap\"\n")), "test.toml:7:12: error: there is no upstream \"ap\"");
  CHECK_HAS(bad(with_routes("[[route]]\nupstream = \"ap\"\n")), "did you mean \"app\"?");
  CHECK_HAS(bad(with_routes("[[route]]\nsplit = [{ upstream = \"app\" }, { upstream = \"canari\" }]\n")),
            "test.toml:7:45: error: there is no upstream \"canari\"");
  CHECK_HAS(bad("[[listener]]\nname = \"https\"\naddress = \"127.0.0.1:1\"\n[[route]]\nlisteners = [\"https\", "
                "\"htps\"]\nrespond = { "
                "status = 200 }\n"),
            "test.toml:5:23: error: there is no listener \"htps\"");
  const Snapshot s = good(
      "[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\n[[listener]]\nname = \"b\"\naddress = \"127.0.0.1:2\"\n" +
      std::string(upstream) +
      "[[upstream]]\nname = \"canary\"\nendpoints = [\"127.0.0.1:9\"]\n"
      "[[route]]\nlisteners = [\"b\"]\nsplit = [{ upstream = \"app\", weight = 95 }, { upstream = \"canary\", weight = "
      "5 }]\n"
      "[[route]]\nupstream = \"app\"\n");
  CHECK(s.routes[0].listener_indices == std::vector<std::uint32_t>{1});
  CHECK(s.routes[0].targets[1].upstream_index == 1);
  CHECK(s.routes[0].targets[1].weight == 5);
}

TEST_CASE("health_path is a path, without a query, or nothing") {
  const auto with = [](std::string_view value) {
    return concat({listener, "health_path = ", value, "\n", upstream, route});
  };
  CHECK(good(with("\"/healthz\"")).listeners[0].health_path == "/healthz");
  CHECK(good(with("\"\"")).listeners[0].health_path.empty());
  CHECK_HAS(bad(with("\"healthz\"")), "health_path must start with '/'");
  CHECK_HAS(bad(with("\"/healthz?x=1\"")), "'?' and '#' must not be in it");
  CHECK_HAS(bad(with("\"/health z\"")), "must be visible ASCII");
}

TEST_CASE("names are defined once") {
  CHECK_HAS(bad(std::string(listener) + std::string(upstream) + std::string(upstream) + std::string(route)),
            "test.toml:7:8: error: there is another upstream of the name \"app\"");
  CHECK_HAS(bad("[[listener]]\nname = \"x\"\naddress = \"127.0.0.1:1\"\n[[listener]]\nname = \"x\"\naddress = "
                "\"127.0.0.1:2\"\n"),
            "test.toml:5:8: error: there is another listener of the name \"x\"");
  CHECK_HAS(
      bad(with_routes("[[route]]\nname = \"r\"\nupstream = \"app\"\n[[route]]\nname = \"r\"\nupstream = \"app\"\n")),
      "test.toml:10:8: error: there is another route of the name \"r\"");
  CHECK_HAS(bad(std::string(listener) + "[[upstream]]\nendpoints = [\"127.0.0.1:1\"]\n" + std::string(route)),
            "[[upstream]] needs a name");
}

TEST_CASE("an address is bound once; any port as often as wanted") {
  CHECK_HAS(bad("[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\n[[listener]]\nname = \"b\"\naddress = "
                "[\"127.0.0.1:2\", "
                "\"127.0.0.1:1\"]\n"),
            "test.toml:6:27: error: address 127.0.0.1:1 is already used by listener \"a\"");
  CHECK_HAS(bad("[[listener]]\naddress = \"127.0.0.1:9901\"\n"), "address 127.0.0.1:9901 is already used by [admin]");
  good("[admin]\naddress = \"\"\n[[listener]]\naddress = \"127.0.0.1:9901\"\n");
  good(
      "[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:0\"\n[[listener]]\nname = \"b\"\naddress = \"127.0.0.1:0\"\n");
}

TEST_CASE("no upstream is the admin") {
  const auto with = [](std::string_view admin, std::string_view endpoint) {
    return concat({"[admin]\naddress = \"", admin, "\"\n", listener, "[[upstream]]\nname = \"app\"\nendpoints = [\"",
                   endpoint, "\"]\n", route});
  };
  struct Two {
    std::string_view admin, endpoint;
  };
  const Two same[] = {{"127.0.0.1:9901", "127.0.0.1:9901"},
                      {"127.0.0.1:9901", "localhost:9901"},
                      {"127.0.0.1:9901", "x.y.localhost:9901"},
                      {"127.0.0.1:9901", "a.localhost:9901"},
                      {"127.0.0.1:9901", "0.0.0.0:9901"},
                      {"127.0.0.1:9901", "[::ffff:127.0.0.1]:9901"},
                      {"0.0.0.0:9901", "127.0.0.1:9901"},
                      {"0.0.0.0:9901", "127.9.9.9:9901"},
                      {"0.0.0.0:9901", "0.0.0.0:9901"},
                      {"0.0.0.0:9901", "localhost:9901"},
                      {"[::]:9901", "[::1]:9901"},
                      {"[::1]:9901", "[::]:9901"},
                      {"10.1.2.3:9901", "10.1.2.3:9901"}};
  for (const auto& [admin, endpoint] : same) {
    CAPTURE(admin);
    CHECK_HAS(bad(with(admin, endpoint), everything()),
              concat({"error: \"", endpoint, "\" is the address of [admin]"}));
  }
  const Two other[] = {{"127.0.0.1:9901", "127.0.0.1:9902"},
                       {"127.0.0.1:9901", "127.0.0.2:9901"},
                       {"127.0.0.1:9901", "[::1]:9901"},
                       {"127.0.0.1:9901", "localhost:9902"},
                       {"127.0.0.1:9901", "localhost.example:9901"},
                       {"0.0.0.0:9901", "10.1.2.3:9901"},
                       {"10.1.2.3:9901", "localhost:9901"},
                       {"", "127.0.0.1:9901"}};
  for (const auto& [admin, endpoint] : other) good(with(admin, endpoint), everything());
  CHECK_HAS(bad(concat({listener, "[[upstream]]\nname = \"app\"\ndns = \"localhost:9901\"\n", route}), everything()),
            "is the address of [admin]");
  CHECK_HAS(bad(concat({listener, "[[upstream]]\nname = \"app\"\nendpoints = [\"127.0.0.1:9901\"]\n", route})),
            "is the address of [admin]");
}

TEST_CASE("an admin off loopback and proxies that are everybody are warnings") {
  for (const std::string_view admin : {"0.0.0.0:9901", "[::]:9901", "10.1.2.3:9901"}) {
    CHECK_HAS(warnings(whole(concat({"[admin]\naddress = \"", admin, "\"\n"}))), "warning: the admin has no password");
  }
  for (const std::string_view admin : {"127.0.0.1:9901", "[::1]:9901", ""}) {
    CHECK(warnings(whole(concat({"[admin]\naddress = \"", admin, "\"\n"}))).empty());
  }
  for (const std::string_view block : {"0.0.0.0/0", "::/0"}) {
    CHECK_HAS(warnings(concat({listener, "trusted_proxies = [\"10.0.0.0/8\", \"", block, "\"]\n", upstream, route})),
              concat({block, " trusts everybody"}));
  }
  CHECK(warnings(concat({listener, "trusted_proxies = [\"10.0.0.0/8\"]\n", upstream, route})).empty());
}

TEST_CASE("made route names are unique labels") {
  const Snapshot s =
      good(with_routes("[[route]]\nhosts = [\"A.example\", \"*.b\"]\npath_prefix = \"/x\"\nupstream = \"app\"\n"
                       "[[route]]\npath = \"/x\"\nmethods = [\"GET\"]\nupstream = \"app\"\n[[route]]\npath = "
                       "\"/x\"\nupstream = \"app\"\n"
                       "[[route]]\nname = \"*/x#3\"\npath_regex = \"^/a b\\\"\"\nupstream = \"app\"\n[[route]]\npath = "
                       "\"/x\"\nmethods = "
                       "[\"QUERY\"]\nupstream = \"app\"\n"
                       "[[route]]\npath_regex = \"^/a b\\\"\"\nmethods = [\"GET\"]\nupstream = \"app\"\n"));
  CHECK(s.routes[0].name == "a.example,*.b/x/*");
  CHECK(s.routes[0].hosts == std::vector<std::string>{"a.example", "*.b"});
  CHECK(s.routes[1].name == "*/x");
  CHECK(s.routes[2].name == "*/x#2");
  CHECK(s.routes[4].name == "*/x#4");
  CHECK(s.routes[5].name == "*~^/a_b_");
  const std::string deep = "/" + std::string(300, 'x');
  CHECK(good(with_routes("[[route]]\npath = \"" + deep + "\"\nupstream = \"app\"\n")).routes[0].name.size() == 128);
}

TEST_CASE("one source of endpoints") {
  CHECK_HAS(bad(std::string(listener) + "[[upstream]]\nname = \"app\"\n" + std::string(route)),
            "[[upstream]] needs endpoints");
  CHECK_HAS(bad(with_upstream("dns = \"app.internal:80\""), everything()), "dns cannot stand beside endpoints");
  CHECK_HAS(bad(std::string(listener) + "[[upstream]]\nname = \"app\"\ndns = \"a.b:1\"\nsrv = \"_http._tcp.a\"\n" +
                    std::string(route),
                everything()),
            "srv cannot stand beside dns");
  const Snapshot s =
      good(std::string(listener) + "[[upstream]]\nname = \"app\"\nsrv = \"_http._tcp.a\"\n" + std::string(route),
           everything());
  CHECK(s.upstreams[0].srv == "_http._tcp.a");
  CHECK(s.upstreams[0].endpoints.empty());
}

TEST_CASE("values that contradict each other") {
  CHECK_HAS(bad(whole("[drain]\nderegister_wait = \"26s\"")),
            "test.toml:2:19: error: drain.deadline (\"25s\") must not be shorter than drain.deregister_wait (\"26s\")");
  good(whole("[drain]\nderegister_wait = \"25s\""));
  CHECK_HAS(bad(with_upstream("pool = { min_idle = 129 }")),
            "pool.min_idle must not be above pool.max_connections (128)");
  good(with_upstream("pool = { min_idle = 128 }"));
  CHECK_HAS(warnings(with_upstream("health = { timeout = \"6s\" }")), "health.timeout is longer than health.interval");
  CHECK_HAS(bad(with_upstream("protocol = \"auto\""), everything()),
            "protocol = \"auto\" is settled by ALPN: it needs [upstream.tls]");
  CHECK_HAS(bad(with_upstream("outlier = { ejection = \"6m\" }"), everything()),
            "outlier.max_ejection must not be shorter");
  good(with_upstream("outlier = { consecutive_failures = 255, max_ejected_percent = 100 }"));
  CHECK_HAS(bad(with_upstream("outlier = { consecutive_failures = 256 }")), "consecutive_failures");
  CHECK_HAS(bad(with_upstream("outlier = { max_ejected_percent = 101 }")), "max_ejected_percent");
  CHECK_HAS(bad(whole("[dns]\nmin_ttl = \"6m\""), everything()), "dns.max_ttl must not be shorter than dns.min_ttl");
  CHECK_HAS(bad("[[listener]]\naddress = \"127.0.0.1:1\"\nmax_header_bytes = \"81KiB\"\n"),
            "together must be at most \"96KiB\"");
  good("[[listener]]\naddress = \"127.0.0.1:1\"\nmax_header_bytes = \"80KiB\"\n");
}

TEST_CASE("prefixes") {
  const Snapshot s =
      good(with_routes("[[route]]\npath_prefix = \"/api\"\nrewrite_prefix = \"/v2\"\nupstream = \"app\"\n"));
  CHECK(s.routes[0].strip_prefix == "/api");
  CHECK_HAS(bad(with_routes("[[route]]\nrewrite_prefix = \"/v2\"\nupstream = \"app\"\n")),
            "rewrite_prefix needs a strip_prefix or a path_prefix");
  CHECK_HAS(warnings(with_routes("[[route]]\npath_prefix = \"/api\"\nstrip_prefix = \"/apx\"\nupstream = \"app\"\n")),
            "no path of this route starts with \"/apx\"");
  CHECK(warnings(with_routes("[[route]]\npath_prefix = \"/api\"\nstrip_prefix = \"/api/v1\"\nupstream = \"app\"\n"))
            .empty());
}

TEST_CASE("the host sent and the name verified") {
  const auto tls = [](std::string_view host) {
    return with_upstream(concat({"host = \"", host, "\"\ntls = { server_name = \"one.test\" }"}));
  };
  CHECK_HAS(warnings(tls("two.test")),
            "test.toml:6:8: warning: requests carry the host \"two.test\", but tls.server_name is \"one.test\"");
  CHECK_HAS(warnings(tls("endpoint")), "requests carry the host \"127.0.0.1:3000\"");
  CHECK(warnings(tls("ONE.test")).empty());
  CHECK(warnings(tls("one.test:8443")).empty());
  CHECK(warnings(tls("preserve")).empty());
  CHECK_HAS(bad(std::string(listener) + "[[upstream]]\nname = \"app\"\nendpoints = [\"unix:/run/x\"]\ntls = {}\n" +
                std::string(route)),
            "needs a server_name");
  CHECK_HAS(warnings(with_upstream("tls = { verify = false }")), "anybody on the path can answer");
}

TEST_CASE("what nothing uses is named") {
  CHECK_HAS(warnings(std::string(listener) + std::string(upstream) + "[[route]]\nrespond = { status = 200 }\n"),
            "test.toml:4:8: warning: no route uses the upstream \"app\"");
  CHECK_HAS(warnings("[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\n[[listener]]\nname = \"b\"\naddress = "
                     "\"127.0.0.1:2\"\n[[route]]\nlisteners = [\"a\"]\nrespond = { status = 200 }\n"),
            "no route serves the listener \"b\"");
}

TEST_CASE("client certificates need a CA, and a CA without them has no effect") {
  const auto tls = [](std::string_view lines) {
    return concat(
        {"[[listener]]\naddress = \"127.0.0.1:1\"\n[listener.tls]\ncertificates = [{ cert = \"a.pem\", key = \"a.key\" "
         "}]\n",
         lines, "\n[[route]]\nrespond = { status = 200 }\n"});
  };
  CHECK_HAS(bad(tls("client_auth = \"required\"")), "client_auth needs client_ca");
  CHECK_HAS(warnings(tls("client_ca = \"ca.pem\"")), "client_ca has no effect while client_auth is \"off\"");
  CHECK(good(tls("client_ca = \"ca.pem\"\nclient_auth = \"optional\"")).listeners[0].tls->client_ca == "folder/ca.pem");
  CHECK_HAS(bad("[[listener]]\naddress = \"127.0.0.1:1\"\n[listener.tls]\n"),
            "test.toml:3:1: error: [listener.tls] needs certificates");
  CHECK_HAS(bad("[[listener]]\naddress = \"127.0.0.1:1\"\n[listener.tls]\ncertificates = []\n"),
            "certificates must name at least one");
  CHECK_HAS(bad("[[listener]]\naddress = \"127.0.0.1:1\"\n[listener.tls]\ncertificates = [{ cert = \"a.pem\" }]\n"),
            "certificates needs key");
  CHECK_HAS(bad("[[listener]]\naddress = \"127.0.0.1:1\"\n[listener.tls]\ncertificates = [{ cert = \"a.pem\", key = "
                "\"\" }]\n"),
            "certificates.key must not be empty");
  CHECK_HAS(bad(with_upstream("tls = { cert = \"a.pem\" }")), "cert needs a key");
  CHECK_HAS(bad(with_upstream("tls = { key = \"a.key\" }")), "key needs a cert");
}

TEST_CASE("files are looked at where they are named: errors are errors, warnings warnings") {
  std::vector<std::string> asked;
  LoadOptions options;
  options.files.certificate = [&](const tls::CertificateFiles& files) {
    asked.push_back(files.cert + "+" + files.key);
    base::Error problem{files.cert == "folder/bad.pem" ? "is malformed" : "has expired"};
    problem.span.file = files.cert;
    problem.severity = files.cert == "folder/bad.pem" ? base::Severity::error : base::Severity::warning;
    return std::vector{problem};
  };
  options.files.authorities = [&](const std::string& file) {
    asked.push_back(file);
    return std::vector<base::Error>{};
  };
  options.files.ticket_keys = options.files.authorities;
  const auto tls = [](std::string_view name) {
    return concat(
        {"[[listener]]\naddress = \"127.0.0.1:1\"\n[listener.tls]\ncertificates = [{ cert = \"old.pem\", key = "
         "\"old.key\" }, { cert = \"",
         name, "\", key = \"b.key\" }]\nticket_keys = \"t\"\n[[route]]\nrespond = { status = 200 }\n"});
  };
  const std::string text = bad(tls("bad.pem"), options);
  CHECK_HAS(text, "test.toml:4:17: warning: folder/old.pem: has expired");
  CHECK_HAS(text, "test.toml:4:56: error: folder/bad.pem: is malformed");
  CHECK(asked == std::vector<std::string>{"folder/old.pem+folder/old.key", "folder/bad.pem+folder/b.key", "folder/t"});
  CHECK_HAS(warnings(tls("/fine.pem"), options), "warning: /fine.pem: has expired");
  asked.clear();
  good(with_upstream("tls = { ca = \"ca.pem\", cert = \"c.pem\", key = \"c.key\" }"), options);
  CHECK(asked == std::vector<std::string>{"folder/c.pem+folder/c.key", "folder/ca.pem"});
}

TEST_CASE("a check of gRPC needs HTTP/2, and each kind of check has keys of its own") {
  const auto health = [](std::string_view keys, std::string_view protocol = "") {
    return with_upstream(concat({protocol.empty() ? "" : "protocol = \"", protocol, protocol.empty() ? "" : "\"\n",
                                 "health = { ", keys, " }"}));
  };
  for (const std::string_view protocol : {"", "http/1.1"}) {
    CHECK_HAS(bad(health("kind = \"grpc\"", protocol)),
              "health.kind = \"grpc\" needs protocol = \"h2\" or \"auto\" of its upstream");
  }
  CHECK(warnings(health("kind = \"grpc\", service = \"a.B\", host = \"a.test\"", "h2")).empty());
  CHECK(good(with_upstream("protocol = \"auto\"\ntls = {}\nhealth = { kind = \"grpc\" }"))
            .upstreams[0]
            .health->service.empty());
  CHECK(good(health(concat({"kind = \"grpc\", service = \"", std::string(127, 'x'), "\""}), "h2"))
            .upstreams[0]
            .health->service.size() == 127);
  CHECK_HAS(bad(health(concat({"kind = \"grpc\", service = \"", std::string(128, 'x'), "\""}), "h2")),
            "is longer than 127 bytes");
  CHECK_HAS(warnings(health("service = \"a.B\"")), "health.service has no effect without kind = \"grpc\"");
  CHECK_HAS(warnings(health("kind = \"grpc\", path = \"/x\"", "h2")),
            "health.path has no effect without kind = \"http\"");
  CHECK_HAS(warnings(health("kind = \"tcp\", expect = \"200\"")),
            "health.expect has no effect without kind = \"http\"");
  CHECK_HAS(warnings(health("kind = \"tcp\", host = \"a.test\"")),
            "health.host has no effect without kind = \"http\" or \"grpc\"");
}

TEST_CASE("hash_on without ring_hash has no effect, which is said; its default may stand there") {
  const std::string_view unused = "hash_on has no effect without balance = \"ring_hash\"";
  for (const char* on : {"path", "header:x-user", "cookie:session", "query:user"}) {
    CAPTURE(on);
    CHECK_HAS(warnings(with_upstream(concat({"hash_on = \"", on, "\""}))), unused);
    CHECK(warnings(with_upstream(concat({"balance = \"ring_hash\"\nhash_on = \"", on, "\""}))).empty());
  }
  CHECK(warnings(with_upstream("hash_on = \"client_ip\"")).empty());
}

struct Gated {
  std::string text;
  Feature feature;
  std::string_view what;
};

TEST_CASE("what is not built yet is refused, key by key and value by value, and accepted once it is built") {
  const auto in_listener = [](std::string_view line) { return concat({listener, line, "\n", upstream, route}); };
  const auto in_route = [](std::string_view line) { return concat({listener, upstream, route, line, "\n"}); };
  const std::vector<Gated> gates = {
      {in_listener("protocols = [\"h2\", \"http/1.1\"]"), Feature::http2, "protocols = \"h2\""},
      {in_listener("max_streams = 128"), Feature::http2, "max_streams"},
      {in_listener("stream_window = \"256KiB\""), Feature::http2, "stream_window"},
      {in_listener("connection_buffer = \"4MiB\""), Feature::http2, "connection_buffer"},
      {in_listener("max_resets = 200"), Feature::http2, "max_resets"},
      {with_upstream("protocol = \"h2\""), Feature::http2, "protocol = \"h2\""},
      {with_upstream("protocol = \"auto\"\ntls = {}"), Feature::http2, "protocol = \"auto\""},
      {with_upstream("protocol = \"h2\"\nhealth = { kind = \"grpc\" }"), Feature::grpc_health, "kind = \"grpc\""},
      {with_upstream("retry = { on = [\"refused_stream\"] }"), Feature::http2, "on = \"refused_stream\""},
      {whole("[dns]"), Feature::dns, "dns"},
      {concat({listener, "[[upstream]]\nname = \"app\"\nendpoints = [\"a.test:80\"]\n", route}), Feature::dns,
       "a name in endpoints (\"a.test:80\")"},
      {with_upstream("outlier = { enabled = true }"), Feature::outlier, "upstream.outlier"},
      {with_upstream("balance = \"ring_hash\""), Feature::ring_hash, "balance = \"ring_hash\""},
      {with_upstream("hash_on = \"client_ip\""), Feature::ring_hash, "hash_on"},
      {with_upstream("slow_start = \"10s\""), Feature::slow_start, "slow_start"},
      {with_upstream("circuit = { max_requests = 10 }"), Feature::circuit, "upstream.circuit"},
      {in_route("replayable = true"), Feature::early_data, "replayable"},
      {in_route("rate_limit = { requests = 100 }"), Feature::rate_limit, "rate_limit"},
  };
  for (const Gated& gate : gates) {
    CAPTURE(gate.text);
    if (!Availability::built().has(gate.feature)) {
      CHECK_HAS(bad(gate.text), concat({gate.what, " is not available yet: ", words(gate.feature), " is not built"}));
    }
    good(gate.text, everything());
  }
}

TEST_CASE("a default never names what is not built, and does name what is") {
  CHECK(warnings(whole()).empty());
  const Snapshot all = good(whole(), everything());
  CHECK(all.listeners[0].protocols == std::vector{http::Protocol::http2, http::Protocol::http1});
  CHECK(all.upstreams[0].outlier == upstream::OutlierOptions{});
  CHECK(all.upstreams[0].retry.on.refused_stream);
  CHECK(good(whole()).upstreams[0].retry.on.refused_stream == Availability::built().has(Feature::http2));
}

std::vector<std::uint32_t> hidden(std::string_view routes) { return hidden_by(good(with_routes(routes)).routes); }

TEST_CASE("routes that can never be reached") {
  using Indices = std::vector<std::uint32_t>;
  const std::string end = "upstream = \"app\"\n";
  const auto r = [&](std::string_view lines) { return concat({"[[route]]\n", lines, "\n", end}); };
  CHECK(hidden(r("path_prefix = \"/api\"") + r("path_prefix = \"/api/v1\"") + r("path = \"/api\"") +
               r("path = \"/apix\"")) == Indices{0, 0, 0, 3});
  CHECK(hidden(r("path_prefix = \"/api/\"") + r("path = \"/api/x\"") + r("path = \"/api\"")) == Indices{0, 0, 2});
  CHECK(hidden(r("path = \"/a\"") + r("path_prefix = \"/a\"")) == Indices{0, 1});
  CHECK(hidden(r("") + r("path_regex = \"^/x\"")) == Indices{0, 0});
  CHECK(hidden(r("path_regex = \"^/x\"") + r("path_regex = \"^/x\"") + r("path = \"/x\"")) == Indices{0, 0, 2});
  CHECK(hidden(r("path_prefix = \"/\"") + r("path = \"/x\"")) == Indices{0, 0});
  // Another host, methods, headers and listeners make a difference.
  CHECK(hidden(r("hosts = [\"a.test\"]") + r("hosts = [\"a.test\"]\npath = \"/\"") + r("path = \"/\"") +
               r("hosts = [\"b.test\"]")) == Indices{0, 0, 2, 3});
  CHECK(hidden(r("hosts = [\"a.test\"]") + r("hosts = [\"a.test\", \"b.test\"]")) == Indices{0, 1});
  CHECK(hidden(r("hosts = [\"a.test\"]") + r("hosts = [\"b.test\"]") + r("hosts = [\"a.test\", \"b.test\"]")) ==
        Indices{0, 1, 0});
  CHECK(hidden(r("methods = [\"GET\"]") + r("methods = [\"GET\", \"POST\"]") +
               r("methods = [\"GET\"]\npath = \"/\"")) == Indices{0, 1, 0});
  CHECK(hidden(r("methods = [\"GET\"]") + r("")) == Indices{0, 1});
  CHECK(hidden(r("headers = { a = \"1\" }") + r("") + r("headers = { a = \"1\", b = \"2\" }")) == Indices{0, 1, 0});
  CHECK(hidden(r("listeners = [\"127.0.0.1:8080\"]") + r("")) == Indices{0, 1});
  CHECK(hidden(r("") + r("listeners = [\"127.0.0.1:8080\"]")) == Indices{0, 0});
  CHECK_HAS(warnings(with_routes(r("name = \"wide\"") + r("name = \"never\"\npath = \"/x\""))),
            "test.toml:9:1: warning: route \"never\" can never be reached: \"wide\" (line 6) takes all its requests");
}

TEST_CASE("ten thousand routes are loaded and compared in passing") {
  std::string routes;
  for (int i = 0; i < 10'000; ++i)
    routes += "[[route]]\npath_prefix = \"/r" + std::to_string(i) + "/\"\nupstream = \"app\"\n";
  routes += "[[route]]\npath = \"/r9999/x\"\nupstream = \"app\"\n[[route]]\nupstream = \"app\"\n";
  const auto result = hidden(routes);
  REQUIRE(result.size() == 10'002);
  CHECK(result[10'000] == 9'999);
  CHECK(result[10'001] == 10'001);
}

}  // namespace
}  // namespace sluice::config

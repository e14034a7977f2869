// Whole exchanges: what a client sends is what the origin gets, and the other way round, whatever versions the two
// speak.
#include "stage.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using cross::Ask;
using cross::Body;
using cross::Call;
using cross::for_all_pairs;
using cross::Lines;
using cross::Message;
using cross::Reply;
using cross::Stage;
using cross::Turn;
using cross::Version;

namespace {

// What both ends saw, when all has happened.
std::string both(Stage& s, Call& call, Turn& turn) {
  s.settle();
  return turn.request().text() + "\n" + call.answer().text();
}

// `ask` without a body, answered by `reply` without one.
std::string pass(Stage& s, const Ask& ask, const Reply& reply) {
  Call& call = s.ask(ask);
  Turn& turn = s.turn();
  turn.answer(reply);
  return both(s, call, turn);
}

}  // namespace

TEST_CASE("GET, with query and fields in their order") {
  for_all_pairs(
      "GET example.com /a?b=c [accept: */*] [x-a: 1] [x-a: 2] [x-empty: ] [x-high: \xc3\xa4] | whole\n"
      "200 [content-type: text/plain] [x-b: 1] [x-b: 2] [set-cookie: a=1] [set-cookie: b=2] length=5 | hello | whole",
      [](Stage& s) {
        Call& call =
            s.ask({.path = "/a?b=c",
                   .fields = {{"accept", "*/*"}, {"x-a", "1"}, {"x-a", "2"}, {"x-empty", ""}, {"x-high", "\xc3\xa4"}}});
        Turn& turn = s.turn();
        turn.answer(
            200, "hello",
            {{"content-type", "text/plain"}, {"x-b", "1"}, {"x-b", "2"}, {"set-cookie", "a=1"}, {"set-cookie", "b=2"}});
        return both(s, call, turn);
      });
}

TEST_CASE("answers without a body") {
  for_all_pairs("HEAD example.com / | whole\n200 [x-a: b] length=1234 | whole",
                [](Stage& s) { return pass(s, {.method = "HEAD"}, {200, {{"x-a", "b"}}, Body::none, 1234}); });
  for_all_pairs("GET example.com / | whole\n204 [x-a: b] | whole",
                [](Stage& s) { return pass(s, {}, {204, {{"x-a", "b"}}}); });
  for_all_pairs("GET example.com / | whole\n304 [etag: \"x\"] length=77 | whole",
                [](Stage& s) { return pass(s, {}, {304, {{"etag", "\"x\""}}, Body::none, 77}); });
  for_all_pairs("GET example.com / | whole\n200 | whole",
                [](Stage& s) { return pass(s, {}, {200, {}, Body::none, 0}); });
  for_all_pairs("GET example.com / | whole\n404 | whole", [](Stage& s) { return pass(s, {}, {404}); });
  for_all_pairs("GET example.com / | whole\n200 | whole", [](Stage& s) {  // of unknown length, and then empty
    Call& call = s.ask({});
    Turn& turn = s.turn();
    turn.answer({200, {}, Body::follows});
    s.settle();
    CHECK(call.answer().text() == "200 | open");
    turn.end();
    return both(s, call, turn);
  });
}

TEST_CASE("request bodies") {
  for_all_pairs("POST example.com / length=11 | hello world | whole\n201 length=2 | ok | whole", [](Stage& s) {
    Call& call = s.ask({.method = "POST", .body = Body::follows, .length = 11});
    call.send("hello ");
    Turn& turn = s.turn();
    CHECK(turn.request().text() == "POST example.com / length=11 | hello  | open");
    call.send("world");
    call.end();
    s.settle();
    turn.answer(201, "ok");
    return both(s, call, turn);
  });
  for_all_pairs("POST example.com / | hello world | whole\n201 length=2 | ok | whole", [](Stage& s) {
    Call& call = s.ask({.method = "POST", .body = Body::follows});
    call.send("hello ");
    Turn& turn = s.turn();
    CHECK(turn.request().text() == "POST example.com / | hello  | open");
    call.send("world");
    call.end();
    s.settle();
    turn.answer(201, "ok");
    return both(s, call, turn);
  });
  for_all_pairs("POST example.com / | whole\n201 length=2 | ok | whole", [](Stage& s) {  // empty, and said so
    Call& call = s.ask({.method = "POST", .length = 0});
    s.turn().answer(201, "ok");
    return both(s, call, s.turn());
  });
  for_all_pairs("POST example.com / | whole\n201 length=2 | ok | whole", [](Stage& s) {  // empty, found at its end
    Call& call = s.ask({.method = "POST", .body = Body::follows});
    CHECK(s.turn().request().text() == "POST example.com / | open");
    call.end();
    s.turn().answer(201, "ok");
    return both(s, call, s.turn());
  });
  for_all_pairs("GET example.com / length=2 | hi | whole\n200 | whole", [](Stage& s) {  // a GET may have one
    Call& call = s.ask({.body = Body::follows, .length = 2});
    call.send("hi");
    call.end();
    s.turn().answer(200, "");
    return both(s, call, s.turn());
  });
}

TEST_CASE("answers of unknown length") {
  for_all_pairs("GET example.com / | whole\n200 | one two | whole", [](Stage& s) {
    Call& call = s.ask({});
    Turn& turn = s.turn();
    turn.answer({200, {}, Body::follows});
    turn.send("one ");
    s.settle();
    CHECK(call.answer().text() == "200 | one  | open");
    turn.send("two");
    turn.end();
    return both(s, call, turn);
  });
}

TEST_CASE("an answer that ends with its connection is whole for the client") {
  for (const Version client : {Version::http1, Version::http2}) {
    Stage s({client, Version::http1});
    Call& call = s.ask({});
    Turn& turn = s.turn();
    turn.wire().send("HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nhello");
    s.settle();
    CHECK(call.answer().text() == "200 [x-a: b] | hello | open");
    turn.wire().fin();
    s.settle();
    CHECK(call.answer().text() == "200 [x-a: b] | hello | whole");
  }
}

TEST_CASE("trailers both ways") {
  for_all_pairs("POST example.com / te | body | [x-sum: 1] [x-more: 2] | whole\n200 | answer | [x-sum: 3] | whole",
                [](Stage& s) {
                  Call& call = s.ask({.method = "POST", .body = Body::follows, .te = true});
                  call.send("body");
                  call.end({{"x-sum", "1"}, {"x-more", "2"}});
                  Turn& turn = s.turn();
                  turn.answer({200, {}, Body::follows});
                  turn.send("answer");
                  turn.end({{"x-sum", "3"}});
                  return both(s, call, turn);
                });
  for_all_pairs("POST example.com / | [x-sum: 1] | whole\n200 | [x-sum: 3] | whole",
                [](Stage& s) {  // nothing before them
                  Call& call = s.ask({.method = "POST", .body = Body::follows});
                  call.end({{"x-sum", "1"}});
                  Turn& turn = s.turn();
                  turn.answer({200, {}, Body::follows});
                  turn.end({{"x-sum", "3"}});
                  return both(s, call, turn);
                });
  for_all_pairs("POST example.com / | b | [x-ok: 1] | whole\n200 | a | [x-ok: 2] | whole",
                [](Stage& s) {  // what frames is dropped
                  Call& call = s.ask({.method = "POST", .body = Body::follows});
                  call.send("b");
                  call.end({{"content-length", "5"}, {"x-ok", "1"}, {"host", "other"}});
                  Turn& turn = s.turn();
                  turn.answer({200, {}, Body::follows});
                  turn.send("a");
                  turn.end({{"content-length", "5"}, {"x-ok", "2"}});
                  return both(s, call, turn);
                });
}

TEST_CASE("trailers say nothing that a head may not (rows 53, 54)") {
  const cross::Options edits{
      .route =
          "request_headers = { set = { x-user = \"me\", x-set = \"1\" }, remove = [\"x-gone\"] }\n"
          "response_headers = { set = { x-kind = \"a\" }, add = { x-more = \"1\" }, remove = [\"x-secret\"] }"};
  for_all_pairs(
      "POST example.com / [x-user: me] [x-set: 1] | b | [x-sum: 1] [x-user: me] | whole\n"
      "200 [x-kind: a] [x-more: 1] | a | [x-sum: 2] [x-more: 2] [x-kind: a] | whole",
      [](Stage& s) {
        Call& call = s.ask({.method = "POST", .body = Body::follows});
        call.send("b");
        call.end({{"x-user", "root"}, {"x-gone", "1"}, {"x-sum", "1"}, {"x-user", "admin"}});
        Turn& turn = s.turn();
        turn.answer({200, {}, Body::follows});
        turn.send("a");
        turn.end({{"x-kind", "b"}, {"x-secret", "1"}, {"x-sum", "2"}, {"x-more", "2"}});
        return both(s, call, turn);
      },
      edits);
  for_all_pairs(  // nothing is left of them
      "POST example.com / [x-user: me] [x-set: 1] | b | whole\n200 [x-kind: a] [x-more: 1] | a | whole",
      [](Stage& s) {
        Call& call = s.ask({.method = "POST", .body = Body::follows});
        call.send("b");
        call.end({{"x-gone", "1"}, {"authorization", "x"}});
        Turn& turn = s.turn();
        turn.answer({200, {}, Body::follows});
        turn.send("a");
        turn.end({{"x-secret", "1"}, {"set-cookie", "a=b"}});
        return both(s, call, turn);
      },
      edits);
  const Lines claims{{"x-forwarded-for", "6.6.6.6"},
                     {"x-forwarded-prefix", "/admin"},
                     {"forwarded", "for=6.6.6.6"},
                     {"x-real-ip", "6.6.6.6"},
                     {"x-request-id", "mine"},
                     {"via", "1.1 me"},
                     {"authorization", "x"},
                     {"cookie", "a=b"},
                     {"x_real_ip", "6.6.6.6"},
                     {"x.forwarded.for", "6.6.6.6"},
                     {"x~auth", "1"},
                     {"x-ok", "1"}};
  for_all_pairs("POST example.com / | b | [x-ok: 1] | whole\n200 | whole", [&](Stage& s) {
    Call& call = s.ask({.method = "POST", .body = Body::follows});
    call.send("b");
    call.end(claims);
    Turn& turn = s.turn();
    turn.answer({200, {}, Body::none, 0});
    return both(s, call, turn);
  });
}

TEST_CASE("what Connection names is in no trailer either (RFC 9110 7.6.1)") {
  for (const Version version : {Version::http1, Version::http2}) {
    Stage requests({Version::http1, version});
    Call& call = requests.ask(
        {.method = "POST", .fields = {{"connection", "x-hop, close"}, {"connection", "x-leg"}}, .body = Body::follows});
    call.send("b");
    call.end({{"x-hop", "1"}, {"x-ok", "1"}, {"X-Leg", "1"}});
    CHECK(requests.turn().request().text() == "POST example.com / | b | [x-ok: 1] | whole");
    Stage answers({version, Version::http1});
    Call& asked = answers.ask({});
    answers.turn().answer({200, {{"connection", "x-hop"}}, Body::follows});
    answers.turn().send("a");
    answers.turn().end({{"x-hop", "1"}, {"x-ok", "1"}});
    answers.settle();
    CHECK(asked.answer().text() == "200 | a | [x-ok: 1] | whole");
  }
}

TEST_CASE("names that backends of the CGI kind fold to the dashed one (row 53)") {
  const Lines names{{"x_real_ip", "1"}, {"x.real.ip", "1"}, {"x~auth", "1"}, {"x-ok", "1"}};
  for_all_pairs("GET example.com / [x-ok: 1] | whole\n200 [x_a: 1] [x.b: 1] | whole", [&](Stage& s) {
    return pass(s, {.fields = names}, {200, {{"x_a", "1"}, {"x.b", "1"}}, Body::none, 0});
  });
  for_all_pairs("GET example.com / [x_real_ip: 1] [x.real.ip: 1] [x~auth: 1] [x-ok: 1] | whole\n200 | whole",
                [&](Stage& s) { return pass(s, {.fields = names}, {200, {}, Body::none, 0}); },
                {.listener = "underscore_headers = \"pass\""});
  for (const Version version : {Version::http1, Version::http2}) {
    Stage s({version, Version::http1}, {.listener = "underscore_headers = \"reject\""});
    Call& call = s.ask({.fields = {{"x.real.ip", "1"}}});
    s.settle();
    CHECK(call.answer().start == "400");
    CHECK(s.turns() == 0);
  }
}

TEST_CASE("informational answers") {
  for_all_pairs(
      "GET example.com / | whole\n103 [link: </a>; rel=preload] | 103 [link: </b>] | 200 length=2 | ok | whole",
      [](Stage& s) {
        Call& call = s.ask({});
        Turn& turn = s.turn();
        turn.inform(103, {{"link", "</a>; rel=preload"}});
        s.settle();
        CHECK(call.answer().text() == "103 [link: </a>; rel=preload] | nothing | open");
        turn.inform(103, {{"link", "</b>"}});
        turn.answer(200, "ok");
        return both(s, call, turn);
      });
  for_all_pairs("POST example.com / length=2 | hi | whole\n200 | whole", [](Stage& s) {  // a 100 nobody waits for
    Call& call = s.ask({.method = "POST", .body = Body::follows, .length = 2});
    Turn& turn = s.turn();
    turn.inform(100);
    s.settle();
    call.send("hi");
    call.end();
    s.settle();
    turn.answer(200, "");
    return both(s, call, turn);
  });
}

TEST_CASE("informational heads meet the edits and drops of every head (row 54)") {
  for_all_pairs(
      "GET example.com / | whole\n103 [link: </a>] [x-kind: a] [x-more: 1] | 200 [x-kind: a] [x-more: 1] length=2 | ok "
      "| whole",
      [](Stage& s) {
        Call& call = s.ask({});
        Turn& turn = s.turn();
        turn.inform(103, {{"x-kind", "b"}, {"x-secret", "1"}, {"link", "</a>"}});
        turn.answer(200, "ok", {{"x-secret", "2"}});
        return both(s, call, turn);
      },
      {.route = "response_headers = { set = { x-kind = \"a\" }, add = { x-more = \"1\" }, remove = [\"x-secret\"] }"});
  for (const Version version : {Version::http1, Version::http2}) {
    Stage s({version, Version::http1});
    Call& call = s.ask({});
    s.turn().inform(103, {{"connection", "x-hop"}, {"keep-alive", "timeout=5"}, {"x-hop", "1"}, {"link", "</a>"}});
    s.settle();
    CHECK(call.answer().text() == "103 [link: </a>] | nothing | open");
  }
}

TEST_CASE("an expectation: accepted, refused, and met by silence") {
  for_all_pairs("POST example.com / length=2 expect | hi | whole\n100 | 200 | whole", [](Stage& s) {
    Call& call = s.ask({.method = "POST", .body = Body::follows, .length = 2, .expect = true});
    Turn& turn = s.turn();
    CHECK(turn.request().text() == "POST example.com / length=2 expect | open");
    CHECK_FALSE(call.answer().continued);
    turn.inform(100);
    s.settle();
    CHECK(call.answer().continued);
    call.send("hi");
    call.end();
    s.settle();
    turn.answer(200, "");
    return both(s, call, turn);
  });
  for_all_pairs("413 length=3 | no\n | whole", [](Stage& s) {
    Call& call = s.ask({.method = "POST", .body = Body::follows, .length = 2, .expect = true});
    Turn& turn = s.turn();
    turn.answer(413, "no\n");
    s.settle();
    CHECK(turn.request().ending == cross::Ending::cut);
    return call.answer().text();
  });
  for_all_pairs("POST example.com / length=2 expect | hi | whole\n100 | 200 | whole",
                [](Stage& s) {  // the origin knows no 100
                  Call& call = s.ask({.method = "POST", .body = Body::follows, .length = 2, .expect = true});
                  Turn& turn = s.turn();
                  s.rig.sim.run_for(base::seconds(5));
                  CHECK(call.answer().continued);
                  call.send("hi");
                  call.end();
                  s.settle();
                  turn.answer(200, "");
                  return both(s, call, turn);
                });
  for_all_pairs("417", [](Stage& s) {
    Call& call = s.ask({.method = "POST", .fields = {{"expect", "miracles"}}, .body = Body::follows, .length = 2});
    s.settle();
    CHECK(s.turns() == 0);
    return call.answer().start;
  });
}

TEST_CASE("cookies in crumbs are one field where crumbs are not known") {
  for (const Version origin : {Version::http1, Version::http2}) {
    Stage s({Version::http2, origin});
    s.ask({.fields = {{"cookie", "a=1"}, {"x-a", "b"}, {"cookie", "b=2"}, {"cookie", "c=3"}}});
    CHECK(s.turn().request().field("cookie") == "a=1; b=2; c=3");
  }
  for_all_pairs("a=1; b=2", [](Stage& s) {
    s.ask({.fields = {{"cookie", "a=1; b=2"}}});
    return s.turn().request().field("cookie");
  });
}

TEST_CASE("methods and targets") {
  for_all_pairs("QUERY example.com /x | whole\n200 | whole",
                [](Stage& s) { return pass(s, {.method = "QUERY", .path = "/x"}, {200}); });
  for_all_pairs("get example.com /x | whole\n200 | whole",
                [](Stage& s) { return pass(s, {.method = "get", .path = "/x"}, {200}); });
  for_all_pairs("OPTIONS example.com * | whole\n200 | whole",
                [](Stage& s) { return pass(s, {.method = "OPTIONS", .path = "*"}, {200}); });
  for_all_pairs("OPTIONS example.com / [max-forwards: 4] | whole\n200 | whole",
                [](Stage& s) { return pass(s, {.method = "OPTIONS", .fields = {{"max-forwards", "5"}}}, {200}); });
  for_all_pairs("200 [allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH] | whole", [](Stage& s) {
    Call& call = s.ask({.method = "OPTIONS", .fields = {{"max-forwards", "0"}}});
    CHECK(s.turns() == 0);
    return call.answer().text();
  });
  for_all_pairs("405", [](Stage& s) {
    Call& call = s.ask({.method = "CONNECT", .path = "example.com:443", .authority = "example.com:443"});
    CHECK(s.turns() == 0);
    return call.answer().start;
  });
  for_all_pairs("GET Example.com:8080 /x | whole\n200 | whole",
                [](Stage& s) { return pass(s, {.path = "/x", .authority = "Example.com:8080"}, {200}); });
}

TEST_CASE("the authority: Host, :authority and the absolute target") {
  for (const Version origin : {Version::http1, Version::http2}) {
    {
      Stage s({Version::http1, origin});  // RFC 9112 3.2.2: the target outweighs Host
      s.ask({.path = "http://other.test/a?b", .authority = "other.test"});
      CHECK(s.turn().request().text() == "GET other.test /a?b | whole");
    }
    {
      Stage s({Version::http2, origin});  // both, and the same
      s.ask({.fields = {{"host", "example.com"}}});
      CHECK(s.turn().request().text() == "GET example.com / | whole");
    }
    {
      Stage s({Version::http2, origin});  // both, and not the same
      Call& call = s.ask({.fields = {{"host", "other.test"}}});
      s.settle();
      CHECK(call.answer().start == "400");
      CHECK(s.turns() == 0);
    }
  }
  for_all_pairs("GET app.internal / | whole",
                [](Stage& s) {
                  s.ask({});
                  return s.turn().request().text();
                },
                {.upstream = "host = \"app.internal\""});
  for_all_pairs("GET 10.0.0.1:3000 / | whole",
                [](Stage& s) {
                  s.ask({});
                  return s.turn().request().text();
                },
                {.upstream = "host = \"endpoint\""});
}

TEST_CASE("what is told about the client is the same but for its version") {
  for (const Version client : {Version::http1, Version::http2}) {
    for (const Version origin : {Version::http1, Version::http2}) {
      Stage s({client, origin});
      Lines fields{{"x-forwarded-for", "1.2.3.4"}};
      if (client == Version::http1) {
        fields.emplace_back("x-hop", "1");
        fields.emplace_back("connection", "x-hop");
      }
      s.ask({.fields = fields});
      const Message request = s.turn().request();
      CHECK(request.field("x-forwarded-for") == "192.0.2.7");
      CHECK(request.field("x-forwarded-proto") == "http");
      CHECK(request.field("x-forwarded-host") == "example.com");
      CHECK(request.field("forwarded") == "for=192.0.2.7;host=\"example.com\";proto=http");
      CHECK(request.field("via").starts_with(client == Version::http1 ? "1.1 " : "2.0 "));
      CHECK(request.field("x-hop") == "");
      CHECK(request.field("x-request-id") != "");
    }
  }
}

TEST_CASE("edits of fields and paths") {
  for_all_pairs(
      "GET example.com /new/x?q [x-old: keep] [x-new: 1] | whole\n200 [x-b: 2] [x-c: 3] length=2 | ok | whole",
      [](Stage& s) {
        Call& call = s.ask({.path = "/app/x?q", .fields = {{"x-old", "keep"}, {"x-gone", "1"}}});
        s.turn().answer(200, "ok", {{"x-a", "1"}, {"x-b", "1"}});
        return both(s, call, s.turn());
      },
      {.route = "path_prefix = \"/app\"\nrewrite_prefix = \"/new\"\nrequest_headers = { add = { x-new = \"1\" }, "
                "remove = [\"x-gone\"] }\n"
                "response_headers = { set = { x-b = \"2\" }, add = { x-c = \"3\" }, remove = [\"x-a\"] }"});
}

TEST_CASE("limits of a body") {
  const cross::Options limited{.route = "max_body = \"10B\""};
  for_all_pairs(
      "413",
      [](Stage& s) {
        Call& call = s.ask({.method = "POST", .body = Body::follows, .length = 11});
        s.settle();
        CHECK(s.turns() == 0);
        return call.answer().start;
      },
      limited);
  for_all_pairs(
      "413",
      [](Stage& s) {  // found out on the way: the origin has not got a whole message
        Call& call = s.ask({.method = "POST", .body = Body::follows});
        call.send("0123456789");
        s.settle();
        CHECK(s.turn().request().text() == "POST example.com / | 0123456789 | open");
        call.send("x");
        s.settle();
        CHECK(s.turn().request().text() == "POST example.com / | 0123456789 | cut");
        return call.answer().start;
      },
      limited);
  for_all_pairs(
      "POST example.com / length=10 | 0123456789 | whole\n200 | whole",
      [](Stage& s) {
        Call& call = s.ask({.method = "POST", .body = Body::follows, .length = 10});
        call.send("0123456789");
        call.end();
        s.turn().answer(200, "");
        return both(s, call, s.turn());
      },
      limited);
}

TEST_CASE("answers that the proxy makes") {
  for_all_pairs("404 [content-type: text/plain] length=14 | 404 Not Found\n | whole",
                [](Stage& s) {
                  Call& call = s.ask({.path = "/other"});
                  s.settle();
                  return call.answer().text();
                },
                {.route = "path_prefix = \"/app\""});
  for_all_pairs("200 [x-a: b] [content-type: text/plain] length=2 | hi | whole",
                [](Stage& s) {
                  Call& call = s.ask({.path = "/fixed"});
                  s.settle();
                  return call.answer().text();
                },
                {.route = "path_prefix = \"/app\"",
                 .extra = "[[route]]\npath = \"/fixed\"\nrespond = { status = 200, body = \"hi\" }\nresponse_headers = "
                          "{ set = { x-a = \"b\" } }"});
  for_all_pairs("308 https://example.com/x?y",
                [](Stage& s) {
                  Call& call = s.ask({.path = "/x?y"});
                  s.settle();
                  return call.answer().start + " " + call.answer().field("location");
                },
                {.route = "path_prefix = \"/app\"",
                 .extra = "[[route]]\nredirect = { to = \"https://{host}{path}\", status = 308 }"});
}

TEST_CASE("several requests on one connection of a client") {
  for_all_pairs("200 length=3 | one | whole\n200 length=3 | two | whole", [](Stage& s) {
    cross::Client& client = s.client();
    Call& one = client.ask({.path = "/1"});
    s.turn(0).answer(200, "one");
    s.settle();
    Call& two = client.ask({.path = "/2"});
    s.turn(1).answer(200, "two");
    s.settle();
    CHECK(s.dials() == 1);
    CHECK_FALSE(client.closing());
    return one.answer().text() + "\n" + two.answer().text();
  });
}

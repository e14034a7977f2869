// Requests of threats.md 1a, and good ones beside them: see messages.h.
#include "messages.h"

namespace sluice::http1 {
namespace {

using Cases = std::vector<RequestCase>;

std::string bad(std::string_view detail, std::string_view kind = "bad_request") {
  return "malformed " + std::string(kind) + " " + std::string(detail) + " untouched\n";
}

// A request that ends in its head, with one more field line.
std::string with(std::string_view line) { return "GET / HTTP/1.1\r\nHost: a\r\n" + std::string(line) + "\r\n\r\n"; }
std::string post(std::string_view lines, std::string_view body) {
  return "POST / HTTP/1.1\r\nHost: a\r\n" + std::string(lines) + "\r\n\r\n" + std::string(body);
}
std::string chunked(std::string_view body) { return post("Transfer-Encoding: chunked", body); }
std::string target(std::string_view text) { return "GET " + std::string(text) + " HTTP/1.1\r\nHost: a\r\n\r\n"; }
std::string host(std::string_view text) { return "GET / HTTP/1.1\r\nHost: " + std::string(text) + "\r\n\r\n"; }
std::string plain(std::string_view rest = {}) { return "request GET http://a /" + std::string(rest) + "\nend\n"; }
std::string posted(std::string_view body, std::string_view rest = {}) {
  return "request POST http://a /" + std::string(rest) + "\n" +
         (body.empty() ? "" : "body " + std::string(body) + "\n") + "end\n";
}
const std::string chunk_head = "request POST http://a /\n";
std::string bad_chunk(std::string_view body = {}) {
  return chunk_head + (body.empty() ? "" : "body " + std::string(body) + "\n") + bad("chunk");
}
std::string bad_trailer() { return chunk_head + "body x\n" + bad("trailer"); }

void framing(Cases& c) {
  c.push_back({1, "CL and TE", post("Content-Length: 3\r\nTransfer-Encoding: chunked", "0\r\n\r\n"), bad("cl_te")});
  c.push_back({1, "TE and CL", post("Transfer-Encoding: chunked\r\nContent-Length: 3", "0\r\n\r\n"), bad("cl_te")});
  c.push_back({1, "CL and TE in 1.0", "POST / HTTP/1.0\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
               bad("cl_te")});
  for (const char* value :
       {"xchunked", "\vchunked", "\"chunked\"", "identity", "chunked, chunked", "chunked, identity", "chunked, gzip",
        "gzip", "", "chunked;q=1", "identity, chunked", "chunked\x00", "chunke\x64\x0b"}) {
    const std::string line = "Transfer-Encoding: " + std::string(value);
    const bool ctl = line.find('\v') != std::string::npos;
    c.push_back({2, "TE " + std::string(value), post(line, "0\r\n\r\n"), bad(ctl ? "ctl" : "te")});
    if (std::string(value) == "chunked") c.pop_back();
  }
  c.push_back(
      {2, "TE twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"), bad("te")});
  c.push_back(
      {2, "TE twice, second empty", post("Transfer-Encoding: chunked\r\nTransfer-Encoding:", "0\r\n\r\n"), bad("te")});
  c.push_back(
      {2, "unknown coding", post("Transfer-Encoding: gzip, chunked", "0\r\n\r\n"), bad("te", "not_implemented")});
  c.push_back({0, "chunked in any case", post("Transfer-Encoding: \t CHUNKED ", "0\r\n\r\n"), posted("")});
  for (const char* value :
       {"+3", "-3", "0x3", "3, 3", "", "18446744073709551621", "3 3", "3.0", "1e1", "3;", "99999999999999999999999"}) {
    c.push_back({3, "CL " + std::string(value), post("Content-Length: " + std::string(value), "abc"), bad("cl")});
  }
  c.push_back({3, "CL twice", post("Content-Length: 3\r\nContent-Length: 3", "abc"), bad("cl")});
  c.push_back({3, "CL differs", post("Content-Length: 3\r\nContent-Length: 4", "abcd"), bad("cl")});
  c.push_back({0, "leading zeros", post("Content-Length: 0003", "abc"), posted("abc", " length=3")});
  c.push_back({0, "CL 0", post("Content-Length: 0", ""), posted("", " length=0")});
  c.push_back({0, "CL with blanks around", post("Content-Length:   3  ", "abc"), posted("abc", " length=3")});
  c.push_back({0, "a body with GET", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
               "request GET http://a / length=1\nbody x\nend\n"});
  c.push_back(
      {17, "1.0 with TE", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", bad("te_10")});
}

void chunks(Cases& c) {
  for (const char* line :
       {"0x3", "+3", "-3", "3_0", " 3", "3 ", "", "g", "3g", "10000000000000000", "ffffffffffffffffff", "3\t", ";a"}) {
    c.push_back({4, "chunk line '" + std::string(line) + "'", chunked(std::string(line) + "\r\nabc\r\n0\r\n\r\n"),
                 bad_chunk()});
  }
  c.push_back({4, "LF after the size", chunked("3\nabc\r\n0\r\n\r\n"), bad_chunk()});
  c.push_back({4, "CR in the extension", chunked("3;a=\rb\r\nabc\r\n0\r\n\r\n"), bad_chunk()});
  c.push_back({4, "LF in the extension", chunked("3;a\nabc\r\n0\r\n\r\n"), bad_chunk()});
  c.push_back({4, "LF in a quoted extension", chunked("3;a=\"\n\"\r\nabc\r\n0\r\n\r\n"), bad_chunk()});
  c.push_back({4, "open quote", chunked("3;a=\"b\r\nabc\r\n0\r\n\r\n"), bad_chunk()});
  c.push_back({4, "TERM.EXT", chunked("2;\nxx\r\n0\r\n\r\n"), bad_chunk()});
  c.push_back({4, "empty extension", chunked("3;\r\nabc\r\n0\r\n\r\n"), bad_chunk()});
  c.push_back({4, "blank before an extension", chunked("3 ;a\r\nabc\r\n0\r\n\r\n"), bad_chunk()});
  c.push_back({4, "text after a quote", chunked("3;a=\"b\"c\r\nabc\r\n0\r\n\r\n"), bad_chunk()});
  c.push_back({4, "no CRLF after data", chunked("3\r\nabcd\r\n0\r\n\r\n"), bad_chunk("abc")});
  c.push_back({4, "LF after data", chunked("3\r\nabc\n0\r\n\r\n"), bad_chunk("abc")});
  c.push_back({4, "two bytes for CRLF", chunked("3\r\nabcXX0\r\n\r\n"), bad_chunk("abc")});
  c.push_back({4, "CR CR after data", chunked("3\r\nabc\r\r0\r\n\r\n"), bad_chunk("abc")});
  c.push_back({4, "CR CR LF after the size", chunked("3\r\r\nabc\r\n0\r\n\r\n"), bad_chunk()});
  c.push_back({4, "negative last", chunked("1\r\nx\r\n-0\r\n\r\n"), bad_chunk("x")});
  c.push_back({0, "chunks", chunked("3\r\nabc\r\n0A\r\n0123456789\r\n000\r\n\r\n"), posted("abc0123456789")});
  c.push_back(
      {0, "extensions are dropped", chunked("3;a;b=c;d=\"e\\\"\t f;\"\r\nabc\r\n0;last\r\n\r\n"), posted("abc")});
  c.push_back({0, "largest size that is a number", chunked("00000000000000a\r\n0123456789\r\n0\r\n\r\n"),
               posted("0123456789")});
}

void trailers(Cases& c) {
  const auto with_trailers = [](std::string_view lines) {
    return chunked("1\r\nx\r\n0\r\n" + std::string(lines) + "\r\n");
  };
  c.push_back(
      {0, "trailers", with_trailers("X-Sum: 1\r\nY: \r\n"), chunk_head + "body x\ntrailers [X-Sum: 1] [Y: ]\nend\n"});
  c.push_back({5, "framing fields in trailers are dropped",
               with_trailers("Content-Length: 3\r\nTransfer-Encoding: chunked\r\nHost: b\r\nAuthorization: "
                             "c\r\nSet-Cookie: d\r\nConnection: x\r\n"
                             "Keep-Alive: 1\r\nTE: trailers\r\nUpgrade: h2c\r\nX: 1\r\n"),
               chunk_head + "body x\ntrailers [X: 1]\nend\n"});
  c.push_back({5, "only dropped ones", with_trailers("Host: b\r\n"), chunk_head + "body x\nend\n"});
  c.push_back({5, "bad name", with_trailers("X Y: 1\r\n"), bad_trailer()});
  c.push_back({5, "no name", with_trailers(": 1\r\n"), bad_trailer()});
  c.push_back({5, "LF ends the trailers", chunked("1\r\nx\r\n0\r\n\n"), bad_trailer()});
  c.push_back({5, "LF ends a trailer", with_trailers("X: 1\n"), bad_trailer()});
  c.push_back({5, "folded", with_trailers("X: 1\r\n y\r\n"), bad_trailer()});
  c.push_back({5, "NUL", with_trailers(std::string("X: 1\0\r\n", 7)), bad_trailer()});
}

void field_lines(Cases& c) {
  c.push_back({6, "CR in a value", with("X: a\rb"), bad("ctl")});
  c.push_back({6, "CR before CRLF", with("X: a\r"), bad("ctl")});
  c.push_back({6, "NUL in a value", with(std::string("X: a\0b", 6)), bad("ctl")});
  c.push_back({6, "DEL in a value", with("X: a\x7f"), bad("ctl")});
  c.push_back({6, "ESC in a value", with("X: \x1b[0m"), bad("ctl")});
  c.push_back({6, "LF for CRLF", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", bad("ctl")});
  c.push_back({6, "LF ends the head", "GET / HTTP/1.1\r\nHost: a\r\n\nGET", bad("ctl")});
  c.push_back({6, "LF ends the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", bad("ctl")});
  c.push_back({6, "NUL in a name", with(std::string("X\0Y: a", 6)), bad("ctl")});
  c.push_back({6, "LF in front", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", bad("ctl")});
  c.push_back({6, "TLS", std::string("\x16\x03\x01\x02\x00\x01\x00", 7), bad("ctl")});
  c.push_back({0, "HTAB and 8-bit in a value", with("X: a\tb\xc3\xa9"), plain(" [X: a\tb\xc3\xa9]")});
  c.push_back({7, "folded", with("X: a\r\n b"), bad("obs_fold")});
  c.push_back({7, "folded with a tab", with("X: a\r\n\tb"), bad("obs_fold")});
  c.push_back({7, "folded first line", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", bad("obs_fold")});
  c.push_back({7, "0.CL with Expect", post("Expect: 100-continue\r\nContent-Length\r\n : 5", "abcde"), bad("name")});
  c.push_back({8, "blank before the colon", with("X : a"), bad("name")});
  c.push_back({8, "tab before the colon", with("Content-Length\t: 5"), bad("name")});
  c.push_back({9, "no name", with(": a"), bad("name")});
  c.push_back({9, "no colon", with("Xa"), bad("name")});
  c.push_back({9, "@ in a name", with("X@: a"), bad("name")});
  c.push_back({9, "8-bit in a name", with("X\xe9: a"), bad("name")});
  c.push_back({9, "bracket in a name", with("X(a): a"), bad("name")});
  c.push_back({0, "empty value", with("X:"), plain(" [X: ]")});
  c.push_back({53, "any token as a name, which goes no further", with("!#$%&'*+-.^`|~9aZ: 1"), plain()});
  c.push_back({10, "underscore", with("Content_Length: 5"), plain()});
}

void hosts(Cases& c) {
  c.push_back({11, "no Host", "GET / HTTP/1.1\r\nX: a\r\n\r\n", bad("host")});
  c.push_back({11, "Host twice", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", bad("host")});
  c.push_back({11, "Host twice in 1.0", "GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", bad("host")});
  for (const char* value : {"",     "a,b",   "a b",       "u@a",    ":",       "a:0",   "a:65536", "a:8a", "a:b:1",
                            "[::1", "[::g]", "[1.2.3.4]", "::1",    "a/b",     "a?b",   "a#b",     "a\\b", "%",
                            "%4",   "%zz",   "a:080808",  "[::1]x", "[::1]::", "a\xe9", "<a>",     "a\"b"}) {
    c.push_back({11, "Host " + std::string(value), host(value), bad("host")});
  }
  for (const char* value : {"a.b-c_d~", "a:1", "a:65535", "1.2.3.4:80", "[::1]", "[2001:db8::1]:443", "%41b",
                            "A.Example.", "a!$&'()*+;="}) {
    c.push_back(
        {0, "Host " + std::string(value), host(value), "request GET http://" + std::string(value) + " /\nend\n"});
  }
  for (const std::string value : {"a", "[::1]"}) {   // RFC 3986 3.2.3: a port may be empty, and is none
    c.push_back(
        {64, "Host with an empty port " + value, host(value + ":"), "request GET http://" + value + " /\nend\n"});
    c.push_back({64, "target with an empty port " + value, target("http://" + value + ":/x"),
                 "request GET http://" + value + " /x\nend\n"});
  }
  c.push_back(
      {64, "https in absolute form on a clear-text listener", target("HTTPS://b/"), "request GET http://b /\nend\n"});
  c.push_back({0, "1.0 without Host", "GET / HTTP/1.0\r\n\r\n", "request GET http:// / 1.0\nend\n"});
  c.push_back({12, "absolute form wins", target("http://b:81/x?y"), "request GET http://b:81 /x?y\nend\n"});
  c.push_back({0, "absolute form without path", target("http://b"), "request GET http://b /\nend\n"});
  c.push_back({0, "absolute form with a query only", target("HTTP://b?q"), "request GET http://b /?q\nend\n"});
  c.push_back(
      {0, "absolute OPTIONS", "OPTIONS http://b HTTP/1.1\r\nHost: a\r\n\r\n", "request OPTIONS http://b *\nend\n"});
  c.push_back({12, "absolute form without Host", "GET http://b/ HTTP/1.1\r\n\r\n", bad("host")});
  for (const char* value : {"http:///x", "http://", "http://u@b/", "http://u:p@b/", "ws://b/", "ftp://b/", "http:/b",
                            "http://b:0/", "http://b#x", "http://b/x y", "://b/"}) {
    c.push_back({12, "target " + std::string(value), target(value), bad("target")});
  }
}

void targets(Cases& c) {
  for (const char* value :
       {"/a b", "/a\tb", "/a\x7f", "/a\xc3\xa9", "/#x", "/a?b#c", "a",  "*",  "/a\\b", "/%",     "/%4",    "/%zz",
        "/a%2", "/\"",   "/<a>",   "/{a}",       "/`",  "a:80",   "?x", " /", "/ ",    "/a?b c", "/a?\x01"}) {
    c.push_back({13, "target " + std::string(value), target(value), bad("target")});
  }
  c.push_back({13, "NUL in the target", target(std::string("/a\0b", 4)), bad("target")});
  c.push_back({13, "CR in the target", target("/a\rb"), bad("target")});
  for (const char* value :
       {"/", "//", "/a//b/../c;d", "/%2f%5C%00", "/|[]^", "/-._~!$&'()*+,;=:@", "/?", "/?%&{}\"<>\\`|^[]?", "/a?b%"}) {
    c.push_back(
        {0, "target " + std::string(value), target(value), "request GET http://a " + std::string(value) + "\nend\n"});
  }
  c.push_back({0, "OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "request OPTIONS http://a *\nend\n"});
  c.push_back({53, "any token as a method", "QUERY / HTTP/1.1\r\nHost: a\r\n\r\n", "request QUERY http://a /\nend\n"});
  c.push_back({53, "any token at all", "!#$%&'*+-.^_`|~x1 / HTTP/1.1\r\nHost: a\r\n\r\n",
               "request !#$%&'*+-.^_`|~x1 http://a /\nend\n"});
  c.push_back({0, "methods have a case", "get / HTTP/1.1\r\nHost: a\r\n\r\n", "request get http://a /\nend\n"});
  c.push_back({13, "bad method", "G@T / HTTP/1.1\r\nHost: a\r\n\r\n", bad("method")});
  c.push_back({13, "blank in front", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", bad("method")});
  c.push_back({13, "HTTP/0.9", "GET /\r\n\r\n", bad("request_line")});
  c.push_back({13, "no target", "GET HTTP/1.1\r\nHost: a\r\n\r\n", bad("request_line")});
  c.push_back({13, "empty target", "GET  HTTP/1.1\r\nHost: a\r\n\r\n", bad("request_line")});
  c.push_back({13, "two blanks", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", bad("target")});
  c.push_back({13, "blank at the end", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", bad("request_line")});
  c.push_back({13, "version in lower case", "GET / http/1.1\r\nHost: a\r\n\r\n", bad("request_line")});
  c.push_back({13, "HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", bad("request_line", "version")});
  c.push_back({13, "HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", bad("request_line", "version")});
  c.push_back({13, "HTTP/1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", bad("request_line")});
  c.push_back({13, "the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", bad("request_line", "version")});
  c.push_back({0, "an empty line in front", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", plain()});
  c.push_back({6, "two empty lines in front", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", bad("ctl")});
}

void hops(Cases& c) {
  c.push_back({15, "hop-by-hop fields go",
               with("Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nTE: gzip\r\nUpgrade: "
                    "websocket\r\n"
                    "HTTP2-Settings: AAA\r\nX: 1"),
               plain(" [X: 1]")});
  c.push_back({15, "nominated fields go",
               with("X-A: 1\r\nConnection: x-a, Via\r\nVia: 1.1 b\r\nx-a: 2\r\nConnection: x-b\r\nX-B: 3\r\nX-C: 4"),
               plain(" [X-C: 4]")});
  c.push_back({15, "some may not be nominated",
               with("Connection: Host, Content-Length, X-Forwarded-For, x-forwarded-new, Authorization, Cookie, "
                    "close\r\nX-Forwarded-For: 1\r\n"
                    "X-Forwarded-New: 2\r\nAuthorization: 3\r\nCookie: 4"),
               plain(" [X-Forwarded-For: 1] [X-Forwarded-New: 2] [Authorization: 3] [Cookie: 4]")});
  c.push_back({15, "TE: trailers", with("TE: gzip, trailers\r\nConnection: TE"), plain(" te")});
  c.push_back({16, "upgrade with a body", post("Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1", "x"),
               bad("upgrade")});
  c.push_back({16, "upgrade with chunks",
               post("Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
               bad("upgrade")});
  c.push_back(
      {0, "h2c is not for us",
       post("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\nContent-Length: 1", "x"),
       posted("x", " length=1")});
  c.push_back({0, "upgrade is not for 1.0", "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
               "request GET http:// / 1.0\nend\n"});
  c.push_back(
      {16, "CONNECT", "CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", "request CONNECT http://b:443 b:443\nend\n"});
  c.push_back({16, "CONNECT without port", "CONNECT b HTTP/1.1\r\nHost: b\r\n\r\n", bad("target")});
  c.push_back({16, "CONNECT to a path", "CONNECT / HTTP/1.1\r\nHost: b\r\n\r\n", bad("target")});
  c.push_back({19, "Expect", post("Expect: 100-Continue\r\nContent-Length: 1", "x"), posted("x", " length=1 expect")});
  c.push_back({19, "Expect without a body", with("Expect: 100-continue"), plain()});
  c.push_back({19, "another expectation stays, for the 417", post("Expect: 200-ok\r\nContent-Length: 1", "x"),
               posted("x", " length=1 [Expect: 200-ok]")});
  c.push_back({19, "Expect is not for 1.0", "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
               "request POST http:// / 1.0 length=1\nbody x\nend\n"});
}

}  // namespace

const std::vector<RequestCase>& request_cases() {
  static const Cases all = [] {
    Cases c;
    framing(c);
    chunks(c);
    trailers(c);
    field_lines(c);
    hosts(c);
    targets(c);
    hops(c);
    return c;
  }();
  return all;
}

}  // namespace sluice::http1

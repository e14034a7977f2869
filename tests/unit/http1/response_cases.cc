// Answers of threats.md 1b, and good ones beside them: see messages.h.
#include "messages.h"

namespace sluice::http1 {
namespace {

using Cases = std::vector<ResponseCase>;

std::string ok(std::string_view lines, std::string_view body = {}) {
  return "HTTP/1.1 200 OK\r\n" + std::string(lines) + (lines.empty() ? "" : "\r\n") + "\r\n" + std::string(body);
}
std::string bad(std::string_view detail) { return "closed bad_response " + std::string(detail) + "\n"; }
const std::string cut = "closed reset truncated\n";
const std::string clean = "end\nclosed clean\n";

void status_lines(Cases& c) {
  for (const char* line : {"garbage",          "HTTP/1.1 20 OK",      "HTTP/1.1 2000 OK",
                           "HTTP/1.1 099 No",  "HTTP/1.1 600 No",     "HTTP/1.1 OK",
                           "HTTP/2.0 200 OK",  "HTTP/1.2 200 OK",     "http/1.1 200 OK",
                           "HTTP/1.1  200 OK", "HTTP/1.1\t200 OK",    "HTTP/1.1 2x0 OK",
                           "HTTP/1.1 -20 OK",  "HTTP/1.1 +20 OK",     "HTTP/1.1 200OK",
                           "HTTP/1.1 200\tOK", "ICY 200 OK",          "",
                           " HTTP/1.1 200 OK", "HTTP/1.1 200 a\x01b", "HTTP/1.1 200 O\rK"}) {
    c.push_back({26, "status line " + std::string(line), "GET", std::string(line) + "\r\nContent-Length: 0\r\n\r\n",
                 false, bad("status_line"), false});
  }
  c.push_back(
      {26, "LF for CRLF", "GET", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", false, bad("status_line"), false});
  c.push_back({26, "HTTP/0.9", "GET", "<html>", true, bad("status_line"), false});
  c.push_back({0, "no reason", "GET", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", false,
               "answer 200 length=0\n" + clean, true});
  c.push_back({0, "no blank after the status", "GET", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false,
               "answer 200 length=0\n" + clean, true});
  c.push_back({0, "any reason", "GET", "HTTP/1.1 599 \xc3\xa9 b\tc\r\nContent-Length: 0\r\n\r\n", false,
               "answer 599 length=0\n" + clean, true});
}

void framing(Cases& c) {
  for (const char* lines :
       {"Content-Length: 3\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 3",
        "Content-Length: 3\r\nContent-Length: 4", "Content-Length: 3, 4", "Content-Length: x",
        "Content-Length:", "Content-Length: -3", "Content-Length: 3 3", "Content-Length: 18446744073709551621",
        "Transfer-Encoding: gzip", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity", "Transfer-Encoding:", "Content-Length: 3\r\nContent-Length: 3, 4"}) {
    c.push_back({27, lines, "GET", ok(lines, "0\r\n\r\n"), false, bad("framing"), false});
  }
  c.push_back({27, "TE in 1.0", "GET", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false,
               bad("framing"), false});
  c.push_back({27, "bad CL for HEAD", "HEAD", ok("Content-Length: x"), false, bad("framing"), false});
  for (const char* lines :
       {"Content-Length: 3", "Content-Length: 3\r\nContent-Length: 3", "Content-Length: 3, 3", "Content-Length: 003"}) {
    c.push_back({0, lines, "GET", ok(lines, "abc"), false, "answer 200 length=3\nbody abc\n" + clean, true});
  }
  c.push_back({0, "chunked", "GET",
               ok("Transfer-Encoding: Chunked", "3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nX-T: 1\r\nContent-Length: 9\r\n\r\n"),
               false, "answer 200\nbody abcd\ntrailers [X-T: 1]\n" + clean, true});
  for (const char* body : {"x\r\n", "3\nabc\r\n0\r\n\r\n", "3 \r\nabc\r\n0\r\n\r\n", "-1\r\n"}) {
    c.push_back({27, "chunk " + std::string(body), "GET", ok("Transfer-Encoding: chunked", body), false,
                 "answer 200\n" + bad("framing"), false});
  }
  c.push_back({27, "no CRLF after data", "GET", ok("Transfer-Encoding: chunked", "3\r\nabcde"), false,
               "answer 200\nbody abc\n" + bad("framing"), false});
  c.push_back({0, "until close", "GET", ok("", "abc"), true, "answer 200\nbody abc\n" + clean, false});
  c.push_back({0, "until close, nothing", "GET", ok(""), true, "answer 200\n" + clean, false});
  c.push_back({0, "1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", false,
               "answer 200 1.0 length=3\nbody abc\n" + clean, false});
  c.push_back({0, "1.0 that keeps alive", "GET",
               "HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: Keep-Alive\r\n\r\nabc", false,
               "answer 200 1.0 length=3\nbody abc\n" + clean, true});
  c.push_back({0, "close", "GET", ok("Content-Length: 0\r\nConnection: x, CLOSE"), false,
               "answer 200 length=0\n" + clean, false});
}

void cuts(Cases& c) {
  c.push_back({24, "short of its length", "GET", ok("Content-Length: 4", "abc"), true,
               "answer 200 length=4\nbody abc\n" + cut, false});
  c.push_back({24, "no last chunk", "GET", ok("Transfer-Encoding: chunked", "3\r\nabc\r\n"), true,
               "answer 200\nbody abc\n" + cut, false});
  c.push_back({24, "half a chunk", "GET", ok("Transfer-Encoding: chunked", "4\r\nabc"), true,
               "answer 200\nbody abc\n" + cut, false});
  c.push_back({24, "no end of the trailers", "GET", ok("Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\n"), true,
               "answer 200\nbody abc\n" + cut, false});
  c.push_back({24, "half a head", "GET", "HTTP/1.1 200 OK\r\nConte", true, cut, false});
  c.push_back({24, "half a status line", "GET", "HTTP", true, cut, false});
  c.push_back({24, "only a 100", "GET", "HTTP/1.1 100 Continue\r\n\r\n", true, "answer 100\n" + cut, false});
  c.push_back({25, "nothing", "GET", "", true, "closed reset\n", false});
  c.push_back({23, "extra bytes", "GET", ok("Content-Length: 3", "abcd"), false,
               "answer 200 length=3\nbody abc\n" + clean, false});
  c.push_back({23, "a second answer", "GET", ok("Content-Length: 0", ok("Content-Length: 0")), false,
               "answer 200 length=0\n" + clean, false});
  c.push_back({23, "an empty line more", "GET", ok("Content-Length: 0", "\r\n"), false, "answer 200 length=0\n" + clean,
               false});
  c.push_back({23, "extra bytes after the last chunk", "GET", ok("Transfer-Encoding: chunked", "0\r\n\r\nx"), false,
               "answer 200\n" + clean, false});
}

void fields(Cases& c) {
  for (const char* line : {"X: a\rb", "X: a\x7f", "X: \x01", "X Y: a", "X(: a", ": a", "X", "X\x80: a", "X: a\r"}) {
    c.push_back({28, line, "GET", ok("Content-Length: 0\r\n" + std::string(line)), false, bad("field"), false});
  }
  c.push_back({28, "NUL", "GET", ok("Content-Length: 0\r\n" + std::string("X: a\0b", 6)), false, bad("field"), false});
  c.push_back({28, "LF for CRLF", "GET", ok("X: a\nContent-Length: 0"), false, bad("field"), false});
  c.push_back({28, "fold before the first line", "GET", ok(" x\r\nContent-Length: 0"), false, bad("field"), false});
  c.push_back({28, "blank before the colon is cleaned", "GET", ok("X \t: a\r\nContent-Length : 0"), false,
               "answer 200 length=0 [X: a]\n" + clean, true});
  c.push_back({28, "folds are cleaned", "GET", ok("X: a\r\n b\r\n\t c \r\nContent-Length:\r\n 0\r\nY: d\r\n "), false,
               "answer 200 length=0 [X: a b c] [Y: d]\n" + clean, true});
  c.push_back({28, "a folded chunked", "GET", ok("Transfer-Encoding:\r\n chunked", "1\r\nx\r\n0\r\n\r\n"), false,
               "answer 200\nbody x\n" + clean, true});
  c.push_back({0, "hop-by-hop fields go", "GET",
               ok("Connection: x-a\r\nX-A: 1\r\nKeep-Alive: timeout=5\r\nUpgrade: h2\r\nContent-Length: 0\r\nX-B: 2"),
               false, "answer 200 length=0 [X-B: 2]\n" + clean, true});
  c.push_back({0, "a 426 says what it demands", "GET",
               "HTTP/1.1 426 U\r\nConnection: upgrade\r\nUpgrade: TLS/1.3,\r\n h2c\r\nX: 1\r\nupgrade: "
               "websocket\r\nContent-Length: 0\r\n\r\n",
               false, "answer 426 length=0 upgrade=TLS/1.3, h2c, websocket [X: 1]\n" + clean, true});
  c.push_back({0, "a 426 that says nothing", "GET", "HTTP/1.1 426 U\r\nContent-Length: 0\r\n\r\n", false,
               "answer 426 length=0\n" + clean, true});
  c.push_back({0, "underscores pass", "GET", ok("X_A: 1\r\nContent-Length: 0"), false,
               "answer 200 length=0 [X_A: 1]\n" + clean, true});
}

void informational(Cases& c) {
  const std::string hint = "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n";
  std::string ten;
  std::string heard;
  for (int i = 0; i < 10; ++i) ten += hint, heard += "answer 103 [Link: a]\n";
  c.push_back({0, "100 and 103", "GET", "HTTP/1.1 100 Continue\r\n\r\n" + hint + ok("Content-Length: 0"), false,
               "answer 100\nanswer 103 [Link: a]\nanswer 200 length=0\n" + clean, true});
  c.push_back({29, "ten", "GET", ten + ok("Content-Length: 0"), false, heard + "answer 200 length=0\n" + clean, true});
  c.push_back({29, "eleven", "GET", ten + hint + ok("Content-Length: 0"), false, heard + bad("informational"), false});
  const auto sized = [](size_t bytes) { return "HTTP/1.1 103 E\r\nL: " + std::string(bytes - 23, 'x') + "\r\n\r\n"; };
  const auto traced = [](size_t bytes) { return "answer 103 [L: " + std::string(bytes - 23, 'x') + "]\n"; };
  c.push_back({29, "16 KiB of them", "GET", sized(8192) + sized(8192) + ok("Content-Length: 0"), false,
               traced(8192) + traced(8192) + "answer 200 length=0\n" + clean, true});
  c.push_back({29, "16 KiB and one byte", "GET", sized(8192) + sized(8193) + ok("Content-Length: 0"), false,
               traced(8192) + bad("informational"), false});
  const std::string switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
  c.push_back({29, "101 unasked", "GET", switched, false, bad("switching"), false});
  c.push_back({16, "101 to something else", "GET", "HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
               false, bad("switching"), false, "websocket"});
  c.push_back({16, "101 without Upgrade", "GET", "HTTP/1.1 101 S\r\nConnection: Upgrade\r\n\r\n", false,
               bad("switching"), false, "websocket"});
  c.push_back({16, "101 without Connection", "GET", "HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n", false,
               bad("switching"), false, "websocket"});
  c.push_back({0, "101 and a tunnel", "GET", switched + "frames", true,
               "answer 101 upgrade=websocket\nbody frames\nend\n", false, "websocket"});
  c.push_back({16, "200 for 101", "GET", ok("Content-Length: 2", "no"), false, "answer 200 length=2\nbody no\n" + clean,
               true, "websocket"});
}

void bodiless(Cases& c) {
  c.push_back({30, "HEAD", "HEAD", ok("Content-Length: 5"), false, "answer 200 length=5\n" + clean, true});
  c.push_back({30, "HEAD with a body", "HEAD", ok("Content-Length: 5", "abcde"), false, "answer 200 length=5\n" + clean,
               false});
  c.push_back({30, "HEAD, chunked", "HEAD", ok("Transfer-Encoding: chunked"), false, "answer 200\n" + clean, true});
  c.push_back({30, "204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", false, "answer 204\n" + clean, true});
  c.push_back({30, "204 with a body", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc", false,
               "answer 204\n" + clean, false});
  c.push_back({30, "204 that announces a body", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", false,
               "answer 204\n" + clean, false});
  c.push_back({30, "304", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", false,
               "answer 304 length=3\n" + clean, true});
  c.push_back({30, "304 with a body", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\nabc", false,
               "answer 304 length=3\n" + clean, false});
}

}  // namespace

const std::vector<ResponseCase>& response_cases() {
  static const Cases all = [] {
    Cases c;
    status_lines(c);
    framing(c);
    cuts(c);
    fields(c);
    informational(c);
    bodiless(c);
    return c;
  }();
  return all;
}

}  // namespace sluice::http1

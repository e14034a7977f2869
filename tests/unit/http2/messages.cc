#include "messages.h"

namespace sluice::http2 {
namespace {

using Cases = std::vector<HeadCase>;

Lines with(const Lines& more) {
  Lines lines = {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}};
  lines.insert(lines.end(), more.begin(), more.end());
  return lines;
}

// The usual head with one line replaced (or, value empty and `without`, left out).
Lines changed(size_t line, const std::string& value) {
  Lines lines = with({});
  lines[line].second = value;
  return lines;
}
Lines without(size_t line) {
  Lines lines = with({});
  lines.erase(lines.begin() + static_cast<ptrdiff_t>(line));
  return lines;
}

std::string shown(const std::string& text) {
  std::string out;
  for (const char c : text)
    out += c > ' ' && c < 127 ? std::string(1, c) : "\\" + std::to_string(static_cast<unsigned char>(c));
  return out;
}

void pseudo_fields(Cases& c) {
  const std::string bad = "bad_request pseudo";
  c.push_back({"the usual", with({})});
  c.push_back({"in another order", {{":path", "/"}, {":authority", "a"}, {":scheme", "http"}, {":method", "GET"}}});
  for (const size_t i : {size_t{0}, size_t{1}, size_t{3}})
    c.push_back({"without " + with({})[i].first, without(i), bad});
  for (size_t i = 0; i < 4; ++i) c.push_back({"twice " + with({})[i].first, with({with({})[i]}), bad});
  c.push_back({"none at all", {{"x", "y"}}, bad});
  c.push_back({"nothing", {}, bad});
  for (const char* name : {":status", ":Path", ":method ", ":", ":foo", ":host", ":protocol"}) {
    c.push_back({"with " + std::string(name),
                 {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}, {name, "200"}},
                 bad});
  }
  c.push_back({"after a field",
               {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {"x", "y"}, {":path", "/"}},
               bad});
  c.push_back({"after a cookie",
               {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {"cookie", "y"}, {":path", "/"}},
               bad});
  for (const char* scheme : {"ftp", "", "http ", "https:", "http://a/"})
    c.push_back({"scheme " + std::string(scheme), changed(1, scheme), bad});
  c.push_back({"scheme in capitals", changed(1, "HTTP")});
  c.push_back({"scheme of a proxy in front", changed(1, "https")});
  for (const std::string& method :
       {std::string("G T"), std::string("GET\r\n"), std::string(""), std::string("GET\0", 4), std::string("G(T")}) {
    c.push_back({"method " + shown(method), changed(0, method), "bad_request method"});
  }
  c.push_back({"method of one's own", changed(0, "QUERY")});
  c.push_back({"CONNECT with a path", changed(0, "CONNECT"), bad});
  c.push_back({"CONNECT with a scheme", {{":method", "CONNECT"}, {":scheme", "http"}, {":authority", "a:1"}}, bad});
  c.push_back({"CONNECT without authority", {{":method", "CONNECT"}}, bad});
  c.push_back({"CONNECT", {{":method", "CONNECT"}, {":authority", "a:443"}}});
  c.push_back({"CONNECT without a port", {{":method", "CONNECT"}, {":authority", "a"}}, "bad_request target"});
  c.push_back({"CONNECT with an empty port", {{":method", "CONNECT"}, {":authority", "a:"}}, "bad_request target"});
  c.push_back({"extended CONNECT without a path",
               {{":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "http"}, {":authority", "a"}},
               bad});
  c.push_back({"extended CONNECT without authority",
               {{":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "http"}, {":path", "/"}},
               "bad_request host"});
  c.push_back(
      {"extended CONNECT, bad protocol",
       {{":method", "CONNECT"}, {":protocol", "web socket"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}},
       bad});
  c.push_back(
      {"extended CONNECT",
       {{":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}}});
}

void targets(Cases& c) {
  for (const std::string& path :
       {std::string(""), std::string("a"), std::string("/a b"), std::string("/a\r\nX: y"), std::string("/\0", 2),
        std::string("/#a"), std::string("/\x7f"), std::string("/\xc3\xa4"), std::string("/\\"), std::string("/%zz"),
        std::string("http://a/"), std::string("*"), std::string("/ HTTP/1.1\r\nHost: b\r\n\r\nGET /x")}) {
    c.push_back({"path " + shown(path), changed(3, path), "bad_request target"});
  }
  Lines options = changed(3, "*");
  options[0].second = "OPTIONS";
  c.push_back({"OPTIONS *", options});
  c.push_back({"a path as browsers send it", changed(3, "/a|b[c]^?{\"x\"}=%")});
  for (const std::string& authority :
       {std::string(""), std::string("a,b"), std::string("u@a"), std::string("a:0"), std::string("a:65536"),
        std::string(":"), std::string(":80"), std::string("a b"), std::string("a\r\nX: y"), std::string("a/b"),
        std::string("a?b"), std::string("[::1"), std::string("a\0", 2)}) {
    c.push_back({"authority " + shown(authority), changed(2, authority), "bad_request host"});
  }
  c.push_back({"authority with a port", changed(2, "a:65535")});
  c.push_back({"authority with an empty port", changed(2, "a:")});
  c.push_back({"host equal but for an empty port", with({{"host", "a:"}})});
  c.push_back({"an IPv6 authority", changed(2, "[::1]:8080")});
  c.push_back({"no authority, no host", without(2), "bad_request host"});
  Lines host = without(2);
  host.emplace_back("host", "b");
  c.push_back({"host instead of authority", host});
  c.push_back({"host equal to authority", with({{"host", "A"}})});
  c.push_back({"host not equal to authority", with({{"host", "b"}}), "bad_request host"});
  c.push_back({"host differs by the port", with({{"host", "a:80"}}), "bad_request host"});
  c.push_back({"host empty", with({{"host", ""}}), "bad_request host"});
  c.push_back({"host twice", with({{"host", "a"}, {"host", "a"}}), "bad_request host"});
  host.emplace_back("host", "b");
  c.push_back({"host twice, no authority", host, "bad_request host"});
}

void fields(Cases& c) {
  for (const std::string& name :
       {std::string("X"), std::string("x-Y"), std::string(""), std::string("a b"), std::string("a:"),
        std::string("a\r\n"), std::string("a\nb"), std::string("a\0b", 3), std::string("\xc3\xa4"), std::string("a(b"),
        std::string("a\x7f"), std::string("Content-Length"), std::string("transfer-encoding "), std::string("x\t")}) {
    c.push_back({"name " + shown(name), with({{name, "v"}}), "bad_request name"});
  }
  for (const std::string& value :
       {std::string("a\rb"), std::string("a\nb"), std::string("a\0b", 3), std::string("a\x01"), std::string("a\x7f"),
        std::string(" a"), std::string("a "), std::string("\ta"), std::string("a\t"), std::string("a\r\n"),
        std::string("\r\nx: y"), std::string("a\r\n\r\nGET / HTTP/1.1")}) {
    c.push_back({"value " + shown(value), with({{"x", value}}), "bad_request ctl"});
    c.push_back({"cookie " + shown(value), with({{"cookie", value}}), "bad_request ctl"});
    c.push_back({"host " + shown(value), with({{"host", value}}), "bad_request ctl"});
  }
  c.push_back({"a value of 8-bit and tab", with({{"x", "a\t\xff"}})});
  c.push_back({"an empty value", with({{"x", ""}})});
  for (const char* name : {"connection", "keep-alive", "proxy-connection", "upgrade"}) {
    c.push_back({name, with({{name, "close"}}), "bad_request field"});
    c.push_back({std::string(name) + " empty", with({{name, ""}}), "bad_request field"});
  }
  for (const char* value : {"chunked", "identity", "", "trailers"}) {
    c.push_back({"H2.TE " + std::string(value), with({{"transfer-encoding", value}}), "bad_request te"});
  }
  for (const char* value : {"gzip", "trailers, gzip", "", "trailers;q=1", "chunked"}) {
    c.push_back({"te " + std::string(value), with({{"te", value}}), "bad_request te"});
  }
  c.push_back({"te: trailers", with({{"te", "Trailers"}})});
  for (const char* value : {"+3", "-3", "0x3", "3, 3", "", "18446744073709551616", "3 3", "1e1", "3;"}) {
    c.push_back({"H2.CL syntax " + std::string(value), with({{"content-length", value}}), "bad_request cl"});
  }
  c.push_back({"H2.CL twice", with({{"content-length", "0"}, {"content-length", "0"}}), "bad_request cl"});
  c.push_back({"H2.CL without a body", with({{"content-length", "5"}}), "bad_request cl"});
  c.push_back({"CL 0 without a body", with({{"content-length", "0"}})});
  c.push_back({"http2-settings is dropped", with({{"http2-settings", "AAMAAABk"}})});
}

}  // namespace

std::vector<HeadCase> request_cases() {
  Cases all;
  pseudo_fields(all);
  targets(all);
  fields(all);
  return all;
}

std::vector<HeadCase> response_cases() {
  const auto with_status = [](const Lines& more) {
    Lines lines = {{":status", "200"}};
    lines.insert(lines.end(), more.begin(), more.end());
    return lines;
  };
  Cases c;
  c.push_back({"the usual", with_status({{"server", "x"}, {"x", ""}})});
  c.push_back({"no status", {{"server", "x"}}, "bad_response pseudo"});
  c.push_back({"nothing", {}, "bad_response pseudo"});
  c.push_back({"status twice", {{":status", "200"}, {":status", "200"}}, "bad_response pseudo"});
  c.push_back({"status after a field", {{"server", "x"}, {":status", "200"}}, "bad_response pseudo"});
  c.push_back({"a path", with_status({{":path", "/"}}), "bad_response pseudo"});
  for (const char* status : {"", "20", "099", "600", "2000", "2x0", " 200", "200 OK", "+20"}) {
    c.push_back({"status " + std::string(status), {{":status", status}}, "bad_response status_line"});
  }
  c.push_back({"101", {{":status", "101"}}, "bad_response switching"});
  for (const char* name : {"X", "a b", "", "a\r\nb"})
    c.push_back({"name " + shown(name), with_status({{name, "v"}}), "bad_response field"});
  for (const char* value : {"a\rb", "a\nb", "a\r\nSet-Cookie: x", " a", "a "}) {
    c.push_back({"value " + shown(value), with_status({{"x", value}}), "bad_response field"});
  }
  for (const char* name : {"connection", "keep-alive", "proxy-connection", "upgrade"}) {
    c.push_back({name, with_status({{name, "x"}}), "bad_response field"});
  }
  c.push_back({"transfer-encoding", with_status({{"transfer-encoding", "chunked"}}), "bad_response framing"});
  c.push_back({"te", with_status({{"te", "trailers"}}), "bad_response field"});
  for (const char* value : {"+3", "", "3, 3", "0x1"}) {
    c.push_back({"length " + std::string(value), with_status({{"content-length", value}}), "bad_response framing"});
  }
  c.push_back(
      {"different lengths", with_status({{"content-length", "3"}, {"content-length", "4"}}), "bad_response framing"});
  c.push_back({"equal lengths", with_status({{"content-length", "3"}, {"content-length", "3"}})});
  c.push_back({"host means nothing", with_status({{"host", "b"}})});
  return c;
}

}  // namespace sluice::http2

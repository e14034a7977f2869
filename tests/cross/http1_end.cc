// The HTTP/1.1 ends. What came is parsed anew from its beginning each time somebody asks: slow and without a state to
// get wrong.
#include <algorithm>
#include <charconv>
#include <memory>
#include <set>

#include "base/text.h"
#include "ends.h"
#include "http/websocket.h"

namespace sluice::cross {
namespace {

using support::ScriptedPeer;

// What the parser must know of the request an answer belongs to.
struct Asked {
  std::string method;
  std::string upgrade;
};

// Splits what a connection brought into messages. Throws nothing, forgives nothing: a fault is told in `broken`.
class Reader {
 public:
  Reader(std::string_view bytes, bool over) : rest_(bytes), over_(over) {}

  std::string broken;

  // False: there is not even the beginning of a further one.
  // `refused`: an upgrade that was asked for and answered otherwise.
  bool next(Message& m, const Asked* asked, bool refused = false) {
    if (rest_.empty() || done_) return false;
    const bool answer = asked != nullptr;
    do {
      m.fields.clear();
      m.length.reset();
      chunked_ = false;
      if (!head(m, answer)) return true;
      if (!answer || m.start[0] != '1' || m.start == "101") break;
      m.continued = m.continued || m.start == "100";
      m.informational.push_back(std::exchange(m.start, "") + to_text(m.fields));
      if (rest_.empty()) return unfinished(m), true;
    } while (true);
    body(m, asked, refused);
    return true;
  }

 private:
  void unfinished(Message& m) {
    m.ending = over_ ? Ending::cut : Ending::open;
    done_ = true;
  }
  std::optional<std::string_view> line() {
    const size_t at = rest_.find("\r\n");
    if (at == std::string_view::npos) return std::nullopt;
    const std::string_view text = rest_.substr(0, at);
    rest_.remove_prefix(at + 2);
    return text;
  }
  bool head(Message& m, bool answer) {
    if (rest_.find("\r\n\r\n") == std::string_view::npos) return unfinished(m), false;
    const std::string first(*line());
    std::string host;
    for (std::string_view text = *line(); !text.empty(); text = *line()) {
      const size_t colon = text.find(": ");
      if (colon == std::string_view::npos) {
        broken += "a line without ': '\n";
        continue;
      }
      const std::string name = base::to_lower(text.substr(0, colon));
      const std::string value(text.substr(colon + 2));
      if (name == "host") {
        host = value;
      } else if (name == "transfer-encoding") {
        chunked_ = value == "chunked";
      } else {
        m.take(name, value);
      }
    }
    const size_t space = first.find(' ');
    const std::string_view second = std::string_view(first).substr(space + 1);
    const std::string middle(second.substr(0, second.find(' ')));
    m.start = answer ? middle : first.substr(0, space) + " " + host + " " + middle;
    if (chunked_ && m.length) broken += "a length and chunks\n";
    return true;
  }
  void body(Message& m, const Asked* asked, bool refused) {
    const bool answer = asked != nullptr;
    const bool tunnel = answer ? m.start == "101" : !m.upgrade.empty() && !refused;
    const bool none = answer && (asked->method == "HEAD" || m.start == "204" || m.start == "304");
    if (tunnel || (answer && !none && !chunked_ && !m.length)) {  // until the end
      m.body = rest_;
      rest_ = {};
      done_ = true;
      m.ending = over_ ? Ending::whole : Ending::open;
      return;
    }
    if (none) {
      m.ending = Ending::whole;
    } else if (chunked_) {
      chunks(m);
    } else {
      const size_t n = std::min<size_t>(rest_.size(), m.length.value_or(0));
      m.body = rest_.substr(0, n);
      rest_.remove_prefix(n);
      if (n < m.length.value_or(0)) return unfinished(m);
      m.ending = Ending::whole;
    }
  }
  void chunks(Message& m) {
    for (;;) {
      const auto text = line();
      if (!text) return unfinished(m);
      size_t size = 0;
      if (std::from_chars(text->data(), text->data() + text->size(), size, 16).ec != std::errc())
        broken += "a chunk without a size\n";
      if (size == 0) break;
      m.body += rest_.substr(0, std::min(size, rest_.size()));
      if (rest_.size() < size + 2) return unfinished(m);
      rest_.remove_prefix(size + 2);
    }
    for (;;) {
      const auto text = line();
      if (!text) return unfinished(m);
      if (text->empty()) break;
      const size_t colon = text->find(": ");
      m.trailers.emplace_back(base::to_lower(text->substr(0, colon)), std::string(text->substr(colon + 2)));
    }
    m.ending = Ending::whole;
  }

  std::string_view rest_;
  bool over_;
  bool chunked_ = false;
  bool done_ = false;
};

std::string field_lines(const Lines& lines) {
  std::string text;
  for (const auto& [name, value] : lines) text += name + ": " + value + "\r\n";
  return text;
}

// Of the last head that has it.
std::string header_of(const std::string& bytes, const std::string& name) {
  const std::string all = base::to_lower(bytes);
  const size_t at = all.rfind("\r\n" + name + ": ");
  if (at == std::string::npos) return "";
  const size_t from = at + name.size() + 4;
  return bytes.substr(from, all.find("\r\n", from) - from);
}

constexpr const char* sample_key = "dGhlIHNhbXBsZSBub25jZQ==";  // RFC 6455 1.3
constexpr const char* sample_accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

// Our side of a body.
struct Writer {
  ScriptedPeer& wire;
  enum class How : uint8_t { raw, chunked, tunnel } how = How::raw;

  void send(std::string_view bytes) const {
    if (how != How::chunked) return wire.send(bytes);
    char size[20];
    const auto end = std::to_chars(size, size + sizeof size, bytes.size(), 16).ptr;
    wire.send(std::string(size, end) + "\r\n" + std::string(bytes) + "\r\n");
  }
  void end(const Lines& trailers) const {
    if (how == How::tunnel) wire.fin();
    if (how == How::chunked) wire.send("0\r\n" + field_lines(trailers) + "\r\n");
  }
};

class Http1Client;

class Http1Call final : public Call {
 public:
  Http1Call(Http1Client& home, size_t number, Writer writer) : home_(home), number_(number), writer_(writer) {}
  Message answer() override;
  void send(std::string_view bytes) override {
    const bool tunnel = answer().start == "101";
    if (tunnel) writer_.how = Writer::How::tunnel;
    writer_.send(bytes);
  }
  void end(const Lines& trailers) override {
    if (answer().start == "101") writer_.how = Writer::How::tunnel;
    writer_.end(trailers);
  }
  void leave() override { writer_.wire.reset(); }

 private:
  Http1Client& home_;
  size_t number_;
  Writer writer_;
};

class Http1Client final : public Client {
 public:
  explicit Http1Client(ScriptedPeer& wire) : wire_(wire) {}
  Call& ask(const Ask& ask) override {
    std::string text =
        ask.method + " " + ask.path + " HTTP/1.1\r\nHost: " + ask.authority + "\r\n" + field_lines(ask.fields);
    std::string connection;
    if (ask.te) {
      text += "TE: trailers\r\n";
      connection = "TE";
    }
    if (ask.expect) text += "Expect: 100-continue\r\n";
    if (!ask.upgrade.empty()) {
      connection = "Upgrade";
      text += "Upgrade: " + ask.upgrade + "\r\n";
      if (ask.upgrade == "websocket")
        text += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + std::string(sample_key) + "\r\n";
    }
    if (!connection.empty()) text += "Connection: " + connection + "\r\n";
    const bool body = ask.body == Body::follows;
    if (ask.length) text += "Content-Length: " + std::to_string(*ask.length) + "\r\n";
    if (body && !ask.length) text += "Transfer-Encoding: chunked\r\n";
    wire_.send(text + "\r\n");
    asked_.push_back({ask.method, ask.upgrade});
    const auto how = body && !ask.length ? Writer::How::chunked : Writer::How::raw;
    calls_.push_back(std::make_unique<Http1Call>(*this, calls_.size(), Writer{wire_, how}));
    return *calls_.back();
  }
  ScriptedPeer& wire() override { return wire_; }
  bool closing() override { return wire_.ended(); }
  std::string broken() override { return read(asked_.size()).second; }

  Message message(size_t number) { return read(number + 1).first; }

 private:
  // The last of the first `count` answers.
  std::pair<Message, std::string> read(size_t count) {
    Reader reader(wire_.received(), wire_.ended());
    Message m;
    for (size_t i = 0; i < count; ++i) {
      m = {};
      if (!reader.next(m, &asked_[i])) {
        if (wire_.ended()) m.ending = Ending::cut;
        break;
      }
    }
    if (m.start == "101" && header_of(wire_.received(), "sec-websocket-accept") != sample_accept)
      reader.broken += "a wrong Sec-WebSocket-Accept\n";
    return {m, reader.broken};
  }

  ScriptedPeer& wire_;
  std::vector<Asked> asked_;
  std::vector<std::unique_ptr<Http1Call>> calls_;
};

Message Http1Call::answer() {
  Message m = home_.message(number_);
  if (m.start == "101" && writer_.wire.got_reset()) m.ending = Ending::cut;
  return m;
}

class Http1Link;

class Http1Turn final : public Turn {
 public:
  Http1Turn(Http1Link& home, size_t number, ScriptedPeer& wire) : home_(home), number_(number), writer_{wire} {}
  using Turn::answer;
  Message request() override;
  void inform(int status, const Lines& fields) override { head(status, field_lines(fields)); }
  void answer(const Reply& reply) override {
    std::string text = field_lines(reply.fields);
    if (reply.length && reply.status != 204) text += "Content-Length: " + std::to_string(*reply.length) + "\r\n";
    const bool chunked = reply.body == Body::follows && !reply.length;
    if (chunked) text += "Transfer-Encoding: chunked\r\n";
    if (reply.body == Body::none && !reply.length && reply.status != 204 && reply.status != 304)
      text += "Content-Length: 0\r\n";
    writer_.how = chunked ? Writer::How::chunked : Writer::How::raw;
    no_tunnel();
    head(reply.status, text);
  }
  void accept_upgrade() override;
  void send(std::string_view bytes) override { writer_.send(bytes); }
  void end(const Lines& trailers) override { writer_.end(trailers); }
  void break_head() override { writer_.wire.send("HTTP/1.1 200 OK\r\nContent-Le"); }
  void refuse() override { writer_.wire.fin(); }
  void reset(uint32_t) override { writer_.wire.reset(); }
  bool left() override { return writer_.wire.ended(); }
  ScriptedPeer& wire() override { return writer_.wire; }

 private:
  void no_tunnel();
  void head(int status, const std::string& lines) {
    writer_.wire.send("HTTP/1.1 " + std::to_string(status) + " Word\r\n" + lines + "\r\n");
  }
  Http1Link& home_;
  size_t number_;
  Writer writer_;
};

class Http1Link final : public Link {
 public:
  explicit Http1Link(ScriptedPeer& wire) : wire_(wire) {}
  std::vector<Turn*> turns() override {
    const size_t heads = read(SIZE_MAX).second;
    while (turns_.size() < heads) turns_.push_back(std::make_unique<Http1Turn>(*this, turns_.size(), wire_));
    std::vector<Turn*> all;
    for (const auto& turn : turns_) all.push_back(turn.get());
    return all;
  }
  std::string broken() override {
    read(SIZE_MAX);
    return broken_;
  }
  Message message(size_t number) { return read(number + 1).first; }
  void refuse_upgrade(size_t number) { refused_.insert(number); }

 private:
  // The last of the first `count` requests, and how many there are.
  std::pair<Message, size_t> read(size_t count) {
    Reader reader(wire_.received(), wire_.ended());
    Message last;
    size_t heads = 0;
    for (Message m; heads < count && reader.next(m, nullptr, refused_.contains(heads)) && !m.start.empty(); m = {}) {
      last = m;
      ++heads;
    }
    broken_ = reader.broken;
    return {last, heads};
  }

  ScriptedPeer& wire_;
  std::vector<std::unique_ptr<Http1Turn>> turns_;
  std::set<size_t> refused_;
  std::string broken_;
};

Message Http1Turn::request() {
  Message m = home_.message(number_);
  if (!m.upgrade.empty() && writer_.wire.got_reset()) m.ending = Ending::cut;
  return m;
}

void Http1Turn::no_tunnel() { home_.refuse_upgrade(number_); }

void Http1Turn::accept_upgrade() {
  base::Arena arena;
  const std::string accept(http::websocket_accept(header_of(writer_.wire.received(), "sec-websocket-key"), arena));
  writer_.how = Writer::How::tunnel;
  head(101, "Connection: Upgrade\r\nUpgrade: " + request().upgrade + "\r\nSec-WebSocket-Accept: " + accept + "\r\n");
}

}  // namespace

std::unique_ptr<Client> http1_client(ScriptedPeer& wire) { return std::make_unique<Http1Client>(wire); }
std::unique_ptr<Link> http1_link(ScriptedPeer& wire) { return std::make_unique<Http1Link>(wire); }

}  // namespace sluice::cross

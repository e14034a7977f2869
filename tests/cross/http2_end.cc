// The HTTP/2 ends: nghttp2 on a wire, which also judges what the proxy sends.
#include <memory>
#include <set>

#include "ends.h"
#include "peer.h"

namespace sluice::cross {
namespace {

using http2::Peer;
using http2::Seen;
using support::ScriptedPeer;

bool is_pseudo(const std::string& name) { return name.starts_with(':'); }

std::string pseudo(const Lines& block, std::string_view name) {
  for (const auto& [n, value] : block) {
    if (n == name) return value;
  }
  return "";
}

void take_fields(const Lines& block, Message& m) {
  for (const auto& [name, value] : block) {
    if (!is_pseudo(name)) m.take(name, value);
  }
}

// What came after the head, and how it ended.
void take_rest(const Seen& seen, bool over, Message& m) {
  m.body = seen.body;
  m.reset = seen.reset;
  m.code = seen.reset_code;
  if (seen.ended) {
    m.ending = Ending::whole;
  } else if (seen.closed || seen.reset || over) {
    m.ending = Ending::cut;
  }
}

Message request_of(const Seen& seen, bool over) {
  Message m;
  if (seen.blocks.empty()) return m;
  const Lines& head = seen.blocks.front();
  std::string method = pseudo(head, ":method");
  m.upgrade = pseudo(head, ":protocol");
  if (!m.upgrade.empty()) method = "GET";
  m.start = method + " " + pseudo(head, ":authority") + " " + pseudo(head, ":path");
  take_fields(head, m);
  if (seen.blocks.size() > 1) m.trailers = seen.blocks[1];
  take_rest(seen, over, m);
  return m;
}

Message answer_of(const Seen& seen, bool over, const std::string& upgrade) {
  Message m;
  for (const Lines& block : seen.blocks) {
    const std::string status = pseudo(block, ":status");
    if (!m.start.empty()) {
      m.trailers = block;
    } else if (status.starts_with('1')) {
      Message one;
      take_fields(block, one);
      m.continued = m.continued || status == "100";
      m.informational.push_back(status + to_text(one.fields));
    } else {
      m.start = status;
      take_fields(block, m);
    }
  }
  if (!upgrade.empty() && m.start == "200") {
    m.start = "101";
    m.upgrade = upgrade;
  }
  take_rest(seen, over, m);
  return m;
}

class Http2Call final : public Call {
 public:
  Http2Call(Peer& peer, ScriptedPeer& wire, int32_t id, std::string upgrade)
      : peer_(peer), wire_(wire), id_(id), upgrade_(std::move(upgrade)) {}
  Message answer() override { return answer_of(peer_.seen(id_), wire_.ended(), upgrade_); }
  void send(std::string_view bytes) override { peer_.more(id_, bytes); }
  void end(const Lines& trailers) override { peer_.end(id_, trailers); }
  void leave() override { peer_.reset(id_); }

 private:
  Peer& peer_;
  ScriptedPeer& wire_;
  int32_t id_;
  std::string upgrade_;
};

class Http2Client final : public Client {
 public:
  explicit Http2Client(ScriptedPeer& wire) : wire_(wire), peer_(Peer::Role::client, wire) { peer_.flush(); }
  Call& ask(const Ask& ask) override {
    const bool connect = !ask.upgrade.empty();
    Lines lines{{":method", connect ? "CONNECT" : ask.method},
                {":scheme", "http"},
                {":authority", ask.authority},
                {":path", ask.path}};
    if (connect) lines.emplace_back(":protocol", ask.upgrade);
    if (ask.method == "CONNECT") lines = {{":method", "CONNECT"}, {":authority", ask.authority}};
    for (const auto& line : ask.fields) lines.push_back(line);
    if (connect && ask.upgrade == "websocket") lines.emplace_back("sec-websocket-version", "13");
    if (ask.te) lines.emplace_back("te", "trailers");
    if (ask.expect) lines.emplace_back("expect", "100-continue");
    if (ask.length) lines.emplace_back("content-length", std::to_string(*ask.length));
    const int32_t id = ask.body == Body::follows || connect ? peer_.begin(lines) : peer_.ask(lines);
    calls_.push_back(std::make_unique<Http2Call>(peer_, wire_, id, ask.upgrade));
    return *calls_.back();
  }
  ScriptedPeer& wire() override { return wire_; }
  bool closing() override { return wire_.ended() || !peer_.goaways.empty(); }
  std::string broken() override { return peer_.broken; }

 private:
  ScriptedPeer& wire_;
  Peer peer_;
  std::vector<std::unique_ptr<Http2Call>> calls_;
};

class Http2Turn final : public Turn {
 public:
  Http2Turn(Peer& peer, ScriptedPeer& wire, int32_t id) : peer_(peer), wire_(wire), id_(id) {}
  using Turn::answer;
  Message request() override { return request_of(peer_.seen(id_), wire_.ended()); }
  void inform(int status, const Lines& fields) override {
    Lines lines{{":status", std::to_string(status)}};
    lines.insert(lines.end(), fields.begin(), fields.end());
    peer_.inform(id_, lines);
    peer_.flush();
  }
  void answer(const Reply& reply) override {
    Lines lines{{":status", std::to_string(reply.status)}};
    lines.insert(lines.end(), reply.fields.begin(), reply.fields.end());
    if (reply.length && reply.status != 204) lines.emplace_back("content-length", std::to_string(*reply.length));
    if (reply.body == Body::none) {
      peer_.answer(id_, lines);
    } else {
      peer_.answer_begin(id_, lines);
    }
    peer_.flush();
  }
  void accept_upgrade() override {
    peer_.answer_begin(id_, {{":status", "200"}});
    peer_.flush();
  }
  void send(std::string_view bytes) override { peer_.more(id_, bytes); }
  void end(const Lines& trailers) override { peer_.end(id_, trailers); }
  void break_head() override {
    wire_.send(http2::frame(1, 0, static_cast<uint32_t>(id_), http2::block({{":status", "200"}})).substr(0, 12));
  }
  void refuse() override { peer_.reset(id_, NGHTTP2_REFUSED_STREAM); }
  void reset(uint32_t code) override { peer_.reset(id_, code); }
  bool left() override { return wire_.ended() || peer_.seen(id_).reset; }
  ScriptedPeer& wire() override { return wire_; }

 private:
  Peer& peer_;
  ScriptedPeer& wire_;
  int32_t id_;
};

class Http2Link final : public Link {
 public:
  Http2Link(ScriptedPeer& wire, bool enable_connect)
      : wire_(wire),
        peer_(Peer::Role::server, wire,
              {.settings = {{NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, enable_connect ? 1u : 0u}}}) {
    peer_.flush();
  }
  std::vector<Turn*> turns() override {
    for (const auto& [id, seen] : peer_.all()) {
      if (id != 0 && !seen.blocks.empty() && known_.insert(id).second)
        turns_.push_back(std::make_unique<Http2Turn>(peer_, wire_, id));
    }
    std::vector<Turn*> all;
    for (const auto& turn : turns_) all.push_back(turn.get());
    return all;
  }
  std::string broken() override { return peer_.broken; }

 private:
  ScriptedPeer& wire_;
  Peer peer_;
  std::set<int32_t> known_;
  std::vector<std::unique_ptr<Http2Turn>> turns_;
};

}  // namespace

std::unique_ptr<Client> http2_client(ScriptedPeer& wire) { return std::make_unique<Http2Client>(wire); }
std::unique_ptr<Link> http2_link(ScriptedPeer& wire, bool enable_connect) {
  return std::make_unique<Http2Link>(wire, enable_connect);
}

}  // namespace sluice::cross

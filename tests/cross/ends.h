// The two ends of a pair: a client that asks and an origin that answers, of either HTTP version, driven by hand over
// in-memory wires. A script of exchanges is written against these and never says which version it runs on.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "message.h"
#include "support/pipe.h"

namespace sluice::cross {

enum class Version : uint8_t { http1, http2 };

enum class Body : uint8_t { none, follows };

struct Ask {
  std::string method = "GET";
  std::string path = "/";
  Lines fields{};
  Body body = Body::none;
  std::optional<uint64_t> length{};  // of the body that follows; unknown if absent
  std::string upgrade{};  // "websocket": Upgrade, or extended CONNECT
  bool expect = false;
  bool te = false;
  std::string authority = "example.com";
};

struct Reply {
  int status = 200;
  Lines fields{};
  Body body = Body::none;
  std::optional<uint64_t> length{};
};

// One request as its client sees it. Everything takes effect when the simulation runs.
class Call {
 public:
  virtual ~Call() = default;
  virtual Message answer() = 0;
  virtual void send(std::string_view bytes) = 0;
  virtual void end(const Lines& trailers = {}) = 0;  // of the body, or of our direction of a tunnel
  virtual void leave() = 0;  // the answer is not wanted: RST_STREAM, or the connection is reset
};

// One connection of a client.
class Client {
 public:
  virtual ~Client() = default;
  // HTTP/1: after the answer before it is whole.
  virtual Call& ask(const Ask& ask) = 0;
  virtual support::ScriptedPeer& wire() = 0;
  virtual bool closing() = 0;  // the proxy takes no further request on it
  virtual std::string broken() = 0;  // what the proxy did wrong, in words
};

// One request as the origin sees it.
class Turn {
 public:
  virtual ~Turn() = default;
  virtual Message request() = 0;
  virtual void inform(int status, const Lines& fields = {}) = 0;
  virtual void answer(const Reply& reply) = 0;
  virtual void accept_upgrade() = 0;  // 101, or 200 to an extended CONNECT
  virtual void send(std::string_view bytes) = 0;
  virtual void end(const Lines& trailers = {}) = 0;
  virtual void break_head() = 0;  // a part of a head
  virtual void refuse() = 0;  // not processed: REFUSED_STREAM, or the connection ends without a word
  virtual void reset(uint32_t code) = 0;  // of the stream; HTTP/1: of the connection
  virtual bool left() = 0;  // the proxy wants no more of the answer
  virtual support::ScriptedPeer& wire() = 0;
  // A whole answer whose length is told.
  void answer(int status, std::string_view body, const Lines& fields = {}) {
    answer({status, fields, body.empty() ? Body::none : Body::follows, body.size()});
    if (body.empty()) return;
    send(body);
    end();
  }
};

// One connection to the origin.
class Link {
 public:
  virtual ~Link() = default;
  virtual std::vector<Turn*> turns() = 0;  // in the order of their heads
  virtual std::string broken() = 0;
};

std::unique_ptr<Client> http1_client(support::ScriptedPeer& wire);
std::unique_ptr<Client> http2_client(support::ScriptedPeer& wire);
std::unique_ptr<Link> http1_link(support::ScriptedPeer& wire);
std::unique_ptr<Link> http2_link(support::ScriptedPeer& wire, bool enable_connect);

}  // namespace sluice::cross

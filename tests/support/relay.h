// Relay: the least of an exchange, for one request at a time. What a server session reads goes to a client session, and
// its answer back. Allocates nothing. Whoever includes this links http.
#pragma once

#include "http/stream.h"

namespace sluice::support {

// Relays a request to the client session and its answer back, as an exchange does.
class Relay final : public http::ServerHost, public http::ClientHost {
 public:
  struct Down final : http::Sink {
    explicit Down(Relay& r) : relay(r) {}
    void on_head(http::Head& head, http::End end) override {
      relay.up.stream = relay.client->open(relay.up);
      relay.up.stream->send_head(head, end);
    }
    void on_body(net::ByteQueue&& bytes, http::End end) override { relay.up.stream->send_body(std::move(bytes), end); }
    void on_trailers(http::Fields& t) override { relay.up.stream->send_trailers(t); }
    void on_sent(size_t n) override {
      if (relay.up.stream != nullptr) relay.up.stream->consume(n);
    }
    void on_malformed(http::Head&, const http::Failure&) override { relay.broken = true; }
    void on_closed(const http::Failure& why) override {
      stream = nullptr;
      relay.done += why.clean() ? 1 : 0;
    }
    Relay& relay;
    http::Stream* stream = nullptr;
  };
  struct Up final : http::Sink {
    explicit Up(Relay& r) : relay(r) {}
    void on_head(http::Head& head, http::End end) override { relay.down.stream->send_head(head, end); }
    void on_body(net::ByteQueue&& bytes, http::End end) override {
      relay.down.stream->send_body(std::move(bytes), end);
    }
    void on_trailers(http::Fields& t) override { relay.down.stream->send_trailers(t); }
    void on_sent(size_t n) override {
      if (relay.down.stream != nullptr) relay.down.stream->consume(n);
    }
    void on_malformed(http::Head&, const http::Failure&) override { relay.broken = true; }
    void on_closed(const http::Failure& why) override {
      stream = nullptr;
      relay.done += why.clean() ? 1 : 0;
    }
    Relay& relay;
    http::Stream* stream = nullptr;
  };

  http::Sink& on_stream(http::ServerSession&, http::Stream& stream) override {
    down.stream = &stream;
    return down;
  }
  void on_session_end(http::ServerSession&, http::CloseCause) override { broken = true; }
  void on_slots(http::ClientSession&) override {}
  void on_session_end(http::ClientSession&, http::CloseCause) override { broken = true; }
  void on_protocol_error(http::Detail) override { broken = true; }

  http::ClientSession* client = nullptr;
  uint64_t done = 0;
  bool broken = false;  // something ended, or was malformed
  Down down{*this};
  Up up{*this};
};

}  // namespace sluice::support

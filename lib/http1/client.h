// The classes behind client_session.h: Client (client_session.cc: the connection and the answers that come in on it)
// and ClientStream (client_stream.cc: the request). An idle connection is a Client alone.
#pragma once

#include "base/arena.h"
#include "base/slab.h"
#include "http1/client_session.h"
#include "http1/head_reader.h"
#include "http1/parser.h"
#include "http1/window.h"
#include "http1/writer.h"

namespace sluice::http1 {

class Client;

class ClientStream final : public http::Stream {
 public:
  ClientStream(Client& session, http::Sink& sink, const http::HttpLimits& limits, uint64_t number)
      : session_(session), sink_(&sink), reader_(Side::response, limits, arena_), number_(number) {}

  void send_head(const http::Head& head, http::End end) override;
  void send_body(net::ByteQueue&& bytes, http::End end) override;
  void send_trailers(const http::Fields& trailers) override;
  void consume(size_t bytes) override;
  void cancel(const http::Failure& why) override;
  const net::Peer& peer() const override;
  http::Version version() const override { return http::Version::http_11; }
  base::Arena& arena() override { return arena_; }
  bool release_head(base::Arena& kept) override;
  bool reused() const override { return number_ > 1; }

 private:
  friend class Client;
  enum class Answer : uint8_t { head, body, ended };  // what is read next

  Message frame_request(const http::Head& head, http::End end) const;
  void add_websocket_key(http::Head& head);

  Client& session_;
  http::Sink* sink_;  // nullptr: closed or cancelled
  base::Arena arena_;
  http::Head head_{arena_};
  http::Fields trailers_{arena_};
  HeadReader reader_;
  BodyReader body_;
  BodyWriter writer_;
  Message message_{};  // of the answer
  std::string_view offered_{};  // upgrade of the request; in the arena
  std::string_view accept_{};  // what proves that a WebSocket key of ours was read; "": the client sent its own
  uint64_t number_;  // of this stream on its connection, from 1
  uint64_t informational_bytes_ = 0;
  size_t unconsumed_ = 0;
  uint32_t informational_ = 0;
  http::Method method_ = http::Method::get;
  Answer answer_ = Answer::head;
  bool head_sent_ = false;
  bool tunnel_ = false;  // 101 came
  bool refused_ = false;  // another answer to an upgrade came
  bool wrote_ = false;  // some byte of the request is with the transport
};

class Client final : public http::ClientSession,
                     public net::Transport::User,
                     public net::Runnable,
                     public net::Reapable {
 public:
  static constexpr uint32_t informational_max = 10;  // 1xx heads before an answer (row 29)
  static constexpr uint64_t informational_bytes_max = 16 * 1024;
  // The last bytes of a tunnel, to an upstream that takes none of them.
  static constexpr base::Millis last_bytes_stall = base::seconds(30);

  Client(net::Loop& loop, net::TransportPtr transport, const http::HttpLimits& limits, http::ClientHost& host);
  ~Client();

  // http::ClientSession
  http::Stream* open(http::Sink& sink) override;
  uint32_t slots() const override { return phase_ == Phase::idle && !last_ ? 1 : 0; }
  uint32_t open_streams() const override { return stream_ != nullptr && stream_->sink_ != nullptr ? 1 : 0; }
  bool validate(http::Borrow how) override;
  void retire_when_idle(http::CloseCause cause) override;
  void abort(http::CloseCause cause) override;
  base::Micros idle_since() const override { return idle_since_; }
  base::Millis peer_idle_timeout() const override { return peer_idle_timeout_; }
  uint64_t streams_opened() const override { return opened_; }
  std::unique_ptr<http::PackedSession> pack() override;
  bool travels() const override { return true; }
  bool in_tunnel() const override { return stream_ != nullptr && stream_->tunnel_; }
  const net::Peer& peer() const override { return transport_->peer(); }
  void retire() noexcept override;

 private:
  friend class ClientStream;
  class Packed;
  enum class Phase : uint8_t {
    idle,
    busy,  // a stream is open
    doomed,  // found unusable; its end is told by the socket, or by us a few turns later
    cut,  // the transport is closed; the sink, if any, and the host hear of it in run()
    ended,
  };

  // net::Transport::User
  void on_bytes(net::ByteQueue& in) override;
  void fill(net::ByteQueue& out, size_t room) override;
  void on_eof(bool authenticated) override;
  void on_end(net::EndReason why) override;
  void run() override;
  void reclaim() noexcept override;

  enum class Next : uint8_t { head, body, wait };
  Next read_head(net::ByteQueue& in);
  Next informational();
  Next final_head(net::ByteQueue& in);
  void read_body(net::ByteQueue& in);
  void answer_ended(net::ByteQueue& in);
  void eof_in_answer(bool authenticated);
  void finish_tunnel();
  void become_idle();
  void let_out();

  void fail(const http::Failure& why, http::CloseCause cause);
  void cut(http::CloseCause cause);
  void close_stream(const http::Failure& why);
  void release_stream();
  void end_session(http::CloseCause cause);
  void pause();
  void resume();

  net::Loop& loop_;
  http::ClientHost& host_;
  net::TransportPtr transport_;
  ClientStream* stream_ = nullptr;
  http::HttpLimits limits_;
  base::Micros idle_since_;
  uint32_t idle_turn_ = 0;  // the turn in which the last answer ended
  base::Millis peer_idle_timeout_{-1};
  uint64_t opened_ = 0;
  Phase phase_ = Phase::idle;
  http::CloseCause cause_ = http::CloseCause::peer_closed;  // of cut and last_
  uint8_t doomed_turns_ = 0;
  bool held_ = false;  // the request waits for the loop's next turn
  bool last_ = false;  // no further stream
  bool paused_ = false;
  bool eof_ = false;
};

}  // namespace sluice::http1

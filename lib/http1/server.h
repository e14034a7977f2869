// The classes behind server_session.h: Server (server_session.cc: the connection and its requests) and ServerStream
// (server_stream.cc: the answer). An idle connection is a Server alone; a stream is leased while a request is there.
#pragma once

#include "base/arena.h"
#include "base/slab.h"
#include "http1/head_reader.h"
#include "http1/parser.h"
#include "http1/server_session.h"
#include "http1/window.h"
#include "http1/writer.h"
#include "net/timer.h"

namespace sluice::http1 {

class Server;

class ServerStream final : public http::Stream {
 public:
  ServerStream(Server& session, const http::HttpLimits& limits)
      : session_(session), reader_(Side::request, limits, arena_) {}

  void send_head(const http::Head& head, http::End end) override;
  void send_body(net::ByteQueue&& bytes, http::End end) override;
  void send_trailers(const http::Fields& trailers) override;
  void consume(size_t bytes) override;
  void cancel(const http::Failure& why) override;
  bool credit_open() const override;
  const net::Peer& peer() const override;
  http::Version version() const override { return head_.version; }
  base::Arena& arena() override { return arena_; }
  bool release_head(base::Arena& kept) override;

 private:
  friend class Server;
  enum class Request : uint8_t { body, upgrade_asked, tunnel, ended, malformed };
  enum class Answer : uint8_t { none, begun, done };   // done: all of it is with the transport

  void send_informational(const http::Head& head);
  Message frame_answer(const http::Head& head, http::End end) const;
  void begin_tunnel();

  Server& session_;
  http::Sink* sink_ = nullptr;                // nullptr: not told yet, closed, or cancelled
  base::Arena arena_;
  http::Head head_{arena_};
  http::Fields trailers_{arena_};
  HeadReader reader_;
  BodyReader body_;
  BodyWriter writer_;
  Message message_{};                         // of the request
  size_t unconsumed_ = 0;
  base::Micros read_at_{};                    // the last byte of the body came, or reading was allowed again
  base::Micros rate_since_{};                 // the window for min_rate
  uint64_t rate_bytes_ = 0;
  base::Micros silent_since_{
      -1};  // the client sent FIN: since then, or since the last byte of the answer left; -1: it did not
  Request request_ = Request::body;
  Answer answer_ = Answer::none;
  bool tunnel_ = false;  // a 101 was sent
  bool continue_owed_ = false;                // the client waits for 100 before it sends
};

class Server final : public http::ServerSession,
                     public net::Transport::User,
                     public net::Runnable,
                     public net::Reapable {
 public:
  // What is dropped of a request whose answer is complete, and of the input after the last answer (row 31).
  static constexpr size_t drain_bytes_max = 64 * 1024;
  // With more than that unread we stop reading and leave the client so long to see our FIN, before a RST tells it.
  static constexpr base::Millis last_wait = base::seconds(1);
  // RFC 2068 19.7.1.1: seconds for which a client may count on an idle connection: idle_timeout less a second or a
  // fifth, so that its request does not meet our close. 0 = too short to say.
  uint64_t keep_alive_told() const;
  // With bytes waiting for so long, what the client has taken of them is looked at: from there min_rate is measured.
  static constexpr base::Millis mark_after = base::seconds(1);
  // A drain waits so long for the first byte of a request that may be on its way.
  static constexpr base::Millis drain_grace = base::seconds(1);

  Server(net::Loop& loop, net::TransportPtr transport, const http::DownstreamOptions& options, http::Scheme scheme,
         http::ServerHost& host);
  ~Server();

  // http::ServerSession
  void drain(http::CloseCause cause) override;
  void close_after_answer(bool on) override { close_after_answer_ = on; }
  void spread_age(uint16_t permille) override;
  void options_changed() override;
  void abort(const http::Failure& why, http::CloseCause cause) override;
  uint32_t open_streams() const override { return stream_ != nullptr && stream_->sink_ != nullptr ? 1 : 0; }
  http::SessionLook look() override;
  void show_sinks(http::SinkVisitor& to) override;
  const net::Peer& peer() const override { return transport_->peer(); }
  void retire() noexcept override;

 private:
  friend class ServerStream;
  enum class Phase : uint8_t {
    idle,  // waits for a request
    head,  // a part of a head is here
    request,  // a stream is open
    rest,  // the answer is complete, the rest of its request is read and dropped
    closing,  // the last answer is on its way to the kernel
    linger,  // FIN is sent; input is dropped until the client closes
    cut,  // the transport is closed; streams and host hear of it in run()
    ended,
  };
  // Why reading is paused; it goes on when there is no reason left.
  enum Pause : uint8_t { no_credit = 1, next_request = 2, upgrade_asked = 4, stopped = 8 };

  // net::Transport::User
  void on_bytes(net::ByteQueue& in) override;
  void fill(net::ByteQueue& out, size_t room) override;
  void on_eof(bool authenticated) override;
  void on_fin_behind() override;
  void on_drained() override;
  void on_end(net::EndReason why) override;
  void run() override;
  void reclaim() noexcept override;

  void read_head(net::ByteQueue& in);
  void begin_request(net::ByteQueue& in);
  void read_body(net::ByteQueue& in);
  void request_ended(net::ByteQueue& in, net::ByteQueue&& last);
  void drop_rest(net::ByteQueue& in);
  void malformed(const http::Failure& why);
  void tunnel_eof(bool authenticated);
  void half_closed();

  void answer_done();
  void finish_request();
  void finish_tunnel();
  void begin_closing(http::CloseCause cause);
  void close_or_linger();
  void cut(const http::Failure& why, http::CloseCause cause);
  void fail(const http::Failure& why, http::CloseCause cause);
  void close_stream(const http::Failure& why);
  void release_stream();
  void end_session(http::CloseCause cause);

  std::string_view phase_word() const;
  bool keeps_alive() const;
  http::CloseCause close_cause() const;
  void pause(Pause why);
  void resume(uint8_t whys);
  void schedule(base::Micros deadline);
  void on_timer();
  void check_age(base::Micros now);
  void check_request(base::Micros now);
  bool has_left(base::Micros now);
  void restart_grace();
  bool two_way() const;
  bool body_owed() const;
  void restart_body_clock();
  void follow_exchange();
  void restart_answer_clock();
  bool answer_too_slow(base::Micros now);

  net::Loop& loop_;
  const http::DownstreamOptions& options_;
  http::ServerHost& host_;
  net::TransportPtr transport_;
  ServerStream* stream_ = nullptr;
  net::Timer timer_{this, net::timer_call<&Server::on_timer>};
  base::Micros since_;  // of the phase: idle, head, linger
  base::Micros answer_since_{-1};  // the window for min_rate of what waits in the transport; -1: nothing does
  base::Micros born_;
  uint64_t given_ = 0;  // bytes given to the transport
  uint64_t answer_mark_ = 0;  // of those, what the client had taken when the window opened
  uint32_t requests_ = 0;
  uint32_t dropped_ = 0;
  http::Failure cut_why_{};
  Phase phase_ = Phase::idle;
  uint8_t pauses_ = 0;
  uint16_t age_permille_ = 1000;  // of max_age, its own share
  http::Scheme scheme_;
  http::CloseCause cause_ = http::CloseCause::peer_closed;
  http::CloseCause drain_cause_ = http::CloseCause::drain;
  bool draining_ = false;
  bool patient_ = false;  // a two-way stream: the client's limits rest
  bool answer_marked_ = false;  // answer_mark_ was taken
  bool keep_ = true;  // as the answer's head said
  bool close_after_answer_ = false;
  bool sent_away_ = false;  // the answer's head told a client to go that would have stayed
  bool eof_ = false;
};

}  // namespace sluice::http1

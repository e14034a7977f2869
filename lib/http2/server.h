// The classes behind server_session.h: Server (server_session.cc: the connection; server_limits.cc: its time limits)
// and ServerStream (server_stream.cc: one request and its answer).
#pragma once

#include "base/arena.h"
#include "base/list.h"
#include "http2/engine.h"
#include "http2/flood_guard.h"
#include "http2/head_reader.h"
#include "http2/server_session.h"
#include "net/timer.h"

namespace sluice::http2 {

class Server;

class ServerStream final : public http::Stream, public Flow, public base::ListHook<class OpenTag> {
 public:
  ServerStream(Server& session, const http::HttpLimits& limits, HeldHeads& heads, base::Micros now)
      : session_(session), reader_(Side::request, limits, arena_, heads), opened_(now) {
    reader_.begin_head(head_);
  }

  void send_head(const http::Head& head, http::End end) override;
  void send_body(net::ByteQueue&& bytes, http::End end) override;
  void send_trailers(const http::Fields& trailers) override;
  void consume(size_t bytes) override;
  void cancel(const http::Failure& why) override;
  void forwarded() override { upstream_ = true; }
  void recalled() override;
  void allow_silence(bool allowed) override;
  bool credit_open() const override;
  const net::Peer& peer() const override;
  http::Version version() const override { return http::Version::http_2; }
  base::Arena& arena() override { return arena_; }
  bool release_head(base::Arena& kept) override;

 private:
  friend class Server;
  enum class Request : uint8_t { head, body, upgrade_asked, tunnel, ended, malformed };
  enum class Answer : uint8_t {
    none,
    begun,
    given,
    sent
  };  // given: all of it is with the engine; sent: with the transport

  // Flow
  void on_field(std::string_view name, std::string_view value, Indexing indexing) override;
  void on_block(http::End end) override;
  void on_bytes(net::ByteQueue&& bytes, http::End end) override;
  void on_moved(size_t bytes) override;
  void on_head_sent() override {}
  void on_end_sent() override;
  void on_gone(const Gone& how) override;

  void head_complete(http::End end);
  void trailers_complete(http::End end);
  void body(net::ByteQueue&& bytes, http::End end);
  void malformed(const http::Failure& why);
  void send_informational(const http::Head& head);
  void begin_tunnel();
  http::Failure failure_of(const Gone& how) const;
  bool two_way() const;
  bool body_owed() const;
  void direction_ended();
  void note_call_deadline();
  FloodGuard::Cancel cancelled(base::Micros now) const;
  void answer_given();
  void restart_body_clock();
  void restart_answer_clock();

  Server& session_;
  http::Sink* sink_ = nullptr;  // nullptr: not told yet, closed, or cancelled
  base::Arena arena_;
  http::Head head_{arena_};
  http::Fields trailers_{arena_};  // of the request
  http::Fields answer_trailers_{arena_};
  HeadReader reader_;
  net::ByteQueue early_;  // came before an upgrade was agreed to
  uint64_t body_bytes_ = 0;
  base::Micros opened_;
  base::Micros call_deadline_{};  // grpc-timeout: after so long the client means to give up; 0 = not told
  base::Micros read_at_{};  // the last byte of the body came, or credit was given again
  base::Micros read_since_{};  // the window for min_rate of the body
  uint64_t read_bytes_ = 0;
  base::Micros moved_at_{};  // the last byte of the answer left, or began to wait
  base::Micros moved_since_{};  // the window for min_rate of the answer
  uint64_t moved_bytes_ = 0;
  Request request_ = Request::head;
  Answer answer_ = Answer::none;
  Code reset_code_ = Code::no_error;  // after an answer that does not wait for the request
  bool told_ = false;  // the host knows it
  bool no_body_ = false;  // of the answer: HEAD, 204, 304
  bool continue_owed_ = false;  // the client waits for 100 before it sends
  bool upstream_ = false;  // the request has gone to one, and was not called back
  bool may_be_silent_ = false;  // allow_silence()
  bool end_seen_ = false;  // the client's END_STREAM
  bool trailers_begun_ = false;
  bool trailers_whole_ = false;
};

class Server final : public http::ServerSession,
                     public net::Transport::User,
                     public net::Runnable,
                     public net::Reapable,
                     private Engine::User {
 public:
  // A call that is cancelled so long before its deadline has met it: the clocks of both sides, and the way, differ. Of
  // a short one a quarter of it, or the place of a stream would be kept for nothing.
  static constexpr base::Millis deadline_slack{50};
  // A drain whose PING is not answered: idle connections do not wait for longer.
  static constexpr base::Millis drain_grace = base::seconds(1);
  // A client that asks for nothing for so long is likely to go on like that: its engine rests.
  static constexpr base::Millis rest_after{500};
  // After our last frame the client has so long to close, so that a reset does not take the frame from it.
  static constexpr base::Millis last_wait = base::seconds(1);
  // With bytes waiting for so long, what the client has taken of them is looked at: from there min_rate is measured.
  static constexpr base::Millis mark_after = base::seconds(1);
  static constexpr size_t dropped_max = 64 * 1024;  // of its input, while we wait
  // While half of max_memory is held a connection that holds so much body is read no further, and looked at so often.
  static constexpr size_t held_when_full = initial_window;
  static constexpr base::Millis look_again = base::seconds(1);

  Server(net::Loop& loop, net::TransportPtr transport, const http::DownstreamOptions& options, http::Scheme scheme,
         http::ServerHost& host);
  ~Server();

  // http::ServerSession
  void drain(http::CloseCause cause) override;
  void close_after_answer(bool) override {}
  void spread_age(uint16_t permille) override;
  void options_changed() override;
  void abort(const http::Failure& why, http::CloseCause cause) override;
  uint32_t open_streams() const override { return open_; }
  http::SessionLook look() override;
  void show_sinks(http::SinkVisitor& to) override;
  const net::Peer& peer() const override { return transport_->peer(); }
  void retire() noexcept override;

 private:
  friend class ServerStream;
  enum class Phase : uint8_t {
    open,
    noticed,  // GOAWAY with the highest id and a PING were sent; requests are still taken
    leaving,  // the last GOAWAY is sent; what is open finishes
    closing,  // our last frames are on their way to the kernel
    linger,  // FIN is sent; input is dropped until the client closes
    cut,  // abort(): streams and host hear of it in run()
    ended,
  };

  // net::Transport::User
  void on_bytes(net::ByteQueue& in) override;
  void fill(net::ByteQueue& out, size_t room) override;
  void on_eof(bool authenticated) override;
  void on_fin_behind() override;
  void on_drained() override;
  void on_end(net::EndReason why) override;
  void run() override;
  void reclaim() noexcept override;
  // Engine::User
  Flow* on_begin() override;
  void on_refused() override;
  http::Detail on_frame(const Frame& frame) override;
  http::Detail on_data(size_t content, bool live) override;
  http::Detail on_window_update(uint32_t more) override;
  void on_reset(Flow* flow) override;
  void on_our_reset() override;
  void on_settings() override {}
  void on_ping_ack(uint64_t opaque) override;
  void on_goaway(Code code) override;

  void touch();
  void offer_streams();
  void hold_back();
  void read_on();
  void request_begins(ServerStream& stream);
  void request_over();
  void tell_idle();
  void leave_now();
  void leave_if_done();
  void begin_closing(http::CloseCause cause);
  void close_or_linger();
  void fault();
  void close_streams(const http::Failure& why);
  void fail(const http::Failure& why, http::CloseCause cause);
  void end_session(http::CloseCause cause);
  void free(ServerStream& stream);

  std::string_view phase_word() const;
  void schedule(base::Micros deadline);
  void on_timer();
  void check_age(base::Micros now);
  void check_idle(base::Micros now);
  void check_head(base::Micros now);
  void check_streams(base::Micros now);
  void check_body(ServerStream& stream, base::Micros now, base::Micros& next);
  void check_answer(ServerStream& stream, base::Micros now, base::Micros& next);
  bool connection_too_slow(base::Micros now);
  void restart_answer_clock();

  net::Loop& loop_;
  const http::DownstreamOptions& options_;
  http::ServerHost& host_;
  net::TransportPtr transport_;
  const http::Http2Options promised_;  // as our first SETTINGS said: for its life
  uint32_t offered_;  // streams at once, as our SETTINGS say
  Engine engine_;
  FloodGuard guard_;
  HeldHeads heads_;
  base::List<ServerStream, OpenTag> streams_;
  net::Timer timer_{this, net::timer_call<&Server::on_timer>};
  base::Micros since_;  // of the phase, or of idleness
  base::Micros credit_at_{};  // the client may send bodies again, after the connection's window was shut
  base::Micros block_since_{-1};  // a header block has begun and is not whole
  base::Micros moved_at_{};  // some stream's bytes left
  base::Micros answer_since_{-1};  // the window for min_rate of what waits in the transport; -1: nothing does
  base::Micros born_;
  uint64_t given_ = 0;  // bytes given to the transport
  uint64_t answer_mark_ = 0;  // of those, what the client had taken when the window opened
  uint32_t open_ = 0;  // streams the host knows
  uint32_t answering_ = 0;  // streams the host was told of that are not freed: of one it let go an answer may wait
  uint32_t alive_ = 0;  // streams that are not freed
  uint32_t requests_ = 0;
  uint32_t dropped_ = 0;
  http::Failure cut_why_{};
  Phase phase_ = Phase::open;
  http::Scheme scheme_;
  http::CloseCause cause_ = http::CloseCause::peer_closed;
  uint8_t cut_turns_ = 0;
  uint16_t age_permille_ = 1000;  // of max_age, its own share
  bool answer_marked_ = false;  // answer_mark_ was taken
  bool busy_ = false;  // a request has begun since on_idle()
  bool held_back_ = false;  // not read, for want of memory
};

}  // namespace sluice::http2

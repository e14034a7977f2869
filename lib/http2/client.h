// The classes behind client_session.h: Client (client_session.cc: the connection) and ClientStream (client_stream.cc:
// one request and its answer).
#pragma once

#include <span>

#include "base/arena.h"
#include "base/list.h"
#include "http2/client_session.h"
#include "http2/engine.h"
#include "http2/flood_guard.h"
#include "http2/head_reader.h"
#include "net/timer.h"

namespace sluice::http2 {

class Client;

class ClientStream final : public http::Stream,
                           public Flow,
                           public base::ListHook<class OpenTag>,
                           public base::ListHook<class UnwantedTag> {
 public:
  ClientStream(Client& session, http::Sink& sink, const http::HttpLimits& limits, HeldHeads& heads, uint64_t number,
               base::Micros opened_at)
      : session_(session),
        sink_(&sink),
        reader_(Side::response, limits, arena_, heads),
        number_(number),
        opened_at_(opened_at) {
    reader_.begin_head(head_);
  }

  void send_head(const http::Head& head, http::End end) override;
  void send_body(net::ByteQueue&& bytes, http::End end) override;
  void send_trailers(const http::Fields& trailers) override;
  void consume(size_t bytes) override;
  void cancel(const http::Failure& why) override;
  const net::Peer& peer() const override;
  http::Version version() const override { return http::Version::http_2; }
  base::Arena& arena() override { return arena_; }
  bool release_head(base::Arena& kept) override;
  bool reused() const override { return number_ > 1; }

 private:
  friend class Client;
  enum class Answer : uint8_t { head, body, ended };  // what is read next

  // Flow
  void on_field(std::string_view name, std::string_view value, Indexing indexing) override;
  void on_block(http::End end) override;
  void on_bytes(net::ByteQueue&& bytes, http::End end) override;
  void on_moved(size_t bytes) override;
  void on_head_sent() override { wrote_ = true; }
  void on_end_sent() override {}
  void on_gone(const Gone& how) override;

  void submit(const http::Head& head, http::End end);
  void ask_upgrade();
  void informational();
  void final_head(http::End end);
  void trailers_complete(http::End end);
  void answer_over();
  void surplus(size_t size);
  void fail(const http::Failure& why);
  void give_up();
  void on_stall();
  http::Failure failure_of(const Gone& how) const;
  bool in_tunnel() const { return head_.status == 101; }
  bool fits(std::span<const Line> lines, const http::Fields& fields) const;
  bool whole() const { return answer_ == Answer::ended && !in_tunnel(); }
  bool begun() const { return answer_ != Answer::head || informational_ != 0; }

  Client& session_;
  http::Sink* sink_;  // nullptr: closed or cancelled
  base::Arena arena_;
  http::Head head_{arena_};
  http::Fields trailers_{arena_};
  http::Fields request_trailers_{arena_};
  HeadReader reader_;
  http::Head* upgrade_ = nullptr;  // a request for an upgrade, until it is sent
  std::string_view offered_{};  // its protocol
  std::string_view accept_{};  // what a client of HTTP/1 awaits in the answer
  net::Timer stall_{this,
                    net::timer_call<&ClientStream::on_stall>};  // of the last bytes of a tunnel whose sink is gone
  uint64_t number_;  // of this stream on its connection, from 1
  uint64_t body_bytes_ = 0;
  uint64_t consumed_ = 0;
  uint64_t informational_bytes_ = 0;
  uint32_t informational_ = 0;
  http::Method method_ = http::Method::get;
  Answer answer_ = Answer::head;
  base::Micros opened_at_;
  bool opened_idle_ = false;  // while its connection may have died unseen (Client::from_idle_)
  bool too_large_ = false;  // its head, for this peer
  bool head_given_ = false;
  bool wrote_ = false;  // the request's head is with the transport
  bool no_body_ = false;  // of the answer: HEAD, 204, 304
  bool given_ = false;  // the request's last byte, by the sink
  bool trailers_begun_ = false;
  bool trailers_whole_ = false;
  bool widened_ = false;
};

class Client final : public http::ClientSession,
                     public net::Transport::User,
                     public net::Runnable,
                     public net::Reapable,
                     private Engine::User {
 public:
  static constexpr uint32_t informational_max = 10;  // 1xx heads before an answer (row 29)
  static constexpr uint64_t informational_bytes_max = 16 * 1024;
  // Streams of one connection at once, whatever more the peer allows.
  static constexpr uint32_t streams_max = 1000;
  // What an answer may hold here: as much as one of HTTP/1, so that a client that reads nothing costs little; more (100
  // Mbit/s on a path of 20 ms) once it has read so much, and all that there was.
  static constexpr uint32_t answer_window = 64 * 1024;
  static constexpr uint32_t wide_answer_window = 256 * 1024;
  static constexpr uint64_t read_to_widen = 256 * 1024;
  // RST_STREAMs of ours: servers count them, and end a connection that all clients share (row 55). At most 190 in any
  // 30 s: Netty bears 200, nghttp2 1000 and 33 a second.
  static constexpr uint32_t resets_burst = 100;
  static constexpr uint32_t resets_a_second = 3;
  // The last bytes of a tunnel whose client is gone: a peer that takes none of them for so long loses them (as over
  // HTTP/1).
  static constexpr base::Millis run_out_stall = base::seconds(30);
  // One PING in each spell of idleness, which must be answered in time. Not more: servers count PINGs without requests.
  static constexpr base::Millis ping_after = base::seconds(20);
  static constexpr base::Millis ping_timeout = base::seconds(5);
  // A stream timed out, and nothing has come since it was opened, or for so long: does the connection live? Until a
  // PING is answered, or anything comes, no new stream; without an answer within `patience` it ends.
  static constexpr base::Millis doubted_after = base::seconds(1);
  // A peer whose host acknowledges nothing gets no new stream after `patience`, and has gone after twice that, if our
  // bytes were sent again so often: 1.4 s on a short way. A lost packet, or two, is no death.
  static constexpr uint32_t repeats_of_the_dead = 3;
  // The rest of a frame comes within this, or the connection is in doubt before a further stream. Idle, it owes none at
  // all.
  static constexpr base::Millis torn_patience{100};

  Client(net::Loop& loop, net::TransportPtr transport, const http::HttpLimits& limits, http::ClientHost& host,
         std::atomic<uint32_t>* stream_limit, base::Millis patience);
  ~Client();

  // http::ClientSession
  http::Stream* open(http::Sink& sink) override;
  uint32_t slots() const override;
  uint32_t open_streams() const override { return open_; }
  bool validate(http::Borrow how) override;
  void retire_when_idle(http::CloseCause cause) override;
  void abort(http::CloseCause cause) override;
  base::Micros idle_since() const override { return idle_since_; }
  base::Millis peer_idle_timeout() const override { return base::Millis{-1}; }
  uint64_t streams_opened() const override { return opened_; }
  bool in_tunnel() const override { return false; }  // it shares its connection
  const net::Peer& peer() const override { return transport_->peer(); }
  void retire() noexcept override;

 private:
  friend class ClientStream;
  enum class Phase : uint8_t {
    live,
    doomed,  // found unusable while idle; its end is told by the socket, or by us a few turns later
    closing,  // nothing is open, our GOAWAY goes out
    cut,  // the transport is closed; sinks and host hear of it in run()
    ended,
  };

  // net::Transport::User
  void on_bytes(net::ByteQueue& in) override;
  void fill(net::ByteQueue& out, size_t room) override;
  void on_eof(bool authenticated) override;
  void on_end(net::EndReason why) override;
  void run() override;
  void reclaim() noexcept override;
  // Engine::User
  Flow* on_begin() override { return nullptr; }
  void on_refused() override {}
  http::Detail on_frame(const Frame& frame) override;
  http::Detail on_data(size_t, bool) override { return http::Detail::none; }
  http::Detail on_window_update(uint32_t) override { return http::Detail::none; }
  void on_reset(Flow*) override {}
  void on_our_reset() override { resets_.spend(loop_.now()); }  // for a fault of the peer: at once, whatever is left
  void on_settings() override;
  void on_ping_ack(uint64_t opaque) override;
  void on_goaway(Code code) override;

  void touch();
  void settle();
  void ping(base::Millis timeout);
  void doubt();
  void watch();
  base::Millis watch_every() const;
  void nobody_answers();
  void send_upgrades();
  void stream_over();
  void finish();
  void close_streams(const http::Failure& why);
  void end_session(http::CloseCause cause);
  void free(ClientStream& stream);
  void on_timer();
  bool may_reset() { return resets_.spend(loop_.now()); }
  void leave(ClientStream& stream);
  void reset_unwanted();

  net::Loop& loop_;
  http::ClientHost& host_;
  net::TransportPtr transport_;
  std::atomic<uint32_t>* stream_limit_;
  const uint32_t first_limit_;  // until the peer's SETTINGS are here; others may learn another one meanwhile
  const base::Millis patience_;
  http::HttpLimits limits_;
  Engine engine_;
  HeldHeads heads_;
  Budget resets_;
  base::List<ClientStream, OpenTag> streams_;
  base::List<ClientStream, UnwantedTag> unwanted_;  // given up, to be reset when the budget allows
  net::Timer timer_{this, net::timer_call<&Client::on_timer>};
  net::Timer watch_{this, net::timer_call<&Client::watch>};  // while the peer may owe acknowledgements
  net::Timer unwanted_timer_{this, net::timer_call<&Client::reset_unwanted>};
  base::Micros idle_since_;
  base::Micros heard_at_;  // the last bytes of the peer
  base::Micros filled_at_;  // our last bytes
  base::Micros owing_since_{-1};  // its host owes acknowledgements, and none has come since; -1: it does not
  uint64_t opened_ = 0;
  uint32_t open_ = 0;  // streams whose sink is there
  uint32_t alive_ = 0;  // streams the peer may still count
  uint32_t upgrades_ = 0;  // requests that wait for the peer's SETTINGS
  uint32_t block_frames_ = 0;  // CONTINUATIONs of one block
  uint64_t block_bytes_ = 0;
  Phase phase_ = Phase::live;
  http::CloseCause cause_ = http::CloseCause::peer_closed;  // of cut, closing and last_
  uint8_t turns_ = 0;  // spent in doomed or closing
  bool last_ = false;  // no further stream
  bool news_ = false;  // slots() may have changed
  bool pinged_ = false;  // in this spell of idleness
  bool ping_out_ = false;
  bool doubted_ = false;  // and until it is answered, no new stream
  bool unheard_ = false;  // its host has acknowledged nothing for `patience`: likewise
  bool from_idle_ = false;  // nothing of a stream has come since it was idle
  bool was_used_ = false;  // before that: who came second then has met the same end by chance
};

}  // namespace sluice::http2

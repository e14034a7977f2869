// Engine: one HTTP/2 connection's frames, flow control and HPACK: nghttp2 behind a small face, and the only place that has it.
// Knows no requests: sessions do. Flow: what it knows of one stream; sessions derive their streams from it.
//
//   receive(bytes)  -> Flow::on_field*, on_block while frames are read; then, for each stream with news, on_bytes, on_gone
//   fill(out, room) -> frames, as many as there is room for; then on_moved, on_gone
// Upcalls come inside these two and tell() only. Everything else only queues; wants_write() tells whether fill() has work.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/list.h"
#include "http/fields.h"
#include "http/stream.h"
#include "http2/code.h"
#include "http2/frame_scanner.h"
#include "http2/head_reader.h"
#include "net/byte_queue.h"

struct nghttp2_session;

namespace sluice::http2 {

class Engine;

// How a stream ended. `clean`: both sides have said END_STREAM.
struct Gone {
  enum class By : uint8_t { clean, peer, us };
  By by = By::clean;
  Code code = Code::no_error;
};

class Flow : public base::ListHook<class NewsTag>, public base::ListHook<class FreshTag> {
 public:
  int32_t id() const { return id_; }               // 0: the engine does not know it yet, or no more
  bool gone() const { return gone_; }
  size_t waiting() const { return out_.size(); }   // body bytes that have not left yet
  size_t held() const { return held_; }            // body bytes received and not consumed
  bool end_sent() const { return out_state_ == Out::ended; }

 protected:
  Flow() = default;
  ~Flow() = default;

  // While frames are read. on_block: all lines of a block have been told.
  virtual void on_field(std::string_view name, std::string_view value, Indexing indexing) = 0;
  virtual void on_block(http::End end) = 0;
  // Once for each receive() that brought some; End::yes at most once, also with no bytes.
  virtual void on_bytes(net::ByteQueue&& bytes, http::End end) = 0;
  virtual void on_moved(size_t bytes) = 0;         // once for each fill() that took some
  virtual void on_head_sent() = 0;                 // inside fill(): only notes it
  virtual void on_end_sent() = 0;                  // inside fill(): may reset(), nothing else
  virtual void on_gone(const Gone& how) = 0;       // once, last; may free the flow

 private:
  friend class Engine;
  enum class Out : uint8_t { open, ending, ended };   // ending: no more is added; ended: END_STREAM has left

  net::ByteQueue out_;
  net::ByteQueue arrived_;
  const http::Fields* trailers_ = nullptr;         // to send, in memory of the stream
  size_t held_ = 0;
  size_t moved_ = 0;
  int32_t id_ = 0;
  Gone how_{};
  Out out_state_ = Out::open;
  bool deferred_ = false;                          // nghttp2 waits for resume_data
  bool arrived_end_ = false;
  bool reset_asked_ = false;
  bool priority_told_ = false;
  bool gone_ = false;
};

// A line in front of the fields: a pseudo-field, or one that framing makes.
struct Line {
  std::string_view name;
  std::string_view value;
};

class Engine {
 public:
  enum class Role : uint8_t { server, client };
  struct Settings {
    uint32_t max_streams = 0;                      // server: concurrent ones of the peer
    uint64_t max_header_bytes = 0;                 // announced
    uint32_t stream_window = 0;
    uint64_t connection_buffer = 0;                // body bytes held and under way, all streams together
  };
  class User {
   public:
    virtual Flow* on_begin() = 0;                                   // server: a stream begins; nullptr refuses it
    virtual http::Detail on_frame(const Frame& frame) = 0;          // each one, before it is looked at; not none: the peer goes
    virtual void on_reset(Flow* flow) = 0;                          // the peer's RST_STREAM; nullptr: of a stream that is gone
    virtual void on_our_reset() = 0;                                // we, or nghttp2, had to reset a stream
    virtual void on_settings() = 0;
    virtual void on_ping_ack(uint64_t opaque) = 0;
    virtual void on_goaway(Code code) = 0;                          // streams above its id are gone: Gone{peer, refused_stream}

   protected:
    ~User() = default;
  };

  // DATA: one frame and its header fill one TLS record.
  static constexpr size_t data_bytes_max = 16 * 1024 - 9;
  // Slices below this are copied behind their frame header, so that a batch of answers stays in one piece.
  static constexpr size_t copy_below = 2048;
  // Our own RST_STREAMs remembered: what the peer had sent before it saw them is passed over. Older ones are too, then.
  static constexpr size_t resets_remembered = 32;
  static constexpr size_t closed_remembered = 16;
  // Frames of ours that wait because the peer does not read; PING and SETTINGS answers among them.
  static constexpr size_t queued_frames_max = 5000;
  static constexpr size_t queued_answers_max = 1000;

  Engine(Role role, const Settings& settings, User& user);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine();

  void receive(net::ByteQueue& in);                // takes all of it
  void fill(net::ByteQueue& out, size_t room);
  void tell();                                     // news that came about in downcalls (streams that were given up)
  bool wants_write() const;
  bool failed() const { return failing_; }         // a connection error was found: nothing more of the peer is taken
  bool over() const { return over_; }              // and its GOAWAY is in the transport
  http::Detail fault() const { return fault_; }    // of the connection error
  bool in_head() const { return last_is_head_ && !scanner_.between_frames(); }   // a part of a header block was read

  // Streams. What they are given is serialised, or taken over, before the call returns.
  void request(Flow& flow, std::span<const Line> lines, const http::Fields& fields, http::End end);
  void informational(Flow& flow, std::span<const Line> lines, const http::Fields& fields);
  void respond(Flow& flow, std::span<const Line> lines, const http::Fields& fields, http::End end);
  void send_body(Flow& flow, net::ByteQueue&& bytes, http::End end);
  void send_trailers(Flow& flow, const http::Fields& trailers);   // `trailers` lives as long as the flow
  void consume(Flow& flow, size_t bytes);
  void widen(Flow& flow, uint32_t window);         // its receive window
  // What on_bytes() gave comes again, before anything newer: its user could not take it yet.
  void again(Flow& flow, net::ByteQueue&& bytes, http::End end);
  void ends(Flow& flow);                           // the peer's last block was its trailers: on_bytes() with End::yes follows
  void reset(Flow& flow, Code code);               // on_gone() follows
  void prioritise(Flow& flow, Priority priority);  // by the field of its head; a PRIORITY_UPDATE outweighs it
  void forget(Flow& flow);                         // it is freed without on_gone(): the connection is over
  // Can the stream send, as far as the peer's windows go?
  bool window_open(const Flow& flow) const;
  bool connection_window_open() const;

  // Connection
  void ping(uint64_t opaque);
  void goaway_notice();                            // server: the highest id there is; streams go on being taken
  void goaway(Code code);                          // the last one that was taken; later ones are passed over
  void fail(Code code, http::Detail detail);

  bool settings_received() const { return settings_received_; }
  uint32_t peer_max_streams() const;
  bool peer_takes_connect() const;                 // RFC 8441
  size_t held() const { return held_; }

 private:
  struct Callbacks;                                // nghttp2's, in engine.cc
  friend struct Callbacks;

  void read(const net::Slice& slice);
  void hand_over(std::string_view bytes);
  Code judge(const Frame& frame);
  Code judge_closed(const Frame& frame);
  void note_reset(int32_t id);
  void reset_sent(Flow* flow, int32_t id);
  void data_arrived(Flow& flow, const char* at, size_t size);
  void stream_gone(Flow& flow, const Gone& how);
  void give_credit();
  void news(Flow& flow);
  void note_priority(std::string_view payload);
  void set_priority(Flow& flow, Priority priority);
  void put_goaway(net::ByteQueue& out) const;
  void resume(Flow& flow);
  Flow* find(int32_t id) const;

  User& user_;
  nghttp2_session* session_ = nullptr;
  base::List<Flow, NewsTag> news_;
  base::List<Flow, FreshTag> fresh_;               // got body bytes since the last fill
  FrameScanner scanner_;
  const net::Slice* slice_ = nullptr;              // being read
  net::ByteQueue* out_ = nullptr;                  // being filled
  size_t out_limit_ = 0;
  size_t held_ = 0;
  size_t owed_ = 0;                                // received, connection credit not given back
  size_t connection_window_;
  size_t connection_buffer_;
  struct Early {                                   // PRIORITY_UPDATE that came before its stream
    int32_t id;
    Priority priority;
  };
  static constexpr size_t early_max = 8;
  static constexpr size_t update_bytes_max = 64;   // of one payload; longer ones are passed over
  Early early_[early_max] = {};
  uint8_t early_next_ = 0;
  uint8_t update_size_ = 0;
  char update_[update_bytes_max];
  uint8_t resets_next_ = 0;
  uint8_t closed_next_ = 0;
  int32_t resets_[resets_remembered] = {};
  int32_t closed_[closed_remembered] = {};
  int32_t resets_forgotten_ = 0;                   // the highest id that fell out of resets_
  int32_t highest_ = 0;                            // stream of the peer
  int32_t last_taken_ = INT32_MAX;                 // as our GOAWAY said
  Code code_ = Code::no_error;
  http::Detail fault_ = http::Detail::none;
  Role role_;
  bool last_is_head_ = false;                      // the frame being read bears header lines
  bool failing_ = false;
  bool told_by_library_ = false;                   // its GOAWAY is queued or sent already
  bool over_ = false;
  bool settings_received_ = false;
};

}  // namespace sluice::http2

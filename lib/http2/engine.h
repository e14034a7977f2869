// Engine: one HTTP/2 connection's frames, windows, stream states and the order of what is sent (RFC 9113, 9218), over
// nghttp2's HPACK. Knows no requests: sessions do.
//
//   receive(bytes)  -> Flow::on_field*, on_block while frames are read; then, for each stream with news, on_bytes,
//   on_gone
//   fill(out, room) -> frames, as many as there is room for; then on_moved, on_gone
// Upcalls come inside these two and tell() only. Everything else only queues; wants_write() tells whether fill() has
// work. docs/adr/0005: why the frames are ours.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/list.h"
#include "http/fields.h"
#include "http/stream.h"
#include "http2/code.h"
#include "http2/flow.h"
#include "http2/flow_table.h"
#include "http2/frame.h"
#include "http2/frame_reader.h"
#include "http2/head_reader.h"
#include "http2/hpack.h"
#include "net/byte_queue.h"

namespace sluice::http2 {

class Engine {
 public:
  enum class Role : uint8_t { server, client };
  struct Settings {
    uint32_t max_streams = 0;  // server: concurrent ones of the peer
    uint64_t max_header_bytes = 0;  // announced
    uint32_t stream_window = 0;
    uint64_t connection_buffer = 0;  // body bytes held and under way, all streams together
  };
  class User {
   public:
    virtual Flow* on_begin() = 0;  // server: a stream begins; nullptr refuses it: on_refused() follows
    virtual void on_refused() = 0;
    // Each frame is told once: DATA when it has come, WINDOW_UPDATE with its increment, all others before they are
    // looked at. Not none: the peer goes.
    virtual http::Detail on_frame(const Frame& frame) = 0;
    virtual http::Detail on_data(size_t content,
                                 bool live) = 0;  // without padding; for a stream that is known and not over?
    virtual http::Detail on_window_update(uint32_t more) = 0;
    virtual void on_reset(Flow* flow) = 0;  // the peer's RST_STREAM; nullptr: of a stream that is gone
    virtual void on_our_reset() = 0;  // we had to reset a stream, or to pass over a head
    virtual void on_settings() = 0;
    virtual void on_ping_ack(uint64_t opaque) = 0;
    virtual void on_goaway(Code code) = 0;  // streams above its id are gone: Gone{peer, refused_stream}

   protected:
    ~User() = default;
  };

  // DATA: one frame and its header fill one TLS record.
  static constexpr size_t data_bytes_max = frame_payload_max - frame_header_bytes;
  // Of the frames that go by id, while others of the same urgency wait, one in so many is the one's that waits for
  // longest: a large download must not stop all else on its connection.
  static constexpr uint8_t frames_ahead = 32;
  // Slices below this are copied behind their frame header, so that a batch of answers stays in one piece.
  static constexpr size_t copy_below = 2048;
  // Our own RST_STREAMs remembered: what the peer had sent before it saw them is passed over. Older ones are too, then.
  static constexpr size_t resets_remembered = 32;
  static constexpr size_t closed_remembered = 16;
  // Frames of ours that wait because the peer does not read; PING and SETTINGS answers among them.
  static constexpr size_t queued_frames_max = 5000;
  static constexpr size_t queued_answers_max = 1000;
  static constexpr size_t queued_bytes_max = 8 * 1024 * 1024;  // 128 heads of 64 KiB
  static constexpr uint32_t settings_entries_max = 32;  // of one frame

  Engine(Role role, const Settings& settings, User& user);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine() = default;

  void receive(net::ByteQueue& in);  // takes all of it
  void fill(net::ByteQueue& out, size_t room);
  void tell();  // news that came about in downcalls (streams that were given up)
  bool wants_write() const;
  size_t held() const { return held_; }  // body bytes received and not consumed, of all streams
  bool failed() const { return failing_; }  // a connection error was found: nothing more of the peer is taken
  bool over() const { return over_; }  // and its GOAWAY is in the transport
  http::Detail fault() const { return fault_; }  // of the connection error
  bool torn() const {
    return !reader_.between_frames() || reader_.block_open();
  }  // the peer owes the rest of a frame, or of a block
  bool settings_acknowledged() const { return !settings_unanswered_; }
  size_t streams() const { return table_.size(); }  // that are open still
  bool peer_may_send() const { return receive_window_.open() != 0; }  // bodies, by the connection's window
  bool take_reopened() { return std::exchange(reopened_, false); }  // ... again, since it was asked last
  bool in_head() const { return reader_.in_head() || reader_.block_open(); }  // a part of a header block was read

  // Streams. What they are given is serialised, or taken over, before the call returns.
  // Above the peer's limit, which can fall, it is refused as the peer would have.
  void request(Flow& flow, std::span<const Line> lines, const http::Fields& fields, http::End end);
  void informational(Flow& flow, std::span<const Line> lines, const http::Fields& fields);
  void respond(Flow& flow, std::span<const Line> lines, const http::Fields& fields, http::End end);
  void send_body(Flow& flow, net::ByteQueue&& bytes, http::End end);
  void send_trailers(Flow& flow, const http::Fields& trailers);  // `trailers` lives as long as the flow
  void consume(Flow& flow, size_t bytes);
  void widen(Flow& flow, uint32_t window);  // its receive window
  // What on_bytes() gave comes again, before anything newer: its user could not take it yet.
  void again(Flow& flow, net::ByteQueue&& bytes, http::End end);
  void ends(Flow& flow);  // the peer's last block was its trailers: on_bytes() with End::yes follows
  void reset(Flow& flow, Code code);  // on_gone() follows
  void prioritise(Flow& flow, Priority priority);  // by the field of its head; a PRIORITY_UPDATE outweighs it
  void forget(Flow& flow);  // it is freed without on_gone(): the connection is over
  // Can the stream send, as far as the peer's windows go?
  bool window_open(const Flow& flow) const { return flow.send_window_.open() != 0; }
  bool connection_window_open() const { return send_window_.open() != 0; }
  // Can the peer send on the stream, as far as ours go?
  bool credit_open(const Flow& flow) const { return flow.receive_window_.open() != 0 && receive_window_.open() != 0; }

  // Connection
  // Server: so many of the peer's streams at once from now on. False: the last SETTINGS are not answered yet, nothing
  // is sent.
  bool offer_streams(uint32_t most);
  void ping(uint64_t opaque);
  void goaway_notice();  // server: the highest id there is; streams go on being taken
  void goaway(Code code);  // the last one that was taken; later ones are passed over
  void fail(Code code, http::Detail detail);
  // Nothing is open and nothing has been for a while: gives back the memory that only a busy connection needs.
  void rest();

  bool settings_received() const { return settings_received_; }
  uint32_t peer_max_streams() const { return peer_max_streams_; }
  bool peer_takes_connect() const { return peer_takes_connect_; }  // RFC 8441
  uint32_t peer_header_list_max() const { return peer_header_list_max_; }  // as HeadReader counts

 private:
  // What comes: engine_receive.cc
  void read(const net::Slice& slice);
  void begin_frame(const Frame& frame);
  Code judge(const Frame& frame);
  Code judge_data(const Frame& frame);
  Code judge_headers(const Frame& frame);
  Code judge_closed(const Frame& frame) const;
  bool idle(uint32_t id) const;
  Code begin_stream(int32_t id);
  void take_piece(const net::Slice& slice, std::string_view piece);
  void take_block(std::string_view piece, bool last);
  void block_whole();
  void take_unit(std::string_view unit);
  Code take_setting(Setting setting, uint32_t value);
  Code resize_windows(uint32_t to);
  void resize_own_windows();
  void take_reset(std::string_view unit);
  void take_ping(std::string_view unit);
  void take_goaway(std::string_view unit);
  void take_window(std::string_view unit);
  void take_priority(std::string_view unit);
  void end_frame();
  void end_data();
  void settings_whole();
  void stream_error(Flow& flow, Code code);
  Code stream_fault(Flow& flow, Code code);
  void note_reset(int32_t id);
  void give_credit();
  void give_credit(Flow& flow);

  // What goes: engine_send.cc
  net::ByteQueue& queue();
  net::ByteQueue& answers();
  bool may_open() const;
  void open(Flow& flow, std::optional<std::string_view> block);
  void head_queued(Flow& flow);
  void order(Flow& flow);
  void leave_order(Flow& flow);
  Flow* next_to_send();
  Flow* next_of(unsigned urgency);
  Flow* next_by_id(unsigned urgency);
  bool in_turns(const Flow& flow) const { return flow.priority_.incremental || role_ == Role::client; }
  void send_frames(net::ByteQueue& out, size_t limit);
  void send_last(net::ByteQueue& out);
  void send_queue(net::ByteQueue& out);
  void send_data(Flow& flow, net::ByteQueue& out);
  void move_body(Flow& flow, net::ByteQueue& out, size_t bytes);
  void ended(Flow& flow);
  void set_priority(Flow& flow, Priority priority);

  // Streams: engine.cc
  bool know(Flow& flow, int32_t id);
  void stream_gone(Flow& flow, const Gone& how);
  void news(Flow& flow);
  void tell_news();

  User& user_;
  FlowTable table_;
  base::List<Flow, KnownTag> known_;  // all in table_
  base::List<Flow, NewsTag> news_;
  base::List<Flow, FreshTag> fresh_;  // got body bytes since the last fill
  base::List<Flow, HeadTag> heads_;  // whose head is in queue_
  // Have bytes, and a window, by urgency: those that share, and the others.
  std::array<base::List<Flow, ReadyTag>, Priority::lowest + 1> in_turns_;
  std::array<IdHeap<Flow>, Priority::lowest + 1> by_id_;
  base::List<Flow, ReadyTag> line_;  // the others of all urgencies, the one that waits for longest in front
  base::List<Flow, ReadyTag> ends_;  // have nothing to send but the end
  FrameReader reader_;
  HeaderDecoder decoder_;
  HeaderEncoder encoder_;
  net::ByteQueue queue_;  // frames that need no window, in the order they leave
  size_t queued_frames_ = 0;
  size_t queued_answers_ = 0;
  size_t held_ = 0;
  size_t owed_ = 0;  // received, connection credit not given back
  uint64_t passed_over_ = 0;  // of a header block that is for nobody: bytes as HeadReader counts them
  uint64_t passed_over_max_;
  size_t connection_window_;
  size_t connection_buffer_;
  uint32_t stream_window_;  // ours, as announced
  uint32_t window_in_force_ = initial_window;  // and as the peer has acknowledged
  uint32_t peer_window_ = initial_window;  // of a stream at its start
  uint32_t peer_max_streams_ = UINT32_MAX;
  uint32_t peer_header_list_max_ = UINT32_MAX;
  uint32_t settings_entries_ = 0;  // of the frame being read
  std::optional<uint32_t> table_least_;  // HEADER_TABLE_SIZE in it
  uint32_t table_last_ = 0;
  Window send_window_{initial_window};  // of the connection
  Window receive_window_;
  struct Early {  // PRIORITY_UPDATE that came before its stream
    int32_t id;
    Priority priority;
  };
  static constexpr size_t early_max = 8;
  Early early_[early_max] = {};
  uint8_t early_next_ = 0;
  uint8_t resets_next_ = 0;
  uint8_t closed_next_ = 0;
  uint8_t ready_urgencies_ = 0;  // a bit for each urgency that may have some
  uint8_t shared_last_ = 0;  // a bit for each whose last frame was of one that shares
  uint8_t ahead_ = 0;  // frames by id since one in line had its turn
  int32_t resets_[resets_remembered] = {};
  int32_t closed_[closed_remembered] = {};
  int32_t resets_forgotten_ = 0;  // the highest id that fell out of resets_
  int32_t highest_ = 0;  // stream of the peer
  int32_t taken_ = 0;  // the highest of them that was looked at
  int32_t last_taken_ = stream_id_max;  // as our GOAWAY said
  int32_t peer_last_ = stream_id_max;  // as the peer's said
  int32_t next_id_ = 1;  // client: of the next request
  Code code_ = Code::no_error;
  http::Detail fault_ = http::Detail::none;
  Role role_;
  bool failing_ = false;
  bool over_ = false;
  bool greeted_ = false;  // our SETTINGS have left
  bool settings_received_ = false;
  bool settings_unanswered_ = true;  // ours
  bool reopened_ = false;  // receive_window_, which was shut
  bool block_ends_ = false;  // the header block being read bears END_STREAM
  bool peer_takes_connect_ = false;
};

}  // namespace sluice::http2

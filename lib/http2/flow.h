// Flow: what the engine knows of one stream, and what it tells of it. Sessions derive their streams from it; the
// session owns them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/list.h"
#include "http/fields.h"
#include "http/stream.h"
#include "http2/code.h"
#include "http2/hpack.h"
#include "http2/id_heap.h"
#include "http2/priority.h"
#include "http2/window.h"
#include "net/byte_queue.h"

namespace sluice::http2 {

class Engine;

// How a stream ended. `clean`: both sides have said END_STREAM.
struct Gone {
  enum class By : uint8_t { clean, peer, us };
  By by = By::clean;
  Code code = Code::no_error;
};

class Flow : public base::ListHook<class NewsTag>,
             public base::ListHook<class FreshTag>,
             public base::ListHook<class HeadTag>,
             public base::ListHook<class ReadyTag>,
             public base::ListHook<class KnownTag>,
             public IdHeapHook {
 public:
  int32_t id() const { return id_; }  // 0: the engine does not know it yet, or no more
  bool gone() const { return gone_; }
  size_t waiting() const { return out_.size(); }  // body bytes that have not left yet
  size_t held() const { return held_; }  // body bytes received and not consumed
  bool end_sent() const { return out_state_ == Out::ended; }

 protected:
  Flow() = default;
  ~Flow() = default;

  // While frames are read. on_block: all lines of a block have been told.
  virtual void on_field(std::string_view name, std::string_view value, Indexing indexing) = 0;
  virtual void on_block(http::End end) = 0;
  // Once for each receive() that brought some; End::yes at most once, also with no bytes.
  virtual void on_bytes(net::ByteQueue&& bytes, http::End end) = 0;
  virtual void on_moved(size_t bytes) = 0;  // once for each fill() that took some
  virtual void on_head_sent() = 0;  // inside fill(): only notes it
  virtual void on_end_sent() = 0;  // inside fill(): may reset(), nothing else
  virtual void on_gone(const Gone& how) = 0;  // once, last; may free the flow

 private:
  friend class Engine;
  enum class Out : uint8_t { open, ending, ended };  // ending: no more is added; ended: END_STREAM has left
  enum class Place : uint8_t { none, in_turns, by_id, ends };  // in which list of the engine ReadyTag links it
  net::ByteQueue out_;
  net::ByteQueue arrived_;
  const http::Fields* trailers_ = nullptr;  // to send, in memory of the stream
  size_t held_ = 0;
  size_t moved_ = 0;
  int32_t id_ = 0;
  Window send_window_{0};
  Window receive_window_{0};  // what the peer may still send
  uint32_t window_ = 0;  // and how much that is when all was given back
  uint32_t owed_ = 0;  // consumed, and not given back
  Gone how_{};
  Priority priority_{};
  Out out_state_ = Out::open;
  Place place_ = Place::none;
  bool head_ends_ = false;  // its head bears END_STREAM
  bool peer_ended_ = false;  // END_STREAM was read
  bool arrived_end_ = false;  // and is to be told
  bool priority_told_ = false;
  bool gone_ = false;
};

}  // namespace sluice::http2

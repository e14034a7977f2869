// The far end of a session under test: an nghttp2 client or server on a ScriptedPeer, and frames by hand. What comes
// back is kept per stream as text.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/pipe.h"

namespace sluice::http2 {

using Lines = std::vector<std::pair<std::string, std::string>>;

// What a peer saw of one stream.
struct Seen {
  std::string heads;  // "[:status: 200][a: b]", one line a block; trailers too
  std::vector<Lines> blocks;  // the same, apart
  std::string body;
  std::vector<size_t> frames;  // DATA payload sizes
  bool ended = false;
  bool closed = false;
  uint32_t code = 0;  // with which it was closed
  bool reset = false;  // the session under test sent RST_STREAM
  uint32_t reset_code = 0;
};

class Peer {
 public:
  enum class Role : uint8_t { client, server };
  struct Options {
    std::vector<nghttp2_settings_entry> settings{};
    bool own_windows = false;  // no WINDOW_UPDATE but by hand
    bool checks = true;  // nghttp2's own checks of messages that come in and go out
  };
  Peer(Role role, support::ScriptedPeer& wire) : Peer(role, wire, Options()) {}
  Peer(Role role, support::ScriptedPeer& wire, const Options& options);
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  nghttp2_session* raw() { return session_; }
  // Client. `body`: sent whole; nullptr: END_STREAM is on the head.
  int32_t ask(const Lines& lines, const std::string* body = nullptr, const Lines& trailers = {});
  int32_t get(std::string_view path = "/", const Lines& more = {});
  int32_t post(std::string_view path, const std::string& body, const Lines& more = {});
  // A stream whose body is sent by and by.
  int32_t begin(const Lines& lines);
  void more(int32_t id, std::string_view bytes);
  void end(int32_t id, const Lines& trailers = {});
  // Server.
  void answer(int32_t id, const Lines& lines, const std::string* body = nullptr, const Lines& trailers = {});
  void answer_begin(int32_t id, const Lines& lines);
  void inform(int32_t id, const Lines& lines);

  void reset(int32_t id, uint32_t code = NGHTTP2_CANCEL);
  void flush();  // sends what is queued; submitting alone sends nothing
  void raw_bytes(std::string_view bytes) { wire_.send(bytes); }

  Seen& seen(int32_t id) { return seen_[id]; }
  const std::map<int32_t, Seen>& all() const { return seen_; }
  std::vector<std::pair<int32_t, uint32_t>> goaways;  // last id, code
  unsigned pings = 0;  // PINGs of the session under test
  unsigned acks = 0;  // answers to ours
  unsigned settings = 0;
  unsigned window_updates = 0;
  int error = 0;  // of nghttp2: the session under test broke the protocol
  std::string broken;  // in words
  // Server: a request is whole.
  std::function<void(int32_t id)> on_request;
  std::function<void(int32_t id)> on_head;

 private:
  struct Body {
    std::string bytes;
    size_t at = 0;
    bool ended = false;
    Lines trailers;
  };
  struct Callbacks;
  void arrived();

  support::ScriptedPeer& wire_;
  nghttp2_session* session_ = nullptr;
  std::map<int32_t, Seen> seen_;
  std::map<int32_t, Body> bodies_;
};

// Frames by hand.
std::string frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload);
std::string settings_frame(std::initializer_list<std::pair<uint16_t, uint32_t>> entries = {});
// A header block of literals without indexing: what no library would send.
std::string block(const Lines& lines);
std::string number(uint32_t n);  // four bytes
extern const std::string client_preface;  // with empty SETTINGS
Lines get_lines(std::string_view path = "/");

}  // namespace sluice::http2

// Wire: a far end that only writes what the test says and reads frames one by one; for what no library would send.
// Answers no SETTINGS, no PING, opens no window.
#pragma once

#include <nghttp2/nghttp2.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "peer.h"

namespace sluice::http2 {

class Wire {
 public:
  explicit Wire(support::ScriptedPeer& peer);
  ~Wire();
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  void send(std::string_view bytes) { peer_.send(bytes); }
  // What came on a stream, in order: "[:status: 200][a: b] body END", "RST 1".
  std::string stream(uint32_t id) const {
    const auto at = streams_.find(id);
    return at == streams_.end() ? "" : at->second;
  }
  std::string connection() const { return connection_; }  // of the others: "SETTINGS, GOAWAY 0 11, ..."
  // "" or "last id, code" of the last GOAWAY.
  const std::string& goaway() const { return goaway_; }
  void table(uint32_t bytes) {
    nghttp2_hd_inflate_change_table_size(inflater_, bytes);
  }  // as our SETTINGS said, once acknowledged
  size_t data_bytes() const { return data_bytes_; }
  const std::vector<std::pair<uint32_t, size_t>>& data() const { return data_; }  // DATA in order: stream, bytes
  size_t resets() const { return resets_; }
  const std::vector<uint8_t>& types() const { return types_; }

 private:
  void arrived();
  void take(uint8_t type, uint8_t flags, uint32_t id, std::string_view payload);

  support::ScriptedPeer& peer_;
  nghttp2_hd_inflater* inflater_ = nullptr;
  std::string pending_;
  std::map<uint32_t, std::string> streams_;
  std::string connection_;
  std::string goaway_;
  std::vector<uint8_t> types_;
  size_t data_bytes_ = 0;
  std::vector<std::pair<uint32_t, size_t>> data_;
  size_t resets_ = 0;
};

// Frames by hand, in the words of RFC 9113.
inline constexpr uint8_t end_stream = 1;
inline constexpr uint8_t ack = 1;
inline constexpr uint8_t end_headers = 4;
inline std::string head_frame(uint32_t id, const Lines& lines, uint8_t flags = end_stream | end_headers) {
  return frame(1, flags, id, block(lines));
}
inline std::string data_frame(uint32_t id, std::string_view bytes, uint8_t flags = 0) {
  return frame(0, flags, id, bytes);
}
inline std::string reset_frame(uint32_t id, uint32_t code = 8) { return frame(3, 0, id, number(code)); }
inline std::string ping_frame(uint8_t flags = 0) { return frame(6, flags, 0, "12345678"); }
inline std::string window_frame(uint32_t id, uint32_t more) { return frame(8, 0, id, number(more)); }
inline std::string goaway_frame(uint32_t last, uint32_t code = 0) {
  return frame(7, 0, 0, number(last) + number(code));
}
inline std::string priority_frame(uint32_t id, uint32_t on = 0) { return frame(2, 0, id, number(on) + "\x10"); }
inline std::string update_frame(uint32_t id, std::string_view value) {
  return frame(16, 0, 0, number(id) + std::string(value));
}

}  // namespace sluice::http2

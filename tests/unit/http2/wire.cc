#include "wire.h"

namespace sluice::http2 {

namespace {

uint32_t word(std::string_view at) {
  uint32_t n = 0;
  for (size_t i = 0; i < 4; ++i) n = n << 8 | static_cast<unsigned char>(at[i]);
  return n;
}

}  // namespace

Wire::Wire(support::ScriptedPeer& peer) : peer_(peer) {
  nghttp2_hd_inflate_new(&inflater_);
  peer_.on_event = [this](support::ScriptedPeer&) { arrived(); };
}

Wire::~Wire() {
  peer_.on_event = nullptr;
  nghttp2_hd_inflate_del(inflater_);
}

void Wire::arrived() {
  pending_ += peer_.take();
  if (pending_.starts_with("PRI * ")) pending_.erase(0, 24);
  while (pending_.size() >= 9) {
    const size_t length = word("\0" + pending_.substr(0, 3) + std::string(1, '\0')) >> 8;
    if (pending_.size() < 9 + length) return;
    const std::string one = pending_.substr(0, 9 + length);
    pending_.erase(0, one.size());
    take(static_cast<uint8_t>(one[3]), static_cast<uint8_t>(one[4]), word(std::string_view(one).substr(5)),
         std::string_view(one).substr(9));
  }
}

void Wire::take(uint8_t type, uint8_t flags, uint32_t id, std::string_view payload) {
  types_.push_back(type);
  std::string& seen = id == 0 ? connection_ : streams_[id];
  if (!seen.empty() && type != 8) seen += " ";
  switch (type) {
    case 0:
      data_bytes_ += payload.size();
      data_.emplace_back(id, payload.size());
      seen += payload;
      break;
    case 1: {                                        // the tests' answers fit one frame
      const auto* at = reinterpret_cast<const uint8_t*>(payload.data());
      size_t left = payload.size();
      for (;;) {
        nghttp2_nv nv;
        int inflated = 0;
        const ssize_t n = nghttp2_hd_inflate_hd2(inflater_, &nv, &inflated, at, left, 1);
        if (n < 0) {
          seen += "BROKEN";
          return;
        }
        at += n;
        left -= static_cast<size_t>(n);
        if ((inflated & NGHTTP2_HD_INFLATE_EMIT) != 0) {
          const std::string name(reinterpret_cast<const char*>(nv.name), nv.namelen);
          if (name != "date")
            seen += "[" + name + ": " + std::string(reinterpret_cast<const char*>(nv.value), nv.valuelen) + "]";
        }
        if ((inflated & NGHTTP2_HD_INFLATE_FINAL) != 0) break;
      }
      nghttp2_hd_inflate_end_headers(inflater_);
      break;
    }
    case 3:
      ++resets_;
      seen += "RST " + std::to_string(word(payload));
      break;
    case 4: seen += (flags & ack) != 0 ? "SETTINGS ACK" : "SETTINGS"; break;
    case 6: seen += (flags & ack) != 0 ? "PING ACK" : "PING"; break;
    case 7:
      goaway_ = std::to_string(word(payload) & 0x7fffffff) + ", " + std::to_string(word(payload.substr(4)));
      seen += "GOAWAY " + goaway_;
      break;
    case 8: break;
    default: seen += "TYPE " + std::to_string(type); break;
  }
  if ((type == 0 || type == 1) && (flags & end_stream) != 0) seen += " END";
}

}  // namespace sluice::http2

// nghttp2 driven from memory, and its events as text.
#include "peer.h"

#include <cstring>

namespace sluice::http2 {

namespace {

nghttp2_nv pair(const std::string& name, const std::string& value) {
  auto* n = const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(name.data()));
  auto* v = const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(value.data()));
  return {n, v, name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

std::vector<nghttp2_nv> pairs(const Lines& lines) {
  std::vector<nghttp2_nv> all;
  for (const auto& [name, value] : lines) all.push_back(pair(name, value));
  return all;
}

}  // namespace

struct Peer::Callbacks {
  static Peer& self(void* user) { return *static_cast<Peer*>(user); }
  static int on_begin(nghttp2_session*, const nghttp2_frame* f, void* user) {
    std::string& heads = self(user).seen_[f->hd.stream_id].heads;
    if (!heads.empty()) heads += "\n";
    self(user).seen_[f->hd.stream_id].blocks.emplace_back();
    return 0;
  }
  static int on_header(nghttp2_session*, const nghttp2_frame* f, const uint8_t* n, size_t nn, const uint8_t* v,
                       size_t vn, uint8_t, void* user) {
    const std::string name(reinterpret_cast<const char*>(n), nn);
    const std::string value(reinterpret_cast<const char*>(v), vn);
    Seen& seen = self(user).seen_[f->hd.stream_id];
    if (name != "date")
      seen.heads += "[" + name + ": " + value + "]";   // every answer has one: a test of its own looks at it
    seen.blocks.back().emplace_back(name, value);
    return 0;
  }
  static int on_data(nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t size, void* user) {
    self(user).seen_[id].body.append(reinterpret_cast<const char*>(data), size);
    return 0;
  }
  static int on_frame(nghttp2_session*, const nghttp2_frame* f, void* user) {
    Peer& p = self(user);
    const bool ack = (f->hd.flags & NGHTTP2_FLAG_ACK) != 0;
    const bool end = (f->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    switch (f->hd.type) {
      case NGHTTP2_DATA: p.seen_[f->hd.stream_id].frames.push_back(f->hd.length); break;
      case NGHTTP2_SETTINGS: p.settings += ack ? 0 : 1; break;
      case NGHTTP2_PING: (ack ? p.acks : p.pings) += 1; break;
      case NGHTTP2_GOAWAY: p.goaways.emplace_back(f->goaway.last_stream_id, f->goaway.error_code); break;
      case NGHTTP2_WINDOW_UPDATE: p.window_updates += 1; break;
      case NGHTTP2_RST_STREAM:
        p.seen_[f->hd.stream_id].reset = true;
        p.seen_[f->hd.stream_id].reset_code = f->rst_stream.error_code;
        break;
      default: break;
    }
    if (f->hd.type == NGHTTP2_HEADERS && p.on_head) p.on_head(f->hd.stream_id);
    if ((f->hd.type == NGHTTP2_DATA || f->hd.type == NGHTTP2_HEADERS) && end) {
      p.seen_[f->hd.stream_id].ended = true;
      if (p.on_request) p.on_request(f->hd.stream_id);
    }
    return 0;
  }
  static int on_close(nghttp2_session*, int32_t id, uint32_t code, void* user) {
    Seen& s = self(user).seen_[id];
    s.closed = true;
    s.code = code;
    return 0;
  }
  static int on_error(nghttp2_session*, int, const char* text, size_t size, void* user) {
    self(user).broken += std::string(text, size) + "\n";
    return 0;
  }
  static ssize_t read(nghttp2_session* session, int32_t id, uint8_t* to, size_t most, uint32_t* flags,
                      nghttp2_data_source*, void* user) {
    Body& b = self(user).bodies_[id];
    const size_t n = std::min(most, b.bytes.size() - b.at);
    std::memcpy(to, b.bytes.data() + b.at, n);
    b.at += n;
    if (b.at < b.bytes.size()) return static_cast<ssize_t>(n);
    if (b.ended) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (!b.trailers.empty()) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        const auto all = pairs(b.trailers);
        nghttp2_submit_trailer(session, id, all.data(), all.size());
      }
      return static_cast<ssize_t>(n);
    }
    return n == 0 ? static_cast<ssize_t>(NGHTTP2_ERR_DEFERRED) : static_cast<ssize_t>(n);
  }
};

Peer::Peer(Role role, support::ScriptedPeer& wire, const Options& o) : wire_(wire) {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, Callbacks::on_begin);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::on_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::on_data);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::on_frame);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::on_close);
  nghttp2_session_callbacks_set_error_callback2(callbacks, Callbacks::on_error);
  nghttp2_option* option = nullptr;
  nghttp2_option_new(&option);
  if (o.own_windows) nghttp2_option_set_no_auto_window_update(option, 1);
  if (!o.checks) nghttp2_option_set_no_http_messaging(option, 1);
  if (role == Role::client) {
    nghttp2_session_client_new2(&session_, callbacks, this, option);
  } else {
    nghttp2_session_server_new2(&session_, callbacks, this, option);
  }
  nghttp2_option_del(option);
  nghttp2_session_callbacks_del(callbacks);
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, o.settings.data(), o.settings.size());
  wire_.on_event = [this](support::ScriptedPeer&) { arrived(); };
}

Peer::~Peer() {
  wire_.on_event = nullptr;
  nghttp2_session_del(session_);
}

void Peer::arrived() {
  const std::string bytes = wire_.take();
  if (error == 0 && !bytes.empty()) {
    const ssize_t n = nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    if (n < 0) error = static_cast<int>(n);
  }
  flush();
}

void Peer::flush() {
  for (;;) {
    const uint8_t* data = nullptr;
    const ssize_t n = nghttp2_session_mem_send(session_, &data);
    if (n <= 0) return;
    wire_.send({reinterpret_cast<const char*>(data), static_cast<size_t>(n)});
  }
}

int32_t Peer::ask(const Lines& lines, const std::string* body, const Lines& trailers) {
  const auto all = pairs(lines);
  const nghttp2_data_provider provider{.source = {}, .read_callback = Callbacks::read};
  const int32_t id =
      nghttp2_submit_request(session_, nullptr, all.data(), all.size(), body == nullptr ? nullptr : &provider, nullptr);
  if (body != nullptr) bodies_[id] = Body{*body, 0, true, trailers};
  flush();
  return id;
}

int32_t Peer::begin(const Lines& lines) {
  const auto all = pairs(lines);
  const nghttp2_data_provider provider{.source = {}, .read_callback = Callbacks::read};
  const int32_t id = nghttp2_submit_request(session_, nullptr, all.data(), all.size(), &provider, nullptr);
  bodies_[id] = {};
  flush();
  return id;
}

void Peer::more(int32_t id, std::string_view bytes) {
  bodies_[id].bytes += bytes;
  nghttp2_session_resume_data(session_, id);
  flush();
}

void Peer::end(int32_t id, const Lines& trailers) {
  bodies_[id].ended = true;
  bodies_[id].trailers = trailers;
  nghttp2_session_resume_data(session_, id);
  flush();
}

Lines get_lines(std::string_view path) {
  return {{":method", "GET"}, {":scheme", "http"}, {":authority", "example.com"}, {":path", std::string(path)}};
}

int32_t Peer::get(std::string_view path, const Lines& more_lines) {
  Lines lines = get_lines(path);
  lines.insert(lines.end(), more_lines.begin(), more_lines.end());
  return ask(lines);
}

int32_t Peer::post(std::string_view path, const std::string& body, const Lines& more_lines) {
  Lines lines = get_lines(path);
  lines[0].second = "POST";
  lines.insert(lines.end(), more_lines.begin(), more_lines.end());
  return ask(lines, &body);
}

void Peer::answer(int32_t id, const Lines& lines, const std::string* body, const Lines& trailers) {
  const auto all = pairs(lines);
  const nghttp2_data_provider provider{.source = {}, .read_callback = Callbacks::read};
  if (body != nullptr) bodies_[id] = Body{*body, 0, true, trailers};
  nghttp2_submit_response(session_, id, all.data(), all.size(), body == nullptr ? nullptr : &provider);
}

void Peer::answer_begin(int32_t id, const Lines& lines) {
  const auto all = pairs(lines);
  const nghttp2_data_provider provider{.source = {}, .read_callback = Callbacks::read};
  bodies_[id] = {};
  nghttp2_submit_response(session_, id, all.data(), all.size(), &provider);
}

void Peer::inform(int32_t id, const Lines& lines) {
  const auto all = pairs(lines);
  nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, id, nullptr, all.data(), all.size(), nullptr);
}

void Peer::reset(int32_t id, uint32_t code) {
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, code);
  flush();
}

// ---- frames by hand ---------------------------------------------------------------------------------------------

std::string number(uint32_t n) {
  return {static_cast<char>(n >> 24), static_cast<char>(n >> 16), static_cast<char>(n >> 8), static_cast<char>(n)};
}

std::string frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
  std::string text = number(static_cast<uint32_t>(payload.size())).substr(1);
  text += static_cast<char>(type);
  text += static_cast<char>(flags);
  text += number(stream);
  text += payload;
  return text;
}

std::string settings_frame(std::initializer_list<std::pair<uint16_t, uint32_t>> entries) {
  std::string payload;
  for (const auto& [id, value] : entries) payload += number(id).substr(2) + number(value);
  return frame(4, 0, 0, payload);
}

std::string block(const Lines& lines) {
  std::string text;
  const auto string = [&](const std::string& s) {
    if (s.size() < 127) {
      text += static_cast<char>(s.size());
    } else {
      text += '\x7f';
      size_t rest = s.size() - 127;
      for (; rest >= 128; rest >>= 7) text += static_cast<char>(rest % 128 + 128);
      text += static_cast<char>(rest);
    }
    text += s;
  };
  for (const auto& [name, value] : lines) {
    text += '\0';
    string(name);
    string(value);
  }
  return text;
}

const std::string client_preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings_frame();

}  // namespace sluice::http2

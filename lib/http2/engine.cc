// The callbacks first, then the face. nghttp2 does frames, HPACK and windows; what a message may be is not its business
// (no_http_messaging): head_reader.h judges that, the same for all.
#include "http2/engine.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "http2/memory.h"

namespace sluice::http2 {

using http::Detail;
using http::End;

namespace {

constexpr size_t frame_header_bytes = 9;
constexpr size_t header_block_max = 256 * 1024;    // that we send

Flow* flow_of(nghttp2_session* session, int32_t id) { return static_cast<Flow*>(nghttp2_session_get_stream_user_data(session, id)); }

std::string_view view(const uint8_t* at, size_t size) { return {reinterpret_cast<const char*>(at), size}; }
uint8_t* bytes(std::string_view text) { return const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(text.data())); }  // NOLINT: C face

nghttp2_nv line(std::string_view name, std::string_view value, uint8_t flags) {
  return {bytes(name), bytes(value), name.size(), value.size(), flags};
}

// Per thread and reused, so that a head costs no allocation here.
std::vector<nghttp2_nv>& lines_of(std::span<const Line> lines, const http::Fields& fields) {
  thread_local std::vector<nghttp2_nv> all;
  all.clear();
  for (const Line& l : lines) all.push_back(line(l.name, l.value, NGHTTP2_NV_FLAG_NO_COPY_NAME));
  for (const http::Field& f : fields) {
    const uint8_t flags = (f.flags & http::Field::never_indexed) != 0 ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE;
    all.push_back(line(f.name(), f.value(), flags));
  }
  return all;
}

nghttp2_mem thread_memory() {
  return {nullptr, [](size_t n, void*) { return Memory::take(n); }, [](void* p, void*) { Memory::give(p); },
          [](size_t n, size_t size, void*) { return Memory::take_zeroed(n, size); },
          [](void* p, size_t n, void*) { return Memory::resize(p, n); }};
}

}  // namespace

struct Engine::Callbacks {
  nghttp2_session_callbacks* all = nullptr;
  nghttp2_option* options[2] = {};                 // by Role

  static Engine& self(void* user) { return *static_cast<Engine*>(user); }

  static int on_begin_headers(nghttp2_session* session, const nghttp2_frame* frame, void* user) noexcept {
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    Engine& e = self(user);
    const int32_t id = frame->hd.stream_id;
    Flow* const flow = e.failing_ ? nullptr : e.user_.on_begin();
    if (flow == nullptr) {
      e.note_reset(id);
      e.user_.on_our_reset();
      return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
    }
    flow->id_ = id;
    nghttp2_session_set_stream_user_data(session, id, flow);
    for (const Early& early : e.early_) {
      if (early.id == id) e.set_priority(*flow, early.priority);
    }
    return 0;
  }
  static int on_header(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name, size_t name_size, const uint8_t* value,
                       size_t value_size, uint8_t flags, void* user) noexcept {
    if (Flow* const flow = flow_of(session, frame->hd.stream_id); flow != nullptr) {
      const Indexing indexing = (flags & NGHTTP2_NV_FLAG_NO_INDEX) != 0 ? Indexing::never : Indexing::allowed;
      flow->on_field(view(name, name_size), view(value, value_size), indexing);
    }
    return self(user).failing_ ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;   // not one more line of a bomb
  }
  static int on_data(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* data, size_t size, void* user) noexcept {
    if (Flow* const flow = flow_of(session, id); flow != nullptr) self(user).data_arrived(*flow, reinterpret_cast<const char*>(data), size);
    return 0;
  }
  static int on_frame(nghttp2_session* session, const nghttp2_frame* frame, void* user) noexcept {
    Engine& e = self(user);
    Flow* const flow = frame->hd.stream_id == 0 ? nullptr : flow_of(session, frame->hd.stream_id);
    const bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
        if (flow != nullptr && !e.failing_) flow->on_block(end ? End::yes : End::no);
        break;
      case NGHTTP2_DATA:
        if (flow != nullptr && end) {
          flow->arrived_end_ = true;
          e.news(*flow);
        }
        break;
      case NGHTTP2_RST_STREAM:
        if (flow != nullptr) flow->how_.by = Gone::By::peer;
        e.user_.on_reset(flow);
        break;
      case NGHTTP2_SETTINGS:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) break;
        e.settings_received_ = true;
        e.user_.on_settings();
        break;
      case NGHTTP2_PING: {
        uint64_t opaque = 0;
        std::memcpy(&opaque, frame->ping.opaque_data, sizeof opaque);
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) e.user_.on_ping_ack(opaque);
        break;
      }
      case NGHTTP2_GOAWAY: e.user_.on_goaway(static_cast<Code>(frame->goaway.error_code)); break;
      default: break;
    }
    return 0;
  }
  // nghttp2 resets a stream by itself; of a connection error its GOAWAY tells.
  static int on_invalid_frame(nghttp2_session* session, const nghttp2_frame* frame, int, void* user) noexcept {
    if (frame->hd.stream_id == 0) return 0;
    Engine& e = self(user);
    e.note_reset(frame->hd.stream_id);
    if (Flow* const flow = flow_of(session, frame->hd.stream_id); flow != nullptr) flow->how_.by = Gone::By::us;
    e.user_.on_our_reset();
    return 0;
  }
  static int on_close(nghttp2_session* session, int32_t id, uint32_t code, void* user) noexcept {
    Engine& e = self(user);
    Flow* const flow = flow_of(session, id);
    if (e.role_ == Role::server) e.closed_[e.closed_next_++ % closed_remembered] = id;
    if (flow == nullptr) return 0;
    Gone how{flow->how_.by, static_cast<Code>(code)};
    if (flow->reset_asked_) how.by = Gone::By::us;
    // Closed without a RST_STREAM of either side: by GOAWAY, or before it was sent at all.
    if (how.by == Gone::By::clean && how.code != Code::no_error) how.by = Gone::By::peer;
    nghttp2_session_set_stream_user_data(session, id, nullptr);
    e.stream_gone(*flow, how);
    return 0;
  }
  static int on_sent(nghttp2_session* session, const nghttp2_frame* frame, void* user) noexcept {
    Engine& e = self(user);
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR && !e.failing_) {
      e.failing_ = e.told_by_library_ = true;
      e.fault_ = detail_of(static_cast<Code>(frame->goaway.error_code));
    }
    if (frame->hd.type == NGHTTP2_RST_STREAM) e.reset_sent(flow_of(session, frame->hd.stream_id), frame->hd.stream_id);
    const bool bears_end = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    if (!bears_end) return 0;
    Flow* const flow = flow_of(session, frame->hd.stream_id);
    if (flow == nullptr) return 0;
    if (frame->hd.type == NGHTTP2_HEADERS) flow->on_head_sent();
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
      flow->out_state_ = Flow::Out::ended;
      flow->on_end_sent();
    }
    return 0;
  }
  static int on_not_sent(nghttp2_session* session, const nghttp2_frame* frame, int, void* user) noexcept {
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    Flow* const flow = flow_of(session, frame->hd.stream_id);   // a head that is too large; of a request nghttp2 closes the stream
    if (flow != nullptr && self(user).role_ == Role::server) self(user).reset(*flow, Code::internal_error);
    return 0;
  }
  static ssize_t read_body(nghttp2_session* session, int32_t id, uint8_t*, size_t most, uint32_t* flags, nghttp2_data_source* source,
                           void* user) noexcept {
    Engine& e = self(user);
    auto* const flow = static_cast<Flow*>(source->ptr);
    if (e.out_->size() >= e.out_limit_) return NGHTTP2_ERR_PAUSE;
    const size_t n = std::min({most, data_bytes_max, flow->out_.size()});
    const bool last = n == flow->out_.size() && flow->out_state_ != Flow::Out::open;
    if (n == 0 && !last) {
      flow->deferred_ = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (!last) return static_cast<ssize_t>(n);
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (flow->trailers_ == nullptr) return static_cast<ssize_t>(n);
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    auto& all = lines_of({}, *flow->trailers_);
    if (nghttp2_submit_trailer(session, id, all.data(), all.size()) != 0) return NGHTTP2_ERR_CALLBACK_FAILURE;
    return static_cast<ssize_t>(n);
  }
  static int send_body(nghttp2_session*, nghttp2_frame*, const uint8_t* header, size_t size, nghttp2_data_source* source,
                       void* user) noexcept {
    Engine& e = self(user);
    auto* const flow = static_cast<Flow*>(source->ptr);
    e.out_->append_copy(view(header, frame_header_bytes));
    if (size >= copy_below) {
      e.out_->take(flow->out_, size);
    } else {
      for (size_t left = size; left != 0;) {
        const std::string_view piece = flow->out_.front().view().substr(0, left);
        e.out_->append_copy(piece);
        left -= piece.size();
        flow->out_.drop(piece.size());
      }
    }
    flow->moved_ += size;
    if (size != 0) e.news(*flow);
    return 0;
  }
  // PRIORITY_UPDATE: nghttp2 1.52 keeps an idle stream for it and frees that after it has opened, so we read it ourselves.
  static int on_extension_chunk(nghttp2_session*, const nghttp2_frame_hd* hd, const uint8_t* data, size_t size, void* user) noexcept {
    Engine& e = self(user);
    if (hd->length > update_bytes_max) return NGHTTP2_ERR_CANCEL;
    std::memcpy(e.update_ + e.update_size_, data, size);
    e.update_size_ = static_cast<uint8_t>(e.update_size_ + size);
    return 0;
  }
  static int unpack_extension(nghttp2_session*, void** payload, const nghttp2_frame_hd* hd, void* user) noexcept {
    Engine& e = self(user);
    *payload = nullptr;
    const std::string_view text(e.update_, std::exchange(e.update_size_, uint8_t{0}));
    if (hd->stream_id == 0) e.note_priority(text);
    return 0;
  }

  Callbacks() {
    CHECK(nghttp2_session_callbacks_new(&all) == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(all, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(all, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(all, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(all, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(all, on_invalid_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(all, on_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(all, on_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(all, on_not_sent);
    nghttp2_session_callbacks_set_send_data_callback(all, send_body);
    nghttp2_session_callbacks_set_on_extension_chunk_recv_callback(all, on_extension_chunk);
    nghttp2_session_callbacks_set_unpack_extension_callback(all, unpack_extension);
    for (nghttp2_option*& option : options) {
      CHECK(nghttp2_option_new(&option) == 0);
      nghttp2_option_set_no_http_messaging(option, 1);
      nghttp2_option_set_no_auto_window_update(option, 1);
      nghttp2_option_set_max_outbound_ack(option, queued_answers_max);
      nghttp2_option_set_max_send_header_block_length(option, header_block_max);
#ifdef SLUICE_NGHTTP2_MAX_CONTINUATIONS
      nghttp2_option_set_max_continuations(option, 1000);      // FloodGuard counts, and says what it was
#endif
#ifdef SLUICE_NGHTTP2_RESET_RATE_LIMIT
      nghttp2_option_set_stream_reset_rate_limit(option, UINT32_MAX, UINT32_MAX);
#endif
    }
    nghttp2_option_set_user_recv_extension_type(options[static_cast<size_t>(Role::server)],
                                                static_cast<uint8_t>(FrameType::priority_update));
  }
  ~Callbacks() {
    nghttp2_session_callbacks_del(all);
    for (nghttp2_option* option : options) nghttp2_option_del(option);
  }
};

// ---- the connection ---------------------------------------------------------------------------------------------

Engine::Engine(Role role, const Settings& settings, User& user)
    : user_(user),
      scanner_(role == Role::server ? preface.size() : 0),
      connection_window_(std::max<size_t>(settings.connection_buffer / 2, NGHTTP2_INITIAL_CONNECTION_WINDOW_SIZE)),
      connection_buffer_(std::max(settings.connection_buffer, connection_window_)),
      role_(role) {
  static const Callbacks callbacks;                // nghttp2 copies them
  nghttp2_mem memory = thread_memory();
  const bool server = role == Role::server;
  const nghttp2_option* const option = callbacks.options[static_cast<size_t>(role)];
  CHECK((server ? nghttp2_session_server_new3 : nghttp2_session_client_new3)(&session_, callbacks.all, this, option, &memory) == 0);
  const nghttp2_settings_entry server_settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, settings.max_streams},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, settings.stream_window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(settings.max_header_bytes)},
      {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
      {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1}};
  const nghttp2_settings_entry client_settings[] = {
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, settings.stream_window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(settings.max_header_bytes)}};
  const std::span<const nghttp2_settings_entry> ours =
      server ? std::span<const nghttp2_settings_entry>(server_settings) : std::span<const nghttp2_settings_entry>(client_settings);
  CHECK(nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, ours.data(), ours.size()) == 0);
  CHECK(nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, static_cast<int32_t>(connection_window_)) == 0);
}

Engine::~Engine() { nghttp2_session_del(session_); }

void Engine::receive(net::ByteQueue& in) {
  while (!in.empty() && !failing_) {
    const net::Slice slice = in.front();
    in.drop(slice.size());
    read(slice);
  }
  in.clear();
  if (!failing_ && nghttp2_session_get_outbound_queue_size(session_) > queued_frames_max)
    fail(Code::enhance_your_calm, Detail::control_flood);
  tell();
}

void Engine::read(const net::Slice& slice) {
  slice_ = &slice;
  const std::string_view all = slice.view();
  size_t given = 0;
  size_t at = 0;
  Frame frame;
  while (!failing_ && scanner_.next(all, at, frame)) {
    // What came before it must be known when it is judged; usually there is no need to look.
    last_is_head_ = frame.is(FrameType::headers) || frame.is(FrameType::continuation);
    const auto id = static_cast<int32_t>(frame.stream);
    const bool old = (frame.is(FrameType::data) || frame.is(FrameType::headers)) && id <= highest_;
    const size_t before = at - std::min(at, scanner_.header_bytes());
    if (old && before > given) hand_over(all.substr(given, before - given)), given = before;
    if (failing_) break;
    if (const Detail detail = user_.on_frame(frame); detail != Detail::none) {
      fail(Code::enhance_your_calm, detail);
    } else if (const Code code = judge(frame); code != Code::no_error) {
      fail(code, Detail::frame);
    }
  }
  if (!failing_) hand_over(all.substr(given));
  slice_ = nullptr;
}

void Engine::hand_over(std::string_view bytes_in) {
  const ssize_t n = nghttp2_session_mem_recv(session_, bytes(bytes_in), bytes_in.size());
  if (n >= 0) return;
  if (n == NGHTTP2_ERR_BAD_CLIENT_MAGIC) return fail(Code::protocol_error, Detail::preface);
  if (n == NGHTTP2_ERR_FLOODED) return fail(Code::enhance_your_calm, Detail::control_flood);
  fail(Code::internal_error, Detail::frame);
}

// What nghttp2 passes over (RFC 9113 5.1, 5.1.1, 5.3, 6.3).
Code Engine::judge(const Frame& frame) {
  if (role_ == Role::client) return Code::no_error;
  if (frame.is(FrameType::priority) && (frame.stream == 0 || frame.depends_on == frame.stream)) return Code::protocol_error;
  if (frame.is(FrameType::priority_update) && frame.stream != 0) return Code::protocol_error;   // RFC 9218 7.1
  if (!frame.is(FrameType::data) && !frame.is(FrameType::headers)) return Code::no_error;
  const auto id = static_cast<int32_t>(frame.stream);
  if (id <= highest_) return judge_closed(frame);
  if (frame.is(FrameType::headers) && id % 2 == 1) highest_ = id;
  return Code::no_error;
}

Code Engine::judge_closed(const Frame& frame) {
  const auto id = static_cast<int32_t>(frame.stream);
  if (id % 2 == 0 || id > last_taken_ || find(id) != nullptr) return Code::no_error;   // nghttp2 knows what to do
  if (id <= resets_forgotten_ || std::ranges::find(resets_, id) != std::end(resets_)) return Code::no_error;
  const bool was_open = std::ranges::find(closed_, id) != std::end(closed_);
  return frame.is(FrameType::headers) && !was_open ? Code::protocol_error : Code::stream_closed;
}

void Engine::note_reset(int32_t id) {
  int32_t& place = resets_[resets_next_++ % resets_remembered];
  resets_forgotten_ = std::max(resets_forgotten_, place);
  place = id;
}

// One that nobody had asked for, nor on_invalid_frame told of: nghttp2 found a stream's window passed.
void Engine::reset_sent(Flow* flow, int32_t id) {
  if (flow == nullptr || flow->reset_asked_ || flow->how_.by != Gone::By::clean) return;
  flow->how_.by = Gone::By::us;
  note_reset(id);
  user_.on_our_reset();
}

void Engine::note_priority(std::string_view payload) {
  constexpr size_t id_bytes = 4;
  if (payload.size() < id_bytes) return;
  int32_t id = payload[0] & 0x7f;
  for (size_t i = 1; i < id_bytes; ++i) id = static_cast<int32_t>(static_cast<uint32_t>(id) << 8 | static_cast<unsigned char>(payload[i]));
  const Priority priority = parse_priority(payload.substr(id_bytes));
  if (Flow* const flow = find(id); flow != nullptr) return set_priority(*flow, priority);
  if (id > highest_) early_[early_next_++ % early_max] = {id, priority};
}

void Engine::fill(net::ByteQueue& out, size_t room) {
  out_ = &out;
  out_limit_ = out.size() + room;
  while (!failing_) {
    const uint8_t* data = nullptr;
    const ssize_t n = nghttp2_session_mem_send(session_, &data);
    if (n < 0) fail(Code::internal_error, Detail::frame);
    if (n <= 0) break;
    out.append_copy(view(data, static_cast<size_t>(n)));
    const bool block = data[3] == NGHTTP2_HEADERS || data[3] == NGHTTP2_CONTINUATION;
    const bool block_goes_on = block && (data[4] & NGHTTP2_FLAG_END_HEADERS) == 0;
    if (out.size() >= out_limit_ && !block_goes_on) break;
  }
  out_ = nullptr;
  if (failing_ && !over_) {
    over_ = true;
    if (!told_by_library_) put_goaway(out);        // whatever else is queued, this is the last frame
  }
  while (Flow* const flow = fresh_.pop_front()) {  // what stays must not pin the chunks it was read into
    if (!flow->out_.empty()) flow->out_.compact();
  }
  tell();
}

void Engine::put_goaway(net::ByteQueue& out) const {
  constexpr char payload_bytes = 8;
  const auto last = static_cast<uint32_t>(nghttp2_session_get_last_proc_stream_id(session_));
  char frame[frame_header_bytes + payload_bytes] = {0, 0, payload_bytes, static_cast<char>(FrameType::goaway)};
  char* at = frame + frame_header_bytes;
  for (const uint32_t word : {last, static_cast<uint32_t>(code_)}) {
    for (const unsigned shift : {24U, 16U, 8U, 0U}) *at++ = static_cast<char>(word >> shift & 0xff);
  }
  out.append_copy({frame, sizeof frame});
}

bool Engine::wants_write() const { return failing_ ? !over_ : nghttp2_session_want_write(session_) != 0; }

void Engine::fail(Code code, Detail detail) {
  if (failing_) return;
  failing_ = true;
  code_ = code;
  fault_ = detail;
}

void Engine::news(Flow& flow) {
  if (!flow.base::ListHook<NewsTag>::linked()) news_.push_back(flow);
}

// Each upcall may queue more, end the stream, or free it (on_gone only).
void Engine::tell() {
  while (Flow* const flow = news_.pop_front()) {
    if (flow->moved_ != 0) flow->on_moved(std::exchange(flow->moved_, 0));
    if (!flow->arrived_.empty() || flow->arrived_end_) {
      net::ByteQueue arrived = std::move(flow->arrived_);
      const End end = std::exchange(flow->arrived_end_, false) ? End::yes : End::no;
      const bool cut = flow->gone_ && end == End::no;
      if (!cut) flow->on_bytes(std::move(arrived), end);
    }
    if (!flow->gone_) continue;
    flow->base::ListHook<NewsTag>::unlink();
    held_ -= std::exchange(flow->held_, 0);
    flow->on_gone(flow->how_);
  }
  give_credit();
}

void Engine::stream_gone(Flow& flow, const Gone& how) {
  flow.gone_ = true;
  flow.how_ = how;
  flow.id_ = 0;
  flow.out_.clear();
  flow.base::ListHook<FreshTag>::unlink();
  news(flow);
}

Flow* Engine::find(int32_t id) const { return flow_of(session_, id); }

// ---- credit -----------------------------------------------------------------------------------------------------

void Engine::data_arrived(Flow& flow, const char* at, size_t size) {
  flow.arrived_.append(net::Slice(slice_->home(), static_cast<uint32_t>(at - slice_->home()->data()), static_cast<uint32_t>(size)));
  flow.held_ += size;
  held_ += size;
  owed_ += size;
  news(flow);
}

// Connection credit goes back on receipt, as long as what is held and what is under way stay within the buffer: so one stalled
// stream does not stall the others, and all of them together cannot hold more.
void Engine::give_credit() {
  if (owed_ == 0 || failing_) return;
  const size_t under_way = connection_window_ - std::min(connection_window_, owed_);
  const size_t taken = held_ + under_way;
  const size_t give = taken >= connection_buffer_ ? 0 : std::min(owed_, connection_buffer_ - taken);
  const bool worth_a_frame = give >= connection_window_ / 2 || (under_way < connection_window_ / 4 && give >= copy_below);
  if (!worth_a_frame) return;
  owed_ -= give;
  CHECK(nghttp2_submit_window_update(session_, NGHTTP2_FLAG_NONE, 0, static_cast<int32_t>(give)) == 0);
}

void Engine::consume(Flow& flow, size_t n) {
  if (flow.gone_) return;                          // all of it was given back
  CHECK(n <= flow.held_);
  flow.held_ -= n;
  held_ -= n;
  nghttp2_session_consume_stream(session_, flow.id_, n);
  give_credit();
}

void Engine::widen(Flow& flow, uint32_t window) {
  if (!flow.gone_) nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, flow.id_, static_cast<int32_t>(window));
}

void Engine::again(Flow& flow, net::ByteQueue&& earlier, End end) {
  earlier.take_all(flow.arrived_);
  flow.arrived_ = std::move(earlier);
  if (end == End::yes) flow.arrived_end_ = true;
  news(flow);
}

void Engine::ends(Flow& flow) {
  flow.arrived_end_ = true;
  news(flow);
}

bool Engine::window_open(const Flow& flow) const { return nghttp2_session_get_stream_remote_window_size(session_, flow.id_) > 0; }

bool Engine::connection_window_open() const { return nghttp2_session_get_remote_window_size(session_) > 0; }

// ---- streams ----------------------------------------------------------------------------------------------------

void Engine::request(Flow& flow, std::span<const Line> lines, const http::Fields& fields, End end) {
  auto& all = lines_of(lines, fields);
  const nghttp2_data_provider body{.source = {.ptr = &flow}, .read_callback = &Callbacks::read_body};
  if (end == End::yes) flow.out_state_ = Flow::Out::ending;
  flow.id_ = nghttp2_submit_request(session_, nullptr, all.data(), all.size(), end == End::yes ? nullptr : &body, &flow);
  if (flow.id_ < 0) stream_gone(flow, {Gone::By::peer, Code::refused_stream});   // ids are used up
}

void Engine::informational(Flow& flow, std::span<const Line> lines, const http::Fields& fields) {
  if (flow.gone_) return;
  auto& all = lines_of(lines, fields);
  nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, flow.id_, nullptr, all.data(), all.size(), nullptr);
}

void Engine::respond(Flow& flow, std::span<const Line> lines, const http::Fields& fields, End end) {
  if (flow.gone_) return;
  auto& all = lines_of(lines, fields);
  const nghttp2_data_provider body{.source = {.ptr = &flow}, .read_callback = &Callbacks::read_body};
  if (end == End::yes) flow.out_state_ = Flow::Out::ending;
  nghttp2_submit_response(session_, flow.id_, all.data(), all.size(), end == End::yes ? nullptr : &body);
}

void Engine::resume(Flow& flow) {
  if (std::exchange(flow.deferred_, false)) nghttp2_session_resume_data(session_, flow.id_);
}

void Engine::send_body(Flow& flow, net::ByteQueue&& body, End end) {
  if (flow.gone_ || flow.reset_asked_) return body.clear();
  CHECK(flow.out_state_ == Flow::Out::open);
  flow.out_.take_all(body);
  if (end == End::yes) flow.out_state_ = Flow::Out::ending;
  if (!flow.base::ListHook<FreshTag>::linked()) fresh_.push_back(flow);
  resume(flow);
}

void Engine::send_trailers(Flow& flow, const http::Fields& trailers) {
  if (flow.gone_ || flow.reset_asked_) return;
  CHECK(flow.out_state_ == Flow::Out::open);
  if (!trailers.empty()) flow.trailers_ = &trailers;
  flow.out_state_ = Flow::Out::ending;
  resume(flow);
}

void Engine::reset(Flow& flow, Code code) {
  if (flow.gone_ || std::exchange(flow.reset_asked_, true)) return;
  flow.out_.clear();
  if (flow.id_ == 0) return stream_gone(flow, {Gone::By::us, code});   // never sent
  note_reset(flow.id_);
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, flow.id_, static_cast<uint32_t>(code));
}

void Engine::prioritise(Flow& flow, Priority priority) {
  if (!flow.priority_told_) set_priority(flow, priority);
}

void Engine::set_priority(Flow& flow, Priority priority) {
  if (flow.gone_) return;
  flow.priority_told_ = true;
  const nghttp2_extpri wanted{priority.urgency, priority.incremental ? 1 : 0};
  nghttp2_session_change_extpri_stream_priority(session_, flow.id_, &wanted, 1);
}

void Engine::forget(Flow& flow) {
  if (flow.id_ != 0) nghttp2_session_set_stream_user_data(session_, flow.id_, nullptr);
  held_ -= std::exchange(flow.held_, 0);
  flow.id_ = 0;
  flow.gone_ = true;
}

// ---- frames without a stream ------------------------------------------------------------------------------------

void Engine::ping(uint64_t opaque) {
  uint8_t data[sizeof opaque];
  std::memcpy(data, &opaque, sizeof opaque);
  nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, data);
}

void Engine::goaway_notice() { nghttp2_submit_shutdown_notice(session_); }

void Engine::goaway(Code code) {
  if (role_ == Role::server) last_taken_ = nghttp2_session_get_last_proc_stream_id(session_);
  const int32_t last = nghttp2_session_get_last_proc_stream_id(session_);
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, last, static_cast<uint32_t>(code), nullptr, 0);
}

uint32_t Engine::peer_max_streams() const { return nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS); }

bool Engine::peer_takes_connect() const {
  return nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

}  // namespace sluice::http2

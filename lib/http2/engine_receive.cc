// What comes: each frame is judged as its header is known, then its payload is taken as it comes. A fault of the
// connection stops everything (RFC 9113 5.4.1).
#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "http2/engine.h"

namespace sluice::http2 {

using http::Detail;
using http::End;

void Engine::receive(net::ByteQueue& in) {
  while (!in.empty() && !failing_) {
    const net::Slice slice = in.front();
    in.drop(slice.size());
    read(slice);
  }
  in.clear();
  if (queued_frames_ > queued_frames_max || queue_.size() > queued_bytes_max)
    fail(Code::enhance_your_calm, Detail::control_flood);
  tell();
}

void Engine::read(const net::Slice& slice) {
  const std::string_view all = slice.view();
  for (size_t at = 0; !failing_;) {
    switch (reader_.next(all, at)) {
      case FrameReader::Step::more: return;
      case FrameReader::Step::begin: begin_frame(reader_.frame()); break;
      case FrameReader::Step::piece: take_piece(slice, reader_.piece()); break;
      case FrameReader::Step::unit: take_unit(reader_.unit()); break;
      case FrameReader::Step::end: end_frame(); break;
      case FrameReader::Step::bad_preface: return fail(Code::protocol_error, Detail::preface);
      case FrameReader::Step::fault: return fail(reader_.code(), detail_of(reader_.code()));
    }
  }
}

// ---- the header of a frame --------------------------------------------------------------------------------------

void Engine::begin_frame(const Frame& frame) {
  const bool told_later = frame.is(FrameType::data) || frame.is(FrameType::window_update);
  if (const Detail detail = told_later ? Detail::none : user_.on_frame(frame); detail != Detail::none) {
    return fail(Code::enhance_your_calm, detail);
  }
  if (const Code code = judge(frame); code != Code::no_error) fail(code, detail_of(code));
}

// RFC 9113 5.1.1: of the peer's streams those above the highest, of ours those that were not opened yet, and all of the
// other parity.
bool Engine::idle(uint32_t id) const {
  if (id % 2 == 0) return true;
  return role_ == Role::server ? id > static_cast<uint32_t>(highest_) : id >= static_cast<uint32_t>(next_id_);
}

Code Engine::judge(const Frame& frame) {
  const auto rule = [](bool kept) { return kept ? Code::no_error : Code::protocol_error; };
  const bool on_connection = frame.stream == 0;
  switch (static_cast<FrameType>(frame.type)) {
    case FrameType::data: return judge_data(frame);
    case FrameType::headers: return judge_headers(frame);
    case FrameType::priority: return rule(!on_connection);
    case FrameType::rst_stream: return rule(!on_connection && !idle(frame.stream));
    case FrameType::settings:
      settings_entries_ = 0;
      return rule(on_connection && (!frame.has(Frame::ack) || settings_unanswered_));
    case FrameType::push_promise:
      return Code::protocol_error;  // from a client never, from a server not after ENABLE_PUSH 0
    case FrameType::ping:
    case FrameType::goaway: return rule(on_connection);
    case FrameType::window_update: return rule(on_connection || !idle(frame.stream));
    case FrameType::priority_update: return rule(on_connection && role_ == Role::server);  // RFC 9218 7.1
    case FrameType::continuation: break;
  }
  return Code::no_error;
}

Code Engine::judge_data(const Frame& frame) {
  if (frame.stream == 0 || idle(frame.stream)) return Code::protocol_error;
  if (!receive_window_.take(frame.length)) return Code::flow_control_error;
  Flow* const flow = table_.find(static_cast<int32_t>(frame.stream));
  if (flow == nullptr) return judge_closed(frame);
  if (flow->peer_ended_) return stream_fault(*flow, Code::stream_closed);
  if (!flow->receive_window_.take(frame.length)) stream_error(*flow, Code::flow_control_error);
  return Code::no_error;
}

Code Engine::judge_headers(const Frame& frame) {
  if (frame.stream == 0) return Code::protocol_error;
  passed_over_ = 0;
  const auto id = static_cast<int32_t>(frame.stream);
  if (Flow* const flow = table_.find(id); flow != nullptr)
    return flow->peer_ended_ ? stream_fault(*flow, Code::stream_closed) : Code::no_error;
  if (role_ == Role::client) return idle(frame.stream) ? Code::protocol_error : Code::no_error;
  if (id % 2 == 0) return Code::protocol_error;
  const bool new_one = id > highest_;
  if (!new_one) {
    if (const Code code = judge_closed(frame); code != Code::no_error) return code;
  }
  highest_ = std::max(highest_, id);
  if (new_one && id <= last_taken_) {
    taken_ = id;
    return begin_stream(id);
  }
  user_.on_our_reset();  // passed over, but for its entries in the table: that is not for nothing
  return Code::no_error;
}

// RFC 9113 5.1: what comes on a stream that is over. A client may not have seen yet that we have reset it.
Code Engine::judge_closed(const Frame& frame) const {
  const auto id = static_cast<int32_t>(frame.stream);
  if (role_ == Role::client || id > last_taken_) return Code::no_error;
  if (id <= resets_forgotten_ || std::ranges::find(resets_, id) != std::end(resets_)) return Code::no_error;
  const bool was_open = std::ranges::find(closed_, id) != std::end(closed_);
  return frame.is(FrameType::headers) && !was_open ? Code::protocol_error : Code::stream_closed;
}

Code Engine::begin_stream(int32_t id) {
  Flow* const flow = user_.on_begin();
  if (flow == nullptr) {
    note_reset(id);
    put_rst_stream(queue(), id, Code::refused_stream);
    user_.on_refused();
    return Code::no_error;
  }
  if (!know(*flow, id)) {
    stream_gone(*flow, {Gone::By::us, Code::internal_error});
    return Code::internal_error;
  }
  for (const Early& early : early_) {
    if (early.id == id) set_priority(*flow, early.priority);
  }
  return Code::no_error;
}

// ---- payloads ---------------------------------------------------------------------------------------------------

void Engine::take_piece(const net::Slice& slice, std::string_view piece) {
  if (!reader_.frame().is(FrameType::data)) return take_block(piece, false);
  owed_ += piece.size();
  Flow* const flow = table_.find(static_cast<int32_t>(reader_.frame().stream));
  if (flow == nullptr) return;
  const auto at = static_cast<uint32_t>(piece.data() - slice.home()->data());
  flow->arrived_.append(net::Slice(slice.home(), at, static_cast<uint32_t>(piece.size())));
  flow->held_ += piece.size();
  held_ += piece.size();
  news(*flow);
}

void Engine::take_block(std::string_view piece, bool last) {
  Flow* const flow = table_.find(static_cast<int32_t>(reader_.frame().stream));  // nullptr: refused, or passed over
  Line line;
  while (!failing_) {  // not one more line of a bomb
    switch (decoder_.next(piece, last, line)) {
      case HeaderDecoder::Got::line:
        if (flow != nullptr) {
          flow->on_field(line.name, line.value, line.indexing);
        } else if ((passed_over_ += line.name.size() + line.value.size() + HeadReader::field_overhead) >
                   passed_over_max_) {
          return fail(Code::enhance_your_calm, Detail::hpack);
        }
        break;
      case HeaderDecoder::Got::more: return;
      case HeaderDecoder::Got::whole: return block_whole();
      case HeaderDecoder::Got::fault: return fail(Code::compression_error, Detail::hpack);
      case HeaderDecoder::Got::no_memory: return fail(Code::internal_error, Detail::frame);
    }
  }
}

void Engine::block_whole() {
  const auto id = static_cast<int32_t>(reader_.frame().stream);
  Flow* flow = table_.find(id);
  if (flow == nullptr) return;
  flow->peer_ended_ = block_ends_;
  flow->on_block(block_ends_ ? End::yes : End::no);
  flow = table_.find(id);  // it may have been reset
  if (flow != nullptr && flow->peer_ended_ && flow->end_sent()) stream_gone(*flow, {});
}

void Engine::take_unit(std::string_view unit) {
  const Frame& frame = reader_.frame();
  switch (static_cast<FrameType>(frame.type)) {
    case FrameType::settings: {
      const Code code = ++settings_entries_ > settings_entries_max
                            ? Code::enhance_your_calm
                            : take_setting(static_cast<Setting>(read_u16(unit.data())), read_u32(unit.data() + 2));
      if (code != Code::no_error) fail(code, detail_of(code));
      return;
    }
    case FrameType::priority:
      if (read_u31(unit.data()) == frame.stream) fail(Code::protocol_error, Detail::frame);
      return;
    case FrameType::rst_stream: return take_reset(unit);
    case FrameType::ping: return take_ping(unit);
    case FrameType::goaway: return take_goaway(unit);
    case FrameType::window_update: return take_window(unit);
    case FrameType::priority_update:
      if (frame.length <= FrameReader::unit_max) take_priority(unit);
      return;
    case FrameType::data:
    case FrameType::headers:
    case FrameType::continuation:
    case FrameType::push_promise: break;
  }
}

// RFC 9113 6.5.2, RFC 8441 3, RFC 9218 2.1
Code Engine::take_setting(Setting setting, uint32_t value) {
  const auto flag = [value] { return value <= 1 ? Code::no_error : Code::protocol_error; };
  switch (setting) {
    case Setting::header_table_size:
      table_least_ = std::min(table_least_.value_or(value), value);
      table_last_ = value;
      return Code::no_error;
    case Setting::enable_push: return role_ == Role::client && value != 0 ? Code::protocol_error : flag();
    case Setting::max_concurrent_streams: peer_max_streams_ = value; return Code::no_error;
    case Setting::initial_window_size: return resize_windows(value);
    case Setting::max_frame_size:  // we never send more than the least that it can be
      return value >= frame_payload_max && value < uint32_t{1} << 24 ? Code::no_error : Code::protocol_error;
    case Setting::enable_connect_protocol:
      if (value == 0 && peer_takes_connect_) return Code::protocol_error;
      peer_takes_connect_ = value == 1;
      return flag();
    case Setting::no_rfc7540_priorities: return flag();
    case Setting::max_header_list_size: peer_header_list_max_ = value; return Code::no_error;  // the session keeps it
  }
  return Code::no_error;
}

// RFC 9113 6.9.2: of all streams, and they may become negative.
Code Engine::resize_windows(uint32_t to) {
  if (to > static_cast<uint32_t>(window_max)) return Code::flow_control_error;
  const uint32_t from = std::exchange(peer_window_, to);
  for (Flow* flow = known_.front(); flow != nullptr; flow = known_.next(*flow)) {
    if (!flow->send_window_.resize(from, to)) return Code::flow_control_error;
    order(*flow);
  }
  return Code::no_error;
}

void Engine::take_reset(std::string_view unit) {
  const auto id = static_cast<int32_t>(reader_.frame().stream);
  user_.on_reset(table_.find(id));
  if (Flow* const flow = table_.find(id); flow != nullptr)
    stream_gone(*flow, {Gone::By::peer, static_cast<Code>(read_u32(unit.data()))});
}

void Engine::take_ping(std::string_view unit) {
  if (!reader_.frame().has(Frame::ack)) return put_ping(answers(), unit, true);
  uint64_t opaque = 0;
  std::memcpy(&opaque, unit.data(), sizeof opaque);
  user_.on_ping_ack(opaque);
}

void Engine::take_goaway(std::string_view unit) {
  const auto last = static_cast<int32_t>(read_u31(unit.data()));
  if (last > peer_last_) return fail(Code::protocol_error, Detail::frame);  // RFC 9113 6.8
  peer_last_ = last;
  user_.on_goaway(static_cast<Code>(read_u32(unit.data() + 4)));
  if (role_ == Role::server) return;
  constexpr Gone refused{Gone::By::peer, Code::refused_stream};
  for (Flow *flow = known_.front(), *next = nullptr; flow != nullptr; flow = next) {
    next = known_.next(*flow);
    if (flow->id_ > last) stream_gone(*flow, refused);
  }
}

void Engine::take_window(std::string_view unit) {
  const uint32_t more = read_u31(unit.data());
  if (const Detail detail = user_.on_window_update(more); detail != Detail::none) {
    return fail(Code::enhance_your_calm, detail);
  }
  Flow* const flow = table_.find(static_cast<int32_t>(reader_.frame().stream));
  if (more == 0) {  // RFC 9113 6.9
    if (role_ == Role::server || reader_.frame().stream == 0) return fail(Code::protocol_error, Detail::frame);
    return flow == nullptr ? void() : stream_error(*flow, Code::protocol_error);
  }
  if (reader_.frame().stream == 0) {
    if (!send_window_.grow(more)) fail(Code::flow_control_error, Detail::flow_control);
    return;
  }
  if (flow == nullptr) return;
  if (!flow->send_window_.grow(more)) return stream_error(*flow, Code::flow_control_error);
  order(*flow);
}

void Engine::take_priority(std::string_view unit) {
  constexpr size_t id_bytes = 4;
  const auto id = static_cast<int32_t>(read_u31(unit.data()));
  if (id == 0) return fail(Code::protocol_error, Detail::frame);  // RFC 9218 7.1
  const Priority priority = parse_priority(unit.substr(id_bytes));
  if (Flow* const flow = table_.find(id); flow != nullptr) return set_priority(*flow, priority);
  if (id <= highest_) return;
  const auto known = std::ranges::find(early_, id, &Early::id);
  (known != std::end(early_) ? *known : early_[early_next_++ % early_max]) = {id, priority};
}

// ---- the end of a frame -----------------------------------------------------------------------------------------

void Engine::end_frame() {
  const Frame& frame = reader_.frame();
  if (frame.is(FrameType::data)) return end_data();
  if (frame.is(FrameType::settings)) return settings_whole();
  if (frame.is(FrameType::headers)) block_ends_ = frame.has(Frame::end_stream);
  const bool block = frame.is(FrameType::headers) || frame.is(FrameType::continuation);
  if (block && frame.has(Frame::end_headers)) take_block({}, true);
}

// Padding counts for the windows, and is given back at once (RFC 9113 6.1).
void Engine::end_data() {
  const Frame& frame = reader_.frame();
  owed_ += reader_.padding();
  Flow* const flow = table_.find(static_cast<int32_t>(frame.stream));
  if (const Detail detail = user_.on_data(frame.length - reader_.padding(), flow != nullptr); detail != Detail::none) {
    return fail(Code::enhance_your_calm, detail);
  }
  if (flow == nullptr) return;
  if (frame.has(Frame::end_stream)) {
    flow->peer_ended_ = flow->arrived_end_ = true;
    news(*flow);
    if (flow->end_sent()) stream_gone(*flow, {});
    return;
  }
  flow->owed_ += reader_.padding();
  if (reader_.padding() != 0) give_credit(*flow);
}

void Engine::settings_whole() {
  if (!reader_.frame().has(Frame::ack)) {
    settings_received_ = true;
    if (const auto least =
            std::exchange(table_least_, std::nullopt)) {  // with our answer, not before: the peer may wait for that
      encoder_.limit_table(*least);  // RFC 7541 4.2: the smallest in between counts, too
      encoder_.limit_table(table_last_);
    }
    put_settings_ack(answers());
    return user_.on_settings();
  }
  settings_unanswered_ = false;
  resize_own_windows();
}

// What we announced is in force. A stream's window_ was the one in force when it began, or wider.
void Engine::resize_own_windows() {
  const uint32_t from = std::exchange(window_in_force_, stream_window_);
  for (Flow* flow = known_.front(); flow != nullptr; flow = known_.next(*flow)) {
    if (!flow->receive_window_.resize(from, stream_window_)) continue;  // widened beyond all windows: it stays as it is
    flow->window_ = flow->window_ - from + stream_window_;
  }
}

}  // namespace sluice::http2

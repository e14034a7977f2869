// What goes: frames that need no window wait in queue_ as bytes, in the order they were asked for; a body waits with
// its stream and leaves when the windows are open, the most urgent first (RFC 9218 10).
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "http2/engine.h"

namespace sluice::http2 {

using http::Detail;
using http::End;

net::ByteQueue& Engine::queue() {
  ++queued_frames_;
  return queue_;
}

net::ByteQueue& Engine::answers() {
  if (++queued_answers_ > queued_answers_max) fail(Code::enhance_your_calm, Detail::control_flood);
  return queue();
}

bool Engine::wants_write() const {
  if (failing_) return !over_;
  if (!queue_.empty() || !ends_.empty()) return true;
  if (send_window_.open() == 0 || ready_urgencies_ == 0) return false;
  const auto some = [](const auto& flows) { return !flows.empty(); };
  return std::ranges::any_of(in_turns_, some) || std::ranges::any_of(by_id_, some);
}

// ---- heads ------------------------------------------------------------------------------------------------------

void Engine::request(Flow& flow, std::span<const Line> lines, const http::Fields& fields, End end) {
  if (end == End::yes) {
    flow.out_state_ = Flow::Out::ending;
    flow.head_ends_ = true;
  }
  if (peer_last_ != stream_id_max || !may_open()) return stream_gone(flow, {Gone::By::peer, Code::refused_stream});
  open(flow, encoder_.encode(lines, fields));
}

// The peer's limit can fall while streams are open (RFC 9113 6.5.2).
bool Engine::may_open() const { return !settings_received_ || table_.size() < peer_max_streams_; }

void Engine::open(Flow& flow, std::optional<std::string_view> block) {
  if (!block) return stream_gone(flow, {Gone::By::us, Code::internal_error});
  if (!know(flow, next_id_))
    return fail(Code::internal_error, Detail::frame);  // the block is lost, and the tables with it
  next_id_ += 2;  // sessions count them: it does not come round
  put_block(queue(), flow.id_, flow.head_ends_, *block);
  head_queued(flow);
}

void Engine::informational(Flow& flow, std::span<const Line> lines, const http::Fields& fields) {
  if (flow.gone_) return;
  const auto block = encoder_.encode(lines, fields);
  if (!block) return reset(flow, Code::internal_error);
  put_block(queue(), flow.id_, false, *block);
}

void Engine::respond(Flow& flow, std::span<const Line> lines, const http::Fields& fields, End end) {
  if (flow.gone_) return;
  const auto block = encoder_.encode(lines, fields);
  if (!block) return reset(flow, Code::internal_error);
  if (end == End::yes) {
    flow.out_state_ = Flow::Out::ending;
    flow.head_ends_ = true;
  }
  put_block(queue(), flow.id_, flow.head_ends_, *block);
  head_queued(flow);
}

void Engine::head_queued(Flow& flow) {
  heads_.push_back(flow);
  order(flow);  // a body may be here before its head could go
}

// ---- bodies -----------------------------------------------------------------------------------------------------

void Engine::send_body(Flow& flow, net::ByteQueue&& body, End end) {
  if (flow.gone_) return body.clear();
  CHECK(flow.out_state_ == Flow::Out::open);
  flow.out_.take_all(body);
  if (end == End::yes) flow.out_state_ = Flow::Out::ending;
  if (!flow.base::ListHook<FreshTag>::linked()) fresh_.push_back(flow);
  order(flow);
}

void Engine::send_trailers(Flow& flow, const http::Fields& trailers) {
  if (flow.gone_) return;
  CHECK(flow.out_state_ == Flow::Out::open);
  if (!trailers.empty()) flow.trailers_ = &trailers;
  flow.out_state_ = Flow::Out::ending;
  order(flow);
}

// Where the stream stands among those that have something to send. Of one urgency the lowest id goes first (RFC 9218
// 10); those that are of use in parts share (4.2), and so do requests, which are of many clients.
void Engine::order(Flow& flow) {
  if (flow.id_ == 0 || flow.head_ends_) return;
  const bool has_bytes = !flow.out_.empty();
  Flow::Place place = Flow::Place::none;
  if (has_bytes && flow.send_window_.open() != 0) place = in_turns(flow) ? Flow::Place::in_turns : Flow::Place::by_id;
  if (!has_bytes && flow.out_state_ == Flow::Out::ending) place = Flow::Place::ends;
  if (place == flow.place_) return;
  leave_order(flow);
  flow.place_ = place;
  switch (place) {
    case Flow::Place::none: return;
    case Flow::Place::ends: return ends_.push_back(flow);
    case Flow::Place::in_turns: in_turns_[flow.priority_.urgency].push_back(flow); break;
    case Flow::Place::by_id:
      by_id_[flow.priority_.urgency].insert(flow);
      line_.push_back(flow);
      break;
  }
  ready_urgencies_ |= static_cast<uint8_t>(1U << flow.priority_.urgency);
}

void Engine::leave_order(Flow& flow) {
  if (flow.place_ == Flow::Place::by_id) by_id_[flow.priority_.urgency].remove(flow);
  flow.base::ListHook<ReadyTag>::unlink();
  flow.place_ = Flow::Place::none;
}

void Engine::prioritise(Flow& flow, Priority priority) {
  if (!flow.priority_told_) set_priority(flow, priority);
}

void Engine::set_priority(Flow& flow, Priority priority) {
  if (flow.gone_) return;
  leave_order(flow);
  flow.priority_told_ = true;
  flow.priority_ = priority;
  order(flow);
}

Flow* Engine::next_to_send() {
  if (Flow* const flow = ends_.front(); flow != nullptr) return flow;
  if (send_window_.open() == 0) return nullptr;
  for (unsigned u = 0; ready_urgencies_ >> u != 0; ++u) {
    if (Flow* const flow = next_of(u); flow != nullptr) return flow;
    ready_urgencies_ &= static_cast<uint8_t>(~(1U << u));
  }
  return nullptr;
}

// Where there are both, every other frame is of one that shares.
Flow* Engine::next_of(unsigned urgency) {
  const auto bit = static_cast<uint8_t>(1U << urgency);
  base::List<Flow, ReadyTag>& shared = in_turns_[urgency];
  if (!by_id_[urgency].empty() && (shared.empty() || (shared_last_ & bit) != 0)) {
    shared_last_ &= static_cast<uint8_t>(~bit);
    return next_by_id(urgency);
  }
  shared_last_ |= bit;
  Flow* const flow = shared.pop_front();
  if (flow != nullptr) shared.push_back(*flow);
  return flow;
}

Flow* Engine::next_by_id(unsigned urgency) {
  Flow* const lowest = by_id_[urgency].lowest();
  if (by_id_[urgency].one() || ++ahead_ < frames_ahead) return lowest;
  ahead_ = 0;
  Flow* const first = line_.pop_front();
  line_.push_back(*first);
  return first->priority_.urgency == urgency ? first : lowest;
}

// What the upcalls queue goes with the rest: nobody else would ask for it.
void Engine::fill(net::ByteQueue& out, size_t room) {
  const size_t limit = out.size() + room;
  do {
    send_frames(out, limit);
    if (failing_ && !over_) send_last(out);
    while (Flow* const flow = fresh_.pop_front()) {  // what stays must not pin the chunks it was read into
      if (!flow->out_.empty()) flow->out_.compact();
    }
    tell();
  } while (out.size() < limit && wants_write());
}

void Engine::send_frames(net::ByteQueue& out, size_t limit) {
  while (!failing_) {
    send_queue(out);
    if (out.size() >= limit) return;
    Flow* const flow = next_to_send();
    if (flow != nullptr) {
      send_data(*flow, out);
    } else if (queue_.empty()) {
      return;
    }
  }
}

// Whatever else was queued, GOAWAY is the last frame; and SETTINGS the first (RFC 9113 3.4).
void Engine::send_last(net::ByteQueue& out) {
  over_ = true;
  if (!greeted_) send_queue(out);
  queue_.clear();
  while (heads_.pop_front() != nullptr) {  // they have not left
  }
  put_goaway(out, std::min(taken_, last_taken_), code_);
}

void Engine::send_queue(net::ByteQueue& out) {
  if (queue_.size() < copy_below) {  // behind what is there: one piece
    for (; !queue_.empty(); queue_.drop(queue_.front().size())) out.append_copy(queue_.front().view());
  } else {
    out.take_all(queue_);
  }
  queued_frames_ = queued_answers_ = 0;
  greeted_ = true;
  while (Flow* const flow = heads_.pop_front()) {
    flow->on_head_sent();
    if (flow->head_ends_) ended(*flow);
  }
}

void Engine::send_data(Flow& flow, net::ByteQueue& out) {
  const size_t n = std::min({send_window_.open(), flow.send_window_.open(), data_bytes_max, flow.out_.size()});
  const bool last = n == flow.out_.size() && flow.out_state_ == Flow::Out::ending;
  const bool trailers = last && flow.trailers_ != nullptr;
  if (n != 0 || !trailers) {
    put_header(out, n, FrameType::data, last && !trailers ? Frame::end_stream : uint8_t{0}, flow.id_);
    move_body(flow, out, n);
  }
  if (!last) {
    if (flow.send_window_.open() == 0 || flow.out_.empty()) order(flow);
    return;
  }
  leave_order(flow);
  if (trailers) {
    const auto block = encoder_.encode({}, *flow.trailers_);
    if (!block) return reset(flow, Code::internal_error);
    put_block(out, flow.id_, true, *block);
  }
  ended(flow);
}

void Engine::move_body(Flow& flow, net::ByteQueue& out, size_t bytes) {
  if (bytes == 0) return;
  if (bytes >= copy_below) {
    out.take(flow.out_, bytes);
  } else {
    for (size_t left = bytes; left != 0;) {
      const std::string_view piece = flow.out_.front().view().substr(0, left);
      out.append_copy(piece);
      left -= piece.size();
      flow.out_.drop(piece.size());
    }
  }
  CHECK(send_window_.take(bytes) && flow.send_window_.take(bytes));
  flow.moved_ += bytes;
  news(flow);
}

void Engine::ended(Flow& flow) {
  flow.out_state_ = Flow::Out::ended;
  flow.on_end_sent();
  if (!flow.gone_ && flow.peer_ended_) stream_gone(flow, {});
}

// ---- frames without a stream ------------------------------------------------------------------------------------

bool Engine::offer_streams(uint32_t most) {
  if (settings_unanswered_) return false;
  settings_unanswered_ = true;
  const Entry entry{Setting::max_concurrent_streams, most};
  put_settings(queue(), {&entry, 1});
  return true;
}

void Engine::ping(uint64_t opaque) {
  put_ping(queue(), {reinterpret_cast<const char*>(&opaque), sizeof opaque}, false);
}

void Engine::goaway_notice() { put_goaway(queue(), stream_id_max, Code::no_error); }

void Engine::goaway(Code code) {
  last_taken_ = std::min(last_taken_, taken_);
  put_goaway(queue(), last_taken_, code);
}

}  // namespace sluice::http2

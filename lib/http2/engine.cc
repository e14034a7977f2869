// Streams and the connection: who is known, what was given up, and the news of both. What comes is in
// engine_receive.cc, what goes in engine_send.cc.
#include "http2/engine.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/pages.h"

namespace sluice::http2 {

using http::Detail;
using http::End;

Engine::Engine(Role role, const Settings& settings, User& user)
    : user_(user),
      reader_(role == Role::server),
      passed_over_max_(HeadReader::bomb_factor * settings.max_header_bytes),
      connection_window_(std::max<size_t>(settings.connection_buffer / 2, initial_window)),
      connection_buffer_(std::max(settings.connection_buffer, connection_window_)),
      stream_window_(settings.stream_window),
      receive_window_(static_cast<uint32_t>(connection_window_)),
      role_(role) {
  const auto list_max = static_cast<uint32_t>(settings.max_header_bytes);
  const Entry server_settings[] = {{Setting::max_concurrent_streams, settings.max_streams},
                                   {Setting::initial_window_size, settings.stream_window},
                                   {Setting::max_header_list_size, list_max},
                                   {Setting::enable_connect_protocol, 1},
                                   {Setting::no_rfc7540_priorities, 1}};
  const Entry client_settings[] = {{Setting::enable_push, 0},
                                   {Setting::initial_window_size, settings.stream_window},
                                   {Setting::max_header_list_size, list_max}};
  const bool server = role == Role::server;
  if (!server) queue_.append_copy(preface);
  put_settings(queue(), server ? std::span<const Entry>(server_settings) : std::span<const Entry>(client_settings));
  if (connection_window_ > initial_window)
    put_window_update(queue(), 0, static_cast<uint32_t>(connection_window_ - initial_window));
}

void Engine::fail(Code code, Detail detail) {
  if (failing_) return;
  failing_ = true;
  code_ = code;
  fault_ = detail;
}

void Engine::rest() {
  if (table_.size() != 0 || reader_.in_head() || reader_.block_open()) return;
  table_.rest();
  encoder_.rest();
  decoder_.rest();
}

// ---- news -------------------------------------------------------------------------------------------------------

void Engine::news(Flow& flow) {
  if (!flow.base::ListHook<NewsTag>::linked()) news_.push_back(flow);
}

// Each upcall may queue more, end the stream, or free it (on_gone only).
void Engine::tell() {
  tell_news();
  give_credit();
}

void Engine::tell_news() {
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
}

// ---- streams ----------------------------------------------------------------------------------------------------

bool Engine::know(Flow& flow, int32_t id) {
  if (!table_.add(id, flow)) return false;
  flow.id_ = id;
  flow.send_window_ = Window(peer_window_);
  flow.receive_window_ = Window(window_in_force_);
  flow.window_ = window_in_force_;
  known_.push_back(flow);
  return true;
}

void Engine::stream_gone(Flow& flow, const Gone& how) {
  if (flow.id_ != 0) {
    table_.remove(flow.id_);
    if (role_ == Role::server) closed_[closed_next_++ % closed_remembered] = flow.id_;
  }
  flow.base::ListHook<KnownTag>::unlink();
  flow.base::ListHook<HeadTag>::unlink();
  flow.base::ListHook<FreshTag>::unlink();
  leave_order(flow);
  flow.out_.clear();
  flow.gone_ = true;
  flow.how_ = how;
  flow.id_ = 0;
  news(flow);
}

void Engine::forget(Flow& flow) {
  if (flow.id_ != 0) table_.remove(flow.id_);
  flow.base::ListHook<KnownTag>::unlink();
  leave_order(flow);
  held_ -= std::exchange(flow.held_, 0);
  flow.id_ = 0;
  flow.gone_ = true;
}

void Engine::note_reset(int32_t id) {
  int32_t& place = resets_[resets_next_++ % resets_remembered];
  resets_forgotten_ = std::max(resets_forgotten_, place);
  place = id;
}

void Engine::reset(Flow& flow, Code code) {
  if (flow.gone_) return;
  if (flow.id_ != 0) {  // else it was never sent
    note_reset(flow.id_);
    put_rst_stream(queue(), flow.id_, code);
  }
  stream_gone(flow, {Gone::By::us, code});
}

// What no honest peer does ends a client's connection (RFC 9113 5.4.1 allows it); many share that of an upstream.
Code Engine::stream_fault(Flow& flow, Code code) {
  if (role_ == Role::server) return code;
  stream_error(flow, code);
  return Code::no_error;
}

// The peer broke a rule on this stream alone.
void Engine::stream_error(Flow& flow, Code code) {
  reset(flow, code);
  user_.on_our_reset();
}

// ---- credit -----------------------------------------------------------------------------------------------------

// Connection credit goes back on receipt, as long as what is held and what is under way stay within the buffer: so one
// stalled stream does not stall the others, and all of them together cannot hold more. While half of max_memory is held
// that buffer is a small one.
void Engine::give_credit() {
  if (owed_ == 0 || failing_) return;
  const size_t under_way = connection_window_ - std::min(connection_window_, owed_);
  const size_t taken = held_ + under_way;
  const size_t buffer = base::MemoryLimit::ample() ? connection_buffer_ : initial_window;
  const size_t give = taken >= buffer ? 0 : std::min(owed_, buffer - taken);
  const bool worth_a_frame =
      give >= connection_window_ / 2 || (under_way < connection_window_ / 4 && give >= copy_below);
  if (!worth_a_frame) return;
  reopened_ = reopened_ || !peer_may_send();
  CHECK(receive_window_.grow(static_cast<uint32_t>(give)));
  owed_ -= give;
  put_window_update(queue(), 0, static_cast<uint32_t>(give));
}

// Half of a window at a time; none to a peer that has ended.
void Engine::give_credit(Flow& flow) {
  if (flow.peer_ended_ || flow.gone_ || flow.owed_ == 0 || flow.owed_ < flow.window_ / 2) return;
  CHECK(flow.receive_window_.grow(flow.owed_));
  put_window_update(queue(), flow.id_, std::exchange(flow.owed_, 0));
}

void Engine::consume(Flow& flow, size_t n) {
  if (flow.gone_ || n == 0) return;  // all of it was given back
  CHECK(n <= flow.held_);
  flow.held_ -= n;
  held_ -= n;
  flow.owed_ += static_cast<uint32_t>(n);
  give_credit(flow);
  give_credit();
}

void Engine::widen(Flow& flow, uint32_t window) {
  if (flow.gone_ || flow.peer_ended_ || flow.id_ == 0 || window <= flow.window_) return;
  const uint32_t more = window - std::exchange(flow.window_, window);
  CHECK(flow.receive_window_.grow(more));
  put_window_update(queue(), flow.id_, more);
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

}  // namespace sluice::http2

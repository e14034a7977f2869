// Time limits of a client connection: one timer that looks at what is owed when it fires, so that requests in a steady
// flow never touch it. Deadlines that come nearer pull it forward; those that recede are found when it fires.
#include <algorithm>
#include <utility>

#include "http/rate.h"
#include "http1/server.h"

namespace sluice::http1 {

using http::CloseCause;
using http::Detail;
using http::Failure;
using http::Kind;
using http::Where;

namespace {

base::Millis until(base::Micros deadline, base::Micros now) {
  const int64_t micros = deadline.count - now.count;
  return base::Millis{micros <= 0 ? 0 : (micros + 999) / 1000};
}

}  // namespace

void Server::schedule(base::Micros deadline) {
  if (timer_.armed() && timer_.due() <= deadline) return;
  timer_.arm(loop_, until(deadline, loop_.now()));
}

void Server::on_timer() {
  const base::Micros now = loop_.now();
  if (answer_too_slow(now))
    return fail({Kind::request_timeout, Where::downstream, Detail::slow_read, false}, CloseCause::write_stalled);
  check_age(now);
  switch (phase_) {
    case Phase::idle: {
      const base::Micros due =
          since_ + base::Micros{draining_ ? std::min(drain_grace, options_.idle_timeout) : options_.idle_timeout};
      if (now < due) return schedule(due);
      // A request may be on its way: it gets a clean end, and is counted.
      return draining_ ? end_session(drain_cause_) : begin_closing(CloseCause::idle_timeout);
    }
    case Phase::head:
      if (now < since_ + base::Micros{options_.header_timeout})
        return schedule(since_ + base::Micros{options_.header_timeout});
      return malformed({Kind::request_timeout, Where::downstream, Detail::slow_head, true});
    case Phase::request:
    case Phase::rest: return check_request(now);
    case Phase::linger:
      if (now < since_ + base::Micros{options_.header_timeout})
        return schedule(since_ + base::Micros{options_.header_timeout});
      return end_session(cause_);
    case Phase::closing:
    case Phase::cut:
    case Phase::ended: return;
  }
}

uint64_t Server::keep_alive_told() const {
  const int64_t idle = options_.idle_timeout.count;
  return static_cast<uint64_t>((idle - std::min<int64_t>(1'000, idle / 5)) / 1'000);
}

void Server::spread_age(uint16_t permille) {
  age_permille_ = permille;
  check_age(loop_.now());
}

// Whatever is due now, or later than it was: the timer looks.
void Server::options_changed() {
  if (phase_ == Phase::ended) return;
  const bool open = phase_ == Phase::idle || phase_ == Phase::head || phase_ == Phase::request || phase_ == Phase::rest;
  if (open && !patient_) transport_->limit_write_stall(options_.write_timeout);
  schedule(loop_.now());
}

void Server::check_age(base::Micros now) {
  if (options_.max_age.count == 0 || draining_) return;
  const base::Micros due = born_ + base::Micros{options_.max_age.count * age_permille_};  // ms x permille
  if (now < due) return schedule(due);
  drain(CloseCause::max_lifetime);
}

void Server::check_request(base::Micros now) {
  ServerStream& s = *stream_;
  if (has_left(now))
    return fail({Kind::client_closed, Where::downstream, Detail::none, false}, CloseCause::peer_closed);
  if (!body_owed()) return;
  const base::Millis window = http::body_window(options_);
  const base::Micros gap = s.read_at_ + base::Micros{options_.body_timeout};
  bool slow = now >= gap;
  if (options_.min_rate != 0 && now >= s.rate_since_ + base::Micros{window}) {
    slow = slow || s.rate_bytes_ < http::least_bytes(options_, window);
    s.rate_since_ = now;
    s.rate_bytes_ = 0;
  }
  if (!slow) return schedule(std::min(gap, s.rate_since_ + base::Micros{window}));
  if (s.sink_ == nullptr) return begin_closing(CloseCause::timeout);
  malformed({Kind::request_timeout, Where::downstream, Detail::slow_body, false});
}

// Has a client that sent FIN been told nothing for longer than it is believed to be there? Bytes that wait for it are
// write_timeout's.
bool Server::has_left(base::Micros now) {
  const ServerStream& s = *stream_;
  if (s.silent_since_.count < 0 || s.sink_ == nullptr || s.tunnel_ || transport_->unsent() != 0) return false;
  const base::Micros due = s.silent_since_ + base::Micros{options_.half_close_grace};
  if (now >= due) return true;
  schedule(due);
  return false;
}

void Server::restart_grace() {
  stream_->silent_since_ = loop_.now();
  schedule(stream_->silent_since_ + base::Micros{options_.half_close_grace});
}

// The final head has gone to the client and neither direction has ended: who speaks when is between the two of them,
// and the route's stream_idle_timeout alone rules (threats.md row 57).
bool Server::two_way() const {
  if (stream_ == nullptr || stream_->answer_ != ServerStream::Answer::begun) return false;
  const ServerStream& s = *stream_;
  return s.request_ == ServerStream::Request::tunnel ||
         (s.request_ == ServerStream::Request::body && !s.writer_.ended());
}

// Does the client owe us bytes of its request: has it credit, does it not wait for our 100, and is it no two-way
// stream?
bool Server::body_owed() const {
  const ServerStream& s = *stream_;
  return s.request_ == ServerStream::Request::body && (pauses_ & no_credit) == 0 && !s.continue_owed_ && !two_way();
}

void Server::restart_body_clock() {
  ServerStream& s = *stream_;
  s.read_at_ = s.rate_since_ = loop_.now();
  s.rate_bytes_ = 0;
  schedule(s.read_at_ + base::Micros{options_.body_timeout});  // never longer than the window of min_rate
}

// The exchange has become a two-way stream, or is none any more: then the limits run again, from now.
void Server::follow_exchange() {
  const bool now = two_way();
  if (std::exchange(patient_, now) == now) return;
  transport_->limit_write_stall(patient_ ? base::Millis{0} : options_.write_timeout);
  if (patient_) return;
  restart_answer_clock();
  if (stream_ != nullptr && body_owed()) restart_body_clock();
}

void Server::restart_answer_clock() {
  if (answer_since_.count < 0) return;
  answer_since_ = loop_.now();
  answer_marked_ = true;
  answer_mark_ = given_ - std::min<uint64_t>(given_, transport_->unacknowledged());
  schedule(answer_since_ + base::Micros{http::answer_window(options_)});
}

// Did the client take fewer bytes than min_rate asks for, in a window all through which bytes waited for it? Opens the
// next.
bool Server::answer_too_slow(base::Micros now) {
  const bool waits = answer_since_.count >= 0 && transport_->unsent() != 0;
  if (!waits || patient_ || options_.min_rate == 0) return false;
  if (!answer_marked_) {
    restart_answer_clock();
    return false;
  }
  const base::Millis window = http::answer_window(options_);
  if (now < answer_since_ + base::Micros{window}) {
    schedule(answer_since_ + base::Micros{window});
    return false;
  }
  const uint64_t mark = answer_mark_;
  restart_answer_clock();
  return answer_mark_ - std::min(mark, answer_mark_) < http::least_bytes(options_, window);
}

}  // namespace sluice::http1

// Time limits of a client connection: one timer that looks at what is owed when it fires, so that requests in a steady
// flow never touch it. Deadlines that come nearer pull it forward; those that recede are found when it fires.
#include <algorithm>
#include <utility>

#include "http/rate.h"
#include "http2/server.h"

namespace sluice::http2 {

using http::CloseCause;
using http::Detail;
using http::Failure;
using http::Kind;
using http::Where;

namespace {

constexpr Failure slow_body{Kind::request_timeout, Where::downstream, Detail::slow_body, false};
constexpr Failure slow_read{Kind::request_timeout, Where::downstream, Detail::slow_read, false};

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
  switch (phase_) {
    case Phase::open:
    case Phase::noticed:
    case Phase::leaving:
      if (connection_too_slow(now)) return fail(slow_read, CloseCause::write_stalled);
      check_age(now);
      read_on();
      if (held_back_) return schedule(now + base::Micros{look_again});  // what the client owes, it may have sent
      check_head(now);
      return streams_.empty() ? check_idle(now) : check_streams(now);
    case Phase::linger:
      if (now < since_ + base::Micros{last_wait}) return schedule(since_ + base::Micros{last_wait});
      return end_session(cause_);
    case Phase::closing:  // the transport's own limit rules
    case Phase::cut:
    case Phase::ended: return;
  }
}

void Server::spread_age(uint16_t permille) {
  age_permille_ = permille;
  check_age(loop_.now());
}

// Whatever is due now, or later than it was: the timer looks.
void Server::options_changed() {
  if (phase_ == Phase::ended) return;
  const bool open = phase_ == Phase::open || phase_ == Phase::noticed || phase_ == Phase::leaving;
  if (open) transport_->limit_write_stall(options_.write_timeout);
  schedule(loop_.now());
}

void Server::check_age(base::Micros now) {
  if (options_.max_age.count == 0 || phase_ != Phase::open) return;
  const base::Micros due = born_ + base::Micros{options_.max_age.count * age_permille_};  // ms x permille
  if (now < due) return schedule(due);
  drain(CloseCause::max_lifetime);
}

void Server::check_idle(base::Micros now) {
  const bool fresh = !engine_.settings_received();
  const base::Millis limit = fresh                      ? std::min(options_.header_timeout, options_.idle_timeout)
                             : phase_ == Phase::noticed ? std::min(drain_grace, options_.idle_timeout)
                                                        : options_.idle_timeout;
  const base::Micros due = since_ + base::Micros{limit};
  if (const base::Micros rests = since_ + base::Micros{rest_after}; now < std::min(rests, due)) {
    return schedule(std::min(rests, due));
  }
  engine_.rest();
  if (now < due) return schedule(due);
  if (phase_ == Phase::leaving || engine_.failed()) return;
  if (phase_ == Phase::open) cause_ = CloseCause::idle_timeout;
  leave_now();
}

// A header block blocks the connection: the deadline is absolute (row 22).
void Server::check_head(base::Micros now) {
  if (block_since_.count < 0) return;
  const base::Micros due = block_since_ + base::Micros{options_.header_timeout};
  if (now < due) return schedule(due);
  engine_.fail(Code::enhance_your_calm, Detail::slow_head);
  touch();
}

void Server::check_streams(base::Micros now) {
  base::Micros next = now + base::Micros{std::max(http::body_window(options_), http::answer_window(options_))};
  for (ServerStream *s = streams_.front(), *after = nullptr; s != nullptr; s = after) {
    after = streams_.next(*s);
    if (s->sink_ != nullptr) check_body(*s, now, next);
    check_answer(*s, now, next);  // a sink may have let go of an answer that is whole
  }
  schedule(next);
}

void Server::check_body(ServerStream& s, base::Micros now, base::Micros& next) {
  if (!s.body_owed()) return;
  if (s.read_since_ < credit_at_) {  // the client could not send meanwhile, whatever the stream's own window
    s.read_at_ = std::max(s.read_at_, credit_at_);
    s.read_since_ = credit_at_;
    s.read_bytes_ = 0;
  }
  const base::Micros gap = s.read_at_ + base::Micros{options_.body_timeout};
  const base::Millis window = http::body_window(options_);
  bool slow = now >= gap;
  if (options_.min_rate != 0 && now >= s.read_since_ + base::Micros{window}) {
    slow = slow || s.read_bytes_ < http::least_bytes(options_, window);
    s.read_since_ = now;
    s.read_bytes_ = 0;
  }
  if (slow) return s.malformed(slow_body);
  next = std::min({next, gap, s.read_since_ + base::Micros{window}});
}

// Bytes wait for a client that does not open the windows. The client of a stream that only waits for more urgent ones
// owes nothing, nor does that of a two-way stream.
void Server::check_answer(ServerStream& s, base::Micros now, base::Micros& next) {
  if (s.waiting() == 0 || s.two_way()) return;
  const bool own_window = engine_.window_open(s);
  const bool stalled = !own_window || (!engine_.connection_window_open() && moved_at_ <= s.moved_at_);
  if (!stalled) return;
  const base::Micros gap = s.moved_at_ + base::Micros{options_.write_timeout};
  const base::Millis window = http::answer_window(options_);
  bool slow = now >= gap;
  if (options_.min_rate != 0 && now >= s.moved_since_ + base::Micros{window}) {
    slow = slow || s.moved_bytes_ < http::least_bytes(options_, window);
    s.moved_since_ = now;
    s.moved_bytes_ = 0;
  }
  next = std::min({next, gap, s.moved_since_ + base::Micros{window}});
  if (!slow) return;
  engine_.reset(s, Code::cancel);
  touch();
  if (s.sink_ == nullptr) return;
  request_over();
  std::exchange(s.sink_, nullptr)->on_closed(slow_read);
}

// Did the client take fewer bytes than min_rate asks for, in a window all through which bytes waited in our transport?
// Opens the next. The transport's own limit, write_timeout, holds for every connection: the client owes us its windows
// and pings as well.
bool Server::connection_too_slow(base::Micros now) {
  const bool waits = answer_since_.count >= 0 && transport_->unsent() != 0;
  if (!waits || options_.min_rate == 0) return false;
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
  bool some_owe = streams_.empty();
  for (ServerStream* s = streams_.front(); s != nullptr && !some_owe; s = streams_.next(*s)) some_owe = !s->two_way();
  return some_owe && answer_mark_ - std::min(mark, answer_mark_) < http::least_bytes(options_, window);
}

void Server::restart_answer_clock() {
  answer_since_ = loop_.now();
  answer_marked_ = true;
  answer_mark_ = given_ - std::min<uint64_t>(given_, transport_->unacknowledged());
  schedule(answer_since_ + base::Micros{http::answer_window(options_)});
}

}  // namespace sluice::http2

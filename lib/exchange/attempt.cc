#include "exchange/attempt.h"

#include "base/check.h"
#include "exchange/outcome.h"
#include "http/grpc.h"

namespace sluice::exchange {

void Attempt::start(upstream::Cluster& cluster, const upstream::Want& want) {
  CHECK(stream_ == nullptr && !waiting_);
  answer_begun_ = false;
  outcome_ = upstream::Outcome::unknown;
  pause_ = {};
  grpc_ = false;
  upstream::Grant grant;
  if (cluster.acquire(want, *this, *this, grant)) {
    on_stream(std::move(grant));
  } else {
    waiting_ = true;
  }
}

void Attempt::abandon(const http::Failure& why) {
  abandon_try(why);
  leave_class();
}

void Attempt::abandon_try(const http::Failure& why) {
  if (waiting_) {
    unlink();
    waiting_ = false;
  }
  if (stream_ != nullptr) {
    http::Stream* const stream = stream_;
    stream_ = nullptr;
    stream->cancel(why);
  }
  over();
  lease_.done(outcome_, pause_);  // a head that said it stands, whoever leaves now
}

void Attempt::on_stream(upstream::Grant&& grant) {
  CHECK(grant.stream != nullptr);
  waiting_ = false;
  stream_ = grant.stream;
  reused_ = grant.reused;
  lease_ = std::move(grant.lease);
  user_.attempt_ready(grant);
}

void Attempt::on_refused(const http::Failure& why, const upstream::Endpoint* endpoint) {
  waiting_ = false;
  user_.attempt_failed(why, endpoint);
}

void Attempt::on_head(http::Head& head, http::End end) {
  answer_begun_ = true;
  if (head.status >= 200 || head.status == 101) {
    outcome_ = outcome_of(head);
    if (outcome_ == upstream::Outcome::refused) pause_ = pause_of(head, user_.attempt_wall());
    grpc_ = http::is_grpc(head.fields);
    lease_.head(outcome_, head.status);
  }
  if (head.status == 101) {
    lease_.became_tunnel();
    leave_class();
  }
  user_.attempt_head(head, end);
}

void Attempt::on_body(net::ByteQueue&& bytes, http::End end) { user_.attempt_body(std::move(bytes), end); }

void Attempt::on_trailers(http::Fields& trailers) {
  if (grpc_ && outcome_ == upstream::Outcome::answered) {
    outcome_ = outcome_of_grpc(trailers);
    pause_ = pause_of_grpc(trailers);
  }
  user_.attempt_trailers(trailers);
}

void Attempt::on_sent(size_t bytes) { user_.attempt_sent(bytes); }

void Attempt::on_malformed(http::Head&, const http::Failure&) { UNREACHABLE(); }   // server side only

void Attempt::on_closed(const http::Failure& why) {
  stream_ = nullptr;
  over();
  if (why.clean()) {
    lease_.done(outcome_, pause_);
    leave_class();
    user_.attempt_done();
    return;
  }
  // With a detail something had come: it was no race with the end of an idle connection.
  const bool race = reused_ && !answer_begun_ && why.kind == http::Kind::reset && why.detail == http::Detail::none;
  lease_.done(outcome_of(why, race));
  user_.attempt_failed(why, lease_.endpoint());
}

}  // namespace sluice::exchange

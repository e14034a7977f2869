// A route's fallback: what answers in place of our own 502, 503 and 504 while nothing of an answer is with the client.
// Asked once: what fails there, too, is told as any failure.
#include <algorithm>

#include "exchange/exchange.h"
#include "exchange/local_reply.h"
#include "route/rewrite.h"

namespace sluice::exchange {

bool Exchange::may_fall_back(const http::Failure& why) const {
  const uint16_t status = http::status_of(why.kind);
  const bool ours = status >= 502 && status <= 504;
  return ours && answer_ == Answer::none && fell_back_ == http::Kind::none && route_ != nullptr && options().fallback;
}

// Another upstream, as if the request had come for it, within what is left of `timeout`. False: it cannot be asked.
bool Exchange::ask_spare(const http::Failure& why) {
  if (cluster_ == nullptr || !may_fall_back(why) || options().fallback->upstream.empty()) return false;
  if (!may_ask_another(why, facts())) return false;
  attempt_.abandon(why);
  note_try(http::reason_word(why.kind));
  for (const Limit limit : {Limit::one_try, Limit::go_ahead, Limit::backoff}) deadlines_.clear(limit);
  fell_back_ = why.kind;
  attempts_before_ = attempts_;
  replayed_ = by_http1_ = false;
  upstream_index_ = options().fallback->upstream_index;
  cluster_ = &site_.cluster(upstream_index_);
  cluster_->count_request();
  avoid_.clear();
  try_once(false);
  return true;
}

// A fixed answer. A gRPC call is told its status, as ever: its client reads no page (docs/grpc.md).
bool Exchange::respond_instead(const http::Failure& why) {
  if (grpc_ || !may_fall_back(why) || !options().fallback->upstream.empty()) return false;
  fell_back_ = why.kind;
  of_route().fallback.served->add();
  env_.meter.local_reply(why.kind);
  Reply reply = reply_to(why);
  const route::Respond& instead = options().fallback->respond;
  reply.retry_after = instead.status == 503 ? std::max(reply.retry_after, 1U) : 0;
  reply.status = instead.status;
  reply.body = instead.body;
  http::Head answer(downstream_->arena());
  route::edit(answer.fields, options().response_headers);
  reply_with(reply, answer);
  return true;
}

}  // namespace sluice::exchange

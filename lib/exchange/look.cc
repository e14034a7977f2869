#include "exchange/look.h"

#include "exchange/exchange.h"

namespace sluice::exchange {

Look Exchange::look() const {
  const base::Micros began = record_.began();
  Look look{.listener = site_.listeners[listener_].name, .began = began, .since = began, .moved = last_byte_};
  look.client = client_text_;
  look.request_id = ids_.request_id;
  look.endpoint = endpoint_;
  if (head_ != nullptr) {
    look.method = head_->method_text;
    look.host = head_->authority;
    look.path = head_->path();
  }
  if (route_ != nullptr) look.route = options().name;
  if (cluster_ != nullptr) look.upstream = cluster_->options().name;
  look.bytes_in = bytes_in_;
  look.bytes_out = bytes_out_;
  look.status = status_;
  look.sort = grpc_ ? Sort::grpc_stream : sort_;
  look.attempts = attempts_;
  look_at_phase(look);
  return look;
}

void Exchange::look_at_phase(Look& look) const {
  if (attempt_.waiting()) {
    look.wait = attempt_.look(env_.loop.now());
    look.phase = look.wait->endpoint.empty() ? phase::waiting : phase::connecting;
    look.since = look.wait->since;
    if (!look.wait->endpoint.empty()) look.endpoint = look.wait->endpoint;
  } else if (answer_ == Answer::ended) {
    look.phase = phase::answered;
    look.since = last_byte_;
  } else if (answer_ == Answer::head_sent) {
    look.phase = tunnel_ ? phase::tunnel : phase::answering;
    look.since = record_.began() + first_byte_;
  } else if (backing_off_) {
    look.phase = phase::backing_off;
    look.since = asked_at_;
  } else if (held_back_) {
    look.phase = phase::reading_body;
  } else {
    look.phase = request_ended_ ? phase::awaiting_answer : phase::sending_body;
    look.since = sent_at_;
  }
}

}  // namespace sluice::exchange

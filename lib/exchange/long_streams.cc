// Answers and tunnels that go on: their lines in the log before they end, and their end by max_stream_duration.
#include "base/text.h"
#include "exchange/exchange.h"
#include "exchange/local_reply.h"

namespace sluice::exchange {
namespace {

using http::End;
using http::Failure;
using http::Kind;
using http::Where;

bool is_event_stream(const http::Fields& fields) {
  const std::string_view type = fields.value(http::Token::content_type);
  return base::iequals(base::trim_ows(type.substr(0, type.find(';'))), "text/event-stream");
}

}  // namespace

// The head of an answer with more to come has gone to the client.
void Exchange::goes_on(const http::Fields& head) {
  const bool events = is_event_stream(head);
  may_end_anywhere_ = tunnel_ || events;
  deadlines_.set(Limit::stream, options().max_stream_duration);
  if (!is_logged()) return;
  deadlines_.set(Limit::told, site_.log_plan->long_every());
  if (site_.log_plan->long_every().count != 0 && (tunnel_ || events)) write_log("begun");
}

void Exchange::tell_open() {
  deadlines_.set(Limit::told, site_.log_plan->long_every());
  write_log("open");
}

// In good order where an end says nothing about what came before it: tunnels and event streams end as if the upstream
// had ended them, calls of gRPC with their status. Anything else must look cut.
void Exchange::stream_too_long() {
  if (answer_ == Answer::ended) return;
  const Failure why{Kind::timeout, Where::proxy, http::Detail::none, false};
  refusal_ = "max_stream_duration";
  downstream_->recalled();
  if (!may_end_anywhere_ && !takes_status_) {
    attempt_.abandon({Kind::timeout, Where::upstream, http::Detail::none, false});  // the time limit closes it
    return fail_for_good(why);
  }
  went_wrong(why);
  deadlines_.clear_all();
  attempt_.abandon({Kind::timeout, Where::upstream, http::Detail::none, false});
  if (takes_status_) return end_call(why.kind);
  downstream_->send_body({}, End::yes);
  answer_ended();
}

}  // namespace sluice::exchange

// Exchange: one request through the proxy, between the client's stream and the tries on upstream endpoints. Lives in
// its worker's slab from the request's head to the end of both sides; writes one access-log line; frees itself at the
// loop's reap.
//
//   client on_body(q)  -> upstream send_body(q);   upstream on_sent(n) -> client consume(n)
//   upstream on_body(q) -> client send_body(q);    client on_sent(n)   -> upstream consume(n)
#pragma once

#include <span>
#include <string_view>
#include <utility>

#include "base/list.h"
#include "base/slab.h"
#include "exchange/attempt.h"
#include "exchange/concurrency_limiter.h"
#include "exchange/deadlines.h"
#include "exchange/forwarded.h"
#include "exchange/log_plan.h"
#include "exchange/look.h"
#include "exchange/origin.h"
#include "exchange/recent.h"
#include "exchange/record.h"
#include "exchange/retry.h"
#include "exchange/site.h"
#include "http/stream.h"

namespace sluice::exchange {

struct AccessRecord;
struct Reply;

class Exchange final : public http::Sink,
                       public base::ListHook<class HeldTag>,
                       private Attempt::User,
                       private Deadlines::User,
                       public net::Reapable {
 public:
  // Body bytes of a request that are kept for a further try; past it the request is simply not repeated.
  static constexpr size_t replay_bytes_max = 64 * 1024;
  // A request that holds so much memory lets its head go as soon as it is not sent again; a smaller one is not worth
  // the copy of what the log wants.
  static constexpr size_t release_above = 4 * 1024;
  // A connection of HTTP/1 upstream is taken when so much of a body, or its end, is here: slow uploads hold none
  // (threats.md row 57).
  static constexpr size_t held_back_bytes = 64 * 1024;
  // A body that pauses for so long (and for half of body_timeout at most) may belong to a client that waits for the
  // answer before it goes on: its request is sent without the rest, if the upstream has room (Cluster::has_room).
  static constexpr base::Millis pause_max = base::seconds(2);
  // A client that waits for 100 gets it from us when the upstream says nothing for so long (threats.md row 19).
  static constexpr base::Millis go_ahead_after = base::seconds(1);

  using Home = base::Slab<Exchange>;
  Exchange(Home& home, Env& env, Site& site, const Origin& origin, http::Stream& downstream);
  ~Exchange();

  Look look() const;  // until the stream's on_closed()
  // For HeldWatch: what 99 % of its route's requests take here (0 = not known); is it to be told of (once)?
  base::Micros usual_duration() const;
  bool tell_held() { return !std::exchange(told_held_, true); }
  base::Micros began() const { return record_.began(); }

 private:
  // What the answer towards the client has reached.
  enum class Answer : uint8_t { none, head_sent, ended };

  // http::Sink, the client's side
  void on_head(http::Head& head, http::End end) override;
  void on_body(net::ByteQueue&& bytes, http::End end) override;
  void on_trailers(http::Fields& trailers) override;
  void on_sent(size_t bytes) override;
  void on_malformed(http::Head& head, const http::Failure& why) override;
  void on_half_closed() override;
  void on_closed(const http::Failure& why) override;
  // Attempt::User, the upstream's side
  void attempt_ready(const upstream::Grant& grant) override;
  void attempt_head(http::Head& head, http::End end) override;
  void attempt_body(net::ByteQueue&& bytes, http::End end) override;
  void attempt_trailers(http::Fields& trailers) override;
  void attempt_sent(size_t bytes) override;
  void attempt_failed(const http::Failure& why, const upstream::Endpoint* endpoint) override;
  void attempt_done() override;
  base::Micros attempt_wall() override { return env_.loop.wall(); }
  base::Micros attempt_stalled_since() const override;
  void attempt_gives_way() override;
  void on_deadline(Limit which) override;
  void reclaim() noexcept override { home_.recycle(this); }

  // Steps of a request, in their order
  void identify_client();
  http::Failure refuse_by_head() const;
  bool answer_health();
  bool answer_max_forwards();
  void take_route();
  bool sheds();
  bool take_place();
  bool pay_rate();
  void pay_cost(const http::Fields& fields);
  void proxy();
  void edit_request();
  bool must_hold_back();
  void hold_back();
  void send_if_here();
  void body_pauses();
  void send_now();
  base::Millis pause() const;
  void try_once(bool fresh);
  void retry_ended(bool helped);
  void give_up(const http::Failure& why, NotRepeated because);
  void try_again(const upstream::Endpoint* failed, bool untouched);
  base::Micros patience() const;
  void send_request();
  void request_body(net::ByteQueue&& bytes, http::End end);
  void request_ended();
  void informational(http::Head& head);
  void send_go_ahead();
  void final_head(http::Head& head, http::End end);
  void release_request();
  void answer_ended();

  // Answers made here
  void fail(const http::Failure& why);
  void fail_for_good(const http::Failure& why);
  // The route's fallback (fallback.cc)
  bool may_fall_back(const http::Failure& why) const;
  bool ask_spare(const http::Failure& why);
  bool respond_instead(const http::Failure& why);
  void reply_locally(const http::Failure& why);
  Reply reply_to(const http::Failure& why) const;
  void take_error_page(Reply& reply, http::Head& answer);
  void reply_with(const Reply& reply, http::Head& answer);
  void call_too_long();
  void end_call(http::Kind kind);
  // What goes on for long (long_streams.cc)
  void goes_on(const http::Fields& head);
  void tell_open();
  void stream_too_long();
  void note_grpc_status(const http::Fields& fields);
  void redirect();
  void respond();

  void keep_for_replay(const net::ByteQueue& bytes);
  void bound_replay();
  void client_left(const http::Failure& why);
  void leave_if_queued();
  void cut(const http::Failure& why);
  void finish();
  RecentRing kept_as() const;
  bool is_logged() const;
  bool in_sample();
  void write_log(std::string_view told = {});  // of what goes on: begun, open; {}: it has ended
  void note_headers(LoggedHeader::Of of, const http::Fields& fields);
  std::string_view* copy_headers(base::Arena& to) const;
  bool failed() const;
  void describe_request(AccessRecord& record) const;
  void describe_end(AccessRecord& record) const;
  void moved();
  // What the request waits for, as it stands; so at the beginning of an upcall what it has waited for.
  Phase phase_now() const;
  void pass();  // time: at the beginning of each upcall, before anything changes
  void went_wrong(const http::Failure& why);
  std::string_view during(const http::Failure& why) const;
  void note_try(std::string_view reason);
  std::span<Try> copy_tries(base::Arena& to);
  std::string_view ended() const;
  std::string_view limited_by() const;
  void count();
  void look_at_phase(Look& look) const;
  TryFacts facts() const;
  const upstream::Endpoint* serving();
  bool goes_by_http1(const http::Failure& why) const;
  void count_upstream_error(const http::Failure& why, const upstream::Endpoint* at);
  const route::RouteOptions& options() const { return *route_; }
  const RouteCells& of_route() const { return cells_ != nullptr ? *cells_ : site_.route(no_route); }

  Home& home_;
  Env& env_;
  Site& site_;
  http::Stream* downstream_;  // nullptr once closed or cancelled
  http::Head* head_ = nullptr;  // the client's head; its memory lives as long as downstream_
  const route::RouteOptions* route_ = nullptr;
  const RouteCells* cells_ = nullptr;  // its; nullptr: it came to no route
  upstream::Cluster* cluster_ = nullptr;
  Attempt attempt_{*this};
  upstream::AvoidList avoid_;  // where it has failed: further tries go elsewhere
  Deadlines deadlines_;
  net::ByteQueue held_body_;  // request body kept until it has a stream, and for a further try
  const http::Fields* trailers_ = nullptr;  // request trailers, kept likewise
  Client client_{};
  uint32_t client_mark_ = 0;  // see upstream::client_mark()
  RequestIds ids_{};
  std::string_view normal_path_{};  // as the route matched it
  std::string_view upstream_target_{};  // path and query as they go upstream
  std::string_view endpoint_{};  // name of the last endpoint, in the arena
  std::string_view client_text_{};
  Record record_;
  base::Micros last_byte_;
  base::Micros asked_at_{};  // a stream was asked for
  base::Micros sent_at_{};  // the request's head went to the upstream
  base::Micros first_byte_{-1};
  base::Micros tls_{0};
  uint64_t bytes_in_ = 0, bytes_out_ = 0;
  uint64_t ring_key_ = 0;  // of the head as the client sent it; 0 = none
  uint64_t bytes_offered_ = 0;  // of the answer to the client, which took bytes_out_ of them
  base::Micros taken_at_{};  // when it took the last ones, or was offered the first of those it did not
  uint64_t consumed_ = 0;  // of the client's body: credit given back so far
  uint64_t sent_in_try_ = 0;  // of the client's body: what this try's upstream has taken
  http::Failure failure_{};  // why the request did not end well, for the log
  std::string_view during_{};  // a literal: in which part of it that was
  Try* tries_ = nullptr;  // that failed before the last one: up to tries_told, in the arena
  uint32_t tried_ = 0;
  uint16_t upstream_port_ = 0;  // of our end of the last connection
  std::string_view* logged_headers_ = nullptr;  // as LogPlan::headers(), in the arena; nullptr: there are none
  Origin origin_;
  uint32_t listener_;
  uint32_t route_index_ = no_route;
  uint32_t upstream_index_ = 0;
  uint16_t status_ = 0;
  uint16_t attempts_ = 0;
  uint16_t attempts_before_ = 0;  // of them at the route's own upstream, when the fallback was asked
  http::Kind fell_back_ = http::Kind::none;  // why the fallback was asked
  ConcurrencyLimiter::Held place_;  // at the route's concurrency_limit
  uint64_t rate_key_ = 0;  // hashed: whose bucket it draws on
  std::string_view refusal_{};  // a word of the log for what limit refused it: concurrency_limit, late, max_memory
  uint32_t rate_wait_ = 0;  // seconds, of what was refused by a rate limit
  RetryCause retried_for_ = RetryCause::none;  // this try is a further one
  NotRepeated not_repeated_ = NotRepeated::unsaid;
  Sort sort_ = Sort::request;
  Answer answer_ = Answer::none;
  bool request_ended_ = false;
  bool downstream_closed_ = false;
  bool half_closed_ = false;  // the client sent FIN behind its request
  bool told_held_ = false;
  bool refused_ = false;  // answered by us, for failure_
  bool held_back_ = false;  // waits for more of its body before it asks for a connection
  bool body_gone_ = false;  // more than replay_bytes_max went out
  bool go_ahead_sent_ = false;
  bool tunnel_ = false;
  bool reused_ = false;
  bool by_http1_ = false;  // an upgrade that the upstream's HTTP/2 does not offer
  bool replayed_ = false;  // after a connection that died while idle
  bool cut_by_try_timeout_ = false;
  bool backing_off_ = false;
  bool counted_in_flight_ = false;
  bool may_end_anywhere_ = false;  // the answer: a tunnel, or a stream of events
  bool cost_unknown_ = false;  // the answer may say what the request costs at its rate_limit
  bool about_health_ = false;
  bool cut_ = false;  // the answer ended before it was whole, through no doing of the client
  bool grpc_ = false;  // a gRPC call: failures are told as its status (docs/grpc.md)
  bool takes_status_ = false;  // the answer has begun, as one of gRPC: trailers can end it at any point
  int16_t grpc_status_ = -1;  // what the call ended with, for the log; -1: nothing that we saw
};

}  // namespace sluice::exchange

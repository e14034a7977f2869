// Attempt: one try of a request on one endpoint: waits for a stream, sends the request on it, hands the answer to its
// exchange. Embedded in the exchange, used again for every further try; abandon() undoes everything.
#pragma once

#include "http/stream.h"
#include "upstream/cluster.h"

namespace sluice::exchange {

class Attempt final : public http::Sink, public upstream::Waiter {
 public:
  // The exchange, seen from its try. At the loop; after failed or done the attempt is idle again.
  class User {
   public:
    virtual void attempt_ready(const upstream::Grant& facts) = 0;        // a stream is there: send the request now
    virtual void attempt_head(http::Head& head, http::End end) = 0;
    virtual void attempt_body(net::ByteQueue&& bytes, http::End end) = 0;
    virtual void attempt_trailers(http::Fields& trailers) = 0;
    virtual void attempt_sent(size_t bytes) = 0;
    virtual void attempt_failed(const http::Failure& why, const upstream::Endpoint* endpoint) = 0;
    virtual void attempt_done() = 0;
    virtual base::Micros attempt_wall() = 0;  // the time of day
    virtual base::Micros attempt_stalled_since() const = 0;  // see Waiter::stalled_since()
    virtual void attempt_gives_way() = 0;

   protected:
    ~User() = default;
  };

  explicit Attempt(User& user) : user_(user) {}
  ~Attempt() { abandon(http::Failure{}); }

  // Asks for a stream. attempt_ready may come inside this call: the caller is at the loop, so nothing is re-entered.
  void start(upstream::Cluster& cluster, const upstream::Want& want);
  // Leaves the queue, or cancels the stream. Nothing more comes. Idempotent.
  void abandon(const http::Failure& why);
  // Likewise, but another try may follow: the request keeps its place in its pool class until abandon(), or until a try
  // has ended well.
  void abandon_try(const http::Failure& why);

  void request_ended() { lease_.request_ended(); }  // the client has sent all of it
  bool waiting() const { return waiting_; }
  http::Stream* stream() { return stream_; }
  const upstream::Lease& lease() const { return lease_; }
  bool answer_begun() const { return answer_begun_; }
  void done(upstream::Outcome outcome) { lease_.done(outcome); }

 private:
  void on_stream(upstream::Grant&& grant) override;
  void on_refused(const http::Failure& why, const upstream::Endpoint* endpoint) override;
  base::Micros stalled_since() const override { return user_.attempt_stalled_since(); }
  void on_give_way() override { user_.attempt_gives_way(); }
  void on_head(http::Head& head, http::End end) override;
  void on_body(net::ByteQueue&& bytes, http::End end) override;
  void on_trailers(http::Fields& trailers) override;
  void on_sent(size_t bytes) override;
  void on_malformed(http::Head& head, const http::Failure& why) override;
  void on_closed(const http::Failure& why) override;

  User& user_;
  http::Stream* stream_ = nullptr;
  upstream::Lease lease_;
  bool waiting_ = false;
  bool answer_begun_ = false;
  bool grpc_ = false;  // the answer is
  upstream::Outcome outcome_ = upstream::Outcome::unknown;  // as far as the answer said it
  base::Millis pause_{0};  // that the answer asks for
  bool reused_ = false;  // the stream is not the first of its connection
};

}  // namespace sluice::exchange

// The checks: one Probe per endpoint, its connection and its verdict. See health_probe.h.
#include "upstream/health_probe.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/log_event.h"
#include "http/grpc.h"
#include "http/stream.h"
#include "net/timer.h"
#include "upstream/grpc_health.h"

namespace sluice::upstream {

bool expected(const std::vector<StatusRange>& ranges, std::uint16_t status) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [status](const StatusRange& r) { return status >= r.first && status <= r.last; });
}

bool Verdict::note(Health seen, const HealthOptions& options) {
  if (seen == health_) {
    in_a_row_ = 0;
    return false;
  }
  ++in_a_row_;
  if (in_a_row_ < (seen == Health::up ? options.healthy_after : options.unhealthy_after)) return false;
  health_ = seen;
  in_a_row_ = 0;
  return true;
}

namespace {

// Times and counts may differ: they are looked at when they matter.
bool same_question(const HealthOptions& a, const HealthOptions& b) {
  return a.kind == b.kind && a.path == b.path && a.host == b.host && a.service == b.service && a.expect == b.expect;
}

}  // namespace

// The checks of one endpoint, one at a time.
class HealthChecker::Probe final : private DialUser, private http::ClientHost, private http::Sink {
 public:
  Probe(HealthChecker& home, std::shared_ptr<SharedEndpoint> endpoint) : home_(home), endpoint_(std::move(endpoint)) {}
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;
  ~Probe() { stop(); }

  SharedEndpoint& endpoint() const { return *endpoint_; }
  Verdict& verdict() { return verdict_; }
  const std::string& last_error() const { return last_error_; }
  void schedule(base::Millis after) { next_.arm(home_.loop_, after); }
  // The interval may be shorter now.
  void hurry() {
    if (!next_.armed() || rests_since_.count == 0) return;
    const base::Micros due = rests_since_ + home_.interval(permille_);
    if (due < next_.due()) schedule(base::Millis{std::max<std::int64_t>(0, (due - home_.loop_.now()).count / 1000)});
  }
  // Lets go of the check under way, if any; the next one is scheduled as usual.
  void restart() {
    const bool under_way = asking_;
    stop();
    session_ = nullptr;
    if (under_way) rest();
  }

 private:
  const HealthOptions& options() const { return *home_.options_->health; }
  bool grpc() const { return options().kind == HealthKind::grpc; }

  void begin() {
    CHECK(!asking_ && dial_ == nullptr);
    session_ = nullptr;   // of the last check, should it still be closing
    asking_ = true;
    deadline_.arm(home_.loop_, options().timeout);
    dial_ = home_.connector_->dial(
        DialTarget{.endpoint = *endpoint_, .sessions = &tls_sessions_, .timeout = options().timeout}, *this, *this);
  }
  // We may be inside an upcall of the session: it is told to end and let go of when it has.
  void stop() {
    asking_ = false;
    deadline_.disarm();
    dial_ = nullptr;
    if (stream_ != nullptr) std::exchange(stream_, nullptr)->cancel({http::Kind::timeout, http::Where::proxy});
    if (session_ != nullptr) session_->abort(http::CloseCause::health);
  }
  void done(Health seen, std::string error) {
    stop();
    last_error_ = std::move(error);
    rest();
    home_.judge(*this, seen);
  }
  void rest() {
    rests_since_ = home_.loop_.now();
    permille_ = home_.jitter();
    schedule(home_.interval(permille_));
  }
  void on_deadline() { done(Health::down, "no answer in time"); }

  // DialUser
  void on_dialled(http::ClientSessionPtr session, const DialTimes&) override {
    dial_ = nullptr;
    session_ = std::move(session);
    switch (options().kind) {
      case HealthKind::tcp: return done(Health::up, {});
      case HealthKind::http:
      case HealthKind::grpc: return ask();
    }
    UNREACHABLE();
  }
  void on_dial_failed(const DialFailure& why) override {
    if (why.fault == DialFailure::Fault::theirs) return done(Health::down, std::string(http::reason_word(why.kind)));
    stop();  // ports or descriptors of ours ran out: that is no answer of theirs
    last_error_ = http::reason_word(why.kind);
    rest();
  }

  void ask() {
    stream_ = session_->open(*this);
    if (stream_ == nullptr) return;       // the peer allows none: on_slots() follows, or the deadline
    answer_.clear();
    http::Head head(stream_->arena());
    head.scheme = home_.options_->tls.has_value() ? "https" : "http";
    head.authority = !options().host.empty()                  ? std::string_view(options().host)
                     : endpoint_->host().starts_with("unix:") ? std::string_view("localhost")
                                                              : std::string_view(endpoint_->host());
    head.fields.add(http::Token::user_agent, "sluice-health");
    if (grpc()) return ask_grpc(head);
    head.method = http::Method::get;
    head.method_text = "GET";
    head.target = options().path;
    head.fields.add(http::Token::accept, "*/*");
    stream_->send_head(head, http::End::yes);
  }
  void ask_grpc(http::Head& head) {
    const std::string request = grpc_health_request(options().service);
    head.method = http::Method::post;
    head.method_text = "POST";
    head.target = grpc_health_path;
    head.te_trailers = true;
    head.fields.add(http::Token::content_type, "application/grpc");
    stream_->send_head(head, http::End::no);
    net::ByteQueue body;
    body.append_copy(request);
    stream_->send_body(std::move(body), http::End::yes);
  }
  // The status comes last; only with it is the answer one.
  void judge_grpc(const http::Fields& last) {
    const std::string_view status = last.value(http::Token::grpc_status);
    if (status.empty()) return done(Health::down, "the answer has no grpc-status");
    if (status != "0")
      return done(Health::down, fmt::format("grpc status {}", http::parse_grpc_status(status).value_or(2)));
    const std::optional<ServingStatus> serving = parse_grpc_health(answer_);
    if (!serving) return done(Health::down, "the answer is no HealthCheckResponse");
    if (*serving == ServingStatus::serving) return done(Health::up, {});
    done(Health::down, std::string(serving_word(*serving)));
  }

  // ClientHost
  void on_slots(http::ClientSession&) override {
    if (asking_ && stream_ == nullptr) ask();
  }
  void on_session_end(http::ClientSession&, http::CloseCause cause) override {
    session_ = nullptr;
    if (asking_) done(Health::down, std::string(http::cause_word(cause)));
  }
  void on_protocol_error(http::Detail) override {}   // the stream, or the session's end, tells
  // Sink
  void on_head(http::Head& head, http::End end) override {
    if (head.status < 200) return;
    if (grpc() && head.status == 200) {
      if (!http::is_grpc(head.fields)) return done(Health::down, "the answer is not gRPC");
      if (end == http::End::yes) judge_grpc(head.fields);
      return;
    }
    if (grpc()) return done(Health::down, fmt::format("status {}", head.status));
    // The rest of the answer is of no interest.
    if (expected(options().expect, head.status)) return done(Health::up, {});
    done(Health::down, fmt::format("status {}", head.status));
  }
  void on_body(net::ByteQueue&& bytes, http::End end) override {
    if (answer_.size() + bytes.size() > grpc_health_answer_max)
      return done(Health::down, "the answer is no HealthCheckResponse");
    const std::size_t before = answer_.size();
    answer_.resize(before + bytes.size());
    bytes.peek(answer_.data() + before, bytes.size());
    if (end == http::End::yes) done(Health::down, "the answer has no grpc-status");
  }
  void on_trailers(http::Fields& trailers) override { judge_grpc(trailers); }
  void on_sent(std::size_t) override {}
  void on_malformed(http::Head&, const http::Failure&) override { UNREACHABLE(); }   // server side only
  void on_closed(const http::Failure& why) override {
    stream_ = nullptr;
    done(Health::down, std::string(http::reason_word(why.kind)));
  }

  HealthChecker& home_;
  std::shared_ptr<SharedEndpoint> endpoint_;
  Verdict verdict_;
  std::string last_error_;
  tls::SessionSlot tls_sessions_;
  DialPtr dial_;
  http::ClientSessionPtr session_;
  http::Stream* stream_ = nullptr;
  std::string answer_;    // grpc: the body so far
  base::Micros rests_since_{};         // when the last check was over; 0: there was none
  std::uint32_t permille_ = 1'000;     // of the interval, until the next
  bool asking_ = false;   // a check is under way
  net::Timer next_{this, net::timer_call<&Probe::begin>};
  net::Timer deadline_{this, net::timer_call<&Probe::on_deadline>};
};

HealthChecker::HealthChecker(const Setup& setup)
    : loop_(setup.loop), upstream_(setup.upstream), listener_(setup.listener), random_(setup.seed) {}

HealthChecker::~HealthChecker() = default;

// +-10 %, so that the checks of many endpoints and instances spread.
std::uint32_t HealthChecker::jitter() { return 900 + random_.below(201); }

base::Millis HealthChecker::interval(std::uint32_t permille) const {
  return base::Millis{std::max<std::int64_t>(1, options_->health->interval.count * permille / 1000)};
}

void HealthChecker::update(std::shared_ptr<const UpstreamOptions> options, const EndpointSetPtr& set,
                           std::unique_ptr<Connector> connector) {
  CHECK(options != nullptr && (connector != nullptr || connector_ != nullptr));
  const bool asks_on =
      connector == nullptr && options_->health && options->health && same_question(*options_->health, *options->health);
  if (connector != nullptr) connector_ = std::move(connector);
  options_ = std::move(options);
  for (const auto& p : probes_) {
    if (!options_->health) break;
    if (!asks_on) p->restart();
    p->hurry();
  }
  set_endpoints(set);
}

void HealthChecker::set_endpoints(const EndpointSetPtr& set) {
  std::vector<std::unique_ptr<Probe>> before = std::exchange(probes_, {});
  if (!options_->health.has_value()) {
    before.clear();
    for (const EndpointEntry& e : set->entries) {
      e.endpoint->note_checked(false, loop_.now());
      if (upstream_->set_health(*e.endpoint, Health::up, loop_.now()))
        listener_.on_health(*upstream_, *e.endpoint, Health::up);
    }
    return;
  }
  for (const EndpointEntry& e : set->entries) {
    const auto kept = std::find_if(before.begin(), before.end(), [&e](const std::unique_ptr<Probe>& p) {
      return p != nullptr && &p->endpoint() == e.endpoint.get();
    });
    if (kept != before.end()) {
      probes_.push_back(std::move(*kept));
      continue;
    }
    probes_.push_back(std::make_unique<Probe>(*this, e.endpoint));
    // The first check soon, but not all at once.
    probes_.back()->schedule(base::Millis{static_cast<std::int64_t>(random_.below(
        static_cast<std::uint32_t>(std::clamp<std::int64_t>(options_->health->interval.count / 10, 1, 1'000))))});
  }
}

void HealthChecker::judge(Probe& probe, Health seen) {
  probe.endpoint().checks(seen).add();
  if (seen == Health::up) probe.endpoint().note_checked(true, loop_.now());
  if (!probe.verdict().note(seen, *options_->health)) return;
  const Health health = probe.verdict().health();
  const bool up = health == Health::up;
  base::log_event(base::LogLevel::warn, "endpoint_state",
                  {{"upstream", upstream_->name()},
                   {"endpoint", probe.endpoint().name()},
                   {"from", up ? "unhealthy" : "in_use"},
                   {"to", up ? "in_use" : "unhealthy"},
                   {"by", "check"},
                   {"why", probe.last_error()},
                   {"after", up ? options_->health->healthy_after : options_->health->unhealthy_after}});
  if (upstream_->set_health(probe.endpoint(), health, loop_.now()))
    listener_.on_health(*upstream_, probe.endpoint(), health);
}

std::vector<HealthChecker::Status> HealthChecker::status() const {
  std::vector<Status> all;
  for (const auto& p : probes_) all.push_back(Status{p->endpoint().name(), p->verdict().health(), p->last_error()});
  return all;
}

}  // namespace sluice::upstream

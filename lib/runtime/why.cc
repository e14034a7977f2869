#include "runtime/why.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "base/text.h"

namespace sluice::runtime {
namespace {

using exchange::NotRepeated;
using exchange::Phase;
using exchange::RecentEnd;
using http::Kind;

std::string safe(std::string_view text) {
  std::string out;
  base::append_escaped(out, text);
  return out;
}

std::string span(base::Micros time) {
  const double ms = static_cast<double>(std::max<int64_t>(time.count, 0)) / 1e3;
  if (ms >= 1'000) return fmt::format("{:.1f} s", ms / 1e3);
  return ms >= 10 ? fmt::format("{:.0f} ms", ms) : fmt::format("{:.1f} ms", ms);
}

std::string grouped(uint64_t number) {
  std::string text = std::to_string(number);
  for (size_t at = text.size(); at > 3;) text.insert(at -= 3, ",");
  return text;
}

std::string bytes(uint64_t number) { return grouped(number) + (number == 1 ? " byte" : " bytes"); }

base::Micros in(const RecentEnd& end, Phase phase) { return end.phase[static_cast<size_t>(phase)]; }

std::string endpoint_of(const RecentEnd& end) {
  const std::string_view name = end.text(RecentEnd::endpoint);
  return name.empty() ? "the upstream" : "endpoint " + safe(name);
}

std::string upstream_of(const RecentEnd& end) {
  const std::string_view name = end.text(RecentEnd::upstream);
  return name.empty() ? "the upstream" : "upstream " + safe(name);
}

std::string route_of(const RecentEnd& end) { return "route " + safe(end.text(RecentEnd::route)); }

// " (slow_body)"
std::string detail_of(const RecentEnd& end) { return end.detail.empty() ? "" : fmt::format(" ({})", end.detail); }

// Where in the exchange it happened: " before it answered", " 0.3 s into the body".
std::string when(const RecentEnd& end) {
  if (end.during == "response_body" && end.first_byte.count >= 0)
    return fmt::format(" {} into the body", span(end.total - end.first_byte));
  if (end.during == "response_head") return fmt::format(" before it answered, after {}", span(end.total));
  if (end.during == "request_body") return " while the request was being sent";
  if (end.during == "connect") return " while the connection was made";
  return "";
}

std::string client_left(const RecentEnd& end) {
  const std::string after = span(end.total);
  if (end.during == "queue")
    return fmt::format("the client left after {}, while it waited for a place at {}", after, upstream_of(end));
  if (end.during == "connect")
    return fmt::format("the client left after {}, while a connection to {} was made", after, endpoint_of(end));
  if (end.during == "response_head")
    return fmt::format("the client left after {}, while {} owed the answer", after, endpoint_of(end));
  if (end.during == "response_body" && in(end, Phase::client_write) > in(end, Phase::upstream_body))
    return fmt::format("the client left{}, with bytes waiting for it", when(end));
  if (end.during == "response_body") return fmt::format("the client left{}", when(end));
  return fmt::format("the client left after {}, before its request was whole", after);
}

std::string too_slow(const RecentEnd& end) {
  const std::string_view what = end.detail;
  if (what == "slow_head") return "the client took too long to send the head of its request (header_timeout)";
  if (what == "slow_read") return "the client took too little of the answer in too long a time (slow_read)";
  return fmt::format("the client took too long to send its request{}", detail_of(end));
}

std::string rate_limited(const RecentEnd& end) {
  const bool open = end.detail == "concurrency_limit";
  return fmt::format("its key had {} than {} of {} allows", open ? "more requests open" : "sent more",
                     open ? "concurrency_limit" : "rate_limit", route_of(end));
}

std::string overloaded(const RecentEnd& end) {
  if (end.detail == "late")
    return "this worker was late with its work (runtime.max_lateness), and it was let go for that";
  if (end.detail == "max_memory") return "the process held more than runtime.max_memory lets it begin with";
  return fmt::format("sluice had no room for it{}", detail_of(end));
}

std::string waited_in_vain(const RecentEnd& end) {
  std::string text =
      fmt::format("it waited {} for a connection to {}, and got none", span(in(end, Phase::queue)), upstream_of(end));
  if (in(end, Phase::connect).count > 0)
    text += fmt::format("; one was being made for {} of it", span(in(end, Phase::connect)));
  if (end.detail == "shed") return text + ": the queue gave up its oldest (shed)";
  if (end.detail == "pool_class") return text + ": its pool class was full (pool_class)";
  return text + " (pool.acquire_timeout)";
}

std::string reset(const RecentEnd& end) {
  if (end.failure.kind == Kind::refused_stream) return fmt::format("{} refused the stream", endpoint_of(end));
  return fmt::format("{} reset the connection{}{}", endpoint_of(end), when(end), detail_of(end));
}

std::string bad_response(const RecentEnd& end) {
  if (end.detail == "truncated")
    return fmt::format("{} ended its answer{}, before it was whole", endpoint_of(end), when(end));
  return fmt::format("{} sent what is no answer{}", endpoint_of(end), detail_of(end));
}

std::string timed_out(const RecentEnd& end) {
  if (end.during == "response_body")
    return fmt::format("the answer of {} took longer than it may{} (stream_idle_timeout, or the call's deadline)",
                       endpoint_of(end), when(end));
  if (end.during == "queue" || end.during == "connect")
    return fmt::format("its time was up after {} (timeout of {}), while it waited for a connection to {}",
                       span(end.total), route_of(end), upstream_of(end));
  if (end.during == "request_body")
    return fmt::format("nothing moved for too long (stream_idle_timeout of {}) while the request was being sent",
                       route_of(end));
  return fmt::format("{} did not answer in {} (timeout of {})", endpoint_of(end), span(in(end, Phase::upstream_head)),
                     route_of(end));
}

// What happened, and by whom; of what did not end well.
std::string cause_of(const RecentEnd& end) {
  const std::string detail = detail_of(end);
  switch (end.failure.kind) {
    case Kind::none: return "";
    case Kind::bad_request: return "the client sent what is no valid request" + detail;
    case Kind::body_too_large: return "the client sent a body larger than max_body allows" + detail;
    case Kind::uri_too_long: return "the client sent a target longer than max_request_line allows" + detail;
    case Kind::headers_too_large: return "the client sent more header fields than the limits allow" + detail;
    case Kind::not_implemented: return "the client asked for what sluice or this route does not do" + detail;
    case Kind::version: return "the client speaks a version of HTTP that is not spoken here" + detail;
    case Kind::denied: return fmt::format("{} does not admit the address of the client (allow, deny)", route_of(end));
    case Kind::no_route: return "no route is for this host, path and method";
    case Kind::method_not_allowed: return "the method is not allowed";
    case Kind::expectation: return "the client expects what is not known (Expect)";
    case Kind::rate_limited: return rate_limited(end);
    case Kind::request_timeout: return too_slow(end);
    case Kind::misdirected: return "the connection's certificate is not for this host";
    case Kind::too_early: return "it came as early data, which may be a replay";
    case Kind::loop: return "it has been through this sluice before (Via)";
    case Kind::client_closed: return client_left(end);
    case Kind::connect_failed: return fmt::format("no connection to {} could be made", endpoint_of(end));
    case Kind::reset:
    case Kind::refused_stream: return reset(end);
    case Kind::bad_response: return bad_response(end);
    case Kind::tls_failed: return fmt::format("TLS with {} failed{}", endpoint_of(end), detail);
    case Kind::no_endpoint: return fmt::format("{} has no endpoint that may be used", upstream_of(end));
    case Kind::pool_timeout: return waited_in_vain(end);
    case Kind::pool_full:
      return fmt::format("as many waited for {} as may (pool.max_waiting){}", upstream_of(end), detail);
    case Kind::circuit_open:
      return fmt::format("as many requests of {} were open as may (circuit max_requests)", upstream_of(end));
    case Kind::overloaded: return overloaded(end);
    case Kind::no_local_port: return fmt::format("sluice had no local port left towards {}", endpoint_of(end));
    case Kind::no_descriptor: return "sluice had no file descriptor left for a connection";
    case Kind::connect_timeout: return fmt::format("{} took no connection in time (connect_timeout)", endpoint_of(end));
    case Kind::timeout: return timed_out(end);
    case Kind::shutdown: return "sluice was draining, and the drain's deadline ended it";
  }
  UNREACHABLE();
}

std::string not_repeated(const RecentEnd& end) {
  switch (end.not_repeated) {
    case NotRepeated::unsaid: return "";
    case NotRepeated::answer_begun: return "not repeated, the answer had begun";
    case NotRepeated::attempts: return fmt::format("{} tries are what retry.attempts allows", end.attempts);
    case NotRepeated::not_asked_for: return "not repeated, retry.on does not ask for it";
    case NotRepeated::body_gone: return "not repeated, more of its body was sent than is kept";
    case NotRepeated::unsafe:
      return fmt::format("not repeated, it may have been processed, and {} is not idempotent",
                         safe(end.text(RecentEnd::method)));
    case NotRepeated::budget: return "not repeated, the retry budget is used up (retry.budget)";
  }
  UNREACHABLE();
}

// "GET /cart, 200"
std::string subject(const RecentEnd& end) {
  const std::string_view method = end.text(RecentEnd::method);
  std::string text =
      method.empty() ? "a request that was not whole" : safe(method) + " " + safe(end.text(RecentEnd::path));
  if (end.status != 0) text += fmt::format(", {}", end.status);
  if (end.grpc_status >= 0) text += fmt::format(" with gRPC status {}", end.grpc_status);
  return text;
}

// What was with the client, in its own words: "cut after 20,000 bytes".
std::string outcome(const RecentEnd& end) {
  if (end.ended == "refused" && !end.fallback.empty()) return "answered by the fallback of " + route_of(end);
  if (end.ended == "refused") return "answered by sluice";
  if (end.ended == "tunnel") return fmt::format("a tunnel of {}", span(end.total));
  if (end.ended == "complete")
    return fmt::format("complete: {} in {} from {}", bytes(end.bytes_out), span(end.total), endpoint_of(end));
  return end.bytes_out == 0 && end.first_byte.count < 0 ? "no answer" : "cut after " + bytes(end.bytes_out);
}

std::string tries_of(const RecentEnd& end) {
  std::string text;
  for (uint32_t i = 0; i < end.tries(); ++i) {
    const RecentEnd::Tried one = end.tried(i);
    text += fmt::format("{}{}: {} after {}", i == 0 ? "; tried before: " : ", ",
                        one.endpoint.empty() ? "no endpoint" : safe(one.endpoint), safe(one.reason), span(one.took));
  }
  return text;
}

// Where the time went: the phases that have a tenth of it, the longest first.
std::string time_of(const RecentEnd& end) {
  std::vector<Phase> all;
  for (size_t i = 0; i < exchange::phases; ++i) {
    if (end.phase[i].count > 0 && end.phase[i].count * 10 >= end.total.count) all.push_back(static_cast<Phase>(i));
  }
  std::ranges::stable_sort(all, [&](Phase a, Phase b) { return in(end, a) > in(end, b); });
  std::string text;
  for (const Phase phase : all) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", exchange::phase_word(phase), span(in(end, phase)));
  }
  return text;
}

std::string tunnel_end(const RecentEnd& end) {
  const std::string moved = fmt::format("{} to the client, {} from it", bytes(end.bytes_out), bytes(end.bytes_in));
  if (end.failure.clean()) return moved + "; both ends closed it";
  if (end.failure.kind == Kind::client_closed) return moved + "; the client ended it";
  return moved + "; " + cause_of(end);
}

}  // namespace

std::string sentence_of(const RecentEnd& end) {
  std::string text = subject(end) + ", " + outcome(end);
  if (end.ended == "tunnel") return text + ": " + tunnel_end(end);
  if (const std::string cause = cause_of(end); !cause.empty()) text += ": " + cause;
  if (const std::string why = not_repeated(end); !why.empty()) text += "; " + why;
  text += tries_of(end);
  if (end.limited_by.empty() && end.failure.clean()) return text;
  if (const std::string time = time_of(end); !time.empty() && end.total.count >= 10'000) {
    text += fmt::format("; {}: {}", end.limited_by.empty() ? "its time" : "slow", time);
    if (!end.limited_by.empty()) text += fmt::format(" (limited by {})", end.limited_by);
  }
  return text;
}

}  // namespace sluice::runtime

// Formatting of access-log lines: JSON as the plan says, and Apache's combined line with what people want to know
// behind it.
#include <algorithm>

#include "exchange/access_log.h"
#include "exchange/ending_code.h"
#include "exchange/line_out.h"
#include "http/validate.h"

namespace sluice::exchange {
namespace {

constexpr size_t value_max = AccessRecord::value_bytes_max;

// A line fits: no value is longer than its cap.
constexpr size_t capped = AccessRecord::path_bytes_max + AccessRecord::query_bytes_max + 12 * value_max +
                          LogPlan::headers_max * LogPlan::header_bytes_max +
                          tries_told * (AccessRecord::tried_bytes_max + 96);
static_assert(capped + 16 * 1024 < line_bytes_max);  // keys (those of headers are of the configuration) and numbers

// One member of the object: its key is written when there is a value.
class Member {
 public:
  Member(LineOut& out, const std::string& key) : out_(out), key_(key) {}
  void text(std::string_view value, size_t cap = value_max) {
    if (value.empty()) return;
    out_.put(key_);
    out_.put('"');
    out_.escaped(value, cap);
    out_.put('"');
  }
  void number(uint64_t value) {
    out_.put(key_);
    out_.number(value);
  }
  void number_if(uint64_t value) {
    if (value != 0) number(value);
  }
  void micros(base::Micros value) { number(static_cast<uint64_t>(std::max<int64_t>(value.count, 0))); }
  void time(base::Micros wall) {
    out_.put(key_);
    out_.put('"');
    out_.rfc3339(wall);
    out_.put('"');
  }
  void flag(bool value) {
    out_.put(key_);
    out_.put(value ? std::string_view("true") : std::string_view("false"));
  }
  void array_of(std::string_view value, size_t cap) {
    out_.put(key_);
    out_.put("[\"");
    out_.escaped(value, cap);
    out_.put("\"]");
  }
  void tries(std::span<const Try> tries) {
    if (tries.empty()) return;
    out_.put(key_);
    char before = '[';
    for (const Try& one : tries) {
      out_.put(before);
      before = ',';
      out_.put("{\"endpoint\":\"");
      out_.escaped(one.endpoint, AccessRecord::tried_bytes_max);
      out_.put("\",\"reason\":\"");
      out_.put(one.reason);
      out_.put("\",\"us\":");
      out_.number(static_cast<uint64_t>(one.took.count));
      out_.put('}');
    }
    out_.put(']');
  }

 private:
  LineOut& out_;
  const std::string& key_;
};

std::string_view path_of(std::string_view target) { return target.substr(0, target.find('?')); }
std::string_view query_of(std::string_view target) {
  const size_t mark = target.find('?');
  return mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
}

// Values of parameters that are secrets become "***". A name may stand behind '&' or ';', a value ends at '&' alone:
// whichever way an application reads it, what it takes for the secret is masked.
void put_query(LineOut& out, const LogPlan& plan, std::string_view query, size_t cap) {
  if (!plan.redacts_any()) return out.escaped(query, cap);
  const size_t end = out.size() + cap;
  for (;;) {
    const size_t name_end = query.find_first_of("=&;");
    const bool valued = name_end != std::string_view::npos && query[name_end] == '=';
    const bool secret = valued && plan.redacts(query.substr(0, name_end));
    const size_t piece = std::min(secret ? query.find('&') : query.find_first_of("&;"), query.size());
    const size_t room = end - out.size();
    if (room < 16) return out.put("...");
    if (secret) {
      out.escaped(query.substr(0, name_end), room - 8);
      out.put("=***");
    } else {
      out.escaped(query.substr(0, piece), room - 4);
    }
    if (piece == query.size()) return;
    out.put(query[piece]);
    query.remove_prefix(piece + 1);
  }
}

void put_target(LineOut& out, const LogPlan& plan, std::string_view target, size_t path_cap) {
  out.escaped(path_of(target), path_cap);
  if (target.find('?') == std::string_view::npos) return;
  out.put('?');
  put_query(out, plan, query_of(target), AccessRecord::query_bytes_max);
}

// An address with a query in it, all of it within value_max.
void put_referer(LineOut& out, const LogPlan& plan, std::string_view referer) {
  out.escaped(path_of(referer), value_max / 2);
  if (referer.find('?') == std::string_view::npos) return;
  out.put('?');
  put_query(out, plan, query_of(referer), value_max / 2 - 1);
}

std::string_view tls_word(uint16_t version) {
  switch (version) {
    case 0x0303: return "1.2";
    case 0x0304: return "1.3";
    default: return {};
  }
}

// The vocabularies ask for "1.1" and "2".
std::string_view bare_version(std::string_view protocol) {
  protocol.remove_prefix(std::min(protocol.size(), protocol.find('/') + 1));
  return protocol.ends_with(".0") && !protocol.starts_with('1') ? protocol.substr(0, protocol.size() - 2) : protocol;
}

bool is_ours(const LogPlan& plan) { return plan.names() == LogNames::sluice; }

void put_field(LineOut& out, const AccessRecord& r, const LogPlan& plan, const LogPlan::Step& step) {
  Member to(out, step.key);
  switch (step.field) {
    case LogField::v: return to.number(2);
    case LogField::time: return to.time(r.wall);
    case LogField::start: return to.time(r.start);
    case LogField::request_id: return to.text(r.request_id);
    case LogField::trace_id: return to.text(r.trace_id);
    case LogField::span_id: return to.text(r.span_id);
    case LogField::conn: return to.number_if(r.conn);
    case LogField::conn_request: return to.number_if(r.conn_request);
    case LogField::client: return to.text(r.client);
    case LogField::client_port: return to.number_if(r.client_port);
    case LogField::listener: return to.text(r.listener);
    case LogField::tls: return to.text(tls_word(r.tls_version));
    case LogField::sni: return to.text(r.sni);
    case LogField::alpn: return to.text(r.alpn);
    case LogField::route: return to.text(r.route);
    case LogField::method: return to.text(r.method);
    case LogField::host: return to.text(is_ours(plan) ? r.host : http::without_port(r.host));
    case LogField::path: return to.text(path_of(r.path), AccessRecord::path_bytes_max);
    case LogField::query:
      if (query_of(r.path).empty()) return;
      out.put(step.key);
      out.put('"');
      put_query(out, plan, query_of(r.path), AccessRecord::query_bytes_max);
      return out.put('"');
    case LogField::protocol: return to.text(is_ours(plan) ? r.protocol : bare_version(r.protocol));
    case LogField::status: return to.number_if(r.status);
    case LogField::grpc_status:
      if (r.grpc_status >= 0) to.number(static_cast<uint64_t>(r.grpc_status));
      return;
    case LogField::told: return to.text(r.told);
    case LogField::ended: return to.text(r.ended);
    case LogField::ended_by: return to.text(r.ended_by);
    case LogField::during: return to.text(r.during);
    case LogField::reason: return to.text(r.reason);
    case LogField::detail: return to.text(r.detail);
    case LogField::limited_by: return to.text(r.limited_by);
    case LogField::fallback: return to.text(r.fallback);
    case LogField::total_us: return to.micros(r.total);
    case LogField::client_request_us:
    case LogField::queue_us:
    case LogField::connect_us:
    case LogField::upstream_head_us:
    case LogField::upstream_body_us:
    case LogField::client_write_us:
    case LogField::proxy_us:
      return to.micros(r.phase[static_cast<size_t>(step.field) - static_cast<size_t>(LogField::client_request_us)]);
    case LogField::tls_us:
      if (r.tls.count != 0) to.micros(r.tls);
      return;
    case LogField::first_byte_us:
      if (r.first_byte.count >= 0) to.micros(r.first_byte);
      return;
    case LogField::upstream: return to.text(r.upstream);
    case LogField::endpoint: return to.text(r.endpoint);
    case LogField::upstream_port: return to.number_if(r.upstream_port);
    case LogField::reused:
      if (r.attempts != 0) to.flag(r.reused);
      return;
    case LogField::attempts: return to.number_if(r.attempts);
    case LogField::tries: return to.tries(r.tries);
    case LogField::bytes_in: return to.number(r.bytes_in);
    case LogField::bytes_out: return to.number(r.bytes_out);
    case LogField::user_agent: return to.text(r.user_agent);
    case LogField::referer:
      if (r.referer.empty()) return;
      out.put(step.key);
      out.put('"');
      put_referer(out, plan, r.referer);
      return out.put('"');
  }
}
static_assert(static_cast<size_t>(LogField::proxy_us) - static_cast<size_t>(LogField::client_request_us) ==
              static_cast<size_t>(Phase::proxy));

void dash_or(LineOut& out, std::string_view value) {
  if (value.empty()) {
    out.put('-');
  } else {
    out.escaped(value, value_max);
  }
}

}  // namespace

size_t format_json(const AccessRecord& r, const LogPlan& plan, char* to) {
  LineOut out(to, LineOut::Escape::json);
  for (const LogPlan::Step& step : plan.steps()) put_field(out, r, plan, step);
  for (size_t i = 0; i < r.headers.size(); ++i) {
    Member member(out, plan.header_key(i));
    if (r.headers[i].empty()) continue;
    if (plan.names() == LogNames::otel) {  // its convention: an array
      member.array_of(r.headers[i], LogPlan::header_bytes_max);
    } else {
      member.text(r.headers[i], LogPlan::header_bytes_max);
    }
  }
  if (out.size() == 0) out.put(',');  // nothing had a value
  *to = '{';  // for the comma of the first one
  out.put("}\n");
  return out.size();
}

// Behind the combined line: what it took in microseconds, and how it ended in two letters (ending_code.h).
size_t format_common(const AccessRecord& r, const LogPlan& plan, char* to) {
  LineOut out(to, LineOut::Escape::common);
  dash_or(out, r.client);
  out.put(" - - [");
  out.common_time(r.wall);
  out.put("] \"");
  if (r.method.empty()) {
    out.put('-');
  } else {
    out.escaped(r.method, value_max);
    out.put(' ');
    put_target(out, plan, r.path, AccessRecord::path_bytes_max);
    out.put(' ');
    out.put(r.protocol);
  }
  out.put("\" ");
  out.number(r.status);
  out.put(' ');
  out.number(r.bytes_out);
  out.put(" \"");
  if (r.referer.empty()) {
    out.put('-');
  } else {
    put_referer(out, plan, r.referer);
  }
  out.put("\" \"");
  dash_or(out, r.user_agent);
  out.put("\" ");
  out.number(static_cast<uint64_t>(std::max<int64_t>(r.total.count, 0)));
  out.put(' ');
  out.put(ending_code(r).text());
  out.put('\n');
  return out.size();
}

}  // namespace sluice::exchange

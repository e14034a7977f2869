// One function per question, in the order in which a head is judged; the first failure is the verdict.
#include "http1/message.h"

#include <cstring>

#include "base/text.h"
#include "http1/head_reader.h"

namespace sluice::http1 {
namespace {

using http::Detail;
using http::Failure;
using http::Head;
using http::Kind;
using http::Method;
using http::Token;
using http::Version;
using http::Where;

constexpr Failure bad_request(Detail detail) { return {Kind::bad_request, Where::downstream, detail, true}; }
constexpr Failure bad_response(Detail detail) { return {Kind::bad_response, Where::upstream, detail, false}; }

constexpr std::string_view http_11 = "HTTP/1.1";
constexpr std::string_view http_10 = "HTTP/1.0";
constexpr std::string_view separator = ", ";

bool looks_like_version(std::string_view text) {
  return text.size() == http_11.size() && text.starts_with("HTTP/") && base::is_digit(text[5]) && text[6] == '.' &&
         base::is_digit(text[7]);
}

// ---- requests ----

Failure split_absolute(Head& head) {
  const size_t colon = head.target.find("://");
  if (colon == std::string_view::npos) return bad_request(Detail::target);
  if (!http::is_known_scheme(head.target.substr(0, colon))) return bad_request(Detail::target);
  const std::string_view rest = head.target.substr(colon + 3);
  const size_t slash = rest.find_first_of("/?#");
  if (!http::is_authority(rest.substr(0, slash))) return bad_request(Detail::target);
  head.authority = http::without_empty_port(rest.substr(0, slash));
  if (slash == std::string_view::npos) {                   // RFC 9112 3.2.4: OPTIONS of the server as a whole
    head.target = head.method == Method::options ? "*" : "/";
    return {};
  }
  std::string_view target = rest.substr(slash);
  if (target.front() == '?') target = head.fields.arena().concat("/", target);
  head.target = target;
  return http::is_origin_form(target) ? Failure{} : bad_request(Detail::target);
}

// RFC 9112 3.2 and 3.3; the target's authority wins over Host (3.2.2).
Failure judge_target(const Special& special, http::Scheme scheme, Head& head) {
  const bool host_needed = head.version == Version::http_11;
  if (special.hosts > 1 || (special.hosts == 0 && host_needed)) return bad_request(Detail::host);
  if (special.hosts == 1 && !http::is_authority(special.host)) return bad_request(Detail::host);
  head.authority = http::without_empty_port(special.host);
  head.scheme = http::scheme_word(scheme);
  if (head.method == Method::connect) {
    if (!http::is_authority(head.target) || !http::has_port(head.target)) return bad_request(Detail::target);
    head.authority = head.target;
    return {};
  }
  if (head.target.front() == '/') return http::is_origin_form(head.target) ? Failure{} : bad_request(Detail::target);
  if (head.target == "*") return head.method == Method::options ? Failure{} : bad_request(Detail::target);
  return split_absolute(head);
}

// Only the one line "chunked" is taken. A list of codings of which the last is chunked is well framed, but we do not
// have the others (501, RFC 9112 6.1); anything else has no certain end.
Failure judge_coding(const Special& special) {
  if (special.transfer_encodings == 1 && base::iequals(special.transfer_encoding, "chunked")) return {};
  if (special.transfer_encodings != 1) return bad_request(Detail::te);
  std::string_view rest = special.transfer_encoding;
  bool last_chunked = false;
  while (const auto member = base::next_list_member(rest)) {
    if (!http::is_token(*member) || last_chunked || base::iequals(*member, "identity")) return bad_request(Detail::te);
    last_chunked = base::iequals(*member, "chunked");
  }
  return last_chunked ? Failure{Kind::not_implemented, Where::downstream, Detail::te, true} : bad_request(Detail::te);
}

Failure judge_request_body(const Special& special, Head& head, Message& message) {
  if (special.transfer_encodings != 0) {
    if (special.content_lengths != 0) return bad_request(Detail::cl_te);
    if (head.version == Version::http_10) return bad_request(Detail::te_10);
    if (const Failure why = judge_coding(special); !why.clean()) return why;
    message.framing = Framing::chunked;
    return {};
  }
  if (special.content_lengths == 0) return {};
  const auto length = http::parse_content_length(special.content_length);
  if (special.content_lengths > 1 || !length) return bad_request(Detail::cl);
  head.content_length = *length;
  message.length = *length;
  message.framing = *length == 0 ? Framing::none : Framing::length;
  return {};
}

std::string_view lower(std::string_view text, base::Arena& arena) {
  bool has_upper = false;
  for (const char c : text) has_upper = has_upper || base::to_lower(c) != c;
  if (!has_upper) return text;
  auto* to = static_cast<char*>(arena.allocate(text.size(), 1));
  for (size_t i = 0; i < text.size(); ++i) to[i] = base::to_lower(text[i]);
  return {to, text.size()};
}

Persistence persistence(const Special& special, Version version) {
  if (special.connection.close) return Persistence::close;
  if (version == Version::http_11) return Persistence::keep;
  return special.connection.keep_alive ? Persistence::keep : Persistence::close;
}

// ---- responses ----

Failure judge_switch(const Special& special, const Asked& asked, Head& head) {
  const std::string_view chosen = special.upgrade;
  if (asked.upgrade.empty() || !special.connection.upgrade || !base::iequals(chosen, asked.upgrade))
    return bad_response(Detail::switching);
  head.upgrade = asked.upgrade;
  return {};
}

// RFC 9110 15.5.22: a 426 lists what the client has to upgrade to; all of it goes on.
void take_demanded(Head& head) {
  http::Fields& fields = head.fields;
  size_t size = 0;
  for (const http::Field& field : fields)
    size += field.token == Token::upgrade ? field.value_size + separator.size() : size_t{0};
  if (size == 0) return;
  auto* const list = fields.arena().make_array<char>(size);
  size_t at = 0;
  while (const http::Field* field = fields.find(Token::upgrade)) {
    if (at != 0) at += separator.copy(list + at, separator.size());
    at += field->value().copy(list + at, field->value_size);
    fields.remove_at(static_cast<uint32_t>(field - fields.begin()));
  }
  head.upgrade = {list, at};
}

Failure judge_lengths(const Special& special, Head& head) {
  if (special.content_lengths == 0) return {};
  std::string_view rest = special.content_length;  // equal ones are folded into one (RFC 9110 8.6)
  const auto first = base::next_list_member(rest);
  const auto length = first ? http::parse_content_length(*first) : std::nullopt;
  if (!length || special.lengths_differ) return bad_response(Detail::framing);
  while (!rest.empty()) {
    const auto next = base::next_list_member(rest);
    if (!next || http::parse_content_length(*next) != length) return bad_response(Detail::framing);
  }
  head.content_length = *length;
  return {};
}

}  // namespace

// More names in Connection than fields in any sane head would only cost us time.
bool drop_nominated(const Special& special, http::Fields& fields) {
  constexpr uint32_t nominations_max = 64;
  uint32_t named = 0;
  for (const Nominations* n = special.nominations; n != nullptr; n = n->next) {
    named += http::remove_nominated(fields, n->value, nominations_max + 1);
    if (named > nominations_max) return false;
  }
  return true;
}

http::Failure read_request_line(std::string_view line, Head& head) {
  if (line.empty() || line.back() != '\r') return bad_request(Detail::ctl);
  line.remove_suffix(1);
  const size_t method_end = http::token_size(line);
  const size_t target_end = line.rfind(' ');
  const std::string_view version =
      target_end == std::string_view::npos ? std::string_view() : line.substr(target_end + 1);
  if (version == http_11) {
    head.version = Version::http_11;
  } else if (version == http_10) {
    head.version = Version::http_10;
  } else if (looks_like_version(version)) {
    return {Kind::version, Where::downstream, Detail::request_line, true};
  } else {
    return bad_request(Detail::request_line);
  }
  if (method_end == 0 || line[method_end] != ' ') return bad_request(Detail::method);
  if (target_end == method_end) return bad_request(Detail::request_line);
  head.method_text = line.substr(0, method_end);
  head.method = http::method_of(head.method_text);
  head.target = line.substr(method_end + 1, target_end - method_end - 1);
  return head.target.empty() ? bad_request(Detail::request_line) : Failure{};
}

// HTTP-version SP 3DIGIT [SP reason]; a missing last blank is common and does no harm.
http::Failure read_status_line(std::string_view line, Head& head) {
  constexpr size_t status_at = 9;
  constexpr size_t status_end = 12;
  if (line.size() < status_end + 1 || line.back() != '\r') return bad_response(Detail::status_line);
  line.remove_suffix(1);
  if (line.starts_with(http_11)) {
    head.version = Version::http_11;
  } else if (line.starts_with(http_10)) {
    head.version = Version::http_10;
  } else {
    return bad_response(Detail::status_line);
  }
  const auto status = base::parse_u64(line.substr(status_at, 3));
  if (line[status_at - 1] != ' ' || !status || *status < 100 || *status > 599) return bad_response(Detail::status_line);
  if (line.size() > status_end && line[status_end] != ' ') return bad_response(Detail::status_line);
  if (!http::is_field_value(line.substr(status_end))) return bad_response(Detail::status_line);
  head.status = static_cast<uint16_t>(*status);
  return {};
}

http::Failure judge_request(const Special& special, http::Scheme scheme, Head& head, Message& message) {
  message = {};
  if (const Failure why = judge_target(special, scheme, head); !why.clean()) return why;
  if (const Failure why = judge_request_body(special, head, message); !why.clean()) return why;
  if (!drop_nominated(special, head.fields))
    return {Kind::headers_too_large, Where::downstream, Detail::field_count, true};
  message.persistence = persistence(special, head.version);
  head.te_trailers = special.te_trailers;
  if (head.version == Version::http_10) {  // RFC 9110 7.8 and 10.1.1: neither is for 1.0
    head.fields.remove(Token::expect);
    return {};
  }
  head.expect_continue = special.expects_continue && message.framing != Framing::none;
  if (special.connection.upgrade && !special.upgrade.empty() && head.method != Method::connect) {
    if (message.framing != Framing::none) return bad_request(Detail::upgrade);
    head.upgrade = lower(special.upgrade, head.fields.arena());
  }
  // What follows a CONNECT may be meant for a tunnel: nothing after it is read as a request.
  if (head.method == Method::connect) message = {Framing::none, 0, Persistence::close};
  return {};
}

http::Failure judge_response(const Special& special, const Asked& asked, Head& head, Message& message) {
  message = {};
  message.persistence = persistence(special, head.version);
  if (!drop_nominated(special, head.fields)) return bad_response(Detail::head_size);
  if (head.status == 101) {
    if (const Failure why = judge_switch(special, asked, head); !why.clean()) return why;
    message.framing = Framing::raw;
    return {};
  }
  if (head.status < 200) return {};
  if (head.status == 426) take_demanded(head);
  if (special.transfer_encodings != 0) {
    const bool one_chunked = special.transfer_encodings == 1 && base::iequals(special.transfer_encoding, "chunked");
    if (!one_chunked || special.content_lengths != 0 || head.version == Version::http_10)
      return bad_response(Detail::framing);
  }
  if (const Failure why = judge_lengths(special, head); !why.clean()) return why;
  if (asked.method == Method::head || head.status == 304) return {};
  if (head.status == 204) {  // RFC 9112 6.3: no body, whatever is announced; but who lies is not kept
    if (special.transfer_encodings != 0 || head.content_length.value_or(0) != 0)
      message.persistence = Persistence::close;
    head.content_length.reset();
    return {};
  }
  if (special.transfer_encodings != 0) {
    message.framing = Framing::chunked;
  } else if (head.content_length) {
    message.length = *head.content_length;
    message.framing = message.length == 0 ? Framing::none : Framing::length;
  } else {
    message.framing = Framing::until_close;
    message.persistence = Persistence::close;
  }
  return {};
}

}  // namespace sluice::http1

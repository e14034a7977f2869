// What a line may be, then what the lines make together.
#include "http2/head_reader.h"

#include <cstring>

#include "base/check.h"
#include "base/text.h"
#include "http/hop_by_hop.h"
#include "http/websocket.h"

namespace sluice::http2 {

using http::Detail;
using http::End;
using http::Failure;
using http::Kind;
using http::Method;
using http::Token;
using http::Where;

namespace {

enum Pseudo : uint8_t {
  method_pseudo = 1,
  scheme_pseudo = 2,
  authority_pseudo = 4,
  path_pseudo = 8,
  protocol_pseudo = 16,
  status_pseudo = 32
};

uint8_t pseudo_of(std::string_view name) {
  if (name == ":method") return method_pseudo;
  if (name == ":scheme") return scheme_pseudo;
  if (name == ":authority") return authority_pseudo;
  if (name == ":path") return path_pseudo;
  if (name == ":protocol") return protocol_pseudo;
  if (name == ":status") return status_pseudo;
  return 0;
}

bool has_upper(std::string_view name) {
  for (const char c : name) {
    if (base::to_lower(c) != c) return true;
  }
  return false;
}

// RFC 9113 8.2.1: no white space at either end.
bool is_value(std::string_view value) {
  if (value.empty()) return true;
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  return !blank(value.front()) && !blank(value.back()) && http::is_field_value(value);
}

std::string_view lower(std::string_view text, base::Arena& arena) {
  if (!has_upper(text)) return text;
  auto* to = static_cast<char*>(arena.allocate(text.size(), 1));
  for (size_t i = 0; i < text.size(); ++i) to[i] = base::to_lower(text[i]);
  return {to, text.size()};
}

std::string_view usual_method(Method method) {
  switch (method) {
    case Method::get: return "GET";
    case Method::post: return "POST";
    case Method::head: return "HEAD";
    case Method::put:
    case Method::delete_:
    case Method::options:
    case Method::trace:
    case Method::connect:
    case Method::patch:
    case Method::other: return {};
  }
  return {};
}

}  // namespace

Failure HeadReader::bad(Detail detail) const {
  if (side_ == Side::request)
    return {Kind::bad_request, Where::downstream, block_ == Block::trailers ? Detail::trailer : detail, true};
  const bool of_a_field =
      detail == Detail::name || detail == Detail::ctl || detail == Detail::te;   // one word, as in HTTP/1 (row 28)
  return {Kind::bad_response, Where::upstream, of_a_field ? Detail::field : detail, false};
}

void HeadReader::fault(Detail detail) {
  if (failure_.clean()) failure_ = bad(detail);
}

void HeadReader::too_large(Detail detail) {
  if (!failure_.clean()) return;
  failure_ = side_ == Side::request ? Failure{Kind::headers_too_large, Where::downstream, detail, true}
                                    : Failure{Kind::bad_response, Where::upstream, Detail::head_size, false};
}

void HeadReader::begin_head(http::Head& head) {
  head_ = &head;
  head.version = http::Version::http_2;
  fields_ = &head.fields;
  block_ = Block::head;
  first_crumb_ = last_crumb_ = nullptr;
  bytes_ = 0;
  count_ = crumbs_ = 0;
  pseudos_ = 0;
  fields_begun_ = false;
}

// Trailers share the limits of the head (row 5).
void HeadReader::begin_trailers(http::Fields& to) {
  fields_ = &to;
  block_ = Block::trailers;
  fields_begun_ = true;
}

HeadReader::Taken HeadReader::take(std::string_view name, std::string_view value, Indexing indexing) {
  bytes_ += name.size() + value.size() + field_overhead;
  const uint64_t limit = limits_.max_header_bytes;
  if (bytes_ > limit) {
    too_large(Detail::field_size);
    return bytes_ > limit * bomb_factor ? Taken::bomb : Taken::yes;
  }
  if (!failure_.clean()) return Taken::yes;         // only counted
  if (!held_.take(name.size() + value.size())) {
    too_large(Detail::field_size);
    return Taken::yes;
  }
  if (!name.empty() && name.front() == ':') {
    take_pseudo(name, value);
  } else {
    take_field(name, value, indexing);
  }
  return Taken::yes;
}

void HeadReader::take_pseudo(std::string_view name, std::string_view value) {
  const uint8_t pseudo = pseudo_of(name);
  const bool fits = side_ == Side::response ? pseudo == status_pseudo : pseudo != status_pseudo;
  if (pseudo == 0 || !fits || fields_begun_ || (pseudos_ & pseudo) != 0) return fault(Detail::pseudo);
  pseudos_ |= pseudo;
  switch (static_cast<Pseudo>(pseudo)) {
    case method_pseudo:
      if (!http::is_token(value)) return fault(Detail::method);
      head_->method = http::method_of(value);
      head_->method_text = usual_method(head_->method);
      if (head_->method_text.empty()) head_->method_text = arena_.copy(value);
      return;
    case scheme_pseudo: head_->scheme = arena_.copy(value); return;
    case authority_pseudo: head_->authority = arena_.copy(value); return;
    case path_pseudo:
      if (value.size() > limits_.max_request_line) {
        failure_ = {Kind::uri_too_long, Where::downstream, Detail::line_size, true};
        return;
      }
      head_->target = arena_.copy(value);
      return;
    case protocol_pseudo:
      if (!http::is_token(value)) return fault(Detail::pseudo);
      protocol_ = lower(arena_.copy(value), arena_);
      return;
    case status_pseudo: {
      const auto status = value.size() == 3 ? base::parse_u64(value) : std::nullopt;
      if (!status || *status < 100 || *status > 599) return fault(Detail::status_line);
      head_->status = static_cast<uint16_t>(*status);
      return;
    }
  }
}

void HeadReader::take_field(std::string_view name, std::string_view value, Indexing indexing) {
  fields_begun_ = true;
  const Token token = http::token_of(name);
  // The names we know are tokens; of the others each letter is looked at (row 39).
  if (has_upper(name) || (token == Token::other && !http::is_token(name))) return fault(Detail::name);
  if (!is_value(value)) return fault(Detail::ctl);
  if (token == Token::cookie && side_ == Side::request && block_ == Block::head) return add_crumb(value, indexing);
  if (++count_ > limits_.max_header_count) return too_large(Detail::field_count);
  const uint8_t flags = indexing == Indexing::never ? http::Field::never_indexed : 0;
  if (token == Token::other) {
    if (name.size() > UINT16_MAX) return too_large(Detail::field_size);
    if (side_ == Side::request) {
      switch (http::underscore_rule(name, limits_.underscore_headers)) {
        case http::NameRule::take: break;
        case http::NameRule::drop: return;
        case http::NameRule::reject: return fault(Detail::underscore);
      }
    }
    if (block_ == Block::trailers && !http::allowed_in_trailers(token, name)) return;
    return fields_->add(Token::other, arena_.copy(name), arena_.copy(value), flags);
  }
  if (take_special(token, value)) return;
  if (block_ == Block::trailers && !http::allowed_in_trailers(token, name)) return;
  fields_->add(token, http::name_of(token), arena_.copy(value), flags);
}

// Fields that frame or steer, and those of a connection, which has none of these here (RFC 9113 8.2.2).
bool HeadReader::take_special(Token token, std::string_view value) {
  if (token == Token::te) {
    if (!base::iequals(value, "trailers") || side_ == Side::response) {
      fault(Detail::te);
    } else if (block_ == Block::head) {
      head_->te_trailers = true;
    }
    return true;
  }
  if (token == Token::connection || token == Token::keep_alive || token == Token::proxy_connection ||
      token == Token::upgrade) {
    fault(Detail::field);
    return true;
  }
  if (token == Token::transfer_encoding) {
    fault(side_ == Side::request ? Detail::te : Detail::framing);
    return true;
  }
  if (http::is_hop_by_hop(token)) return true;
  if (block_ == Block::trailers) return false;
  if (token == Token::content_length) {
    take_length(value);
    return true;
  }
  if (side_ == Side::response) return false;
  if (token == Token::host) {
    if (has_host_) fault(Detail::host);
    has_host_ = true;
    host_ = arena_.copy(value);
    return true;
  }
  if (token == Token::expect && base::iequals(value, "100-continue")) {
    head_->expect_continue = true;
    return true;
  }
  if (token == Token::priority) {
    priority_ = parse_priority(value);
    has_priority_ = true;
  }
  return false;
}

// Equal ones of a response are folded into one, as in HTTP/1 (row 27); a request may have one only (row 3).
void HeadReader::take_length(std::string_view value) {
  const auto length = http::parse_content_length(value);
  const bool again = head_->content_length.has_value();
  if (!length || (again && (side_ == Side::request || *length != *head_->content_length))) {
    return fault(side_ == Side::request ? Detail::cl : Detail::framing);
  }
  head_->content_length = *length;
}

void HeadReader::add_crumb(std::string_view value, Indexing indexing) {
  if (crumbs_ == 0 && ++count_ > limits_.max_header_count) return too_large(Detail::field_count);
  if (++crumbs_ > crumbs_max) return too_large(Detail::field_count);
  if (value.empty() && first_crumb_ != nullptr)
    return;   // it would leave a blank at the end, which no value may have (RFC 9113 8.2.1)
  Crumb* const crumb = arena_.make_array<Crumb>(1);
  *crumb = {nullptr, arena_.copy(value)};
  (last_crumb_ == nullptr ? first_crumb_ : last_crumb_->next) = crumb;
  last_crumb_ = crumb;
  if (indexing == Indexing::never) cookie_flags_ = http::Field::never_indexed;   // of one, so of all
}

// RFC 9113 8.2.3: before it goes where crumbs are not known.
void HeadReader::join_crumbs() {
  if (first_crumb_ == nullptr) return;
  if (first_crumb_ == last_crumb_)
    return fields_->add(Token::cookie, http::name_of(Token::cookie), first_crumb_->text, cookie_flags_);
  constexpr std::string_view between = "; ";
  size_t size = 0;
  for (const Crumb* c = first_crumb_; c != nullptr; c = c->next) size += c->text.size() + between.size();
  auto* const text = static_cast<char*>(arena_.allocate(size, 1));
  char* to = text;
  for (const Crumb* c = first_crumb_; c != nullptr; c = c->next) {
    if (to != text) {
      std::memcpy(to, between.data(), between.size());
      to += between.size();
    }
    if (!c->text.empty()) std::memcpy(to, c->text.data(), c->text.size());
    to += c->text.size();
  }
  fields_->add(Token::cookie, http::name_of(Token::cookie), {text, static_cast<size_t>(to - text)}, cookie_flags_);
}

Failure HeadReader::finish_request(http::Scheme scheme, End end) {
  CHECK(side_ == Side::request && block_ == Block::head);
  connect_ = head_->method == Method::connect && (pseudos_ & method_pseudo) != 0;
  if (failure_.clean()) failure_ = connect_ ? judge_connect(scheme) : judge_target(scheme);
  if (!failure_.clean()) return failure_;
  join_crumbs();
  if (end == End::yes) {
    if (head_->content_length.value_or(0) != 0) return failure_ = bad(Detail::cl);
    head_->expect_continue = false;
  }
  return failure_;
}

// :authority and Host name the same; one of them has to be there (row 39).
Failure HeadReader::judge_target(http::Scheme scheme) {
  constexpr uint8_t needed = method_pseudo | scheme_pseudo | path_pseudo;
  if ((pseudos_ & needed) != needed || (pseudos_ & protocol_pseudo) != 0) return bad(Detail::pseudo);
  if (!http::is_known_scheme(head_->scheme)) return bad(Detail::pseudo);
  head_->scheme = http::scheme_word(scheme);
  if ((pseudos_ & authority_pseudo) == 0) {
    if (!has_host_) return bad(Detail::host);
    head_->authority = host_;
  }
  if (!http::is_authority(head_->authority)) return bad(Detail::host);
  head_->authority = http::without_empty_port(head_->authority);
  if (has_host_ && !base::iequals(http::without_empty_port(host_), head_->authority)) return bad(Detail::host);
  if (head_->target == "*") return head_->method == Method::options ? Failure{} : bad(Detail::target);
  return http::is_origin_form(head_->target) ? Failure{} : bad(Detail::target);
}

Failure HeadReader::judge_connect(http::Scheme scheme) {
  if ((pseudos_ & protocol_pseudo) == 0) {          // a plain one, for a tunnel to anywhere
    if (pseudos_ != (method_pseudo | authority_pseudo)) return bad(Detail::pseudo);
    if (!http::is_authority(head_->authority) || !http::has_port(head_->authority)) return bad(Detail::target);
    head_->target = head_->authority;
    head_->scheme = http::scheme_word(scheme);
    return {};
  }
  pseudos_ &= static_cast<uint8_t>(~protocol_pseudo);
  if (const Failure why = judge_target(scheme); !why.clean()) return why;
  if (head_->content_length.value_or(0) != 0) return bad(Detail::upgrade);  // row 16: nothing before it is agreed to
  head_->content_length.reset();
  head_->expect_continue = false;
  head_->method = Method::get;  // RFC 8441: what HTTP/1 asks for with GET and Upgrade
  head_->method_text = "GET";
  head_->upgrade = protocol_;
  head_->without_key = protocol_ == http::websocket;
  head_->upgrade_only = true;
  return {};
}

Failure HeadReader::finish_response(const Asked& asked, End end) {
  CHECK(side_ == Side::response && block_ == Block::head);
  http::Head& head = *head_;
  if (failure_.clean() && pseudos_ != status_pseudo) failure_ = bad(Detail::pseudo);
  if (!failure_.clean()) return failure_;
  if (head.status == 101) return failure_ = bad(Detail::switching);  // RFC 9113 8.6
  if (head.status < 200) {
    head.content_length.reset();
    return end == End::yes ? failure_ = bad(Detail::framing) : failure_;
  }
  if (!asked.upgrade.empty() && head.status < 300) {
    if (end == End::yes) return failure_ = bad(Detail::switching);
    head.status = 101;
    head.upgrade = asked.upgrade;
    head.content_length.reset();
    return failure_;
  }
  if (head.status == 204) head.content_length.reset();
  const bool only_announced = asked.method == Method::head || head.status == 304;
  if (end == End::yes && !only_announced && head.content_length.value_or(0) != 0)
    return failure_ = bad(Detail::truncated);
  return failure_;
}

Failure HeadReader::finish_trailers(End end) {
  if (failure_.clean() && end == End::no) fault(Detail::frame);  // RFC 9113 8.1: they end the message
  return failure_;
}

}  // namespace sluice::http2

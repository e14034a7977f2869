// The queue side of reading a head, and where each field goes. What the whole means is judged in message.cc.
#include "http1/head_reader.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>

#include "base/check.h"
#include "base/text.h"
#include "base/unwritten.h"
#include "http/validate.h"
#include "http1/message.h"

namespace sluice::http1 {
namespace {

using http::Detail;
using http::Failure;
using http::Kind;
using http::Token;
using http::Where;

constexpr size_t lines_at_once = 64;
// What commit_special() does not just add.
constexpr http::TokenSet specials{Token::connection,       Token::keep_alive,
                                  Token::proxy_connection, Token::te,
                                  Token::upgrade,          Token::transfer_encoding,
                                  Token::http2_settings,   Token::host,
                                  Token::content_length,   Token::expect};
constexpr size_t nowhere = SIZE_MAX;

size_t find_line_end(const net::ByteQueue& in, size_t from) {
  size_t before = 0;
  for (size_t i = 0; i < in.slices(); ++i) {
    const std::string_view bytes = in.slice(i).view();
    if (from < before + bytes.size()) {
      const size_t at = bytes.find('\n', from > before ? from - before : 0);
      if (at != std::string_view::npos) return before + at;
    }
    before += bytes.size();
  }
  return nowhere;
}

// Keep-Alive: timeout=N, max=M (RFC 2068 19.7.1); -1 if there is no timeout.
int64_t keep_alive_timeout(std::string_view value) {
  constexpr std::string_view key = "timeout=";
  constexpr uint64_t day = 86'400;
  while (const auto member = base::next_list_member(value)) {
    if (!base::iequals(member->substr(0, key.size()), key)) continue;
    const auto seconds = base::parse_u64(base::trim_ows(member->substr(key.size())));
    if (seconds) return static_cast<int64_t>(std::min(*seconds, day));
  }
  return -1;
}

}  // namespace

HeadReader::HeadReader(Side side, const http::HttpLimits& limits, base::Arena& arena)
    : arena_(arena),
      budget_{limits.max_header_bytes, limits.max_header_count},
      line_max_(static_cast<uint32_t>(limits.max_request_line)),
      underscores_(limits.underscore_headers),
      side_(side) {}

void HeadReader::restart(const http::HttpLimits& limits) {
  special_ = {};
  budget_ = {limits.max_header_bytes, limits.max_header_count};
  bytes_ = 0;
  searched_ = 0;
  first_ = last_ = nullptr;
  name_ = {};
  first_part_ = last_part_ = nullptr;
  stage_ = Stage::start_line;
  cleaned_ = false;
}

HeadReader::Status HeadReader::read(net::ByteQueue& in, http::Head& head) {
  head_ = &head;
  fields_ = &head.fields;
  return advance(in);
}

void HeadReader::begin_trailers(http::Fields& to) {
  CHECK(stage_ == Stage::fields && searched_ == 0);
  fields_ = &to;
  stage_ = Stage::trailers;
  first_ = last_ = nullptr;
  text_ = text_at_ = nullptr;
  text_end_ = nullptr;
}

HeadReader::Status HeadReader::read_trailers(net::ByteQueue& in) {
  CHECK(stage_ == Stage::trailers);
  return advance(in);
}

HeadReader::Status HeadReader::advance(net::ByteQueue& in) {
  while (!in.empty()) {
    std::string_view bytes = in.front().view();
    Place place = Place::chunk;
    if (searched_ != 0) {
      const size_t end = find_line_end(in, searched_);
      const size_t cap = line_cap();
      if (end == nowhere && in.size() < cap) {
        searched_ = in.size();
        return Status::more;
      }
      const size_t size = std::min({end == nowhere ? cap : end + 1, cap, in.size()});
      if (bytes.size() < size) {             // the line lies in several slices
        char* const copy = room_for(size);
        bytes = {copy, in.peek(copy, size)};
        place = Place::arena;
      }
    }
    size_t used = 0;
    searched_ = 0;
    const Status status = consume(bytes, place, used);
    in.drop(used);
    bytes_ += used;
    if (status != Status::more) return status;
    // What is left of this slice is a part of a line, or `lines_at_once` was reached: look again.
    if (used == 0) searched_ = bytes.size();
  }
  return Status::more;
}

size_t HeadReader::line_cap() const { return stage_ == Stage::start_line ? size_t{line_max_} + 2 : budget_.line_max(); }

// Judges what the first bytes alone can tell, so that garbage is answered at once; passes over an empty line.
HeadReader::Status HeadReader::begin_line(std::string_view bytes, size_t& skipped) {
  skipped = 0;
  if (side_ == Side::response) return bytes.front() == 'H' ? Status::done : fail(Detail::status_line);
  if (bytes.front() == '\r' && empty_lines_ < empty_lines_max) {
    if (bytes.find('\n') == std::string_view::npos)
      return bytes.size() < line_cap() ? Status::more : fail(Detail::line_size);
    if (bytes[1] != '\n') return fail(Detail::ctl);
    ++empty_lines_;
    skipped = 2;
    bytes.remove_prefix(2);
    if (bytes.empty()) return Status::more;
  }
  if (http::token_size(bytes.substr(0, 1)) == 1) return Status::done;
  return fail(http::is_field_value(bytes.substr(0, 1)) ? Detail::method : Detail::ctl);
}

HeadReader::Status HeadReader::consume(std::string_view bytes, Place place, size_t& used) {
  const char* const begin = bytes.data();
  const char* const end = begin + bytes.size();
  size_t line_at = 0;
  size_t fields_at = 0;
  if (stage_ == Stage::start_line) {
    if (const Status first = begin_line(bytes, line_at); first != Status::done) {
      used = line_at;
      return first;
    }
    const size_t room = std::min(bytes.size() - line_at, line_cap());
    const auto* line_end = static_cast<const char*>(std::memchr(begin + line_at, '\n', room));
    if (line_end == nullptr) {
      used = line_at;
      return room == line_cap() ? fail(Detail::line_size) : Status::more;
    }
    fields_at = static_cast<size_t>(line_end - begin) + 1;
  }
  UNWRITTEN std::array<Line, lines_at_once> lines;
  const Cleaning cleaning = side_ == Side::request ? Cleaning::none : Cleaning::allowed;
  const ScanResult found = scan_fields(begin + fields_at, end, lines, cleaning, budget_);
  cleaned_ = cleaned_ || found.cleaned;
  used = fields_at + found.used;
  if (used == 0 && found.stop != ScanResult::Stop::bad) return Status::more;

  char* const copy = place == Place::arena ? text_at_ : room_for(used);
  if (place == Place::chunk) std::memcpy(copy, begin, used);
  text_at_ = copy + used;
  if (stage_ == Stage::start_line) {
    const std::string_view line(copy + line_at, fields_at - line_at - 1);
    failure_ = side_ == Side::request ? read_request_line(line, *head_) : read_status_line(line, *head_);
    if (!failure_.clean()) return Status::bad;
    stage_ = Stage::fields;
  }
  if (found.used != 0) add_piece({copy + fields_at, found.used});
  if (!take_lines(copy + fields_at, {lines.data(), found.lines})) return Status::bad;
  switch (found.stop) {
    case ScanResult::Stop::more:
    case ScanResult::Stop::full: return Status::more;
    case ScanResult::Stop::end:
      commit();
      if (stage_ == Stage::trailers)
        drop_nominated(special_, *fields_);  // the head was within the limit, or there would be no trailers
      return failure_.clean() ? Status::done : Status::bad;
    case ScanResult::Stop::bad:
      commit();  // what came before is judged before it
      return failure_.clean() ? fail(found.detail) : Status::bad;
  }
  UNREACHABLE();
}

bool HeadReader::take_lines(const char* base, std::span<const Line> lines) {
  for (const Line& line : lines) {
    const std::string_view value(base + line.value_at, line.value_size);
    if (line.name_size == 0) {
      if (name_.empty()) {
        fail(Detail::obs_fold);
        return false;
      }
      continue_value(value);
      continue;
    }
    commit();
    if (!failure_.clean()) return false;
    name_ = {base + line.name_at, line.name_size};
    value_ = value;
  }
  return true;
}

// Room in the arena for lines, behind those that are there if they fit.
char* HeadReader::room_for(size_t bytes) {
  if (text_ == nullptr || static_cast<size_t>(text_end_ - text_at_) < bytes) {
    const size_t size = text_ == nullptr ? bytes : std::max(bytes, gathered_bytes);
    text_ = text_at_ = static_cast<char*>(arena_.allocate(size, 1));
    text_end_ = text_at_ + size;
  }
  return text_at_;
}

// A fold becomes one blank (RFC 9112 5.2), in place: between the value and what continues it lie at least a line end
// and a blank.
void HeadReader::continue_value(std::string_view more) {
  if (more.empty()) return;
  if (value_.empty()) {
    value_ = more;
    return;
  }
  const bool here =
      std::greater_equal<const char*>()(value_.data(), text_) && std::less<>()(value_.data(), more.data());
  if (!here) {
    auto* const part = arena_.make_array<Part>(1);
    *part = {nullptr, value_};
    (last_part_ == nullptr ? first_part_ : last_part_->next) = part;
    last_part_ = part;
    value_ = more;
    return;
  }
  char* const end = text_ + (value_.data() - text_) + value_.size();
  *end = ' ';
  std::memmove(end + 1, more.data(), more.size());
  value_ = {value_.data(), value_.size() + 1 + more.size()};
}

// Parts are joined once, when the last of them is known.
std::string_view HeadReader::whole_value() {
  size_t size = value_.size();
  for (const Part* part = first_part_; part != nullptr; part = part->next) size += part->text.size() + 1;
  auto* const whole = arena_.make_array<char>(size);
  char* to = whole;
  for (const Part* part = first_part_; part != nullptr; part = part->next) {
    to = std::ranges::copy(part->text, to).out;
    *to++ = ' ';
  }
  std::ranges::copy(value_, to);
  first_part_ = last_part_ = nullptr;
  return {whole, size};
}

// The line that was held back, lest the next one continue it, is whole.
void HeadReader::commit() {
  if (name_.empty()) return;
  if (first_part_ != nullptr) value_ = whole_value();
  const Token token = http::token_of(name_);
  const bool judged = token == Token::other && side_ == Side::request;
  switch (judged ? http::underscore_rule(name_, underscores_) : http::NameRule::take) {
    case http::NameRule::take: take_field(token); break;
    case http::NameRule::drop: break;
    case http::NameRule::reject: fail(Detail::underscore); break;
  }
  name_ = {};
}

void HeadReader::take_field(Token token) {
  if (stage_ == Stage::trailers) {
    if (http::allowed_in_trailers(token, name_)) fields_->add(token, name_, value_);
  } else if (specials.has(token)) {
    commit_special(token);
  } else {
    fields_->add(token, name_, value_);
  }
}

void HeadReader::commit_special(Token token) {
  if (token == Token::content_length) {
    if (special_.content_lengths++ == 0) special_.content_length = value_;
    if (value_ != special_.content_length) special_.lengths_differ = true;
  } else if (token == Token::transfer_encoding) {
    if (special_.transfer_encodings++ == 0) special_.transfer_encoding = value_;
  } else if (token == Token::connection) {
    const bool before = special_.connection.nominates;
    special_.connection.nominates = false;
    http::read_connection(value_, special_.connection);
    if (special_.connection.nominates) {
      auto* const named = arena_.make_array<Nominations>(1);
      *named = {special_.nominations, value_};
      special_.nominations = named;
    }
    special_.connection.nominates = special_.connection.nominates || before;
  } else if (token == Token::upgrade) {
    if (special_.upgrade.empty()) special_.upgrade = http::upgrade_choice(value_);
    if (side_ == Side::response && head_->status == 426) fields_->add(token, name_, value_);  // until the head is whole
  } else if (token == Token::te) {
    special_.te_trailers = special_.te_trailers || http::te_takes_trailers(value_);
  } else if (token == Token::keep_alive) {
    special_.keep_alive_s = keep_alive_timeout(value_);
  } else if (token == Token::host && side_ == Side::request) {
    if (special_.hosts++ == 0) special_.host = value_;
  } else if (token == Token::expect && side_ == Side::request && base::iequals(value_, "100-continue")) {
    special_.expects_continue = true;
  } else if (!http::is_hop_by_hop(token)) {
    fields_->add(token, name_, value_);
  }
}

void HeadReader::add_piece(std::string_view bytes) {
  if (last_ != nullptr && last_->bytes.data() + last_->bytes.size() == bytes.data()) {
    last_->bytes = {last_->bytes.data(), last_->bytes.size() + bytes.size()};
    return;
  }
  auto* piece = arena_.make_array<Piece>(1);
  *piece = Piece{nullptr, bytes};
  if (last_ == nullptr) {
    first_ = piece;
  } else {
    last_->next = piece;
  }
  last_ = piece;
}

HeadReader::Status HeadReader::fail(Detail detail) {
  const bool size = detail == Detail::field_size || detail == Detail::field_count || detail == Detail::line_size;
  if (side_ == Side::response) {
    const Detail word = size ? Detail::head_size : detail == Detail::status_line ? detail : Detail::field;
    failure_ = Failure{Kind::bad_response, Where::upstream, word, false};
  } else if (detail == Detail::line_size) {
    failure_ = Failure{Kind::uri_too_long, Where::downstream, detail, true};
  } else if (size) {
    failure_ = Failure{Kind::headers_too_large, Where::downstream, detail, true};
  } else {
    failure_ =
        Failure{Kind::bad_request, Where::downstream, stage_ == Stage::trailers ? Detail::trailer : detail, true};
  }
  return Status::bad;
}

}  // namespace sluice::http1

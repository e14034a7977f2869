// Lists of a few members, read in place: fields of this kind are short and mostly absent.
#include "http/hop_by_hop.h"

#include "base/text.h"
#include "http/validate.h"

namespace sluice::http {
namespace {

bool may_be_nominated(std::string_view name) {
  if (is_x_forwarded(name)) return false;
  const Token token = token_of(name);
  return token != Token::host && token != Token::content_length && token != Token::transfer_encoding &&
         token != Token::authorization && token != Token::cookie;
}

}  // namespace

void read_connection(std::string_view value, ConnectionOptions& options) {
  while (const auto member = base::next_list_member(value)) {
    if (base::iequals(*member, "close")) {
      options.close = true;
    } else if (base::iequals(*member, "keep-alive")) {
      options.keep_alive = true;
    } else if (base::iequals(*member, "upgrade")) {
      options.upgrade = true;
    } else {
      options.nominates = true;
    }
  }
}

uint32_t remove_nominated(Fields& fields, std::string_view connection, uint32_t members_max) {
  uint32_t members = 0;
  while (members < members_max) {
    const auto member = base::next_list_member(connection);
    if (!member) break;
    ++members;
    if (is_token(*member) && may_be_nominated(*member)) fields.remove(*member);
  }
  return members;
}

bool te_takes_trailers(std::string_view value) {
  while (const auto member = base::next_list_member(value)) {
    if (base::iequals(*member, "trailers")) return true;
  }
  return false;
}

std::string_view upgrade_choice(std::string_view value) {
  while (const auto member = base::next_list_member(value)) {
    if (is_token(*member) && !base::iequals(*member, "h2c")) return *member;
  }
  return {};
}

}  // namespace sluice::http

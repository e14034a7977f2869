// Forwarded, X-Forwarded-For and Via of a hostile client: whatever stands in them, an untrusted peer's headers decide
// nothing, of a trusted peer only one field decides, what it appends there is the client, and what goes upstream has
// each field once and tells the same in both; and costs no more than a few times its bytes.
#include "exchange/forwarded.h"
#include "support/held.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

using namespace sluice;

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

constexpr uint32_t fields_max = 100;  // as max_header_count: more do not come here, and each has its place in the list

// One field a line: "f:...", "x:...", "v:...", anything else is X-Request-Id.
void add_lines(std::string_view text, http::Fields& fields) {
  while (!text.empty() && fields.size() < fields_max) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    const std::string_view value = line.substr(line.size() < 2 ? line.size() : 2);
    const http::Token token = line.starts_with("f:")   ? http::Token::forwarded
                              : line.starts_with("x:") ? http::Token::x_forwarded_for
                              : line.starts_with("v:") ? http::Token::via
                              : line.starts_with("t:") ? http::Token::traceparent
                                                       : http::Token::x_request_id;
    fields.add(token, value);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const net::Address peer = *net::Address::parse_ip("10.0.0.1", 4000);
  const std::vector<net::Cidr> trusted{*net::Cidr::parse("10.0.0.0/8"), *net::Cidr::parse("fd00::/8")};
  base::Arena arena;
  http::Fields fields(arena);
  add_lines(text, fields);

  exchange::Random random(1);
  for (const exchange::ForwardedBy by : {exchange::ForwardedBy::x_forwarded_for, exchange::ForwardedBy::forwarded}) {
    const bool by_forwarded = by == exchange::ForwardedBy::forwarded;
    const http::Token believed = by_forwarded ? http::Token::forwarded : http::Token::x_forwarded_for;
    const http::Token other = by_forwarded ? http::Token::x_forwarded_for : http::Token::forwarded;
    const net::Address stranger_at = *net::Address::parse_ip("192.0.2.1", 1);
    const exchange::Client stranger = exchange::find_client(stranger_at, trusted, by, fields);
    require(stranger.peer == exchange::Trust::no && !stranger.unknown && stranger.address.ip_text() == "192.0.2.1");
    const exchange::Client client = exchange::find_client(peer, trusted, by, fields);
    require(client.peer == exchange::Trust::yes && client.unknown != client.address.is_ip());

    http::Fields one(arena);
    one.copy_from(fields);
    one.remove(other);
    const exchange::Client same = exchange::find_client(peer, trusted, by, one);
    require(same.unknown == client.unknown && same.address == client.address);
    const std::string_view before = one.value(believed);
    one.set(believed, arena.concat(before, before.empty() ? "" : ", ",
                                   by_forwarded ? "for=203.0.113.9;proto=https" : "203.0.113.9"));
    require(exchange::find_client(peer, trusted, by, one).address.ip_text() == "203.0.113.9");

    for (const exchange::Client* const from : {&stranger, &client}) {
      base::Arena own;
      http::Fields copy(own);
      copy.copy_from(fields);
      const net::Address& at = from == &stranger ? stranger_at : peer;
      const exchange::ForwardFacts facts{at, *from, by, "https", "example.com", http::Version::http_11, "me"};
      const exchange::RequestIds ids = exchange::add_forwarding(copy, facts, random);
      require(exchange::valid_request_id(ids.request_id) && ids.trace_id.size() == 32);
      for (const http::Token token :
           {http::Token::x_forwarded_for, http::Token::forwarded, http::Token::via, http::Token::x_request_id}) {
        require(copy.count(token) == 1);
      }
      require(own.bytes_held() <= support::held_max(fields.bytes() + 4 * fields.size()));
      if (from == &stranger) require(copy.value(http::Token::x_forwarded_for) == "192.0.2.1");
      const exchange::ForwardedBy swapped =
          by_forwarded ? exchange::ForwardedBy::x_forwarded_for : exchange::ForwardedBy::forwarded;
      const exchange::Client retold = exchange::find_client(peer, trusted, swapped, copy);
      require(retold.unknown == from->unknown &&
              (retold.unknown || retold.address.ip_text() == from->address.ip_text()));
    }
  }
  return 0;
}

// Forwarded, X-Forwarded-For and Via of a hostile client: whatever stands in them, the client found is one of the addresses named or
// the peer, an untrusted peer's headers decide nothing, and what goes upstream has each field once.
#include "exchange/forwarded.h"

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

// One field a line: "f:...", "x:...", "v:...", anything else is X-Request-Id.
void add_lines(std::string_view text, http::Fields& fields) {
  while (!text.empty()) {
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

  const exchange::Client stranger = exchange::find_client(*net::Address::parse_ip("192.0.2.1", 1), trusted, fields);
  require(stranger.peer == exchange::Trust::no && stranger.address.ip_text() == "192.0.2.1");
  const exchange::Client client = exchange::find_client(peer, trusted, fields);
  require(client.peer == exchange::Trust::yes && client.address.is_ip());

  exchange::Random random(1);
  for (const exchange::Trust trust : {exchange::Trust::no, exchange::Trust::yes}) {
    http::Fields copy(arena);
    copy.copy_from(fields);
    const exchange::ForwardFacts facts{peer, trust, "https", "example.com", http::Version::http_11, "me"};
    const exchange::RequestIds ids = exchange::add_forwarding(copy, facts, random);
    require(exchange::valid_request_id(ids.request_id) && ids.trace_id.size() == 32);
    for (const http::Token token : {http::Token::x_forwarded_for, http::Token::forwarded, http::Token::via, http::Token::x_request_id}) {
      require(copy.count(token) == 1);
    }
    require(exchange::times_in_via(copy, "me") >= 1);
    if (trust == exchange::Trust::no) require(copy.value(http::Token::x_forwarded_for) == "10.0.0.1");
  }
  return 0;
}

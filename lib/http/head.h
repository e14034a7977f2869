// Head: a request or response head, the same for every HTTP version. Framing and connection fields (Content-Length,
// Transfer-Encoding, Connection, Keep-Alive, Upgrade, Host, ...) are not among `fields`: sessions take them out when
// they read a head and make them anew when they write one. So what one version means reaches another unharmed.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "http/fields.h"

namespace sluice::http {

enum class Version : uint8_t { http_10, http_11, http_2 };  // for the log and Via; decisions never rest on it
std::string_view version_word(Version version);  // "HTTP/1.1"

struct Head {
  explicit Head(base::Arena& arena) : fields(arena) {}

  Version version = Version::http_11;  // of the peer that sent it
  // Request
  Method method = Method::get;
  std::string_view method_text{};  // as sent: "GET", "QUERY"
  std::string_view scheme{};  // "http" or "https"
  std::string_view
      authority{};  // host[:port] as sent (from Host, the absolute target, or :authority); may be "" in HTTP/1.0
  std::string_view target{};  // origin form as sent: "/path?query", or "*"
  // Response
  uint16_t status = 0;
  bool last = false;  // the request was not to be trusted: take no other on this connection (HTTP/1: close)
  // Both
  // Body length if known. With End::yes on a response to HEAD and on 304 it is only announced (RFC 9110 8.6).
  std::optional<uint64_t> content_length{};
  // Upgrade asked for (request) or agreed to (status 101): one lower-case token, "websocket"; "" = none. Demanded
  // (status 426): the list as sent, for a client that can upgrade (HTTP/1.1).
  // HTTP/2's extended CONNECT (RFC 8441) is the same thing and reads as GET with `upgrade`.
  std::string_view upgrade{};
  bool expect_continue = false;  // request: the client waits for a 100 before it sends its body
  bool te_trailers = false;  // request: TE: trailers
  // Request: the WebSocket upgrade came without a key, as its version has none (RFC 8441 5): who asks an upstream that
  // needs one makes it, and checks the answer.
  bool without_key = false;
  // Request: without the upgrade it means nothing (extended CONNECT). An HTTP/1 upgrade may be passed over (RFC 9110
  // 7.8).
  bool upgrade_only = false;
  Fields fields;

  std::string_view path() const { return target.substr(0, target.find('?')); }
  // As a new one, with the room that its fields have had: heads that follow each other in one arena take it once.
  void restart() {
    Fields emptied = fields;
    emptied.clear();
    *this = Head(emptied.arena());
    fields = emptied;
  }
};

}  // namespace sluice::http

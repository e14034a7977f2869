// PROXY protocol headers: any bytes; a header that parses parses the same however it is torn, and survives being
// written again.
#include "net/proxy_protocol.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace sluice::net;

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const ProxyParse whole = parse_proxy_header(bytes);
  require(whole.consumed <= size);
  // Every prefix says "more", until the verdict, and that stays.
  for (size_t n = 0; n <= size && n <= proxy_v2_head_bytes + proxy_v2_length_max; n += size > 300 ? 37 : 1) {
    const ProxyParse part = parse_proxy_header(bytes.substr(0, n));
    if (part.outcome == ProxyParse::Outcome::need_more) continue;
    require(part.outcome == whole.outcome && part.consumed == whole.consumed);
  }
  if (whole.outcome != ProxyParse::Outcome::header) return 0;
  for (const auto version : {ProxyProtocolOut::v1, ProxyProtocolOut::v2}) {
    ByteQueue queue;
    append_proxy_header(queue, version, whole.header.source, whole.header.destination);
    std::string again(queue.size(), '\0');
    queue.peek(again.data(), again.size());
    const ProxyParse second = parse_proxy_header(again);
    require(second.outcome == ProxyParse::Outcome::header && second.consumed == again.size());
    require(second.header.source == whole.header.source && second.header.destination == whole.header.destination);
  }
  return 0;
}

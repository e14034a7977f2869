// PROXY protocol: parser, writer, reader.
#include "net/proxy_protocol.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string>

#include "base/check.h"
#include "base/slab.h"
#include "base/text.h"

namespace sluice::net {
namespace {

using Outcome = ProxyParse::Outcome;
constexpr std::string_view v1_start = "PROXY ";
constexpr std::string_view v2_start("\r\n\r\n\0\r\nQUIT\n", 12);

constexpr uint8_t v2_version = 0x20;
constexpr uint8_t v2_local = 0x0;
constexpr uint8_t v2_proxy = 0x1;
constexpr uint8_t v2_tcp4 = 0x11;
constexpr uint8_t v2_tcp6 = 0x21;
constexpr uint8_t v2_family_max = 3;   // unspecified, IPv4, IPv6, Unix
constexpr uint8_t v2_protocol_max = 2;  // unspecified, stream, datagram
constexpr size_t v2_tcp4_bytes = 12;
constexpr size_t v2_tcp6_bytes = 36;

uint8_t byte_at(std::string_view s, size_t i) { return static_cast<uint8_t>(s[i]); }
uint16_t u16_at(std::string_view s, size_t i) { return static_cast<uint16_t>(byte_at(s, i) << 8 | byte_at(s, i + 1)); }

ProxyParse failed(std::string_view why) {
  return {.outcome = Outcome::error, .consumed = 0, .header = {}, .error = why};
}

// The words of a v1 line, separated by single spaces.
std::string_view next_word(std::string_view& rest) {
  const size_t space = rest.find(' ');
  const std::string_view word = rest.substr(0, space);
  rest = space == std::string_view::npos ? std::string_view() : rest.substr(space + 1);
  return word;
}

std::optional<uint16_t> v1_port(std::string_view word) {
  const auto n = word.size() <= 5 ? base::parse_u64(word) : std::nullopt;
  if (!n || *n > 65535 || (word.size() > 1 && word.front() == '0')) return std::nullopt;
  return static_cast<uint16_t>(*n);
}

ProxyParse parse_v1(std::string_view bytes) {
  const size_t end = bytes.substr(0, proxy_v1_bytes_max).find('\n');
  if (end == std::string_view::npos)
    return bytes.size() >= proxy_v1_bytes_max ? failed("v1 line is too long") : ProxyParse{};
  if (bytes[end - 1] != '\r') return failed("v1 line does not end with CR LF");
  ProxyParse result{.outcome = Outcome::header, .consumed = end + 1, .header = {}};
  std::string_view rest = bytes.substr(v1_start.size(), end - 1 - v1_start.size());
  if (rest.find('\r') != std::string_view::npos) return failed("v1 line holds a CR");
  const std::string_view family = next_word(rest);
  if (family == "UNKNOWN") return result;
  if (family != "TCP4" && family != "TCP6") return failed("v1 family is none of TCP4, TCP6, UNKNOWN");
  if (std::count(rest.begin(), rest.end(), ' ') != 3) return failed("v1 line has not four words after its family");
  if (rest.find('[') != std::string_view::npos) return failed("v1 address is bad");  // no brackets here
  const auto source = Address::parse_ip(next_word(rest));
  const auto destination = Address::parse_ip(next_word(rest));
  const auto source_port = v1_port(next_word(rest));
  const auto destination_port = v1_port(next_word(rest));
  const auto wanted = family == "TCP4" ? Address::Family::ipv4 : Address::Family::ipv6;
  if (!source || !destination || source->family() != wanted || destination->family() != wanted)
    return failed("v1 address is bad");
  if (!source_port || !destination_port) return failed("v1 port is bad");
  result.header = {ProxyHeader::Kind::addresses, *source, *destination};
  result.header.source.set_port(*source_port);
  result.header.destination.set_port(*destination_port);
  return result;
}

Address v2_address(std::string_view ip, uint16_t port) {
  if (ip.size() == 4) return Address::ipv4(static_cast<uint32_t>(u16_at(ip, 0)) << 16 | u16_at(ip, 2), port);
  std::array<uint8_t, 16> bytes;
  std::memcpy(bytes.data(), ip.data(), bytes.size());
  return Address::ipv6(bytes, port);
}

ProxyParse parse_v2(std::string_view bytes) {
  if (bytes.size() > v2_start.size()) {
    const uint8_t command = byte_at(bytes, v2_start.size());
    if ((command & 0xF0) != v2_version) return failed("v2 header of another version");
    if ((command & 0x0F) > v2_proxy) return failed("v2 command is neither LOCAL nor PROXY");
  }
  if (bytes.size() < proxy_v2_head_bytes) return {};
  const uint8_t command = byte_at(bytes, 12) & 0x0F;
  const uint8_t family = byte_at(bytes, 13);
  const size_t length = u16_at(bytes, 14);
  if (length > proxy_v2_length_max) return failed("v2 header is too long");
  // The family of a LOCAL header means nothing.
  if (command == v2_proxy) {
    if (family >> 4 > v2_family_max || (family & 0x0F) > v2_protocol_max) return failed("v2 address family is unknown");
    if ((family == v2_tcp4 && length < v2_tcp4_bytes) || (family == v2_tcp6 && length < v2_tcp6_bytes)) {
      return failed("v2 header is too short for its addresses");
    }
  }
  if (bytes.size() < proxy_v2_head_bytes + length) return {};
  ProxyParse result{.outcome = Outcome::header, .consumed = proxy_v2_head_bytes + length, .header = {}};
  if (command == v2_local) {
    result.header.kind = ProxyHeader::Kind::local;
  } else if (family == v2_tcp4 || family == v2_tcp6) {
    const size_t ip = family == v2_tcp4 ? 4 : 16;
    const std::string_view block = bytes.substr(proxy_v2_head_bytes);
    result.header = {ProxyHeader::Kind::addresses, v2_address(block.substr(0, ip), u16_at(block, 2 * ip)),
                     v2_address(block.substr(ip, ip), u16_at(block, 2 * ip + 2))};
  }
  return result;
}

// IPv4 as ::ffff:a.b.c.d.
Address mapped(const Address& address) {
  if (address.family() != Address::Family::ipv4) return address;
  std::array<uint8_t, 16> bytes{};
  bytes[10] = bytes[11] = 0xFF;
  const auto ip = address.ip_bytes();
  std::copy(ip.begin(), ip.end(), bytes.begin() + 12);
  return Address::ipv6(bytes, address.port());
}

void append_v1(ByteQueue& to, const Address& source, const Address& destination) {
  if (!source.is_ip()) return to.append_copy("PROXY UNKNOWN\r\n");
  const std::string_view family = source.family() == Address::Family::ipv4 ? "TCP4" : "TCP6";
  to.append_copy(fmt::format("PROXY {} {} {} {} {}\r\n", family, source.ip_text(), destination.ip_text(), source.port(),
                             destination.port()));
}

void append_v2(ByteQueue& to, const Address& source, const Address& destination) {
  std::string bytes(v2_start);
  const auto add = [&bytes](unsigned value) { bytes += static_cast<char>(static_cast<uint8_t>(value)); };
  const auto ip = source.ip_bytes();
  add(v2_version | (ip.empty() ? v2_local : v2_proxy));
  add(ip.empty() ? 0U : ip.size() == 4 ? v2_tcp4 : v2_tcp6);
  add(0);
  add(ip.empty() ? 0U : static_cast<unsigned>(2 * ip.size() + 4));
  for (const uint8_t b : ip) add(b);
  for (const uint8_t b : destination.ip_bytes()) add(b);
  if (!ip.empty()) {
    for (const uint16_t port : {source.port(), destination.port()}) {
      add(port >> 8);
      add(port & 0xFFU);
    }
  }
  to.append_copy(bytes);
}

base::Slab<ProxyReader>& readers() {
  thread_local base::Slab<ProxyReader> slab;
  return slab;
}

}  // namespace

ProxyParse parse_proxy_header(std::string_view bytes) {
  const auto may_start = [bytes](std::string_view start) {
    const size_t n = std::min(bytes.size(), start.size());
    return bytes.substr(0, n) == start.substr(0, n);
  };
  if (may_start(v1_start)) return bytes.size() < v1_start.size() ? ProxyParse{} : parse_v1(bytes);
  if (may_start(v2_start)) return bytes.size() < v2_start.size() ? ProxyParse{} : parse_v2(bytes);
  return failed("no PROXY protocol header");
}

void append_proxy_header(ByteQueue& to, ProxyProtocolOut version, const Address& source, const Address& destination) {
  Address from = source;
  Address at = destination;
  if (!from.is_ip() || !at.is_ip()) {
    from = at = Address();
  } else if (from.family() != at.family()) {
    from = mapped(from);
    at = mapped(at);
  }
  switch (version) {
    case ProxyProtocolOut::off: UNREACHABLE();
    case ProxyProtocolOut::v1: return append_v1(to, from, at);
    case ProxyProtocolOut::v2: return append_v2(to, from, at);
  }
}

Owned<ProxyReader> ProxyReader::make(Loop& loop, TransportPtr transport, base::Millis deadline, Host& host) {
  return Owned<ProxyReader>(readers().make(loop, std::move(transport), deadline, host));
}

ProxyReader::ProxyReader(Loop& loop, TransportPtr transport, base::Millis deadline, Host& host)
    : loop_(loop), transport_(std::move(transport)), host_(host) {
  deadline_.arm(loop, deadline);
  transport_->start(*this);
}

void ProxyReader::on_bytes(ByteQueue& in) {
  if (transport_ == nullptr) return;
  const ProxyParse parse =
      parse_proxy_header(in.flatten(std::min(in.size(), proxy_v2_head_bytes + proxy_v2_length_max)));
  switch (parse.outcome) {
    case Outcome::need_more: return;
    case Outcome::error: return fail(Failed::malformed, parse.error);
    case Outcome::header: break;
  }
  in.drop(parse.consumed);
  deadline_.disarm();
  if (parse.header.kind == ProxyHeader::Kind::addresses) {
    transport_->set_peer(parse.header.source.unmapped(), parse.header.destination.unmapped());
  }
  host_.on_proxy_header(*this, std::move(transport_));
}

void ProxyReader::fail(Failed why, std::string_view detail) {
  if (transport_ == nullptr) return;
  deadline_.disarm();
  transport_->close(Close::reset);
  const TransportPtr ended = std::move(transport_);   // its peer can be asked for until the call is over
  host_.on_proxy_failed(*this, ended->peer(), why, detail);
}

void ProxyReader::retire() noexcept {
  deadline_.disarm();
  transport_.reset();
  loop_.reap_later(*this);
}

void ProxyReader::reclaim() noexcept { readers().recycle(this); }

}  // namespace sluice::net

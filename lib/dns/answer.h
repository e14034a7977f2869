// Parses one raw DNS answer, as it came in a datagram or over TCP: bytes in, records out. Pure and bounded: no clock,
// no I/O, no recursion, at most `chain_max` aliases and `pointers_max` jumps a name, whatever the bytes say. What is
// not an answer to the question (another question, another owner, garbage) is refused or skipped, and counted by
// reason.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/address.h"

namespace sluice::dns {

inline constexpr std::size_t name_max = 253;  // RFC 1035 3.1, as text without the last dot
inline constexpr std::size_t addresses_max =
    1024;  // of one name and family; what sorts after them is counted and dropped
inline constexpr std::size_t services_max = 128;  // SRV records of one service, likewise
inline constexpr std::size_t chain_max = 16;  // CNAMEs followed from the question's name
inline constexpr std::size_t pointers_max = 126;  // of compression in one name; each leads backwards

enum class Type : std::uint16_t { a = 1, aaaa = 28, srv = 33 };
std::string_view type_name(Type type);  // "A", "AAAA", "SRV"

// One SRV record (RFC 2782). `target` in lower case without the last dot; "" = ".", the service is not there.
struct ServiceRecord {
  std::uint16_t priority = 0;  // lower comes first
  std::uint16_t weight = 0;
  std::uint16_t port = 0;
  std::string target;
  auto operator<=>(const ServiceRecord&) const = default;
};

// What a lookup can end with. The first three are what DNS said; the rest says nothing about the name.
enum class Outcome : std::uint8_t {
  ok,  // at least one record of the type that was asked for
  nxdomain,  // no such name (rcode 3)
  empty,  // the name is there, records of the type are not (RFC 2308 2.2)
  servfail,  // rcode 2
  refused,  // rcode 5, or any other that is an error (1, 4, 6..)
  timeout,  // no answer within the time, all attempts used
  unreachable,  // no server is configured, or the network or the server's host refused the packets
  malformed,  // an answer came that is none: its refusal is in Answer::refusal
};
inline constexpr std::size_t outcomes = static_cast<std::size_t>(Outcome::malformed) + 1;
std::string_view outcome_name(Outcome outcome);  // the metric label: "ok", "nxdomain", ...
inline bool negative(Outcome o) { return o == Outcome::nxdomain || o == Outcome::empty; }
inline bool failed(Outcome o) { return o > Outcome::empty; }

// Why bytes, a whole answer or single records of it, were not taken.
enum class Ignored : std::uint8_t {
  short_message,  // shorter than a header, or it ends within a record
  not_a_response,  // QR is not set (an echoed question), or another opcode
  wrong_id,  // answers another query
  wrong_question,  // none, several, or another name, type or class (RFC 5452 9.1)
  bad_name,  // a label or pointer that RFC 1035 4.1.4 does not allow, a loop of pointers, or longer than 255 bytes
  // A length that does not fit the type, another class, port 0, an address no service can have (0.0.0.0, multicast).
  bad_record,
  other_owner,  // a record of a name that is neither asked for nor in its chain of aliases
  alias_loop,  // CNAMEs in a circle, more than chain_max of them, or two different ones of one name
  over_limit,  // beyond addresses_max or services_max
  truncated,  // TC over TCP, where all must fit
};
inline constexpr std::size_t ignored_reasons = static_cast<std::size_t>(Ignored::truncated) + 1;
std::string_view ignored_name(Ignored reason);

using IgnoredCounts = std::array<std::uint32_t, ignored_reasons>;  // by Ignored

struct Answer {
  Outcome outcome = Outcome::malformed;  // never timeout or unreachable
  bool truncated = false;  // TC: nothing of it is taken, outcome is malformed; ask over TCP
  std::uint8_t rcode = 0;
  std::vector<net::Address> addresses;  // A or AAAA: port 0, sorted by bytes, each once
  std::vector<ServiceRecord> services;  // SRV: sorted, each once
  std::string canonical_name;  // last name of the chain, lower case; the question's without CNAMEs
  // Seconds. ok: the least of the records and the chain before them. A value with the top bit set counts as 0 (RFC 2181
  // 8).
  std::uint32_t ttl = 0;
  // Seconds; nxdomain and empty: min(TTL of the SOA, its MINIMUM) (RFC 2308 5), and of the chain. nullopt: no SOA was
  // there.
  std::optional<std::uint32_t> negative_ttl;
  std::optional<Ignored> refusal;  // why the whole answer was refused; outcome is malformed
  IgnoredCounts ignored{};  // refusal included
};

// A name as it is compared and shown: lower case (RFC 4343), no last dot. "" for one that DNS cannot carry: empty, a
// label of 0 or more than 63 bytes, longer than name_max.
std::string canonical(std::string_view name);

// `name` is canonical(). `id` is the query's; nullopt: whoever gave us the bytes has compared it.
Answer parse_answer(std::span<const std::uint8_t> message, std::string_view name, Type type,
                    std::optional<std::uint16_t> id = {});

// Does the datagram answer this query at all? For dropping what does not before it can end the query (RFC 5452 9.1).
// Looks at header and question only; nullopt: it does.
std::optional<Ignored> refuses(std::span<const std::uint8_t> message, std::string_view name, Type type,
                               std::optional<std::uint16_t> id = {});

}  // namespace sluice::dns

// Wire: reading one DNS message (RFC 1035 4.1) without ever leaving its bytes. Used by answer.cc only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "dns/answer.h"

namespace sluice::dns::wire {

inline constexpr std::size_t header_size = 12;
inline constexpr std::uint16_t class_in = 1;
inline constexpr std::uint16_t type_cname = 5;
inline constexpr std::uint16_t type_soa = 6;
inline constexpr std::uint8_t rcode_nxdomain = 3;

using Message = std::span<const std::uint8_t>;

// The caller has checked that the bytes are there.
inline std::uint16_t u16(Message m, std::size_t at) { return static_cast<std::uint16_t>(m[at] << 8 | m[at + 1]); }
inline std::uint32_t u32(Message m, std::size_t at) {
  return static_cast<std::uint32_t>(u16(m, at)) << 16 | u16(m, at + 2);
}

struct Header {
  std::uint16_t id = 0, questions = 0, answers = 0, authorities = 0;
  bool response = false, truncated = false;
  std::uint8_t opcode = 0, rcode = 0;
};
Header header(Message m);                    // at least header_size bytes

// A decoded name: lower case, dots between labels, "" = the root. No allocation.
class Name {
 public:
  std::string_view text() const { return {text_.data(), size_}; }
  // False if a label holds a byte that cannot be told apart in text (a dot, a backslash, a blank, a control, 8 bits):
  // such a name equals none of ours.
  bool plain() const { return plain_; }
  bool is(std::string_view other) const { return plain_ && text() == other; }

 private:
  friend class Reader;
  std::array<char, 256> text_;
  std::size_t size_ = 0;
  bool plain_ = true;
};

// Walks forward through a message. The first thing that is wrong stops it: fault() says what, and every read fails from
// then on.
class Reader {
 public:
  Reader(Message message, std::size_t at) : message_(message), at_(at) {}
  std::size_t at() const { return at_; }
  std::optional<Ignored> fault() const { return fault_; }
  bool name(Name& to);
  bool skip(std::size_t bytes) { return has(bytes) ? (at_ += bytes, true) : false; }
  bool u16(std::uint16_t& to);
  bool u32(std::uint32_t& to);

 private:
  bool has(std::size_t bytes);
  bool stop(Ignored why);
  bool append_label(Name& to, std::size_t at, std::size_t length);
  Message message_;
  std::size_t at_;
  std::optional<Ignored> fault_;
};

struct Record {
  Name owner;
  std::uint16_t type = 0, cls = 0;
  std::uint32_t ttl = 0;  // top bit set = 0 (RFC 2181 8)
  std::size_t data = 0, length = 0;  // where the data is; within the message
};
bool read_record(Reader& reader, Record& to);

}  // namespace sluice::dns::wire

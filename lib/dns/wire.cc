#include "dns/wire.h"

#include "base/text.h"

namespace sluice::dns::wire {

Header header(Message m) {
  const std::uint16_t flags = u16(m, 2);
  return {.id = u16(m, 0),
          .questions = u16(m, 4),
          .answers = u16(m, 6),
          .authorities = u16(m, 8),
          .response = (flags & 0x8000) != 0,
          .truncated = (flags & 0x0200) != 0,
          .opcode = static_cast<std::uint8_t>(flags >> 11 & 0x0f),
          .rcode = static_cast<std::uint8_t>(flags & 0x0f)};
}

bool Reader::stop(Ignored why) {
  if (!fault_) fault_ = why;
  return false;
}

bool Reader::has(std::size_t bytes) {
  if (fault_) return false;
  return bytes <= message_.size() - at_ ? true : stop(Ignored::short_message);
}

bool Reader::u16(std::uint16_t& to) {
  if (!has(2)) return false;
  to = wire::u16(message_, at_);
  at_ += 2;
  return true;
}

bool Reader::u32(std::uint32_t& to) {
  if (!has(4)) return false;
  to = wire::u32(message_, at_);
  at_ += 4;
  return true;
}

bool Reader::append_label(Name& to, std::size_t at, std::size_t length) {
  // 255 bytes on the wire with a length byte a label and the root's (RFC 1035 3.1) are 253 of text with dots between.
  if (to.size_ + (to.size_ != 0 ? 1 : 0) + length > name_max) return stop(Ignored::bad_name);
  if (to.size_ != 0) to.text_[to.size_++] = '.';
  for (std::size_t i = 0; i < length; ++i) {
    const char c = static_cast<char>(message_[at + i]);
    if (c <= ' ' || c > '~' || c == '.' || c == '\\') to.plain_ = false;
    to.text_[to.size_++] = base::to_lower(c);
  }
  return true;
}

// RFC 1035 4.1.4. A pointer leads to a prior place: before the labels that were read since the last jump. So no loop is
// possible.
bool Reader::name(Name& to) {
  to.size_ = 0;
  to.plain_ = true;
  if (fault_) return false;
  std::size_t at = at_, floor = at_, jumps = 0;
  while (true) {
    if (at >= message_.size()) return stop(Ignored::short_message);
    const std::size_t length = message_[at];
    if (length == 0) {
      if (jumps == 0) at_ = at + 1;
      return true;
    }
    if ((length & 0xc0) == 0xc0) {
      if (message_.size() - at < 2) return stop(Ignored::short_message);
      const std::size_t target = wire::u16(message_, at) & 0x3fff;
      if (target >= floor || target < header_size || jumps == pointers_max) return stop(Ignored::bad_name);
      if (jumps++ == 0) at_ = at + 2;
      at = floor = target;
      continue;
    }
    if ((length & 0xc0) != 0) return stop(Ignored::bad_name);  // 01 and 10: never defined, or given up (RFC 6891 5)
    if (length > message_.size() - at - 1) return stop(Ignored::short_message);
    if (!append_label(to, at + 1, length)) return false;
    at += 1 + length;
  }
}

bool read_record(Reader& reader, Record& to) {
  std::uint16_t length = 0;
  if (!reader.name(to.owner) || !reader.u16(to.type) || !reader.u16(to.cls) || !reader.u32(to.ttl) ||
      !reader.u16(length))
    return false;
  if ((to.ttl & 0x8000'0000) != 0) to.ttl = 0;
  to.data = reader.at();
  to.length = length;
  return reader.skip(length);
}

}  // namespace sluice::dns::wire

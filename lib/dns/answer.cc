#include "dns/answer.h"

#include <algorithm>
#include <utility>

#include "dns/order.h"
#include "dns/wire.h"

namespace sluice::dns {
namespace {

using wire::Message;
using wire::Name;
using wire::Reader;
using wire::Record;

struct Alias {
  std::string owner, target;
  std::uint32_t ttl;
};

// Nobody serves at these: the unspecified address would reach ourselves, the others are no host.
bool reachable(std::span<const std::uint8_t> ip) {
  const bool zero = std::all_of(ip.begin(), ip.end(), [](std::uint8_t b) { return b == 0; });
  if (ip.size() == 4) return !zero && ip[0] < 224;  // multicast, reserved, broadcast (RFC 1112 4, 919 7)
  return !zero && ip[0] != 0xff;
}

class Parser {
 public:
  Parser(Message message, std::string_view name, Type type) : message_(message), name_(name), type_(type) {}

  Answer run(std::optional<std::uint16_t> id) {
    if (const auto why = refuses(message_, name_, type_, id)) return refuse(*why);
    const wire::Header header = wire::header(message_);
    answer_.rcode = header.rcode;
    answer_.truncated = header.truncated;
    if (header.truncated) return refuse(Ignored::truncated);
    answer_.outcome = by_rcode(header.rcode);
    if (failed(answer_.outcome)) return std::move(answer_);
    Reader reader(message_, wire::header_size);
    Name question;
    if (!reader.name(question) || !reader.skip(4)) return refuse(*reader.fault());  // it has been compared
    const std::size_t answers_at = reader.at();
    if (!follow_aliases(reader, header.answers)) return std::move(answer_);
    if (header.rcode != wire::rcode_nxdomain) {
      Reader again(message_, answers_at);
      if (!take_records(again, header.answers)) return std::move(answer_);
    }
    if (negative(answer_.outcome) && !take_soa(reader, header.authorities)) return std::move(answer_);
    return std::move(answer_);
  }

 private:
  static Outcome by_rcode(std::uint8_t rcode) {
    switch (rcode) {
      case 0: return Outcome::empty;  // until a record is found
      case wire::rcode_nxdomain: return Outcome::nxdomain;
      case 2: return Outcome::servfail;
      default: return Outcome::refused;
    }
  }

  void count(Ignored why) { ++answer_.ignored[static_cast<std::size_t>(why)]; }
  Answer refuse(Ignored why) {
    note_refusal(why);
    return std::move(answer_);
  }
  // Nothing of it is taken. Returns false, for the steps.
  bool note_refusal(Ignored why) {
    count(why);
    answer_.refusal = why;
    answer_.outcome = Outcome::malformed;
    answer_.addresses.clear();
    answer_.services.clear();
    return false;
  }

  // First pass: all CNAMEs of the answer section, in whatever order they stand, and then the way from the question's
  // name.
  bool follow_aliases(Reader& reader, std::uint16_t records) {
    std::vector<Alias> aliases;
    Record record;
    for (std::uint16_t i = 0; i < records; ++i) {
      if (!read_record(reader, record)) return note_refusal(*reader.fault());
      if (record.type != wire::type_cname || record.cls != wire::class_in) continue;
      Reader data(message_, record.data);
      Name target;
      if (!data.name(target) || data.at() != record.data + record.length)
        return note_refusal(data.fault().value_or(Ignored::bad_record));
      if (!record.owner.plain()) {
        count(Ignored::other_owner);
      } else if (!target.plain() || target.text().empty()) {
        count(Ignored::bad_name);
      } else {
        aliases.push_back({std::string(record.owner.text()), std::string(target.text()), record.ttl});
      }
    }
    return walk(aliases);
  }

  bool walk(const std::vector<Alias>& aliases) {
    std::string_view at = name_;
    std::size_t steps = 0, used = 0;
    while (true) {
      const Alias* next = nullptr;
      for (const Alias& alias : aliases) {
        if (alias.owner != at) continue;
        if (next != nullptr && next->target != alias.target) return note_refusal(Ignored::alias_loop);
        next = &alias;
        ++used;
      }
      if (next == nullptr) break;
      if (++steps > chain_max) return note_refusal(Ignored::alias_loop);
      chain_ttl_ = std::min(chain_ttl_, next->ttl);
      at = next->target;
    }
    for (; used < aliases.size(); ++used) count(Ignored::other_owner);
    answer_.canonical_name = at;
    return true;
  }

  // Second pass: the records of the chain's end.
  bool take_records(Reader& reader, std::uint16_t records) {
    std::uint32_t ttl = chain_ttl_;
    std::uint32_t bad = 0;
    Record record;
    for (std::uint16_t i = 0; i < records; ++i) {
      if (!read_record(reader, record)) return note_refusal(*reader.fault());
      if (record.type != static_cast<std::uint16_t>(type_)) continue;  // CNAMEs, DNAME, RRSIG: belong to a good answer
      if (!record.owner.is(answer_.canonical_name)) {
        count(Ignored::other_owner);
      } else if (record.cls != wire::class_in || !take(record)) {
        count(Ignored::bad_record);
        ++bad;
      } else {
        ttl = std::min(ttl, record.ttl);
      }
    }
    keep_first(answer_.addresses, address_before, addresses_max);
    keep_first(answer_.services, std::less<>(), services_max);
    if (!answer_.addresses.empty() || !answer_.services.empty()) {
      answer_.outcome = Outcome::ok;
      answer_.ttl = ttl;
    } else if (bad != 0) {  // not "there is none": that would give the known ones up
      return note_refusal(Ignored::bad_record);
    }
    return true;
  }

  bool take(const Record& record) {
    const Message data = message_.subspan(record.data, record.length);
    if (type_ == Type::srv) return take_service(record);
    const std::size_t size = type_ == Type::a ? 4 : 16;
    if (data.size() != size || !reachable(data)) return false;
    answer_.addresses.push_back(type_ == Type::a ? net::Address::ipv4(wire::u32(data, 0), 0)
                                                 : net::Address::ipv6(data.first<16>(), 0));
    return true;
  }

  bool take_service(const Record& record) {
    ServiceRecord service;
    Reader reader(message_, record.data);
    Name target;
    // RFC 2782 forbids compressed targets, RFC 3597 4 wants receivers to take them.
    if (record.length < 7 || !reader.u16(service.priority) || !reader.u16(service.weight) ||
        !reader.u16(service.port) || !reader.name(target) || reader.at() != record.data + record.length ||
        !target.plain())
      return false;
    if (service.port == 0 && !target.text().empty()) return false;
    service.target = target.text();
    answer_.services.push_back(std::move(service));
    return true;
  }

  // Sorts before it cuts, so that the same set in another order is cut to the same.
  template <class T, class Before>
  void keep_first(std::vector<T>& items, Before before, std::size_t limit) {
    std::sort(items.begin(), items.end(), before);
    items.erase(std::unique(items.begin(), items.end()), items.end());
    for (; items.size() > limit; items.pop_back()) count(Ignored::over_limit);
  }

  // RFC 2308 5: a negative answer lives as long as the SOA in the authority section says; the zone must hold the name.
  bool take_soa(Reader& reader, std::uint16_t records) {
    Record record;
    for (std::uint16_t i = 0; i < records; ++i) {
      if (!read_record(reader, record)) return note_refusal(*reader.fault());
      if (record.type != wire::type_soa || record.cls != wire::class_in) continue;
      if (!holds(record.owner)) {
        count(Ignored::other_owner);
        continue;
      }
      Reader data(message_, record.data);
      Name names;
      std::uint32_t minimum = 0;
      if (!data.name(names) || !data.name(names) || !data.skip(16) || !data.u32(minimum) ||
          data.at() != record.data + record.length) {
        count(Ignored::bad_record);
        continue;
      }
      if ((minimum & 0x8000'0000) != 0) minimum = 0;
      answer_.negative_ttl = std::min({record.ttl, minimum, chain_ttl_, answer_.negative_ttl.value_or(UINT32_MAX)});
    }
    return true;
  }

  bool holds(const Name& zone) const {
    if (!zone.plain()) return false;
    const std::string_view name = answer_.canonical_name, suffix = zone.text();
    if (suffix.empty() || name == suffix) return true;
    return name.size() > suffix.size() && name.ends_with(suffix) && name[name.size() - suffix.size() - 1] == '.';
  }

  Message message_;
  std::string_view name_;
  Type type_;
  Answer answer_;
  std::uint32_t chain_ttl_ = UINT32_MAX;
};

}  // namespace

std::optional<Ignored> refuses(Message message, std::string_view name, Type type, std::optional<std::uint16_t> id) {
  if (message.size() < wire::header_size) return Ignored::short_message;
  const wire::Header header = wire::header(message);
  if (id && header.id != *id) return Ignored::wrong_id;
  if (!header.response || header.opcode != 0) return Ignored::not_a_response;
  if (header.questions != 1) return Ignored::wrong_question;
  Reader reader(message, wire::header_size);
  Name question;
  std::uint16_t asked = 0, cls = 0;
  if (!reader.name(question) || !reader.u16(asked) || !reader.u16(cls)) return reader.fault();
  if (!question.is(name) || asked != static_cast<std::uint16_t>(type) || cls != wire::class_in)
    return Ignored::wrong_question;
  return {};
}

Answer parse_answer(Message message, std::string_view name, Type type, std::optional<std::uint16_t> id) {
  return Parser(message, name, type).run(id);
}

}  // namespace sluice::dns

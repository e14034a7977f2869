// DnsMessage: writes DNS messages for tests, good ones and bad ones: names uncompressed, as pointers, or as raw bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::support {

class DnsMessage {
 public:
  static constexpr std::uint16_t a = 1, cname = 5, soa = 6, aaaa = 28, srv = 33, opt = 41;
  enum Section : std::size_t { questions = 4, answers = 6, authorities = 8, additionals = 10 };

  // Flags: QR and RD and RA, no error.
  explicit DnsMessage(std::uint16_t id = 0x1234, std::uint16_t flags = 0x8180) {
    u16(id).u16(flags);
    bytes.resize(12);
  }
  DnsMessage& flags(std::uint16_t value) { return set(2, value); }
  DnsMessage& rcode(std::uint8_t code) { return bytes[3] = static_cast<std::uint8_t>((bytes[3] & 0xf0) | code), *this; }

  DnsMessage& question(std::string_view name, std::uint16_t type, std::uint16_t cls = 1) {
    count(questions);
    return this->name(name).u16(type).u16(cls);
  }
  // The head of a record; what follows until end() is its data.
  DnsMessage& record(std::string_view owner, std::uint16_t type, std::uint32_t ttl, Section section = answers,
                     std::uint16_t cls = 1) {
    count(section);
    name(owner).u16(type).u16(cls).u32(ttl).u16(0);
    data_ = bytes.size();
    return *this;
  }
  DnsMessage& end() { return set(data_ - 2, static_cast<std::uint16_t>(bytes.size() - data_)); }

  DnsMessage& add_a(std::string_view owner, std::uint32_t ttl, std::uint32_t ip) {
    return record(owner, a, ttl).u32(ip).end();
  }
  DnsMessage& add_aaaa(std::string_view owner, std::uint32_t ttl, std::uint8_t last) {
    return record(owner, aaaa, ttl).u32(0x20010db8).u32(0).u32(0).u32(last).end();
  }
  DnsMessage& add_cname(std::string_view owner, std::uint32_t ttl, std::string_view target) {
    return record(owner, cname, ttl).name(target).end();
  }
  DnsMessage& add_srv(std::string_view owner, std::uint32_t ttl, std::uint16_t priority, std::uint16_t weight,
                      std::uint16_t port, std::string_view target) {
    return record(owner, srv, ttl).u16(priority).u16(weight).u16(port).name(target).end();
  }
  DnsMessage& add_soa(std::string_view zone, std::uint32_t ttl, std::uint32_t minimum) {
    return record(zone, soa, ttl, authorities)
        .name("ns.invalid")
        .name("admin.invalid")
        .u32(1)
        .u32(2)
        .u32(3)
        .u32(4)
        .u32(minimum)
        .end();
  }

  // "@12" is a pointer to offset 12, "www.@12" labels and then a pointer; "" or "." the root.
  DnsMessage& name(std::string_view text) {
    while (!text.empty() && text != ".") {
      if (text[0] == '@') return u16(static_cast<std::uint16_t>(0xc000 | std::stoul(std::string(text.substr(1)))));
      const std::size_t dot = text.find('.');
      const std::string_view label = text.substr(0, dot);
      bytes.push_back(static_cast<std::uint8_t>(label.size()));
      bytes.insert(bytes.end(), label.begin(), label.end());
      text = dot == std::string_view::npos ? std::string_view() : text.substr(dot + 1);
    }
    bytes.push_back(0);
    return *this;
  }
  DnsMessage& raw(std::string_view text) { return bytes.insert(bytes.end(), text.begin(), text.end()), *this; }
  DnsMessage& u16(std::uint16_t v) {
    bytes.push_back(static_cast<std::uint8_t>(v >> 8));
    bytes.push_back(static_cast<std::uint8_t>(v));
    return *this;
  }
  DnsMessage& u32(std::uint32_t v) {
    return u16(static_cast<std::uint16_t>(v >> 16)).u16(static_cast<std::uint16_t>(v));
  }
  DnsMessage& set(std::size_t at, std::uint16_t v) {
    bytes[at] = static_cast<std::uint8_t>(v >> 8);
    bytes[at + 1] = static_cast<std::uint8_t>(v);
    return *this;
  }
  DnsMessage& count(Section section) {
    return set(section, static_cast<std::uint16_t>((bytes[section] << 8 | bytes[section + 1]) + 1));
  }

  std::vector<std::uint8_t> bytes;

 private:
  std::size_t data_ = 0;
};

}  // namespace sluice::support

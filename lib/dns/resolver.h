// Resolver: lookups over c-ares on a loop. Each attempt is a c-ares channel of its own with one query to one server: a
// new id and a new source port each time (RFC 5452 9.2), and nothing of one attempt can disturb another. UDP first, TCP
// when the answer is truncated. Names in /etc/hosts are answered from it and never asked for. Names are absolute: no
// search list. Owned by the control thread. No call of it blocks on the network; /etc/hosts and /etc/resolv.conf are
// read as local files.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "dns/queries.h"
#include "net/loop.h"

namespace sluice::dns {

inline constexpr std::uint32_t lookups_at_once_max =
    128;  // sockets; more lookups wait in line, their time starts later

struct ResolverFiles {
  std::string hosts = "/etc/hosts";  // "" = none
  std::string resolv_conf = "/etc/resolv.conf";  // used while DnsOptions::servers is empty; read again when it changes
};

class Resolver final : public Queries {
 public:
  // `loop` runs on make_uv_driver() and outlives the resolver. configure() comes before the first ask().
  explicit Resolver(net::Loop& loop, ResolverFiles files = {});
  ~Resolver() override;  // no Lookup is left by then

  std::unique_ptr<Lookup> ask(std::string_view name, Type type, Asker& asker) override;
  void configure(const DnsOptions& options) override;  // servers, timeout, attempts

 private:
  friend class Search;
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// "c-ares 1.18.1", for `sluice version`.
std::string library_version();

}  // namespace sluice::dns

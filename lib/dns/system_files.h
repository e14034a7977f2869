// /etc/resolv.conf and /etc/hosts, read again when they change. Local files, bounded in size; owned by the Resolver.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/address.h"

namespace sluice::dns {

inline constexpr std::size_t file_max = 1 << 20;  // bytes read of either file; lines beyond are ignored with a warning
inline constexpr std::size_t servers_max = 8;  // of resolv.conf; more are ignored

// The text of a file, as long as it stays the same; "" while it cannot be read.
class WatchedFile {
 public:
  explicit WatchedFile(std::string path) : path_(std::move(path)) {}
  const std::string& path() const { return path_; }
  // The text if it is not the one returned before; looks at the file's times, size and inode first.
  std::optional<std::string> changed();

 private:
  struct Stamp {
    std::uint64_t inode = 0, size = 0;
    std::int64_t seconds = 0, nanos = 0;
    bool operator==(const Stamp&) const = default;
  };
  const std::string path_;
  std::optional<Stamp> stamp_;
  bool seen_ = false;
};

// "nameserver ADDRESS" lines, port 53; without any 127.0.0.1 (resolv.conf(5)).
std::vector<net::Address> parse_resolv_conf(std::string_view text);

using HostsTable =
    std::map<std::string, std::vector<net::Address>, std::less<>>;  // canonical name -> addresses, port 0
HostsTable parse_hosts(std::string_view text);

class HostsFile {
 public:
  explicit HostsFile(std::string path) : file_(std::move(path)) {}
  // The addresses of `name` (canonical), nullptr if it does not stand in the file.
  const std::vector<net::Address>* find(std::string_view name);

 private:
  WatchedFile file_;
  HostsTable table_;
};

}  // namespace sluice::dns

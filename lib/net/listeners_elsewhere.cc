#include "net/listeners_elsewhere.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>

namespace sluice::net {
namespace {

// The sockets of this process, as /proc/self/fd shows them: "socket:[12345]".
std::optional<std::unordered_set<std::string>> own_sockets() {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/proc/self/fd"), ::closedir);
  if (folder == nullptr) return std::nullopt;
  std::unordered_set<std::string> all;
  while (const dirent* entry = ::readdir(folder.get())) {
    char target[64];
    const ssize_t size = ::readlinkat(::dirfd(folder.get()), entry->d_name, target, sizeof target);
    const std::string_view text(target, size > 0 ? static_cast<size_t>(size) : 0);
    if (text.starts_with("socket:[") && text.ends_with(']')) all.emplace(text.substr(8, text.size() - 9));
  }
  return all;
}

struct Row {
  Address local;
  std::string_view inode;
  bool listens = false;
};

std::string_view next_word(std::string_view& rest) {
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  const std::string_view word = rest.substr(0, rest.find(' '));
  rest.remove_prefix(word.size());
  return word;
}

std::optional<uint32_t> hexadecimal(std::string_view text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "0100007F:1F90": each four bytes of the address as a number of this machine, the port as a number.
std::optional<Address> address_of(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon != 8 && colon != 32) return std::nullopt;
  const auto port = hexadecimal(text.substr(colon + 1));
  uint8_t bytes[16];
  for (size_t i = 0; i < colon / 8; ++i) {
    const auto word = hexadecimal(text.substr(i * 8, 8));
    if (!word) return std::nullopt;
    std::memcpy(bytes + i * 4, &*word, 4);
  }
  if (!port || *port > 0xffff) return std::nullopt;
  if (colon == 32) return Address::ipv6(std::span<const uint8_t, 16>(bytes), static_cast<uint16_t>(*port));
  const uint32_t host_order = uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
  return Address::ipv4(host_order, static_cast<uint16_t>(*port));
}

// "sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode ...": proc_net(5).
std::optional<Row> row_of(std::string_view line) {
  constexpr std::string_view listening = "0A";
  next_word(line);
  const auto local = address_of(next_word(line));
  if (!local) return std::nullopt;
  next_word(line);
  const bool listens = next_word(line) == listening;
  for (int skipped = 0; skipped < 5; ++skipped) next_word(line);
  return Row{*local, next_word(line), listens};
}

bool is_wildcard(const Address& address) {
  return std::ranges::all_of(address.ip_bytes(), [](uint8_t byte) { return byte == 0; });
}

// Ours are V6ONLY, others' sockets at [::] may take IPv4, too.
bool shares(const Address& ours, const Address& given) {
  const Address other = given.unmapped();
  if (ours.port() != other.port()) return false;
  if (ours.family() != other.family()) return ours.family() == Address::Family::ipv4 && is_wildcard(other);
  return ours == other || is_wildcard(ours) || is_wildcard(other);
}

// Listening sockets come first in these files: what follows may be a million connections.
bool another_in(const char* file, const Address& address, const std::unordered_set<std::string>& own) {
  std::ifstream stream(file);
  std::string line;
  if (!std::getline(stream, line)) return false;   // no such family here
  while (std::getline(stream, line)) {
    const auto row = row_of(line);
    if (row && !row->listens) return false;
    if (row && shares(address, row->local) && !own.contains(std::string(row->inode))) return true;
  }
  return false;
}

}  // namespace

bool another_listens(const Address& address) {
  const auto own = own_sockets();
  if (!own || ::access("/proc/self/net/tcp", R_OK) != 0) return true;
  return another_in("/proc/self/net/tcp", address, *own) || another_in("/proc/self/net/tcp6", address, *own);
}

}  // namespace sluice::net

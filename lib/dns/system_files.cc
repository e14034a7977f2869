#include "dns/system_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "dns/answer.h"
#include "net/fd.h"

namespace sluice::dns {
namespace {

constexpr std::string_view blanks = " \t\r";

// The next word of a line; "" at its end.
std::string_view next_word(std::string_view& line) {
  const std::size_t start = std::min(line.find_first_not_of(blanks), line.size());
  line.remove_prefix(start);
  const std::string_view word = line.substr(0, line.find_first_of(blanks));
  line.remove_prefix(word.size());
  return word;
}

template <class F>
void each_line(std::string_view text, F f) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    f(line.substr(0, line.find_first_of("#;")));
  }
}

std::string read_file(const net::Fd& fd, const std::string& path) {
  std::string text;
  char block[16 * 1024];
  while (text.size() <= file_max) {
    const ssize_t n = ::read(fd.value(), block, sizeof block);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    text.append(block, static_cast<std::size_t>(n));
  }
  if (text.size() > file_max) {
    base::warn("dns: {} is longer than {} bytes; the rest is ignored", path, file_max);
    text.resize(file_max);
  }
  return text;
}

}  // namespace

std::optional<std::string> WatchedFile::changed() {
  std::optional<Stamp> now;
  struct stat info{};
  const net::Fd fd(path_.empty() ? -1 : ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd && ::fstat(fd.value(), &info) == 0 && S_ISREG(info.st_mode))
    now = Stamp{info.st_ino, static_cast<std::uint64_t>(info.st_size), info.st_mtim.tv_sec, info.st_mtim.tv_nsec};
  if (seen_ && now == stamp_) return {};
  seen_ = true;
  stamp_ = now;
  return now ? read_file(fd, path_) : std::string();
}

std::vector<net::Address> parse_resolv_conf(std::string_view text) {
  constexpr std::uint16_t dns_port = 53;
  std::vector<net::Address> servers;
  each_line(text, [&](std::string_view line) {
    if (next_word(line) != "nameserver" || servers.size() == servers_max) return;
    const std::string_view word = next_word(line);
    if (const auto address = net::Address::parse_ip(word, dns_port)) {
      servers.push_back(*address);
    } else {
      base::warn("dns: name server \"{}\" of the system is no address we can use", word);
    }
  });
  if (servers.empty()) servers.push_back(net::Address::ipv4(0x7f000001, dns_port));
  return servers;
}

HostsTable parse_hosts(std::string_view text) {
  HostsTable table;
  each_line(text, [&](std::string_view line) {
    const auto address = net::Address::parse_ip(next_word(line));
    if (!address) return;
    for (std::string_view word = next_word(line); !word.empty(); word = next_word(line))
      if (const std::string name = canonical(word); !name.empty() && table[name].size() < addresses_max)
        table[name].push_back(*address);
  });
  return table;
}

const std::vector<net::Address>* HostsFile::find(std::string_view name) {
  if (const auto text = file_.changed()) table_ = parse_hosts(*text);
  const auto found = table_.find(name);
  return found == table_.end() ? nullptr : &found->second;
}

}  // namespace sluice::dns

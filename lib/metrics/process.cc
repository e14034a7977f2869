// /proc/self/stat and its neighbours. Linux only, like the rest of the process.
#include "metrics/process.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

namespace sluice::metrics {
namespace {

std::string read_file(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

uint64_t number(std::string_view text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// Seconds since the Epoch at which the machine started.
uint64_t boot_time() {
  const std::string text = read_file("/proc/stat");
  constexpr std::string_view key = "\nbtime ";
  const size_t at = text.find(key);
  return at == std::string::npos ? 0 : number(std::string_view(text).substr(at + key.size()));
}

uint64_t count_fds() {
  DIR* folder = opendir("/proc/self/fd");
  if (folder == nullptr) return 0;
  uint64_t count = 0;
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count < 3 ? 0 : count - 3;  // ".", ".." and the descriptor of the folder itself
}

}  // namespace

ProcessFacts read_process() {
  ProcessFacts facts;
  const std::string text = read_file("/proc/self/stat");
  // The second field, the name in parentheses, may hold anything: count from the last ')'. The third is at index 1
  // after it.
  std::array<std::string_view, 23> field{};
  std::string_view rest = text;
  rest.remove_prefix(rest.rfind(')') == std::string_view::npos ? rest.size() : rest.rfind(')') + 1);
  for (size_t i = 0; i < field.size() && !rest.empty(); ++i) {
    const size_t space = rest.find(' ');
    field[i] = rest.substr(0, space);
    rest.remove_prefix(space == std::string_view::npos ? rest.size() : space + 1);
  }
  // field[i] is number i + 2 of proc(5).
  const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  facts.cpu_seconds = static_cast<double>(number(field[12]) + number(field[13])) / ticks;
  facts.threads = number(field[18]);
  facts.start_time = static_cast<double>(boot_time()) + static_cast<double>(number(field[20])) / ticks;
  facts.virtual_bytes = number(field[21]);
  facts.resident_bytes = number(field[22]) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  facts.open_fds = count_fds();
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) facts.max_fds = limit.rlim_cur;
  return facts;
}

}  // namespace sluice::metrics

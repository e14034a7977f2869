#include "runtime/cgroup.h"

#include <fstream>
#include <string>

namespace sluice::runtime {
namespace {

constexpr std::string_view root = "/sys/fs/cgroup";

// Where the files of our cgroup stand: /proc/self/cgroup has "0::/path" for version 2 and "7:memory:/path" for a controller of version 1.
std::string own_folder(std::string_view controller, std::string_view mount) {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t names = line.find(':') + 1;
    const size_t path = line.find(':', names) + 1;
    if (names == 0 || path == 0) continue;
    if (std::string_view(line).substr(names, path - 1 - names) == controller) return std::string(mount) + line.substr(path);
  }
  return std::string(mount);
}

}  // namespace

void walk_cgroups(std::string_view controller, std::string_view file, const std::function<void(std::string_view line)>& each) {
  std::string mount(root);
  if (!controller.empty()) mount += "/" + std::string(controller);
  std::string folder = own_folder(controller, mount);
  while (folder.starts_with(mount)) {
    std::string line;
    std::ifstream stream(folder + "/" + std::string(file));
    if (std::getline(stream, line)) each(line);
    folder.resize(folder.find_last_of('/'));
  }
}

}  // namespace sluice::runtime

#include "runtime/cgroup.h"

#include <fstream>
#include <vector>

namespace sluice::runtime {
namespace {

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  for (size_t end = 0; end != std::string_view::npos; text.remove_prefix(end == std::string_view::npos ? 0 : end + 1)) {
    end = text.find(at);
    parts.push_back(text.substr(0, end));
  }
  return parts;
}

bool holds(std::string_view list, std::string_view word) {
  for (const std::string_view part : split(list, ',')) {
    if (part == word) return true;
  }
  return false;
}

// mountinfo writes blank, tab, newline and backslash as three octal digits: proc_pid_mountinfo(5).
std::string unescaped(std::string_view text) {
  std::string to;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      to += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      to += text[i];
    }
  }
  return to;
}

// Our path in the hierarchy of a controller. /proc/self/cgroup: "0::/path" for version 2, "7:cpu,cpuacct:/path" for
// version 1.
std::optional<std::string> own_path(std::string_view controller, const std::string& root) {
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t names = line.find(':') + 1;
    const size_t path = line.find(':', names) + 1;
    if (names == 0 || path == 0) continue;
    const std::string_view list = std::string_view(line).substr(names, path - 1 - names);
    if (controller.empty() ? list.empty() : holds(list, controller)) return line.substr(path);
  }
  return std::nullopt;
}

// Where a hierarchy is mounted, and which of its folders stands there: in a container without a cgroup namespace that
// is its own.
struct Mount {
  std::string folder;  // in the hierarchy
  std::string point;
};

// "36 32 0:31 /folder /point rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct"
std::optional<Mount> mount_of(std::string_view controller, const std::string& root) {
  std::ifstream file(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    const auto head = split(std::string_view(line).substr(0, dash), ' ');
    const auto tail = split(std::string_view(line).substr(dash + 3), ' ');
    if (head.size() < 5 || tail.size() < 3) continue;
    const bool ours = controller.empty() ? tail[0] == "cgroup2" : tail[0] == "cgroup" && holds(tail[2], controller);
    if (ours) return Mount{unescaped(head[3]), unescaped(head[4])};
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> first_line(const std::string& file) {
  std::ifstream stream(file);
  std::string line;
  if (!std::getline(stream, line)) return std::nullopt;
  return line;
}

void walk_cgroups(std::string_view controller, const std::string& root,
                  const std::function<void(const std::string& folder)>& each) {
  const auto path = own_path(controller, root);
  const auto mount = mount_of(controller, root);
  if (!path || !mount) return;
  std::string_view below = *path;
  const std::string_view folder = mount->folder == "/" ? std::string_view() : std::string_view(mount->folder);
  // What is not below the mounted folder ("/../x": outside of our namespace) cannot be seen: then that folder is the
  // nearest.
  if (!below.starts_with(folder) || (below.size() > folder.size() && below[folder.size()] != '/') ||
      below.find("/..") != std::string_view::npos)
    below = folder;
  below.remove_prefix(folder.size());
  while (!below.empty() && below != "/") {
    each(root + mount->point + std::string(below));
    below = below.substr(0, below.rfind('/'));
  }
  each(root + mount->point);
}

}  // namespace sluice::runtime

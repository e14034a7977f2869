#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

namespace sluice::base {
namespace {

std::string_view kind_of(mode_t mode) {
  if (S_ISREG(mode)) return "";
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

std::unexpected<Error> about(const std::string& path, std::string message) {
  Error error{std::move(message)};
  error.span.file = path;
  return std::unexpected(std::move(error));
}

std::unexpected<Error> no_file(const std::string& path, std::string_view kind) {
  return about(path, "this is " + std::string(kind) + ", a file is needed");
}

}  // namespace

// Looked at before it is opened, as opening a device may do something; and again behind it, as it may have changed its
// place.
Result<int> open_file(const std::string& path) {
  struct stat facts{};
  if (::stat(path.c_str(), &facts) == 0 && !kind_of(facts.st_mode).empty())
    return no_file(path, kind_of(facts.st_mode));
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) return about(path, std::string("cannot open the file: ") + std::strerror(errno));
  const bool known = ::fstat(fd, &facts) == 0;
  if (known && kind_of(facts.st_mode).empty()) return fd;
  const int error = errno;
  ::close(fd);
  if (known) return no_file(path, kind_of(facts.st_mode));
  return about(path, std::string("cannot look at the file: ") + std::strerror(error));
}

Result<std::string> read_file(const std::string& path, size_t most, std::string_view too_large) {
  const Result<int> opened = open_file(path);
  if (!opened) return std::unexpected(opened.error());
  std::string text(most + 1, '\0');
  size_t size = 0;
  int error = 0;
  while (size < text.size()) {
    const ssize_t n = ::read(*opened, text.data() + size, text.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) error = errno;
    if (n <= 0) break;
    size += static_cast<size_t>(n);
  }
  ::close(*opened);
  text.resize(size);
  if (error != 0) return about(path, std::string("cannot read it: ") + std::strerror(error));
  if (size > most) return about(path, std::string(too_large));
  return text;
}

}  // namespace sluice::base

#include "exchange/access_log.h"

#include <fcntl.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include "base/log.h"
#include "base/log_event.h"
#include "base/unwritten.h"

namespace sluice::exchange {
namespace {

constexpr base::Millis pause{50};        // between two batches while there is traffic: many lines per write(2)
constexpr size_t ring_bytes = size_t{1024} * 1024;

base::Result<int> open_output(const AccessLogOptions& options) {
  if (options.output == AccessLogOutput::standard_output) {
    const int copy = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) return base::fail(std::string("access log: stdout cannot be written: ") + std::strerror(errno));
    return copy;
  }
  // Without waiting: a FIFO that nobody reads would hold the start up.
  const int fd = ::open(options.path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
  if (fd < 0 && errno == ENXIO) {
    return base::fail("access log \"" + options.path +
                      "\" cannot be opened: it is a FIFO or a socket that nobody reads");
  }
  if (fd >= 0) fcntl(fd, F_SETFL, O_APPEND);
  if (fd < 0) {
    return base::fail("access log \"" + options.path + "\" cannot be opened: " + std::strerror(errno) +
                      "; check the folder and its permissions");
  }
  return fd;
}

base::LineWriter::Hooks hooks_of(const AccessLogOptions& options) {
  base::LineWriter::Hooks hooks;
  hooks.failed = [](int error) {
    static base::LogSite site;
    if (site.admit(1))
      base::log_event(base::LogLevel::error, "access_log_unwritable",
                      {{"why", std::strerror(error)}, {"message", "lines are dropped (sluice_log_dropped_total)"}});
  };
  if (options.output != AccessLogOutput::file) return hooks;
  hooks.reopen = [options] {
    auto fd = open_output(options);
    if (!fd)
      base::log_event(base::LogLevel::error, "access_log_unwritable",
                      {{"why", fd.error().message}, {"message", "the log goes on in the file that was open"}});
    return fd.value_or(-1);
  };
  return hooks;
}

}  // namespace

base::Result<std::unique_ptr<AccessLog>> AccessLog::open(const AccessLogOptions& options, uint32_t workers) {
  if (options.output == AccessLogOutput::off) return std::unique_ptr<AccessLog>();
  auto fd = open_output(options);
  if (!fd) return std::unexpected(fd.error());
  return std::make_unique<AccessLog>(Opened{}, options, workers, *fd);
}

AccessLog::AccessLog(Opened, const AccessLogOptions& options, uint32_t workers, int fd)
    : writer_(fd, {.producers = workers, .ring_bytes = ring_bytes, .pause = pause}, hooks_of(options)) {}

void AccessLog::write(uint32_t worker, const AccessRecord& record, const LogPlan& plan) {
  UNWRITTEN std::array<char, line_bytes_max> line;   // NOLINT: filled by the formatter
  const size_t size = plan.format() == AccessLogFormat::json ? format_json(record, plan, line.data())
                                                             : format_common(record, plan, line.data());
  writer_.push(worker, {line.data(), size});
}

}  // namespace sluice::exchange

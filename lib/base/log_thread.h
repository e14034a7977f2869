// How the process log leaves while the process runs: through a bounded ring and a thread of its own, so that a stderr
// that nobody reads stalls nobody. For main() and for who counts; who logs needs log.h alone.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

namespace sluice::base {

class LineWriter;

// Made by main() before it starts anything that logs, one at a time; it outlives them. What its ring does not hold is
// dropped and counted, and told when stderr takes lines again. Its end writes what is queued, for at most
// LineWriter::last_wait.
class LogThread {
 public:
  LogThread();
  LogThread(const LogThread&) = delete;
  LogThread& operator=(const LogThread&) = delete;
  ~LogThread();

 private:
  std::unique_ptr<LineWriter> writer_;  // nullptr: there is no stderr
};

// Whole lines that are written as they are, each with its '\n'.
void log_text(std::string_view lines);
uint64_t log_dropped();  // lines of the LogThread that lives; 0 without one

}  // namespace sluice::base

// Lines to an output that may not take them: the ring, the writer's thread, and the process log on top.
#include "base/line_writer.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <string>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/log_thread.h"

#include <doctest/doctest.h>

using namespace sluice::base;

namespace {

size_t lines_in(const std::string& text) { return static_cast<size_t>(std::count(text.begin(), text.end(), '\n')); }

// A pipe as small as pipes get; the end to write to blocks, as stderr does.
class Pipe {
 public:
  Pipe() {
    std::signal(SIGPIPE, SIG_IGN);
    REQUIRE(pipe2(ends_.data(), O_CLOEXEC) == 0);
    REQUIRE(fcntl(ends_[1], F_SETPIPE_SZ, 4096) >= 4096);
  }
  ~Pipe() {
    close_reader();
    ::close(ends_[1]);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  int writer() const { return ends_[1]; }
  int copy() const { return fcntl(ends_[1], F_DUPFD_CLOEXEC, 0); }
  // Takes nothing more until it is read, so that how soon the writer's thread wakes changes nothing.
  void fill() const {
    REQUIRE(fcntl(ends_[1], F_SETFL, O_NONBLOCK) == 0);
    while (::write(ends_[1], "#", 1) == 1) continue;
    REQUIRE(errno == EAGAIN);
    REQUIRE(fcntl(ends_[1], F_SETFL, 0) == 0);
  }
  void close_reader() {
    if (ends_[0] >= 0) ::close(std::exchange(ends_[0], -1));
  }
  // Reads until `last` has come.
  std::string read_until(std::string_view last) const {
    std::string text;
    while (text.find(last) == std::string::npos) read_some(text);
    return text;
  }
  std::string read_lines(size_t lines) const {
    std::string text;
    while (lines_in(text) < lines) read_some(text);
    return text;
  }

 private:
  // What never comes is a failure, not a hang.
  void read_some(std::string& to) const {
    pollfd readable{ends_[0], POLLIN, 0};
    REQUIRE(::poll(&readable, 1, 60'000) == 1);
    std::array<char, 4096> some;   // NOLINT: read() fills it
    const ssize_t n = ::read(ends_[0], some.data(), some.size());
    REQUIRE(n > 0);
    to.append(some.data(), static_cast<size_t>(n));
  }

  std::array<int, 2> ends_{};
};

// stderr is that pipe while one lives.
class Stderr {
 public:
  explicit Stderr(const Pipe& pipe) : saved_(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)) {
    dup2(pipe.writer(), STDERR_FILENO);
  }
  ~Stderr() {
    dup2(saved_, STDERR_FILENO);
    ::close(saved_);
  }
  Stderr(const Stderr&) = delete;
  Stderr& operator=(const Stderr&) = delete;

 private:
  int saved_;
};

}  // namespace

TEST_CASE("the ring keeps order over its edge and refuses what does not fit") {
  constexpr size_t bytes = 10'500;
  LineRing ring(bytes);
  std::string got;
  for (int round = 0; round < 5; ++round) {
    std::string sent;
    for (char c = 'a'; ring.push(std::string(1000, c)); ++c) sent += std::string(1000, c);
    CHECK(sent.size() == 10'000);
    got.clear();
    CHECK(ring.pop_all(got) == sent.size());
    CHECK(got == sent);
  }
  CHECK(ring.push(std::string(bytes, 'x')));
  CHECK_FALSE(ring.push("y"));
  CHECK_FALSE(LineRing(bytes).push(std::string(bytes + 1, 'x')));
}

TEST_CASE("lines of several threads come whole, each thread's in order, and at the end all of them") {
  constexpr uint32_t threads = 3;
  constexpr int each = 300;
  Pipe pipe;
  std::string text;
  std::thread reader([&] { text = pipe.read_until("end\n"); });
  {
    LineWriter writer(pipe.copy(), {.producers = threads + 1, .ring_bytes = 64 * 1024}, {});
    std::array<std::thread, threads> producers;
    for (uint32_t t = 0; t < threads; ++t) {
      producers[t] = std::thread([&, t] {
        for (int i = 0; i < each; ++i) CHECK(writer.push(t, std::to_string(t) + " " + std::to_string(i) + "\n"));
      });
    }
    for (std::thread& p : producers) p.join();
  }
  CHECK(::write(pipe.writer(), "end\n", 4) == 4);
  reader.join();
  CHECK(lines_in(text) == threads * each + 1);
  for (uint32_t t = 0; t < threads; ++t) {
    size_t at = 0;
    for (int i = 0; i < each; ++i) {
      at = ("\n" + text).find("\n" + std::to_string(t) + " " + std::to_string(i) + "\n", at);
      REQUIRE(at != std::string::npos);
    }
  }
}

TEST_CASE("an output that takes nothing stalls nobody, costs lines, and tells how many when it takes some again") {
  Pipe pipe;
  pipe.fill();
  const std::string line = std::string(99, 'x') + "\n";
  uint64_t sent = 0;
  LineWriter::Hooks hooks;
  hooks.lost = [](uint64_t lines) { return "lost " + std::to_string(lines) + ".\n"; };
  LineWriter writer(pipe.copy(), {.ring_bytes = 10'000}, std::move(hooks));
  while (writer.dropped() < 5) sent += writer.push(0, line) ? 1U : 0U;
  // What the thread had taken before, that 5 are lost, and what stood in the ring meanwhile.
  const std::string text = pipe.read_lines(sent + 1);
  CHECK(lines_in(text) == sent + 1);
  CHECK(text.find("\nlost 5.\n") != std::string::npos);
  CHECK(writer.push(0, line));
  CHECK(pipe.read_until(line) == line);
}

TEST_CASE("the end does not wait for an output that nobody reads") {
  Pipe pipe;
  {
    LineWriter writer(pipe.copy(), {.ring_bytes = 10'000}, {});
    while (writer.push(0, std::string(1000, 'x') + "\n")) continue;
  }
  pipe.close_reader();                        // the thread that was left behind ends
}

TEST_CASE("a reader that is gone is told of once a batch, and costs lines") {
  Pipe pipe;
  pipe.close_reader();
  std::atomic<int> error{0};
  LineWriter::Hooks hooks;
  hooks.failed = [&](int e) { error.store(e); };
  LineWriter writer(pipe.copy(), {}, std::move(hooks));
  CHECK(writer.push(0, "a\n"));
  while (writer.dropped() == 0 || error.load() == 0) std::this_thread::yield();
  CHECK(error.load() == EPIPE);
  CHECK(writer.dropped() == 1);
}

TEST_CASE("after reopen() lines go to the next descriptor, wherever the thread is just then") {
  std::array<Pipe, 2> pipes;
  std::atomic<size_t> next{0};
  LineWriter::Hooks hooks;
  hooks.reopen = [&] { return pipes[next.load()].copy(); };
  LineWriter writer(pipes[0].copy(), {}, std::move(hooks));
  for (size_t round = 0; round < 2000; ++round) {
    const std::string line = std::to_string(round) + "\n";
    next.store(round % 2);
    writer.reopen();
    REQUIRE(writer.push(0, line));
    REQUIRE(pipes[round % 2].read_until("\n") == line);
  }
}

TEST_CASE("the process log: through the ring while a LogThread lives, and all of it at its end") {
  Pipe pipe;
  const Stderr replaced(pipe);
  {
    const LogThread thread;
    info("one");
    log_text("two\nthree\n");
    CHECK(log_dropped() == 0);
  }
  const std::string text = pipe.read_until("three\n");
  CHECK(text.find(" info one\ntwo\nthree\n") != std::string::npos);
  warn("direct");
  CHECK(pipe.read_until("\n").find(" warn direct\n") != std::string::npos);
}

TEST_CASE("a stderr that nobody reads: who logs goes on, what is lost is counted and told") {
  Pipe pipe;
  pipe.fill();
  const Stderr replaced(pipe);
  const LogThread thread;
  while (log_dropped() < 10) error("{}", std::string(1000, 'x'));
  const std::string text = pipe.read_until("were lost");
  CHECK(text.find(" warn 10 lines of this log were lost") != std::string::npos);
}

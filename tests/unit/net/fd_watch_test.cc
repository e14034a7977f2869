// FdWatch: readiness of a descriptor that belongs to somebody else.
#include "net/fd_watch.h"

#include <fcntl.h>
#include <unistd.h>

#include <memory>

#include "loopback.h"

#include <doctest/doctest.h>

using namespace sluice;
using namespace sluice::net::loopback;
using net::FdWatch;

namespace {

struct Watcher final : FdWatch::User {
  Watcher(World& world, int fd) : watch(std::make_unique<FdWatch>(world.loop, fd, *this)) {}
  void on_ready(FdWatch::For what) override {
    ++calls;
    last = what;
    if (once) watch.reset();
  }
  int calls = 0;
  FdWatch::For last = FdWatch::For::nothing;
  bool once = false;
  std::unique_ptr<FdWatch> watch;
};

struct Pipe {
  Pipe() {
    int fds[2];
    REQUIRE(::pipe2(fds, O_CLOEXEC) == 0);
    from.reset(fds[0]);
    to.reset(fds[1]);
  }
  void write() { REQUIRE(::write(to.value(), "x", 1) == 1); }
  net::Fd from, to;
};

}  // namespace

TEST_CASE("readable again and again until read, stopped, or gone") {
  World world;
  Pipe pipe;
  Watcher watcher(world, pipe.from.value());
  watcher.watch->watch(FdWatch::For::reading);
  world.spin();
  CHECK(watcher.calls == 0);
  pipe.write();
  world.until([&] { return watcher.calls == 3; });
  CHECK(watcher.last == FdWatch::For::reading);
  SUBCASE("read") {
    char byte;
    REQUIRE(::read(pipe.from.value(), &byte, 1) == 1);
    const int before = watcher.calls;
    world.spin();
    CHECK(watcher.calls == before);
    pipe.to.reset();  // the end counts as readable
    world.until([&] { return watcher.calls > before; });
  }
  SUBCASE("stopped") {
    watcher.watch->watch(FdWatch::For::nothing);
    world.spin();
    CHECK(watcher.calls == 3);
    watcher.watch->watch(FdWatch::For::reading);
    world.until([&] { return watcher.calls == 4; });
  }
  SUBCASE("gone within its own call") {
    watcher.once = true;
    world.until([&] { return watcher.watch == nullptr; });
    const int before = watcher.calls;
    world.spin();
    CHECK(watcher.calls == before);
  }
}

TEST_CASE("a watch that went leaves its descriptor's successor alone") {
  World world;
  auto pipe = std::make_unique<Pipe>();
  const int number = pipe->from.value();
  {
    Watcher watcher(world, number);
    watcher.watch->watch(FdWatch::For::reading);
    world.spin();
  }
  pipe.reset();
  Pipe next;
  REQUIRE(next.from.value() == number);
  Watcher watcher(world, number);
  watcher.watch->watch(FdWatch::For::reading);
  next.write();
  world.until([&] { return watcher.calls >= 2; });
}

TEST_CASE("writable") {
  World world;
  Pipe pipe;
  Watcher watcher(world, pipe.to.value());
  watcher.watch->watch(FdWatch::For::both);
  world.until([&] { return watcher.calls == 1; });
  CHECK(watcher.last == FdWatch::For::writing);
}

TEST_CASE(
    "a descriptor that the kernel refuses to watch is silent") {  // here: a regular file; likewise when it has no room
  World world;
  const net::Fd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  REQUIRE(file);
  Watcher watcher(world, file.value());
  watcher.watch->watch(FdWatch::For::reading);
  watcher.watch->watch(FdWatch::For::nothing);
  CHECK(watcher.calls == 0);
}

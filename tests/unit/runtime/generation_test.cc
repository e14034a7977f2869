// What a reload does with listening sockets: those of addresses that stay are the same objects, whatever their
// listeners are called and wherever they stand; what fails has changed nothing.
#include "runtime/generation.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>

#include "config/load.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using runtime::GenerationPtr;

namespace {

std::expected<GenerationPtr, config::Problems> build(const std::string& listeners,
                                                     const GenerationPtr& before = nullptr) {
  auto source =
      config::Source::of("test.toml", listeners + "[admin]\naddress = \"\"\n[[route]]\nrespond = { status = 200 }\n");
  REQUIRE(source.has_value());
  auto loaded = config::load(*source);
  if (!loaded) FAIL(loaded.error().front().message);
  config::Problems warnings;
  return runtime::build_generation(*loaded, before.get(), 2, base::Micros{}, warnings);
}

GenerationPtr good(const std::string& listeners, const GenerationPtr& before = nullptr) {
  auto built = build(listeners, before);
  if (!built) FAIL(built.error().front().message);
  return *built;
}

std::string listener(const std::string& name, const std::string& addresses, const std::string& keys = "") {
  return "[[listener]]\n" + (name.empty() ? name : "name = \"" + name + "\"\n") + "address = " + addresses + "\n" +
         keys + "\n";
}
std::string listed(std::initializer_list<std::string> addresses) {
  std::string text;
  for (const std::string& address : addresses) text += (text.empty() ? "[\"" : ", \"") + address + "\"";
  return text + "]";
}

const runtime::ListenSocket* socket(const GenerationPtr& of, size_t listener, size_t address = 0) {
  return of->listeners.at(listener)->sockets.at(address).get();
}

// As workers do.
void take_all(const GenerationPtr& of) {
  for (const auto& listening : of->listeners) {
    for (const auto& socket : listening->sockets) {
      for (uint32_t worker = 0; worker < 2; ++worker) socket->take(worker);
    }
  }
}

class Folder {
 public:
  Folder() {
    char name[] = "/tmp/sluice-gen-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    path_ = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string unix(const char* name) const { return "unix:" + path_ + "/" + name; }
  bool has(const char* name) const { return std::filesystem::exists(path_ + "/" + name); }
  uint32_t mode(const char* name) const {
    struct stat info{};
    REQUIRE(::stat((path_ + "/" + name).c_str(), &info) == 0);
    return info.st_mode & 07777;
  }

 private:
  std::string path_;
};

}  // namespace

TEST_CASE("an upstream that stays as it is goes on with the same options, the same way and what all share") {
  const auto upstreams = [](const std::string& keys) {
    return listener("", "\"127.0.0.1:0\"") + "[[upstream]]\nname = \"new\"\nendpoints = [\"10.0.0.9:80\"]\n" +
           "[[upstream]]\nname = \"app\"\nendpoints = [\"10.0.0.1:80\", \"10.0.0.2:80\"]\n" + keys;
  };
  const GenerationPtr before = good(listener("", "\"127.0.0.1:0\"") +
                                    "[[upstream]]\nname = \"app\"\nendpoints = [\"10.0.0.1:80\", \"10.0.0.2:80\"]\n");
  const GenerationPtr same = good(upstreams(""), before);
  const runtime::Backing& old = before->upstreams[0];
  CHECK(same->upstreams[1].shared == old.shared);
  CHECK(same->upstreams[1].options == old.options);
  CHECK(same->upstreams[1].way == old.way);
  const GenerationPtr longer = good(upstreams("balance = \"round_robin\"\n"), before);
  CHECK(longer->upstreams[1].options != old.options);
  CHECK(longer->upstreams[1].options->balance == upstream::Balance::round_robin);
  CHECK(longer->upstreams[1].way == old.way);
  const GenerationPtr other = good(upstreams("proxy_protocol = \"v1\"\n"), before);
  CHECK(other->upstreams[1].way != old.way);
  CHECK(same->backing_of(old.shared.get()) == &same->upstreams[1]);
  CHECK(before->backing_of(same->upstreams[0].shared.get()) == nullptr);
}

TEST_CASE("a new upstream without names has its endpoints from the start; with names DNS says which") {
  const GenerationPtr made =
      good(listener("", "\"127.0.0.1:0\"") + "[[upstream]]\nname = \"app\"\nendpoints = [\"10.0.0.1:80\"]\n" +
           "[[upstream]]\nname = \"named\"\nendpoints = [\"10.0.0.1:80\", \"a.test:80\"]\n");
  CHECK(made->upstreams[0].shared->endpoints()->entries.size() == 1);
  CHECK(made->upstreams[1].shared->endpoints()->entries.empty());
}

TEST_CASE("a socket is known by its address, not by the name of its listener or its place in the file") {
  const Folder folder;
  const std::string a = folder.unix("a"), b = folder.unix("b"), c = folder.unix("c");
  const auto first = good(listener("", listed({a})) + listener("", listed({b})) + listener("", listed({c})));
  SUBCASE("the first of three goes") {
    const auto next = good(listener("", listed({b})) + listener("", listed({c})), first);
    CHECK(socket(next, 0) == socket(first, 1));
    CHECK(socket(next, 1) == socket(first, 2));
  }
  SUBCASE("two listeners that stay exchange their addresses") {
    const auto named = good(listener("one", listed({a})) + listener("two", listed({b, c})), first);
    const auto next = good(listener("one", listed({c, a})) + listener("two", listed({b})), named);
    CHECK(socket(next, 0, 0) == socket(first, 2));
    CHECK(socket(next, 0, 1) == socket(first, 0));
    CHECK(socket(next, 1) == socket(first, 1));
  }
  SUBCASE("one takes over all of them") {
    const auto next = good(listener("all", listed({c, b, a})), first);
    for (size_t i = 0; i < 3; ++i) CHECK(socket(next, 0, i) == socket(first, 2 - i));
  }
}

TEST_CASE("port 0 is another port each time: each listener keeps its own, and a new one takes none of them") {
  const std::string any = "\"127.0.0.1:0\"";
  const auto first = good(listener("one", any) + listener("two", any));
  CHECK(socket(first, 0)->address().port() != socket(first, 1)->address().port());
  const auto next = good(listener("new", any) + listener("two", any) + listener("one", any), first);
  CHECK(socket(next, 1) == socket(first, 1));
  CHECK(socket(next, 2) == socket(first, 0));
  CHECK(socket(next, 0) != socket(first, 0));
  CHECK(socket(next, 0)->address().port() != 0);
  // Renamed: the address goes on under the new name.
  CHECK(socket(good(listener("uno", any) + listener("two", any), first), 0) == socket(first, 0));
}

TEST_CASE("a wider address beside a narrower one of our own, at the start and by a reload") {
  const auto probe = good(listener("x", "\"127.0.0.1:0\""));
  const std::string port = std::to_string(socket(probe, 0)->address().port());
  const auto wider =
      good(listener("x", "\"127.0.0.1:" + port + "\"") + listener("y", "\"0.0.0.0:" + port + "\""), probe);
  CHECK(socket(wider, 1)->address().port() == socket(probe, 0)->address().port());
}

TEST_CASE("an address that another process serves fails the whole, and nothing has changed") {
  const Folder folder;
  auto first = good(listener("x", listed({"127.0.0.1:0", folder.unix("kept")}), "unix_mode = \"0600\""));
  take_all(first);
  std::string taken;
  pid_t other = 0;
  {
    const auto theirs = good(listener("theirs", "\"127.0.0.1:0\""));
    taken = socket(theirs, 0)->address().text();
    other = ::fork();
    REQUIRE(other >= 0);
    while (other == 0) ::pause();  // it holds what is open here; ours closes
  }
  const std::string changed = listener("x", listed({"127.0.0.1:0", folder.unix("kept")}), "unix_mode = \"0666\"");
  auto failed = build(changed + listener("new", listed({folder.unix("new"), taken})), first);
  ::kill(other, SIGKILL);
  ::waitpid(other, nullptr, 0);
  REQUIRE_FALSE(failed.has_value());
  CHECK(failed.error().front().message.find(taken) != std::string::npos);
  CHECK(folder.mode("kept") == 0600);
  CHECK_FALSE(folder.has("new"));
  // The same without them is taken.
  const auto next = good(changed + listener("new", listed({folder.unix("new")})), first);
  CHECK(socket(next, 0, 1) == socket(first, 0, 1));
  CHECK(folder.mode("kept") == 0666);
  CHECK(folder.mode("new") == 0660);
}

TEST_CASE("a mode that cannot be changed fails the whole and leaves the others") {
  const Folder folder;
  const auto with = [&](const char* mode) {
    const std::string key = std::string("unix_mode = \"") + mode + "\"";
    return listener("a", listed({folder.unix("a")}), key) + listener("b", listed({folder.unix("b")}), key);
  };
  const auto first = good(with("0600"));
  take_all(first);
  std::filesystem::remove(folder.unix("b").substr(5));
  CHECK_FALSE(build(with("0666"), first).has_value());
  CHECK(folder.mode("a") == 0600);
}

TEST_CASE("the file of a socket that never served goes, of one that did it stays") {
  const Folder folder;
  good(listener("x", listed({folder.unix("a")})));
  CHECK_FALSE(folder.has("a"));
  take_all(good(listener("x", listed({folder.unix("a")}))));
  CHECK(folder.has("a"));
}

// Limits of cgroups of both versions, from trees made up as a machine and as containers show them.
#include "runtime/cgroup.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <doctest/doctest.h>

#include "runtime/cpus.h"
#include "runtime/memory.h"

using namespace sluice;

namespace {

class Tree {
 public:
  Tree() {
    char name[] = "/tmp/sluice-cgroup-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    root_ = name;
  }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;
  ~Tree() { std::filesystem::remove_all(root_); }

  Tree& file(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
    return *this;
  }
  Tree& proc(const std::string& cgroup, const std::string& mountinfo) {
    return file("/proc/self/cgroup", cgroup).file("/proc/self/mountinfo", mountinfo);
  }
  Tree& quota(const std::string& folder, const std::string& quota, const std::string& period = "100000\n") {
    return file(folder + "/cpu.cfs_quota_us", quota).file(folder + "/cpu.cfs_period_us", period);
  }
  uint32_t cpus() const { return runtime::cgroup_cpus(root_); }
  uint64_t memory() const { return runtime::cgroup_memory(root_); }
  const std::string& root() const { return root_; }

 private:
  std::string root_;
};

constexpr const char* v1_mounts =
    "25 30 0:23 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n"
    "34 33 0:30 / /sys/fs/cgroup/memory rw,nosuid shared:12 - cgroup cgroup rw,memory\n"
    "36 33 0:31 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:15 - cgroup cgroup rw,cpu,cpuacct\n"
    "37 33 0:32 / /sys/fs/cgroup/cpuset rw,nosuid shared:16 - cgroup cgroup rw,cpuset\n";

}  // namespace

TEST_CASE("version 1: quota and period of our group, by the name of the controller among others") {
  Tree tree;
  tree.proc("9:cpuset:/other\n5:cpu,cpuacct:/system.slice/sluice.service\n2:memory:/m\n", v1_mounts);
  CHECK(tree.cpus() == 0);                        // no such files: no limit
  CHECK(tree.memory() == UINT64_MAX);
  const std::string own = "/sys/fs/cgroup/cpu,cpuacct/system.slice/sluice.service";
  CHECK(tree.quota(own, "-1\n").cpus() == 0);
  CHECK(tree.quota(own, "200000\n").cpus() == 2);
  CHECK(tree.quota(own, "200001\n").cpus() == 3);
  CHECK(tree.quota(own, "1\n").cpus() == 1);
  CHECK(tree.quota(own, "75000\n", "50000\n").cpus() == 2);
  CHECK(tree.quota(own, "75000\n", "0\n").cpus() == 0);
  tree.quota(own, "400000\n").quota("/sys/fs/cgroup/cpu,cpuacct/system.slice", "300000\n");
  CHECK(tree.cpus() == 3);                        // a parent's holds, too
  CHECK(tree.quota("/sys/fs/cgroup/cpu,cpuacct", "100000\n").cpus() == 1);
  tree.file("/sys/fs/cgroup/memory/m/memory.limit_in_bytes", "268435456\n");
  CHECK(tree.memory() == 268'435'456);
}

TEST_CASE("version 1 in a container: its own folder is what is mounted, and its path is the host's") {
  Tree tree;
  tree.proc("4:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n",
            "71 70 0:31 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro,nosuid master:15 - cgroup cgroup rw,cpu,cpuacct\n"
            "72 70 0:30 /docker/abc /sys/fs/cgroup/memory ro,nosuid master:12 - cgroup cgroup rw,memory\n");
  tree.quota("/sys/fs/cgroup/cpu,cpuacct", "150000\n")
      .file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n");
  CHECK(tree.cpus() == 2);
  CHECK(tree.memory() == 1'073'741'824);
  // A group made inside of it.
  tree.file("/proc/self/cgroup", "4:cpu,cpuacct:/docker/abc/inner\n")
      .quota("/sys/fs/cgroup/cpu,cpuacct/inner", "90000\n");
  CHECK(tree.cpus() == 1);
  // Another container whose name begins alike, and one elsewhere: neither is below what is mounted.
  for (const char* path : {"/docker/abcdef", "/kubepods/pod1", "/docker/abc/../x"}) {
    tree.file("/proc/self/cgroup", "4:cpu,cpuacct:" + std::string(path) + "\n");
    CHECK(tree.cpus() == 2);
  }
}

TEST_CASE("version 1 in a cgroup namespace: everything is at the root") {
  Tree tree;
  tree.proc("4:cpu,cpuacct:/\n", "71 70 0:31 / /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n");
  CHECK(tree.quota("/sys/fs/cgroup/cpu,cpuacct", "350000\n").cpus() == 4);
}

TEST_CASE("a mount point of another name, with a blank in it") {
  Tree tree;
  tree.proc("4:cpu:/a\n", "71 70 0:31 / /mnt/my\\040groups rw - cgroup none rw,cpu\n");
  CHECK(tree.quota("/mnt/my groups/a", "200000\n").cpus() == 2);
}

TEST_CASE("version 2, alone and beside version 1") {
  Tree tree;
  tree.proc("0::/user.slice/app\n", "35 24 0:29 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n");
  tree.file("/sys/fs/cgroup/user.slice/app/cpu.max", "max 100000\n")
      .file("/sys/fs/cgroup/user.slice/cpu.max", "250000 100000\n");
  tree.file("/sys/fs/cgroup/user.slice/app/memory.max", "max\n").file("/sys/fs/cgroup/user.slice/memory.max", "4096\n");
  CHECK(tree.cpus() == 3);
  CHECK(tree.memory() == 4096);
  // Hybrid: version 2 holds no controllers; a quota of "cpu" is not one of "cpuset".
  Tree hybrid;
  hybrid.proc("3:cpu,cpuacct:/app\n2:cpuset:/\n0::/app\n",
              std::string(v1_mounts) + "38 33 0:33 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n");
  hybrid.quota("/sys/fs/cgroup/cpuset", "100000\n").quota("/sys/fs/cgroup/cpu,cpuacct/app", "500000\n");
  CHECK(hybrid.cpus() == 5);
}

TEST_CASE("what cannot be read, or is broken, limits nothing") {
  Tree tree;
  CHECK(tree.cpus() == 0);
  tree.proc("nonsense\n4:cpu\n:\n", "1 2 3\n - \n1 2 0:1 / /x rw - cgroup\n");
  CHECK(tree.cpus() == 0);
  CHECK(tree.memory() == UINT64_MAX);
  tree.proc("4:cpu:/a\n", "71 70 0:31 / /x rw - cgroup none rw,cpu\n");
  CHECK(tree.quota("/x/a", "lots\n").quota("/x", "").cpus() == 0);
}

TEST_CASE("this machine") {
  const uint32_t limit = runtime::cgroup_cpus();
  CHECK(runtime::usable_cpus() >= 1);
  CHECK((limit == 0 || runtime::usable_cpus() <= limit));
}

TEST_CASE("how long we were throttled: of both versions, of the cgroup that held back most, read anew each time") {
  CHECK(runtime::throttled_seconds("usage_usec 7\nnr_throttled 50\nthrottled_usec 6100000\n") == 6.1);
  CHECK(runtime::throttled_seconds("nr_periods 2\nnr_throttled 1\nthrottled_time 250000000") == 0.25);
  CHECK(!runtime::throttled_seconds("usage_usec 7\n"));        // the controller is off
  CHECK(!runtime::throttled_seconds("throttled_usec -1\n"));
  Tree none;
  none.proc("0::/\n", v1_mounts);
  CHECK(!runtime::Throttling(none.root()).known());
  Tree tree;
  tree.proc("5:cpu,cpuacct:/a/b\n", v1_mounts);
  const std::string mount = "/sys/fs/cgroup/cpu,cpuacct";
  tree.file(mount + "/a/cpu.stat", "throttled_time 2000000000\n").file(mount + "/a/b/cpu.stat", "throttled_time 1\n");
  const runtime::Throttling throttling(tree.root());
  CHECK(throttling.known());
  CHECK(throttling.seconds() == 2);
  tree.file(mount + "/a/b/cpu.stat", "throttled_time 3000000000\n");
  CHECK(throttling.seconds() == 3);
}

// Limits of control groups, read from trees of files that are made as machines and containers have
// them.
#include "laminet/base/cgroups.h"

#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>

#include "allocations.h"
#include "support.h"

namespace laminet::testing {
namespace {

constexpr std::size_t kNone = SIZE_MAX;

class CgroupsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string name = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    root_ = std::filesystem::temp_directory_path() /
            ("laminet-" + name + "-" + std::to_string(getpid()));
    std::filesystem::create_directories(root_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void write(const std::string& path, const std::string& text) const {
    const std::filesystem::path file = root_.string() + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }

  // Version 1's two files.
  void quota(const std::string& folder, const std::string& quota,
             const std::string& period = "100000\n") const {
    write(folder + "/cpu.cfs_quota_us", quota);
    write(folder + "/cpu.cfs_period_us", period);
  }

  // A machine whose one hierarchy is of version 2, in which this process is in `group`.
  void version2(const std::string& group, const std::string& mount_root = "/") const {
    write("/proc/self/cgroup", "0::" + group + "\n");
    write("/proc/self/mountinfo",
          "22 1 0:20 / /proc rw,nosuid - proc proc rw\n"
          "30 22 0:26 " +
              mount_root + " /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
  }

  // One with cpu and cpuacct in one hierarchy of version 1, as systemd mounts them, and memory.
  void version1(const std::string& group, const std::string& mount_root = "/") const {
    write("/proc/self/cgroup",
          "5:memory:" + group + "\n4:cpu,cpuacct:" + group + "\n3:cpuset:/\n1:name=systemd:/cpu\n");
    write("/proc/self/mountinfo",
          "31 22 0:27 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755\n"
          "32 31 0:28 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
          "33 31 0:29 " +
              mount_root +
              " /sys/fs/cgroup/cpu,cpuacct rw shared:9 master:2 - cgroup cgroup rw,cpu,cpuacct\n"
              "34 31 0:30 " +
              mount_root + " /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
  }

  std::size_t cpus() const { return Cgroups(root_.string()).cpus(); }
  std::size_t memory() const { return Cgroups(root_.string()).memory_left(); }

  std::filesystem::path root_;
};

TEST_F(CgroupsTest, NothingThere) {
  EXPECT_EQ(cpus(), kNone);
  EXPECT_EQ(memory(), kNone);
  EXPECT_EQ(Cgroups("/nowhere/at/all").cpus(), kNone);
}

TEST_F(CgroupsTest, QuotasAreRoundedUp) {
  version2("/");
  const std::pair<const char*, std::size_t> quotas[] = {
      {"50000 100000\n", 1},  {"100000 100000\n", 1}, {"100001 100000\n", 2},
      {"150000 100000\n", 2}, {"200000 100000\n", 2}, {"1000 1000000\n", 1},
      {"20000 5000\n", 4},    {"max 100000\n", kNone}};
  for (const auto& [text, expected] : quotas) {
    write("/sys/fs/cgroup/cpu.max", text);
    EXPECT_EQ(cpus(), expected) << text;
  }
}

TEST_F(CgroupsTest, WhatCannotBeUnderstoodBoundsNothing) {
  version2("/");
  for (const char* text :
       {"", "\n", "max", "150000", "150000 \n", "many 100000", "150000 none", "0 100000",
        "150000 0", "-1 100000", "150000 -5", "1e5 100000", "99999999999999999999999 100000"}) {
    write("/sys/fs/cgroup/cpu.max", text);
    EXPECT_EQ(cpus(), kNone) << text;
  }
  write("/sys/fs/cgroup/cpu.max", "150000 100000");  // no end of line
  EXPECT_EQ(cpus(), 2u);
  for (const char* mounts : {"", "nonsense\n", "30 22 0:26 / /sys/fs/cgroup rw - cgroup2\n",
                             "30 22 - cgroup2 cgroup2 rw\n", "- cgroup2 cgroup2 rw"}) {
    write("/proc/self/mountinfo", mounts);
    EXPECT_EQ(cpus(), kNone) << mounts;
  }
  version2("/");
  for (const char* groups : {"", "nonsense\n", "0:\n", "1:cpu\n"}) {
    write("/proc/self/cgroup", groups);
    EXPECT_EQ(cpus(), kNone) << groups;
  }
}

TEST_F(CgroupsTest, AFolderInPlaceOfAFile) {
  version2("/");
  std::filesystem::create_directories(root_ / "sys/fs/cgroup/cpu.max");
  EXPECT_EQ(cpus(), kNone);
}

TEST_F(CgroupsTest, TheStrictestOfTheNestedGroupsCounts) {
  version2("/user.slice/job.scope/step");
  write("/sys/fs/cgroup/user.slice/cpu.max", "max 100000\n");
  write("/sys/fs/cgroup/user.slice/job.scope/cpu.max", "250000 100000\n");
  write("/sys/fs/cgroup/user.slice/job.scope/step/cpu.max", "800000 100000\n");
  write("/sys/fs/cgroup/user.slice/other.scope/cpu.max", "100000 100000\n");  // another's
  EXPECT_EQ(cpus(), 3u);
  write("/sys/fs/cgroup/user.slice/cpu.max", "100000 100000\n");
  EXPECT_EQ(cpus(), 1u);
}

TEST_F(CgroupsTest, Version1WithCpuAndCpuacctTogether) {
  version1("/user/job");
  quota("/sys/fs/cgroup/cpu,cpuacct", "-1\n");
  quota("/sys/fs/cgroup/cpu,cpuacct/user", "400000\n");
  quota("/sys/fs/cgroup/cpu,cpuacct/user/job", "-1\n");
  EXPECT_EQ(cpus(), 4u);
  quota("/sys/fs/cgroup/cpu,cpuacct/user/job", "150000\n");
  EXPECT_EQ(cpus(), 2u);
  quota("/sys/fs/cgroup/cpu,cpuacct/user/job", "25000\n", "50000\n");
  EXPECT_EQ(cpus(), 1u);
  std::filesystem::remove(root_ / "sys/fs/cgroup/cpu,cpuacct/user/job/cpu.cfs_period_us");
  EXPECT_EQ(cpus(), 4u);
}

TEST_F(CgroupsTest, AContainerThatSeesItsOwnGroupAtTheMount) {
  // Version 1 without a namespace: /proc names the group as the host does, as does the mount.
  version1("/docker/4f5e", "/docker/4f5e");
  quota("/sys/fs/cgroup/cpu,cpuacct", "50000\n");
  EXPECT_EQ(cpus(), 1u);
  // A group of its own making below that.
  version1("/docker/4f5e/inner", "/docker/4f5e");
  quota("/sys/fs/cgroup/cpu,cpuacct/inner", "300000\n");
  EXPECT_EQ(cpus(), 1u);
  quota("/sys/fs/cgroup/cpu,cpuacct", "-1\n");
  EXPECT_EQ(cpus(), 3u);
  // A name that the mount does not show: the container's group is what is mounted.
  version1("/docker/4f5e", "/kubepods/pod1/9a9a");
  EXPECT_EQ(cpus(), kNone);
  quota("/sys/fs/cgroup/cpu,cpuacct", "120000\n");
  EXPECT_EQ(cpus(), 2u);
  // A sibling of the mounted group whose name begins alike.
  version1("/docker/4f5e77/inner", "/docker/4f5e");
  quota("/sys/fs/cgroup/cpu,cpuacct77/inner", "100000\n");
  EXPECT_EQ(cpus(), 2u);
}

TEST_F(CgroupsTest, AContainerWithANamespace) {
  version2("/");
  write("/sys/fs/cgroup/cpu.max", "150000 100000\n");
  EXPECT_EQ(cpus(), 2u);
  // Mounted from outside the namespace, or a process moved out of it.
  version2("/inner", "/../..");
  write("/sys/fs/cgroup/inner/cpu.max", "100000 100000\n");  // not our inner
  EXPECT_EQ(cpus(), 2u);
  version2("/../other");
  write("/sys/fs/other/cpu.max", "100000 100000\n");  // where ".." would lead
  EXPECT_EQ(cpus(), 2u);
  // The host's name of a group that is not to be seen from here.
  version2("/system.slice/docker-4f5e.scope");
  EXPECT_EQ(cpus(), 2u);
}

TEST_F(CgroupsTest, BothVersionsAtOnce) {
  write("/proc/self/cgroup", "3:cpu:/job\n0::/session\n");
  write("/proc/self/mountinfo",
        "33 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
        "34 31 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
  write("/sys/fs/cgroup/unified/session/memory.max", "max\n");
  quota("/sys/fs/cgroup/cpu/job", "300000\n");
  EXPECT_EQ(cpus(), 3u);
  write("/sys/fs/cgroup/unified/session/cpu.max", "200000 100000\n");
  EXPECT_EQ(cpus(), 2u);
}

TEST_F(CgroupsTest, TheMountThatShowsTheGroupCounts) {
  write("/proc/self/cgroup", "0::/docker/4f5e\n");
  write("/proc/self/mountinfo",
        "40 22 0:26 /docker/0000 /mnt/another rw - cgroup2 cgroup2 rw\n"
        "41 22 0:26 / /host\\040tree/cgroup rw - cgroup2 cgroup2 rw\n");
  write("/mnt/another/cpu.max", "100000 100000\n");
  write("/host tree/cgroup/docker/4f5e/cpu.max", "400000 100000\n");
  EXPECT_EQ(cpus(), 4u);
}

TEST_F(CgroupsTest, LimitsAreReadAnewAndAllocateNothing) {
  version2("/job");
  write("/sys/fs/cgroup/job/cpu.max", "max 100000\n");
  const Cgroups groups(root_.string());
  EXPECT_EQ(groups.cpus(), kNone);
  write("/sys/fs/cgroup/job/cpu.max", "200000 100000\n");
  const long before = allocations.load();
  const std::size_t cpus = groups.cpus();
  EXPECT_EQ(allocations.load(), before);
  EXPECT_EQ(cpus, 2u);
  std::filesystem::remove(root_ / "sys/fs/cgroup/job/cpu.max");
  EXPECT_EQ(groups.cpus(), kNone);
}

TEST_F(CgroupsTest, Memory) {
  version2("/user/job");
  write("/sys/fs/cgroup/user/memory.max", "max\n");
  write("/sys/fs/cgroup/user/memory.current", "900\n");
  EXPECT_EQ(memory(), kNone);
  write("/sys/fs/cgroup/user/job/memory.max", "1000\n");
  write("/sys/fs/cgroup/user/job/memory.current", "400\n");
  EXPECT_EQ(memory(), 600u);
  write("/sys/fs/cgroup/user/memory.max", "1100\n");
  EXPECT_EQ(memory(), 200u);
  write("/sys/fs/cgroup/user/memory.current", "1200\n");
  EXPECT_EQ(memory(), 0u);
}

TEST_F(CgroupsTest, MemoryOfVersion1) {
  version1("/job");
  write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("/sys/fs/cgroup/memory/memory.usage_in_bytes", "5000\n");
  write("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "3000\n");
  write("/sys/fs/cgroup/memory/job/memory.usage_in_bytes", "1000\n");
  EXPECT_EQ(memory(), 2000u);
}

}  // namespace
}  // namespace laminet::testing

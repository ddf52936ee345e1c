// Which CPUs threads may run on, for tests of where they do (Linux).
#pragma once

#include <sched.h>

#include <vector>

#include "support.h"

namespace laminet::testing {

// Empty where the thread has ended.
inline std::vector<int> cpus_of(pid_t thread) {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> result;
  if (sched_getaffinity(thread, sizeof set, &set) != 0) return result;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<unsigned>(cpu), &set)) result.push_back(cpu);
  }
  return result;
}

inline void pin(pid_t thread, const std::vector<int>& cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) CPU_SET(static_cast<unsigned>(cpu), &set);
  ASSERT_EQ(sched_setaffinity(thread, sizeof set, &set), 0);
}

class Placements : public ::testing::Test {
 protected:
  void SetUp() override {
    if (all.size() < 2) GTEST_SKIP() << "nowhere to go with one CPU";
  }
  const std::vector<int> all = cpus_of(0);
};

inline std::vector<int> without(std::vector<int> cpus, int cpu) {
  std::erase(cpus, cpu);
  return cpus;
}

}  // namespace laminet::testing

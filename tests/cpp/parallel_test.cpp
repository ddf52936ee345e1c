// The team of threads.
#include "laminet/base/parallel.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <stdexcept>
#include <thread>

#include "laminet/base/cpu_info.h"
#include "laminet/base/thread_count.h"
#include "support.h"

namespace laminet::testing {
namespace {

class Parallel : public ::testing::Test {
 protected:
  void TearDown() override { set_num_threads(before_); }
  const std::size_t before_ = num_threads();

  // Whether two tasks run at the same time, given time to; true where there is only one CPU.
  static bool team_works() {
    if (allowed_cpus() < 2) return true;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (std::chrono::steady_clock::now() < end) {
      std::atomic<int> arrived{0};
      std::atomic<int> met{0};
      parallel_for(2, [&](std::size_t) {
        ++arrived;
        const auto patience = std::chrono::steady_clock::now() + std::chrono::milliseconds(50);
        while (arrived < 2 && std::chrono::steady_clock::now() < patience) {
        }
        met += arrived == 2;
      });
      // Both saw both. A task that the caller took after the other was over saw it alone before.
      if (met == 2) return true;
    }
    return false;
  }
};

using ParallelDeathTest = Parallel;

TEST_F(Parallel, RunsEachTaskOnce) {
  for (const std::size_t threads : {1u, 2u, 3u, 8u}) {
    set_num_threads(threads);
    for (std::size_t count = 0; count < 50; ++count) {
      std::vector<std::atomic<int>> runs(count);
      parallel_for(count, [&](std::size_t i) { ++runs[i]; });
      for (const auto& n : runs) EXPECT_EQ(n.load(), 1);
    }
  }
}

TEST_F(Parallel, TwoTasksRunAtOnce) {
  parallel_for(0, [](std::size_t) {});  // nothing at all takes nothing from the team
  set_num_threads(2);
  EXPECT_TRUE(team_works());
}

TEST_F(Parallel, ManyShortJobsInARow) {
  set_num_threads(2);
  std::atomic<long> sum{0};
  for (int job = 0; job < 20'000; ++job) {
    parallel_for(4, [&](std::size_t i) { sum += static_cast<long>(i); });
  }
  EXPECT_EQ(sum.load(), 20'000 * 6);
}

TEST_F(Parallel, ThrowsTheFirstException) {
  set_num_threads(2);
  for (int repeat = 0; repeat < 100; ++repeat) {
    EXPECT_THROW(parallel_for(8,
                              [](std::size_t i) {
                                if (i == 3) throw std::runtime_error("task 3");
                              }),
                 std::runtime_error);
  }
  std::atomic<int> runs{0};
  parallel_for(8, [&](std::size_t) { ++runs; });
  EXPECT_EQ(runs.load(), 8) << "after an exception the team works on";
}

TEST_F(Parallel, NestedCallsRunOnTheCaller) {
  set_num_threads(2);
  std::atomic<int> runs{0};
  parallel_for(4, [&](std::size_t) { parallel_for(4, [&](std::size_t) { ++runs; }); });
  EXPECT_EQ(runs.load(), 16);
}

TEST_F(Parallel, ConcurrentCallers) {
  set_num_threads(2);
  std::atomic<int> runs{0};
  std::vector<std::thread> callers;
  for (int t = 0; t < 4; ++t) {
    callers.emplace_back([&] {
      for (int job = 0; job < 1000; ++job) parallel_for(3, [&](std::size_t) { ++runs; });
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(runs.load(), 4 * 1000 * 3);
}

TEST_F(Parallel, PhasesRunOneAfterTheOther) {
  for (const std::size_t threads : {1u, 2u, 8u}) {
    set_num_threads(threads);
    for (const std::size_t parts : {1u, 2u, 5u}) {
      for (int job = 0; job < 300; ++job) {
        std::vector<std::atomic<int>> ended(7);
        std::atomic<int> early{0};
        parallel_phases(7, parts, job % 2 ? Wake::always : Wake::in_a_series,
                        [&](std::size_t phase, std::size_t) {
                          if (phase > 0 && ended[phase - 1] != static_cast<int>(parts)) ++early;
                          ++ended[phase];
                        });
        EXPECT_EQ(early, 0);
        for (const auto& n : ended) EXPECT_EQ(n, static_cast<int>(parts));
      }
    }
  }
}

TEST_F(Parallel, PhasesThrowAndDropTheRest) {
  set_num_threads(2);
  for (int repeat = 0; repeat < 100; ++repeat) {
    std::atomic<int> after{0};
    EXPECT_THROW(parallel_phases(3, 2, Wake::always,
                                 [&](std::size_t phase, std::size_t part) {
                                   if (phase == 1 && part == 1) throw std::runtime_error("part");
                                   after += phase == 2;
                                 }),
                 std::runtime_error);
    EXPECT_EQ(after, 0);
  }
}

// A series of small jobs has the team's help, although none of them alone is worth waking it.
TEST_F(Parallel, SmallJobsInASeriesAreShared) {
  if (allowed_cpus() < 2) GTEST_SKIP() << "a team needs two CPUs";
  set_num_threads(2);
  ASSERT_TRUE(team_works());
  std::this_thread::sleep_for(std::chrono::milliseconds(10));  // asleep by now
  const auto caller = std::this_thread::get_id();
  std::atomic<bool> shared{false};
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!shared && std::chrono::steady_clock::now() < end) {
    parallel_phases(2, 2, Wake::in_a_series, [&](std::size_t, std::size_t) {
      const auto busy = std::chrono::steady_clock::now() + std::chrono::microseconds(2);
      while (std::chrono::steady_clock::now() < busy) {
      }
      if (std::this_thread::get_id() != caller) shared = true;
    });
  }
  EXPECT_TRUE(shared);
}

TEST_F(Parallel, WorksInTheChildOfAFork) {
  set_num_threads(2);
  // The team is at work before the fork, not still starting: AddressSanitizer holds a lock while it
  // starts a thread, and a fork then leaves it locked for every thread of the child.
  ASSERT_TRUE(team_works());
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(20);  // a child that hangs is killed, and fails the test
    std::atomic<int> in_child{0};
    for (int job = 0; job < 100; ++job) parallel_for(8, [&](std::size_t) { ++in_child; });
    _exit(in_child.load() == 800 && team_works() ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#ifndef LAMINET_TEST_SANITIZED
// Ends the process with 0 where the team could not start, the caller did every task, and takes the
// signals that it took before.
void run_without_room_for_a_thread() {
  sigset_t before, after;
  sigemptyset(&before);
  sigaddset(&before, SIGUSR1);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  // A mebibyte more than now: the stack of a thread, commonly 8, does not fit.
  long pages = 0;
  std::FILE* statm = std::fopen("/proc/self/statm", "r");
  if (!statm || std::fscanf(statm, "%ld", &pages) != 1) _exit(2);
  std::fclose(statm);
  const rlim_t bytes = static_cast<rlim_t>(pages) * static_cast<rlim_t>(sysconf(_SC_PAGESIZE));
  const rlimit limit{bytes + (1 << 20), RLIM_INFINITY};
  if (setrlimit(RLIMIT_AS, &limit) != 0) _exit(3);
  alarm(20);

  set_num_threads(2);
  std::atomic<int> runs{0};
  for (int job = 0; job < 3; ++job) parallel_for(8, [&](std::size_t) { ++runs; });
  if (runs.load() != 24) _exit(4);
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  for (int s = 1; s < SIGRTMAX; ++s) {
    if (sigismember(&before, s) != sigismember(&after, s)) _exit(5);
  }
  // The test would be of nothing if a thread had started.
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  _exit(std::distance(begin(tasks), end(tasks)) == 1 ? 0 : 6);
}

TEST_F(ParallelDeathTest, GoesOnWhereNoThreadCanStart) {
  if (allowed_cpus() < 2) GTEST_SKIP() << "a team needs two CPUs";
  // In a new process, not a fork of this one, whose stacks of threads would be used again.
  ::testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_EXIT(run_without_room_for_a_thread(), ::testing::ExitedWithCode(0), "");
}
#endif

TEST_F(Parallel, RefusesZeroThreads) { EXPECT_THROW(set_num_threads(0), std::invalid_argument); }

}  // namespace
}  // namespace laminet::testing

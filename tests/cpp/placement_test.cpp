// Where a worker runs: the CPUs that it is kept off, brought to, and gets back.
#include "laminet/base/placement.h"

#if defined(__linux__)
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "placements.h"

namespace laminet::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// A thread that has started its placement, and rests when it is told to.
class Placed {
 public:
  Placed() {
    thread_ = std::thread([this] {
      id_ = static_cast<pid_t>(syscall(SYS_gettid));
      place.start();
      place.arrive();
      for (started_ = true; !ends_;) {
        if (!rests_) continue;
        place.rest();
        rests_ = false;
      }
    });
    while (!started_) std::this_thread::yield();
  }
  ~Placed() {
    ends_ = true;
    thread_.join();
  }
  Placed(const Placed&) = delete;
  Placed& operator=(const Placed&) = delete;

  void rest() {
    for (rests_ = true; rests_;) std::this_thread::yield();
  }
  std::vector<int> cpus() const { return cpus_of(id_); }
  pid_t id() const { return id_; }

  Placement place;

 private:
  std::atomic<bool> started_{false}, rests_{false}, ends_{false};
  std::atomic<pid_t> id_{0};
  std::thread thread_;
};

TEST_F(Placements, AWorkerIsKeptOffACpuUntilItRests) {
  Placed worker;
  EXPECT_EQ(worker.place.kept_off(), -1);
  for (const int cpu : {all[0], all[1], all[0]}) {
    worker.place.keep_off(cpu, false);
    EXPECT_EQ(worker.place.kept_off(), cpu);
    EXPECT_EQ(worker.cpus(), without(all, cpu)) << "not off the CPU before as well";
    EXPECT_EQ(worker.place.cpu(), -1) << "it has moved";
  }
  worker.rest();
  EXPECT_EQ(worker.cpus(), all);
  EXPECT_EQ(worker.place.kept_off(), -1);
}

TEST_F(Placements, AWorkerIsBroughtToTheCallerUntilItRests) {
  Placed worker;
  worker.place.keep_off(all[0], false);
  EXPECT_FALSE(worker.place.brought());
  EXPECT_TRUE(worker.place.bring_to(all[0]));
  EXPECT_TRUE(worker.place.brought());
  EXPECT_EQ(worker.place.kept_off(), -1);
  EXPECT_EQ(worker.cpus(), std::vector<int>{all[0]});
  worker.place.keep_off(all[0], false);
  EXPECT_FALSE(worker.place.brought());
  EXPECT_EQ(worker.cpus(), without(all, all[0]));
  worker.place.bring_to(all[1]);
  worker.rest();
  EXPECT_FALSE(worker.place.brought());
  EXPECT_EQ(worker.cpus(), all);
}

TEST_F(Placements, WhatOthersHaveSetStands) {
  Placed worker;
  pin(worker.id(), {all[0]});
  worker.place.keep_off(all[0], false);
  EXPECT_EQ(worker.cpus(), std::vector<int>{all[0]}) << "it has nowhere else to go";
  EXPECT_FALSE(worker.place.bring_to(all[1]));
  EXPECT_EQ(worker.cpus(), std::vector<int>{all[0]});
  worker.rest();
  EXPECT_EQ(worker.cpus(), std::vector<int>{all[0]});

  // Set while it is kept off.
  pin(worker.id(), all);
  worker.place.keep_off(all[0], false);
  pin(worker.id(), {all[0]});
  worker.rest();
  EXPECT_EQ(worker.cpus(), std::vector<int>{all[0]});
}

TEST_F(Placements, CpuTimeIsThatOfTheWorker) {
  EXPECT_EQ(Placement().cpu_time().count(), 0) << "not started";
  Placed worker;
  const auto own = [] {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  };
  const auto before = worker.place.cpu_time() - own();
  const auto patience = steady_clock::now() + std::chrono::seconds(30);
  const auto ahead = [&] { return worker.place.cpu_time() - own() - before; };
  while (ahead() < milliseconds(2) && steady_clock::now() < patience) {
    std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_GE(ahead(), milliseconds(2)) << "it works while this one sleeps";
}

// Who rests has given its affinity back, and nobody would again.
TEST_F(Placements, AWorkerThatRestsIsMovedOnlyToBeWoken) {
  Placed worker;
  worker.rest();
  EXPECT_FALSE(worker.place.keep_off(all[0], false));
  EXPECT_FALSE(worker.place.bring_to(all[0]));
  EXPECT_EQ(worker.place.kept_off(), -1);
  EXPECT_FALSE(worker.place.brought());
  EXPECT_EQ(worker.cpus(), all);
  EXPECT_TRUE(worker.place.keep_off(all[0], true));
  EXPECT_EQ(worker.cpus(), without(all, all[0]));
  worker.rest();
  EXPECT_EQ(worker.cpus(), all);
}

TEST_F(Placements, WhatOthersSetWhileItIsMovedIsWhatItIsAllowed) {
  Placed worker;
  worker.place.keep_off(all[0], false);
  pin(worker.id(), {all[0]});
  EXPECT_FALSE(worker.place.bring_to(all[1]));
  EXPECT_FALSE(worker.place.keep_off(all[0], false));
  EXPECT_TRUE(worker.place.bring_to(all[0]));
  worker.rest();
  EXPECT_EQ(worker.cpus(), std::vector<int>{all[0]});
}

TEST_F(Placements, ARefusedMoveLeavesNoMark) {
  Placed worker;
  pin(worker.id(), {all[0]});
  EXPECT_FALSE(worker.place.keep_off(all[0], false));
  EXPECT_FALSE(worker.place.bring_to(all[1]));
  EXPECT_EQ(worker.place.kept_off(), -1);
  EXPECT_FALSE(worker.place.brought());
}

TEST_F(Placements, AMoveBeforeTheStartIsNone) {
  Placement place;
  EXPECT_FALSE(place.bring_to(all[0]));
  place.keep_off(all[0], false);
  place.rest();
  EXPECT_EQ(cpus_of(0), all);
}

}  // namespace
}  // namespace laminet::testing
#endif

// Who gets the threads of the team, and where it puts them.
#include "laminet/base/team.h"

#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "placements.h"
#endif

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "laminet/base/placement.h"
#include "laminet/base/thread_count.h"
#include "support.h"

namespace laminet {

struct TeamAccess {
  static Placement& place(Team& team, std::size_t worker) { return team.workers_[worker]->place; }
  static auto& absent(Team& team, std::size_t worker) { return team.workers_[worker]->absent; }
  static bool& amiss(Team& team) { return team.amiss_; }
};

namespace testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

class Teams : public ::testing::Test {
 protected:
  void SetUp() override {
    if (max_threads() < 2) GTEST_SKIP() << "a team needs two CPUs";
    set_num_threads(2);
  }
  void TearDown() override { set_num_threads(before_); }
  const std::size_t before_ = num_threads();
};

const auto nothing = [](void*, std::size_t) {};

TEST_F(Teams, OtherCallersHaveCpusOfTheirOwn) {
  Team* const team = new Team;  // never destroyed: its threads live on
  const Job job{.task = nothing, .count = 2};
  EXPECT_TRUE(team->try_run(job, 2, Wake::always));
  {
    std::vector<std::unique_ptr<Team::Alone>> others;
    for (std::size_t i = 1; i < max_threads(); ++i) {
      others.push_back(std::make_unique<Team::Alone>(*team));
    }
    EXPECT_FALSE(team->try_run(job, 2, Wake::always));
  }
  // They are expected to come again at once.
  EXPECT_FALSE(team->try_run(job, 2, Wake::always));
  std::this_thread::sleep_for(milliseconds(10));
  EXPECT_TRUE(team->try_run(job, 2, Wake::always));
}

TEST_F(Teams, NoMoreThreadsWorkThanAJobMayHave) {
  Team* const team = new Team;
  EXPECT_TRUE(team->try_run({.task = nothing, .count = 64}, max_threads(), Wake::always));
  struct {
    std::atomic<std::size_t> now{0}, most{0};
  } at_work;
  using AtWork = decltype(at_work);
  const auto task = [](void* context, std::size_t) {
    auto& [now, most] = *static_cast<AtWork*>(context);
    const std::size_t count = ++now;
    for (std::size_t seen = most; seen < count && !most.compare_exchange_weak(seen, count);) {
    }
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    --now;
  };
  for (int i = 0; i < 20; ++i) {
    team->try_run({.task = task, .context = &at_work, .count = 8}, 2, Wake::always);
  }
  EXPECT_EQ(at_work.most, 2u);
}

TEST_F(Teams, TheHandoffIsMeasuredAndForgotten) {
  EXPECT_EQ(Team().handoff(), 0.0);
  Team* const team = new Team;
  const Job job{.task = nothing, .count = 2};
  const auto patience = steady_clock::now() + std::chrono::seconds(30);
  while (team->handoff() == 0.0 && steady_clock::now() < patience) {
    for (int i = 0; i < 100; ++i) team->try_run(job, 2, Wake::always);
  }
  EXPECT_GT(team->handoff(), 1e-9);
  EXPECT_LT(team->handoff(), 1e-3);
  std::this_thread::sleep_for(milliseconds(1100));
  EXPECT_EQ(team->handoff(), 0.0);
}

#if defined(__linux__)

// Threads that want a CPU all the time, each pinned to its own.
class Hogs {
 public:
  explicit Hogs(const std::vector<int>& cpus) {
    for (const int cpu : cpus) {
      threads_.emplace_back([this, cpu] {
        pin(0, {cpu});
        while (!ends_) {
        }
      });
    }
  }
  ~Hogs() {
    ends_ = true;
    for (std::thread& thread : threads_) thread.join();
  }
  Hogs(const Hogs&) = delete;
  Hogs& operator=(const Hogs&) = delete;

 private:
  std::atomic<bool> ends_{false};
  std::vector<std::thread> threads_;
};

// A job that runs a function on each of two threads, at the same time.
template <class Task>
void run_on_two(Team& team, Task task) {
  std::atomic<int> come{0};
  auto both = [&](std::size_t) {
    for (++come; come < 2;) std::this_thread::yield();
    task();
  };
  using Both = decltype(both);
  const auto call = [](void* context, std::size_t i) { (*static_cast<Both*>(context))(i); };
  ASSERT_TRUE(team.try_run({.task = call, .context = &both, .count = 2}, 2, Wake::always));
}

class TeamPlacements : public Placements {
 protected:
  void SetUp() override {
    Placements::SetUp();
    if (max_threads() < 2) GTEST_SKIP() << "a team needs two CPUs";
  }

  // Never destroyed: its threads live on.
  Team* const team = [] {
    Team* const fresh = new Team;
    run_on_two(*fresh, [] {});
    return fresh;
  }();
  Placement& place = TeamAccess::place(*team, 0);
  const std::thread::id caller = std::this_thread::get_id();

  bool on_worker() const { return std::this_thread::get_id() != caller; }
};

TEST_F(TeamPlacements, AWorkerThatDidNotComeIsKeptOffTheCallersCpu) {
  const auto patience = steady_clock::now() + std::chrono::seconds(30);
  bool off = false;
  while (!off && steady_clock::now() < patience) {  // the system may move the caller meanwhile
    TeamAccess::absent(*team, 0) = std::chrono::microseconds(200);
    TeamAccess::amiss(*team) = true;
    const int before = current_cpu();
    run_on_two(*team, [&] {
      if (on_worker()) off = place.kept_off() == before;
    });
    EXPECT_EQ(TeamAccess::absent(*team, 0).count(), 0);
  }
  EXPECT_TRUE(off);
}

TEST_F(TeamPlacements, AWorkerThatCameStaysWhereItIs) {
  const auto patience = steady_clock::now() + std::chrono::seconds(30);
  bool stays = false;
  while (!stays && steady_clock::now() < patience) {
    std::this_thread::sleep_for(milliseconds(1));  // it rests
    TeamAccess::amiss(*team) = true;
    run_on_two(*team, [&] {
      if (on_worker()) stays = place.kept_off() == -1;
    });
  }
  EXPECT_TRUE(stays);
}

// Another process has the worker's CPU, and would have it for a while.
TEST_F(TeamPlacements, AWorkerThatDoesNotComeIsAbsent) {
  const sched_param none{};
  std::atomic<pid_t> worker{0};
  run_on_two(*team, [&] {
    if (on_worker()) worker = static_cast<pid_t>(syscall(SYS_gettid));
  });
  ASSERT_EQ(sched_setscheduler(worker, SCHED_IDLE, &none), 0);
  const Hogs hogs(all);
  const auto task = [](void*, std::size_t) {
    const auto end = steady_clock::now() + milliseconds(2);
    while (steady_clock::now() < end) {
    }
  };
  const auto patience = steady_clock::now() + std::chrono::seconds(30);
  do {
    team->try_run({.task = task, .count = 2}, 2, Wake::always);
  } while (TeamAccess::absent(*team, 0) < milliseconds(1) && steady_clock::now() < patience);
  EXPECT_GE(TeamAccess::absent(*team, 0), milliseconds(1));
  EXPECT_TRUE(TeamAccess::amiss(*team));
}

// It loses its CPU in the middle of its work, to hogs on all CPUs but the caller's: it ends on
// that.
TEST_F(TeamPlacements, AWorkerThatHasLostItsCpuIsBroughtToTheCaller) {
  bool brought = false;
  const auto patience = steady_clock::now() + std::chrono::seconds(30);
  while (!brought && steady_clock::now() < patience) {
    std::unique_ptr<Hogs> hogs;
    std::atomic<bool> hogged{false};
    run_on_two(*team, [&] {
      if (!on_worker()) {
        hogs = std::make_unique<Hogs>(without(all, current_cpu()));
        hogged = true;
        return;
      }
      const sched_param none{};
      sched_setscheduler(0, SCHED_IDLE, &none);
      while (!hogged) {
      }
      volatile std::size_t steps = 0;
      for (std::size_t k = 0; k < 20'000'000 && !place.brought(); ++k) steps = steps + 1;
      brought = place.brought();
    });
  }
  EXPECT_TRUE(brought);
}

// Beside threads that take every CPU, jobs get done, and when they are gone every thread may run
// anywhere again.
TEST_F(Placements, TheTeamGivesBackWhatItTook) {
  auto hogs = std::make_unique<Hogs>(all);
  const std::size_t before = num_threads();
  set_num_threads(max_threads());
  std::vector<std::size_t> done(64);
  const auto work = [&](std::size_t i) {
    volatile std::size_t steps = 0;
    for (std::size_t k = 0; k < 2000; ++k) steps = steps + 1;
    done[i] += steps;
  };
  std::size_t jobs = 0;
  for (const auto end = steady_clock::now() + milliseconds(400); steady_clock::now() < end;
       ++jobs) {
    parallel_for(done.size(), work);
    parallel_phases(2, done.size() / 2, Wake::always,
                    [&](std::size_t phase, std::size_t part) { work(2 * part + phase); });
  }
  for (const std::size_t d : done) EXPECT_EQ(d, jobs * 2 * 2000);
  set_num_threads(before);
  hogs.reset();

  const auto moved = [&] {
    std::string result;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
      const int id = std::stoi(entry.path().filename());
      const std::vector<int> cpus = cpus_of(id);
      if (!cpus.empty() && cpus != all) result += std::to_string(id) + " ";
    }
    return result;
  };
  const auto patience = steady_clock::now() + std::chrono::seconds(30);
  while (!moved().empty() && steady_clock::now() < patience) {
    std::this_thread::sleep_for(milliseconds(10));
  }
  EXPECT_EQ(moved(), "");
}

#endif

}  // namespace
}  // namespace testing
}  // namespace laminet

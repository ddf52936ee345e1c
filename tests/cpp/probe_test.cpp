// The probe's loops do the work that they are timed for, and its threads meet or say why not.
#include "laminet/probe/probe.h"

#ifdef __linux__
#include <sched.h>
#include <time.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <thread>
#endif

#include <cmath>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "fenced.h"
#include "laminet/base/parallel.h"
#include "laminet/base/thread_count.h"
#include "support.h"

namespace laminet::probe {
namespace {

using testing::Fenced;
using testing::instruction_sets;

template <class T>
class ProbeLoops : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(ProbeLoops, Types);

// Chain i starts at i + 2 and halves its distance from 1 each round.
TYPED_TEST(ProbeLoops, EachChainTakesOneMultiplyAddARound) {
  using T = TypeParam;
  for (const auto* set : instruction_sets()) {
    const kernels::ProbeLoops<T>& loops = set->table<T>().probe;
    EXPECT_GE(loops.fma_chains, 12u) << set->name;
    for (const std::size_t rounds : {0, 1, 2, 7}) {
      const double lanes = static_cast<double>(loops.lanes);
      const double chains = static_cast<double>(loops.fma_chains);
      const double left = std::ldexp(1.0, -static_cast<int>(rounds));
      const double distances = chains * (chains + 1) / 2 * left;
      EXPECT_EQ(loops.fma(rounds), lanes * (chains + distances)) << set->name << ' ' << rounds;
      EXPECT_EQ(loops.dependent_fma(rounds), lanes * (1 + left)) << set->name << ' ' << rounds;
    }
  }
}

TYPED_TEST(ProbeLoops, EveryElementIsReadAndNoneBeyond) {
  using T = TypeParam;
  constexpr std::size_t n = 3 * 1024 / sizeof(T);
  Fenced<T> data(n);
  for (const auto* set : instruction_sets()) {
    const kernels::ProbeLoops<T>& loops = set->table<T>().probe;
    EXPECT_EQ(loops.read(data.data(), n, 1), 0);
    for (std::size_t i = 0; i < n; ++i) {
      data[i] = 1;
      EXPECT_EQ(loops.read(data.data(), n, 2), 1) << set->name << ' ' << i;
      data[i] = 0;
    }
  }
}

void expect_figure(const Measurement& found) {
  EXPECT_GT(found.value, 0);
  EXPECT_GT(found.cpu_share, 0);
  EXPECT_LE(found.cpu_share, 1);
}

TEST(Probe, FiguresArePositive) {
  for (const auto* set : instruction_sets()) {
    expect_figure(fma_rate<float>(*set, 1, 1e-3));
    expect_figure(fma_rate<double>(*set, 1, 1e-3));
    expect_figure(fma_latency<float>(*set, 1e-3));
    expect_figure(fma_latency<double>(*set, 1e-3));
    expect_figure(activation_time<float>(*set, ActivationKind::gelu, 1e-3));
    expect_figure(activation_time<double>(*set, ActivationKind::gelu, 1e-3));
    expect_figure(read_rate(*set, 1, 1, 1e-3));
  }
  expect_figure(handoff_time(1, 1e-3));
}

TEST(Probe, RefusesThreadsThatThereAreNotAndNoBytes) {
  const auto& set = kernels::kGeneric;
  EXPECT_THROW(fma_rate<float>(set, 0, 1e-3), std::invalid_argument);
  EXPECT_THROW(fma_rate<float>(set, max_threads() + 1, 1e-3), std::invalid_argument);
  EXPECT_THROW(read_rate(set, 64, max_threads() + 1, 1e-3), std::invalid_argument);
  EXPECT_THROW(read_rate(set, 0, 1, 1e-3), std::invalid_argument);
  EXPECT_THROW(handoff_time(0, 1e-3), std::invalid_argument);
}

TEST(ParallelProbe, AllThreadsMeet) {
  const std::size_t before = num_threads();
  set_num_threads(max_threads());
  expect_figure(fma_rate<float>(kernels::kGeneric, max_threads(), 5e-3));
  expect_figure(read_rate(kernels::kGeneric, 4096, max_threads(), 5e-3));
  expect_figure(handoff_time(max_threads(), 5e-3));
  set_num_threads(before);
}

// From within a task the team is taken, so that the probe's tasks would run one after another.
TEST(ParallelProbe, ABusyTeamIsAnError) {
  const std::size_t before = num_threads();
  set_num_threads(max_threads());
  if (max_threads() == 1) GTEST_SKIP() << "one CPU: there is no team to be busy";
  const auto caller = std::this_thread::get_id();
  std::atomic<bool> tried{false};
  const auto task = [&](std::size_t) {
    if (std::this_thread::get_id() != caller || tried.exchange(true)) return;
    EXPECT_THROW(fma_rate<float>(kernels::kGeneric, 2, 1e-3), std::runtime_error);
    EXPECT_THROW(handoff_time(2, 1e-3), std::runtime_error);
  };
  while (!tried) parallel_for(64, task);  // the others may be quicker
  set_num_threads(before);
}

#ifdef __linux__
// While it lives, all threads of this process share one CPU.
class OnOneCpu {
 public:
  OnOneCpu() {
    sched_getaffinity(0, sizeof before_, &before_);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<std::size_t>(sched_getcpu()), &one);
    set(one);
  }
  ~OnOneCpu() { set(before_); }
  OnOneCpu(const OnOneCpu&) = delete;
  OnOneCpu& operator=(const OnOneCpu&) = delete;

 private:
  static void set(const cpu_set_t& cpus) {
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
      sched_setaffinity(std::stoi(task.path().filename().string()), sizeof cpus, &cpus);
    }
  }
  cpu_set_t before_;
};

double thread_cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Whether the clock of a thread's CPU time tells microseconds; in gVisor it goes in ticks of 10 ms.
bool thread_clock_is_fine() {
  const double first = thread_cpu_seconds();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(50);
  double now = first;
  while (now == first && std::chrono::steady_clock::now() < deadline) now = thread_cpu_seconds();
  return now != first && now - first < 1e-4;
}

// A CPU serves both threads, so that in no run had each of them one to itself.
TEST(ParallelProbe, AThreadWithoutItsCpuShows) {
  const std::size_t before = num_threads();
  set_num_threads(max_threads());
  if (max_threads() == 1) GTEST_SKIP() << "one CPU: there is no second thread";
  if (!thread_clock_is_fine()) GTEST_SKIP() << "the clock of a thread's CPU time is too coarse";
  parallel_for(2, [](std::size_t) {});  // the team is there
  // A caller that hears of its one CPU, a tenth of a second after it last looked, shares no work.
  const auto share = [](const auto& probe) {
    for (int attempt = 0; attempt < 100; ++attempt) {
      std::this_thread::sleep_for(std::chrono::milliseconds(120));
      (void)max_threads();  // looks
      const OnOneCpu here;
      try {
        return probe().cpu_share;
      } catch (const std::exception&) {  // it has heard
      }
    }
    return 1.0;
  };
  EXPECT_LT(share([] { return fma_rate<float>(kernels::kGeneric, 2, 1e-2); }), 0.9);
  EXPECT_LT(share([] { return read_rate(kernels::kGeneric, 4096, 2, 1e-2); }), 0.9);
  EXPECT_LT(share([] { return handoff_time(2, 1e-2); }), 0.9);
  set_num_threads(before);
}
#endif

}  // namespace
}  // namespace laminet::probe

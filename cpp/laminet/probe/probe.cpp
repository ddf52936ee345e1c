#include "laminet/probe/probe.h"

#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <stdexcept>
#include <thread>
#include <vector>

#include "laminet/base/check.h"
#include "laminet/base/huge_pages.h"
#include "laminet/base/interruption.h"
#include "laminet/base/lazy.h"
#include "laminet/base/matrix.h"
#include "laminet/base/parallel.h"
#include "laminet/base/thread_count.h"
#include "laminet/base/types.h"
#include "laminet/kernels/table.h"

namespace laminet::probe {
namespace {

using Clock = std::chrono::steady_clock;

// A run is long enough that the threads' starting together does not show, and short enough that
// many runs fall between two interruptions.
constexpr double kRunSeconds = 1e-3;

double seconds_between(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

// To be read outside of what the other clock times, as it takes a call of the system.
double thread_cpu_seconds() {
  timespec now{};
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) != 0) return 0.0;
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Whether that clock can tell the parts of a run: in some sandboxes it goes in ticks of 10 ms, and
// where there is none it stands still.
constinit Lazy<bool> clock_is_fine;

bool cpu_clock_is_fine() {
  return clock_is_fine.get([] {
    const double first = thread_cpu_seconds();
    const auto begin = Clock::now();
    double now = first;
    while (now == first && seconds_between(begin, Clock::now()) < 0.02) now = thread_cpu_seconds();
    return now > first && now - first < kRunSeconds / 10;
  });
}

// Where threads wait for each other. They may be kept from meeting for good: when another caller
// has the team, all tasks run one after the other on one thread.
class Meeting {
 public:
  explicit Meeting(std::size_t threads) : threads_(threads) {}

  // Waits for the round-th time that all threads have arrived; false when they do not.
  bool arrive(std::size_t round) {
    arrived_.fetch_add(1, std::memory_order_acq_rel);
    const auto begin = Clock::now();
    for (std::size_t spins = 0; !given_up_.load(std::memory_order_relaxed); ++spins) {
      if (arrived_.load(std::memory_order_acquire) >= round * threads_) return true;
      if (spins % 1024 != 1023) continue;
      std::this_thread::yield();  // there may be more threads than processors
      interruption_point();       // another one may have been interrupted, and not come
      if (seconds_between(begin, Clock::now()) > kPatience) given_up_.store(true);
    }
    return false;
  }
  bool failed() const { return given_up_.load(); }

 private:
  static constexpr double kPatience = 0.2;
  const std::size_t threads_;
  std::atomic<std::size_t> arrived_{0};
  std::atomic<bool> given_up_{false};
};

constexpr const char* kBusy = "the threads of laminet are busy with other calls";

void require_threads(std::size_t threads) {
  const std::size_t available = std::min(max_threads(), num_threads());
  require(threads >= 1 && threads <= available, "threads is ", threads, ", expected 1 to ",
          available);
}

// Keeps a result from being dropped.
template <class T>
void keep(T value) {
  __asm__ __volatile__("" : : "r,m"(value) : "memory");
}

// What a thread did in a run.
struct Run {
  Clock::time_point begin;
  Clock::time_point end;
  double cpu_seconds = 0.0;
};

// The least part of a run in which one of the threads had a CPU: from the beginning of the first
// of them, as one that begins late was kept waiting, to its own end, as cores may be unequal.
double cpu_share(const std::vector<Run>& runs, Clock::time_point begin) {
  double least = 1.0;
  for (const Run& run : runs) {
    least = std::min(least, run.cpu_seconds / seconds_between(begin, run.end));
  }
  return least;
}

// work(thread, count) does `count` units; prepare(thread) comes before, on the same thread. Returns
// the most units a second of all threads together.
template <class Prepare, class Work>
Measurement best_rate(std::size_t threads, double seconds, Prepare prepare, Work work) {
  require_threads(threads);
  const bool fine = cpu_clock_is_fine();
  constexpr int kAttempts = 5;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    Meeting meeting(threads);
    std::vector<Run> runs(threads);
    std::size_t count = 1;
    Measurement best{0.0, fine ? 0.0 : 1.0};
    bool done = false;
    parallel_for(threads, [&](std::size_t thread) {
      auto state = prepare(thread);
      const auto start = Clock::now();
      for (std::size_t round = 1;; round += 2) {
        if (!meeting.arrive(round)) return;
        if (done) return;
        interruption_point();
        const std::size_t units = count;
        Run& own = runs[thread];
        const double cpu_begin = thread_cpu_seconds();
        own.begin = Clock::now();
        work(state, units);
        own.end = Clock::now();
        own.cpu_seconds = thread_cpu_seconds() - cpu_begin;
        if (!meeting.arrive(round + 1)) return;
        if (thread != 0) continue;
        // Between the second meeting of this round and the first of the next, the others wait.
        auto begin = own.begin;
        auto end = own.end;
        for (const Run& run : runs) {
          begin = std::min(begin, run.begin);
          end = std::max(end, run.end);
        }
        const double taken = seconds_between(begin, end);
        if (taken >= kRunSeconds / 2 || count > std::numeric_limits<std::size_t>::max() / 4) {
          best.value = std::max(best.value, static_cast<double>(units * threads) / taken);
          best.cpu_share = std::max(best.cpu_share, cpu_share(runs, begin));
        } else {
          count *= 2;
        }
        done = best.value > 0.0 && seconds_between(start, Clock::now()) >= seconds;
      }
    });
    if (!meeting.failed()) return best;
  }
  throw std::runtime_error(kBusy);
}

}  // namespace

template <class T>
Measurement fma_rate(const kernels::InstructionSet& set, std::size_t threads, double seconds) {
  const kernels::ProbeLoops<T>& loops = set.table<T>().probe;
  constexpr std::size_t kRounds = 1000;
  const Measurement rate = best_rate(
      threads, seconds, [](std::size_t) { return 0; },
      [&](int, std::size_t count) { keep(loops.fma(count * kRounds)); });
  const double operations = static_cast<double>(kRounds * loops.fma_chains * loops.lanes * 2);
  return {rate.value * operations, rate.cpu_share};
}

Measurement bfloat16_rate(const kernels::InstructionSet& set, std::size_t threads, double seconds) {
  const kernels::ProbeLoops<float>& loops = set.f32->probe;
  if (!loops.pairs) return fma_rate<float>(set, threads, seconds);
  constexpr std::size_t kRounds = 1000;
  const Measurement rate = best_rate(
      threads, seconds, [](std::size_t) { return 0; },
      [&](int, std::size_t count) { keep(loops.pairs(count * kRounds)); });
  const double operations = static_cast<double>(kRounds * loops.fma_chains * loops.lanes * 4);
  return {rate.value * operations, rate.cpu_share};
}

template <class T>
Measurement fma_latency(const kernels::InstructionSet& set, double seconds) {
  const kernels::ProbeLoops<T>& loops = set.table<T>().probe;
  constexpr std::size_t kRounds = 1000;
  const Measurement rate = best_rate(
      1, seconds, [](std::size_t) { return 0; },
      [&](int, std::size_t count) { keep(loops.dependent_fma(count * kRounds)); });
  return {1.0 / (rate.value * static_cast<double>(kRounds)), rate.cpu_share};
}

template <class T>
Measurement activation_time(const kernels::InstructionSet& set, ActivationKind kind,
                            double seconds) {
  // Shaped as the outputs of a layer, arguments and results together in any L1.
  constexpr std::size_t kRows = 16;
  constexpr std::size_t kColumns = 64;
  AlignedArray<T> z(kRows * kColumns);
  AlignedArray<T> y(kRows * kColumns);
  for (std::size_t i = 0; i < z.size(); ++i) {
    z.data()[i] = static_cast<T>(8) * static_cast<T>(i) / static_cast<T>(z.size()) - 4;
  }
  const Activation& activation = info(kind).defaults;
  const kernels::ElementwiseArgs<T> args = {kRows,    kColumns,         z.data(),
                                            kColumns, y.data(),         kColumns,
                                            nullptr,  activation.alpha, activation.beta};
  const auto run = set.table<T>().activations[static_cast<std::size_t>(kind)];
  const Measurement rate = best_rate(
      1, seconds, [](std::size_t) { return 0; },
      [&](int, std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) run(args);
        keep(y.data()[0]);
      });
  return {1.0 / (rate.value * static_cast<double>(kRows * kColumns)), rate.cpu_share};
}

Measurement read_rate(const kernels::InstructionSet& set, std::size_t bytes, std::size_t threads,
                      double seconds) {
  require(bytes >= 1, "the probe was asked to read no bytes");
  const kernels::ProbeLoops<float>& loops = set.table<float>().probe;
  // Much is read by parts, each run where the last one ended: a pass through all of four times L3
  // may take a tenth of a second, in which there is always something that interrupts.
  constexpr std::size_t kPart = std::size_t{1} << 20;
  const std::size_t part = bytes > kPart ? kPart : round_up(bytes, 1024);
  const std::size_t elements = round_up(bytes, part) / sizeof(float);
  const std::size_t part_elements = part / sizeof(float);
  // Taken here, as a task must not fail while others wait for it; written by the thread that
  // reads, so that the pages are its own node's and the data in its own caches. On pages like those
  // of weights.
  std::vector<HugePageArray<float>> data;
  data.reserve(threads);
  for (std::size_t i = 0; i < threads; ++i) data.emplace_back(elements);
  struct Reader {
    const float* data;
    std::size_t next;
  };
  const Measurement rate = best_rate(
      threads, seconds,
      [&](std::size_t thread) {
        for (std::size_t i = 0; i < elements; i += part_elements) {
          interruption_point();
          std::fill_n(data[thread].data() + i, part_elements, 1.0f);
        }
        return Reader{data[thread].data(), 0};
      },
      [&](Reader& reader, std::size_t parts) {
        if (elements == part_elements) {
          keep(loops.read(reader.data, elements, parts));
          return;
        }
        for (std::size_t i = 0; i < parts; ++i) {
          keep(loops.read(reader.data + reader.next, part_elements, 1));
          reader.next = (reader.next + part_elements) % elements;
        }
      });
  return {rate.value * static_cast<double>(part), rate.cpu_share};
}

Measurement handoff_time(std::size_t threads, double seconds) {
  require_threads(threads);
  constexpr std::size_t kCalls = 50;
  Measurement best{std::numeric_limits<double>::infinity(), cpu_clock_is_fine() ? 0.0 : 1.0};
  const auto start = Clock::now();
  do {
    interruption_point();
    Meeting meeting(threads);
    const double cpu_begin = thread_cpu_seconds();
    const auto begin = Clock::now();
    for (std::size_t call = 1; call <= kCalls; ++call) {
      parallel_for(threads, [&](std::size_t) { meeting.arrive(call); });
    }
    const double taken = seconds_between(begin, Clock::now());
    const double cpu_seconds = thread_cpu_seconds() - cpu_begin;
    if (meeting.failed()) continue;
    best.value = std::min(best.value, taken / kCalls);
    best.cpu_share = std::max(best.cpu_share, std::min(1.0, cpu_seconds / taken));
  } while (seconds_between(start, Clock::now()) < seconds);
  if (best.value == std::numeric_limits<double>::infinity()) throw std::runtime_error(kBusy);
  return best;
}

#define LAMINET_INSTANTIATE(T)                                                           \
  template Measurement fma_rate<T>(const kernels::InstructionSet&, std::size_t, double); \
  template Measurement fma_latency<T>(const kernels::InstructionSet&, double);           \
  template Measurement activation_time<T>(const kernels::InstructionSet&, ActivationKind, double);
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet::probe

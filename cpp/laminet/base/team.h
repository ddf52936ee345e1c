// The threads behind parallel_for and parallel_phases.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <vector>

#include "laminet/base/parallel.h"
#include "laminet/base/placement.h"

namespace laminet {

// Parts of phases where there is a phase function, else tasks.
struct Job {
  detail::TaskFn task = nullptr;
  detail::PhaseFn phase_task = nullptr;
  void* context = nullptr;
  std::size_t count = 0;  // tasks, or parts of a phase
  std::size_t phases = 0;
};

class Team {
 public:
  Team();
  friend struct TeamAccess;  // of the tests

  // A thread of the program that does work on its own which it would have shared out.
  class Alone {
   public:
    explicit Alone(Team& team) : team_(team) {
      team_.alone_.fetch_add(1, std::memory_order_relaxed);
    }
    ~Alone() { team_.alone_.fetch_sub(1, std::memory_order_relaxed); }
    Alone(const Alone&) = delete;
    Alone& operator=(const Alone&) = delete;

   private:
    Team& team_;
  };

  // Runs the job on up to `threads`, the caller among them; false when another caller has the team
  // or the CPUs, or memory for it could not be had.
  bool try_run(const Job& job, std::size_t threads, Wake wake);

  // Seconds from the moment at which a job is there to that at which a waiting worker has it, of
  // late; 0 where none was measured in the last second.
  double handoff() const;

 private:
  using Clock = std::chrono::steady_clock;

  // A caller that has waited so long for a worker looks whether it runs at all: two looks are
  // system calls, and most waits are shorter.
  static constexpr auto kPatience = std::chrono::microseconds(10);

  // gate_: a bit that keeps workers out, the number of those that came to the job, that of those
  // inside.
  static constexpr std::uint32_t kClosed = 1u << 31;
  static constexpr std::uint32_t kOneCame = 1u << 15;
  static constexpr std::uint32_t kInside = kOneCame - 1;
  static constexpr std::uint32_t came(std::uint32_t gate) { return (gate & ~kClosed) / kOneCame; }

  struct alignas(64) Worker {
    Placement place;
    std::atomic<bool> working{false};  // inside the gate
    std::uint64_t last_job = 0;        // of those that it took part in; read by callers outside it
    Clock::duration absent{};          // the time of jobs since that it did not come to
  };

  // Where one part of one phase stands: `2 * job + 1` while it runs, `2 * job + 2` when it has
  // ended, less before it was taken. Numbered by job, so that nobody need reset it. A cache line
  // each: the thread that owns a part keeps the line.
  struct alignas(64) PartState {
    std::atomic<std::uint64_t> value{0};
    bool is(std::uint64_t other) const { return value.load(std::memory_order_acquire) == other; }
  };

  struct Release;

  std::size_t others();
  void grow(std::size_t helpers);
  bool reserve_states(std::size_t count);
  bool needs_placing() const;
  void place_workers(bool wakes);
  void count_absence(Clock::duration taken, bool in_series);
  void run_worker(std::uint32_t seen, std::size_t self, Worker& me);
  bool enter(std::size_t self);
  void leave(std::uint32_t what = 1);
  void measure_handoff();
  void work(std::size_t self) noexcept;
  void work_tasks();
  void work_phases(std::size_t self);
  void wait_for_part(std::size_t self, const PartState& state, std::uint64_t value);
  void wait_at_gate();
  bool all_out() const { return (gate_.load(std::memory_order_acquire) & kInside) == 0; }
  // Not in line, where the compiler would spoil the loops before them: in team_placement.cpp.
  void wait_longer_for_part(std::size_t self, const PartState& state, std::uint64_t value);
  void wait_longer_at_gate();
  template <class Done>
  bool bring_stalled(Done done);
  void pass_interruption_point() noexcept;
  template <class F>
  void guarded(F run) noexcept;

  // Grouped by who writes when: what crosses from one CPU to another at every job costs a tenth of
  // a microsecond for each cache line.
  alignas(64) std::atomic<bool> busy_{false};
  bool exhausted_ = false;
  bool amiss_ = false;  // a worker did not come to the last job, or lost its CPU
  int here_ = -1;       // the caller's CPU then
  Clock::time_point last_end_{};
  std::atomic<std::size_t> alone_{0};
  std::size_t crowd_ = 0;  // how many were, and when, until that is long ago
  Clock::time_point crowded_{};

  // One line: a worker that sees the next epoch has all that it needs.
  alignas(64) std::atomic<std::uint32_t> epoch_{0};
  std::uint32_t helpers_ = 0;
  std::uint64_t number_ = 0;
  Job job_;
  std::atomic<bool> failed_{false};

  alignas(64) std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<PartState[]> states_;
  std::size_t state_count_ = 0;
  std::mutex error_mutex_;
  std::exception_ptr error_;

  alignas(64) std::atomic<std::uint32_t> gate_;
  std::atomic<std::size_t> next_{0};
  alignas(64) std::atomic<double> handoff_{0.0};
  std::atomic<Clock::time_point> measured_{};
  double shortest_ = 0.0;  // the first worker's, of its samples since it is not known
  int samples_ = 0;
  Clock::time_point published_{};  // the job, where it is measured
};

}  // namespace laminet

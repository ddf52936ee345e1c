#include "laminet/base/parallel.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <thread>
#include <utility>

#include "laminet/base/float_mode.h"
#include "laminet/base/interruption.h"

namespace laminet {
namespace {

using Clock = std::chrono::steady_clock;

// Long enough to bridge the Python code between two calls of a loop, far too short to be noticed
// by another process. (OpenBLAS spins 100 ms, which its users complain of.)
constexpr auto kSpinTime = std::chrono::microseconds(40);

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

// Waits until done(), spinning for kSpinTime; false when that time is over.
template <class Done>
bool spin_until(Done done) {
  const auto end = Clock::now() + kSpinTime;
  do {
    for (int i = 0; i < 32; ++i) {
      if (done()) return true;
      pause();
    }
  } while (Clock::now() < end);
  return done();
}

// While it lives, the calling thread and those that it starts take no signals: the handlers of the
// program run on its own threads.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

// Where one part of one phase stands: `2 * job + 1` while it runs, `2 * job + 2` when it has ended,
// less before it was taken. Numbered by job, so that nobody need reset it. A cache line each: the
// thread that owns a part keeps the line.
struct alignas(64) PartState {
  std::atomic<std::uint64_t> value{0};
};

struct Job {
  // parts of phases where there is a phase function, else tasks
  detail::TaskFn task = nullptr;
  detail::PhaseFn phase_task = nullptr;
  void* context = nullptr;
  std::size_t count = 0;  // tasks, or parts of a phase
  std::size_t phases = 0;
};

class Team {
 public:
  // Runs the job with up to `helpers` workers besides the caller; false when another caller has
  // the team, or memory for it could not be had.
  bool try_run(const Job& job, std::size_t helpers, Wake wake) {
    // Not a mutex: a nested call comes from the thread that has the team.
    if (busy_.exchange(true, std::memory_order_acquire)) return false;
    const Release release{*this};
    grow(helpers);
    if (job.phase_task && !reserve_states(job.phases * job.count)) return false;
    job_ = job;
    ++number_;
    failed_.store(false, std::memory_order_relaxed);
    helpers_ = static_cast<std::uint32_t>(helpers);
    next_.store(0, std::memory_order_relaxed);
    gate_.store(0, std::memory_order_release);
    // Sequentially consistent, as notify_all reads next whether anyone waits.
    epoch_.fetch_add(1);
    if (wake == Wake::always || Clock::now() - last_end_ < kSpinTime) epoch_.notify_all();
    work(0);
    // A worker that has not woken by now is not waited for: it finds the gate closed.
    gate_.fetch_or(kClosed, std::memory_order_acq_rel);
    const auto all_out = [this] { return gate_.load(std::memory_order_acquire) == kClosed; };
    while (!all_out()) {
      if (spin_until(all_out)) break;
      const std::uint32_t seen = gate_.load(std::memory_order_acquire);
      if (seen != kClosed) gate_.wait(seen, std::memory_order_acquire);
    }
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    return true;
  }

 private:
  struct Release {
    Team& team;
    ~Release() {
      team.last_end_ = Clock::now();
      team.busy_.store(false, std::memory_order_release);
    }
  };

  // Bit of gate_ that keeps workers out; the bits below count those inside.
  static constexpr std::uint32_t kClosed = 1u << 31;

  void grow(std::size_t helpers) {
    if (started_ >= helpers || exhausted_) return;
    const SignalsBlocked blocked;
    try {
      for (; started_ < helpers; ++started_) {
        std::thread([this, seen = epoch_.load(), self = started_ + 1] {
          worker(seen, self);
        }).detach();
      }
    } catch (...) {
      // The system grants no more threads, or no memory for them: the job runs on those there are.
      exhausted_ = true;
    }
  }

  bool reserve_states(std::size_t count) {
    if (count <= state_count_) return true;
    try {
      states_ = std::make_unique<PartState[]>(count);
    } catch (const std::bad_alloc&) {
      return false;
    }
    state_count_ = count;
    return true;
  }

  // `self` is the part that this thread takes first.
  void worker(std::uint32_t seen, std::size_t self) {
    const DefaultFloatMode mode;
    for (;;) {
      const auto changed = [&] { return epoch_.load(std::memory_order_acquire) != seen; };
      if (!spin_until(changed)) epoch_.wait(seen, std::memory_order_acquire);
      seen = epoch_.load(std::memory_order_acquire);
      if (!enter()) continue;
      work(self);
      if (gate_.fetch_sub(1, std::memory_order_acq_rel) == kClosed + 1) gate_.notify_one();
    }
  }

  bool enter() {
    std::uint32_t gate = gate_.load(std::memory_order_acquire);
    // helpers_ is read inside the gate only: outside it the next job may be writing it.
    while (!(gate & kClosed)) {
      if (gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acq_rel)) {
        if (gate < helpers_) return true;
        if (gate_.fetch_sub(1, std::memory_order_acq_rel) == kClosed + 1) gate_.notify_one();
        return false;
      }
    }
    return false;
  }

  void work(std::size_t self) noexcept {
    const WorkingOn job(failed_);
    if (job_.phase_task) {
      work_phases(self);
    } else {
      work_tasks();
    }
  }

  void work_tasks() {
    for (;;) {
      const std::size_t i = next_.fetch_add(1, std::memory_order_relaxed);
      if (i >= job_.count || failed_.load(std::memory_order_relaxed)) return;
      guarded([&] {
        interruption_point();
        job_.task(job_.context, i);
      });
    }
  }

  void work_phases(std::size_t self) {
    const std::uint64_t taken = 2 * number_ + 1;
    const std::uint64_t ended = taken + 1;
    const std::size_t parts = job_.count;
    for (std::size_t phase = 0; phase < job_.phases; ++phase) {
      PartState* const states = states_.get() + phase * parts;
      for (std::size_t i = 0; i < parts; ++i) {
        const std::size_t part = (self + i) % parts;
        std::atomic<std::uint64_t>& state = states[part].value;
        std::uint64_t seen = state.load(std::memory_order_relaxed);
        if (seen >= taken || !state.compare_exchange_strong(seen, taken)) continue;
        if (!failed_.load(std::memory_order_relaxed)) {
          guarded([&] { job_.phase_task(job_.context, phase, part); });
        }
        state.store(ended, std::memory_order_release);
      }
      // The gate is the last meeting: a thread leaves it when its own parts have ended.
      if (phase + 1 == job_.phases) return;
      for (std::size_t part = 0; part < parts; ++part) {
        const auto over = [&] {
          return states[part].value.load(std::memory_order_acquire) == ended;
        };
        // Longer than that where the parts are uneven, or where the other thread has lost its CPU:
        // make room for it. To sleep would be to miss the beginning of the next phase.
        while (!over() && !spin_until(over)) {
          guarded([] { interruption_point(); });
          std::this_thread::yield();
        }
      }
    }
  }

  template <class F>
  void guarded(F run) noexcept {
    try {
      run();
    } catch (const Dropped&) {
      // The job has failed already.
    } catch (...) {
      const std::lock_guard lock(error_mutex_);
      if (!error_) error_ = std::current_exception();
      failed_.store(true, std::memory_order_relaxed);
    }
  }

  std::atomic<bool> busy_{false};
  std::atomic<bool> failed_{false};
  std::size_t started_ = 0;
  bool exhausted_ = false;
  Job job_;
  std::uint64_t number_ = 0;
  std::unique_ptr<PartState[]> states_;
  std::size_t state_count_ = 0;
  Clock::time_point last_end_{};
  std::uint32_t helpers_ = 0;
  std::mutex error_mutex_;
  std::exception_ptr error_;
  alignas(64) std::atomic<std::uint32_t> epoch_{0};
  alignas(64) std::atomic<std::uint32_t> gate_{kClosed};
  alignas(64) std::atomic<std::size_t> next_{0};
};

// Never destroyed: its threads may outlive the static objects of the program, and in the child of
// a fork they do not exist.
std::atomic<Team*> the_team{nullptr};

[[maybe_unused]] const int fork_handler =
    pthread_atfork(nullptr, nullptr, [] { the_team.store(nullptr, std::memory_order_release); });

Team& team() {
  Team* existing = the_team.load(std::memory_order_acquire);
  if (existing) return *existing;
  Team* fresh = new Team;
  if (the_team.compare_exchange_strong(existing, fresh, std::memory_order_acq_rel)) return *fresh;
  delete fresh;
  return *existing;
}

}  // namespace

void detail::run_tasks(std::size_t count, TaskFn task, void* context) {
  const std::size_t threads = std::min({num_threads(), count, max_threads()});
  const Job job{.task = task, .context = context, .count = count};
  if (threads > 1 && team().try_run(job, threads - 1, Wake::always)) return;
  for (std::size_t i = 0; i < count; ++i) {
    interruption_point();
    task(context, i);
  }
}

void detail::run_phases(std::size_t phases, std::size_t parts, Wake wake, PhaseFn task,
                        void* context) {
  const std::size_t threads = std::min({num_threads(), parts, max_threads()});
  const Job job{.phase_task = task, .context = context, .count = parts, .phases = phases};
  if (threads > 1 && team().try_run(job, threads - 1, wake)) return;
  for (std::size_t phase = 0; phase < phases; ++phase) {
    for (std::size_t part = 0; part < parts; ++part) {
      interruption_point();
      task(context, phase, part);
    }
  }
}

}  // namespace laminet

// Where a worker of the team runs. The scheduler often wakes a thread on the CPU of the one that
// calls it, and there they stay for many milliseconds while another CPU idles; and it leaves a
// thread that lost its CPU to another process waiting while the caller idles. A caller can mend
// both from outside, by the affinity of the worker, and gives that back.
//
// On systems other than Linux nothing here does anything.
#pragma once

#include <atomic>
#include <chrono>
#include <mutex>

#if defined(__linux__)
#include <sched.h>
#include <time.h>
#endif

namespace laminet {

// The CPU that the calling thread is on; -1 where the system does not tell.
int current_cpu();

class Placement {
 public:
  // By the worker: as it starts; as it takes up a job; before it goes to sleep.
  void start();
  void arrive() {
    resting_.store(false, std::memory_order_relaxed);
    cpu_.store(current_cpu(), std::memory_order_relaxed);
  }
  void rest();

  // The CPU of the last arrival; -1 where that may be another by now.
  int cpu() const { return cpu_.load(std::memory_order_relaxed); }

  // By a caller; false where the worker may not go, or rests, and `wakes` is not said: who moves a
  // worker that rests must wake it, so that it comes by again and gets its affinity back.
  // The worker leaves this CPU at once and stays off it until it rests.
  bool keep_off(int cpu, bool wakes);
  // The worker comes to this CPU and runs when the caller sleeps.
  bool bring_to(int cpu);
  // The CPU that the worker is kept off; -1 for none.
  int kept_off() const { return kept_off_.load(std::memory_order_relaxed); }
  // Whether it is bound to a caller's CPU.
  bool brought() const { return brought_.load(std::memory_order_relaxed); }
  // CPU time that the worker has had.
  std::chrono::nanoseconds cpu_time() const;

 private:
  template <class Change>
  bool move(bool wakes, Change change);

  std::atomic<int> cpu_{-1};
  std::atomic<int> kept_off_{-1};
  std::atomic<bool> brought_{false};
  std::atomic<bool> resting_{false};
#if defined(__linux__)
  std::mutex mutex_;  // of what follows, and of resting_ where a worker goes to rest
  bool moved_ = false;
  std::atomic<pid_t> thread_{0};
  clockid_t clock_{};
  cpu_set_t whole_;  // what the worker was allowed before it was moved
  cpu_set_t set_;    // what it was allowed then
#endif
};

}  // namespace laminet

// The team of threads: the only place where threads are started.
//
// The team starts on first need, at most as many threads as this process may use CPUs. Between
// jobs a thread spins for some tens of microseconds, so that the next call of a loop finds it
// awake, then sleeps: an idle team takes no CPU. After fork() the child starts a team of its own.
// When the team is busy with another caller's job, or other callers have the CPUs, or the job has
// one task, the caller does all of it: nested and concurrent calls are therefore safe, and never
// oversubscribe. Work goes on where a thread loses its CPU to another program (see placement.h).
#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>

namespace laminet {

// Whether a job is worth waking threads that have gone to sleep, which takes tens of microseconds.
// A small job uses only threads that are awake, or wakes them where calls follow one another so
// closely that the next ones will find them awake.
enum class Wake { always, in_a_series };

// Seconds that a job takes to a thread that is awake and waits for one; 0 where none was measured
// in the last second. It depends on how far apart the CPUs are, which on a virtual machine changes.
double team_handoff();

namespace detail {
using TaskFn = void (*)(void* context, std::size_t index);
void run_tasks(std::size_t count, Wake wake, TaskFn task, void* context);
using PhaseFn = void (*)(void* context, std::size_t phase, std::size_t part);
void run_phases(std::size_t phases, std::size_t parts, Wake wake, PhaseFn task, void* context);
}  // namespace detail

// task(i) for each i below count, in any order and on any thread. The first exception is thrown
// again here, after the running tasks ended; tasks not yet begun are dropped then.
template <class F>
void parallel_for(std::size_t count, Wake wake, F&& task) {
  using Task = std::remove_reference_t<F>;
  detail::run_tasks(
      count, wake, [](void* context, std::size_t i) { (*static_cast<Task*>(context))(i); },
      const_cast<void*>(static_cast<const void*>(std::addressof(task))));
}

template <class F>
void parallel_for(std::size_t count, F&& task) {
  parallel_for(count, Wake::always, task);
}

// task(phase, part) for each phase and each part; a phase begins when the one before has ended. A
// thread takes the same part in every phase and in every call where it can, so that what a part
// reads stays in that core's cache; where a thread is late, another one takes its part. Exceptions
// as in parallel_for: parts not yet begun, of any phase, are dropped.
template <class F>
void parallel_phases(std::size_t phases, std::size_t parts, Wake wake, F&& task) {
  using Task = std::remove_reference_t<F>;
  detail::run_phases(
      phases, parts, wake,
      [](void* context, std::size_t phase, std::size_t part) {
        (*static_cast<Task*>(context))(phase, part);
      },
      const_cast<void*>(static_cast<const void*>(std::addressof(task))));
}

}  // namespace laminet

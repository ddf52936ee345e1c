#include "laminet/base/parallel.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>

#include "laminet/base/interruption.h"
#include "laminet/base/team.h"
#include "laminet/base/thread_count.h"

namespace laminet {
namespace {

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

void run_alone(const Job& job) {
  for (std::size_t phase = 0; phase < (job.phase_task ? job.phases : 1); ++phase) {
    for (std::size_t i = 0; i < job.count; ++i) {
      interruption_point();
      if (job.phase_task) {
        job.phase_task(job.context, phase, i);
      } else {
        job.task(job.context, i);
      }
    }
  }
}

void run(const Job& job, Wake wake) {
  const std::size_t threads = std::min(num_threads(), job.count);
  if (threads <= 1) return run_alone(job);
  Team& shared = team();
  if (shared.try_run(job, threads, wake)) return;
  const Team::Alone alone(shared);
  run_alone(job);
}

}  // namespace

void detail::run_tasks(std::size_t count, Wake wake, TaskFn task, void* context) {
  const Job job{.task = task, .context = context, .count = count};
  run(job, wake);
}

void detail::run_phases(std::size_t phases, std::size_t parts, Wake wake, PhaseFn task,
                        void* context) {
  const Job job{.phase_task = task, .context = context, .count = parts, .phases = phases};
  run(job, wake);
}

double team_handoff() {
  const Team* const existing = the_team.load(std::memory_order_acquire);
  return existing ? existing->handoff() : 0.0;
}

}  // namespace laminet

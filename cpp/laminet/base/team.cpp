#include "laminet/base/team.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <new>
#include <thread>
#include <utility>

#include "laminet/base/float_mode.h"
#include "laminet/base/interruption.h"
#include "laminet/base/spin.h"
#include "laminet/base/thread_count.h"

namespace laminet {
namespace {

using Clock = std::chrono::steady_clock;

// How long a caller that has come beside another is expected to come again.
constexpr auto kCrowded = std::chrono::milliseconds(2);

// Every so many jobs the way of a job to a worker is measured; of so many ways the shortest is
// known for so long. Then it is measured anew: far apart, work may be too little to be handed over,
// and nobody would see that it is near again.
constexpr std::uint64_t kHandoffEvery = 16;
constexpr int kHandoffSamples = 4;
constexpr auto kHandoffKnown = std::chrono::seconds(1);

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

}  // namespace

struct Team::Release {
  Team& team;
  ~Release() {
    team.last_end_ = Clock::now();
    team.busy_.store(false, std::memory_order_release);
  }
};

std::size_t Team::others() {
  if (const std::size_t alone = alone_.load(std::memory_order_relaxed)) {
    crowd_ = alone;
    crowded_ = Clock::now();
  } else if (crowd_ > 0 && Clock::now() - crowded_ > kCrowded) {
    crowd_ = 0;
  }
  return crowd_;
}

Team::Team() : gate_(kClosed) {}

bool Team::try_run(const Job& job, std::size_t threads, Wake wake) {
  // Not a mutex: a nested call comes from the thread that has the team.
  if (busy_.exchange(true, std::memory_order_acquire)) return false;
  const Release release{*this};
  // Each caller beside this one has a CPU of its own to work on.
  const std::size_t cpus = max_threads();
  const std::size_t free = cpus - std::min(others(), cpus - 1);
  const std::size_t helpers = std::min(threads, free) - 1;
  if (helpers == 0) return false;
  grow(helpers);
  if (job.phase_task && !reserve_states(job.phases * job.count)) return false;
  job_ = job;
  ++number_;
  failed_.store(false, std::memory_order_relaxed);
  helpers_ = static_cast<std::uint32_t>(std::min({helpers, workers_.size(), std::size_t{kInside}}));
  next_.store(0, std::memory_order_relaxed);
  // Before it is published: a worker that has taken it may rest again by then.
  if (needs_placing() && (wake == Wake::always || Clock::now() - last_end_ < kSpinTime)) {
    place_workers(true);
  }
  if (number_ % kHandoffEvery == 0) published_ = Clock::now();
  gate_.store(0, std::memory_order_release);
  // Sequentially consistent, as notify_all reads next whether anyone waits.
  epoch_.fetch_add(1);
  const auto start = Clock::now();
  const bool in_series = start - last_end_ < kSpinTime;
  const bool woken = wake == Wake::always || in_series;
  if (woken) epoch_.notify_all();
  work(0);
  // A worker that has not woken by now is not waited for: it finds the gate closed.
  const bool all_came = came(gate_.fetch_add(kClosed, std::memory_order_acq_rel)) >= helpers_;
  wait_at_gate();
  if (woken && !all_came) count_absence(Clock::now() - start, in_series);
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  return true;
}

void Team::grow(std::size_t helpers) {
  if (workers_.size() >= helpers || exhausted_) return;
  const SignalsBlocked blocked;
  try {
    workers_.reserve(helpers);
    while (workers_.size() < helpers) {
      auto fresh = std::make_unique<Worker>();
      std::thread([this, seen = epoch_.load(), self = workers_.size() + 1, &me = *fresh] {
        run_worker(seen, self, me);
      }).detach();
      workers_.push_back(std::move(fresh));
    }
  } catch (...) {
    // The system grants no more threads, or no memory for them: the job runs on those there are.
    exhausted_ = true;
  }
}

bool Team::reserve_states(std::size_t count) {
  if (count <= state_count_) return true;
  try {
    states_ = std::make_unique<PartState[]>(count);
  } catch (const std::bad_alloc&) {
    return false;
  }
  state_count_ = count;
  return true;
}

// Only where a worker did not come or lost its CPU, or where the caller itself has moved: at every
// wake it would cost a microsecond.
bool Team::needs_placing() const {
  const int here = current_cpu();
  return here >= 0 && (amiss_ || here != here_);
}

// `self` is the part that this thread takes first.
void Team::run_worker(std::uint32_t seen, std::size_t self, Worker& me) {
  const DefaultFloatMode mode;
  me.place.start();
  for (;;) {
    const auto changed = [&] { return epoch_.load(std::memory_order_acquire) != seen; };
    // Where it was brought to the CPU of the caller, it makes room for it.
    const bool awake = !me.place.brought() && spin_until(changed);
    if (!awake) {
      me.place.rest();
      epoch_.wait(seen, std::memory_order_acquire);
      me.place.arrive();
    }
    seen = epoch_.load(std::memory_order_acquire);
    if (!enter(self)) continue;
    me.working.store(true, std::memory_order_relaxed);
    me.place.arrive();
    if (self == 1 && awake && number_ % kHandoffEvery == 0) measure_handoff();
    me.last_job = number_;
    work(self);
    me.working.store(false, std::memory_order_relaxed);
    leave();
  }
}

bool Team::enter(std::size_t self) {
  // A guess: to read it first would be one more way of its line between the CPUs.
  std::uint32_t gate = 0;
  // helpers_ is read inside the gate only: outside it the next job may be writing it.
  while (!(gate & kClosed)) {
    if (gate_.compare_exchange_weak(gate, gate + 1 + kOneCame, std::memory_order_acq_rel)) {
      if (self <= helpers_) return true;
      leave(kOneCame + 1);
      return false;
    }
  }
  return false;
}

void Team::leave(std::uint32_t what) {
  const std::uint32_t before = gate_.fetch_sub(what, std::memory_order_acq_rel);
  if ((before & (kClosed | kInside)) == (kClosed | 1)) gate_.notify_one();
}

// Interruptions come on top of the way: a sample may raise what is known by a 64th only, and lower
// it at once.
void Team::measure_handoff() {
  const auto now = Clock::now();
  const double taken = std::chrono::duration<double>(now - published_).count();
  if (const double known = handoff(); known > 0.0) {
    shortest_ = std::min(taken, known * (1.0 + 1.0 / 64));
  } else {
    shortest_ = samples_ == 0 ? taken : std::min(taken, shortest_);
    if (++samples_ < kHandoffSamples) return;
    samples_ = 0;
  }
  handoff_.store(shortest_, std::memory_order_relaxed);
  measured_.store(now, std::memory_order_relaxed);
}

double Team::handoff() const {
  const bool known = Clock::now() - measured_.load(std::memory_order_relaxed) < kHandoffKnown;
  return known ? handoff_.load(std::memory_order_relaxed) : 0.0;
}

void Team::work(std::size_t self) noexcept {
  const WorkingOn job(failed_);
  if (job_.phase_task) {
    work_phases(self);
  } else {
    work_tasks();
  }
}

void Team::work_tasks() {
  for (;;) {
    const std::size_t i = next_.fetch_add(1, std::memory_order_relaxed);
    if (i >= job_.count || failed_.load(std::memory_order_relaxed)) return;
    guarded([&] {
      interruption_point();
      job_.task(job_.context, i);
    });
  }
}

void Team::work_phases(std::size_t self) {
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
      wait_for_part(self, states[part], ended);
    }
  }
}

void Team::wait_for_part(std::size_t self, const PartState& state, std::uint64_t value) {
  const auto over = [&] { return state.is(value); };
  if (over() || spin_until(over, kPatience)) return;
  wait_longer_for_part(self, state, value);
}

void Team::wait_at_gate() {
  const auto over = [this] { return all_out(); };
  if (over() || spin_until(over, kPatience)) return;
  wait_longer_at_gate();
}

void Team::pass_interruption_point() noexcept {
  guarded([] { interruption_point(); });
}

template <class F>
void Team::guarded(F run) noexcept {
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

}  // namespace laminet

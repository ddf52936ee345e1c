#include "laminet/base/team.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <new>
#include <thread>
#include <utility>

#include "laminet/base/float_mode.h"
#include "laminet/base/interruption.h"
#include "laminet/base/thread_count.h"

namespace laminet {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

// Long enough to bridge the Python code between two calls of a loop, far too short to be noticed
// by another process. (OpenBLAS spins 100 ms, which its users complain of.)
constexpr auto kSpinTime = microseconds(40);

// A caller that has waited so long for a worker looks whether it runs at all: two looks are system
// calls, and most waits are shorter.
constexpr auto kPatience = microseconds(10);
constexpr auto kMostPatience = microseconds(160);
constexpr auto kLeastNap = microseconds(20);
constexpr auto kMostNap = microseconds(1000);

// A worker that was called and stayed away so long has no CPU: waking takes half of it.
constexpr auto kLate = microseconds(100);

// How long a caller that has come beside another is expected to come again.
constexpr auto kCrowded = std::chrono::milliseconds(2);

// Every so many jobs the way of a job to a worker is measured; of so many ways the shortest is
// known for so long. Then it is measured anew: far apart, work may be too little to be handed over,
// and nobody would see that it is near again.
constexpr std::uint64_t kHandoffEvery = 16;
constexpr int kHandoffSamples = 4;
constexpr auto kHandoffKnown = std::chrono::seconds(1);

// gate_: a bit that keeps workers out, the number of those that came to the job, that of those
// inside.
constexpr std::uint32_t kClosed = 1u << 31;
constexpr std::uint32_t kOneCame = 1u << 15;
constexpr std::uint32_t kInside = kOneCame - 1;
constexpr std::uint32_t came(std::uint32_t gate) { return (gate & ~kClosed) / kOneCame; }

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

// Waits until done(), spinning for `time`; false when that time is over.
template <class Done>
bool spin_until(Done done, Clock::duration time = kSpinTime) {
  const auto end = Clock::now() + time;
  do {
    for (int i = 0; i < 32; ++i) {
      if (done()) return true;
      pause();
    }
  } while (Clock::now() < end);
  return done();
}

// Between two looks of a thread that has waited so long already. After a while it sleeps, an eighth
// longer than it would have to: yielding makes no room for a worker of lower priority, and spinning
// takes CPU time that somebody counts.
void make_room(Clock::duration waited) {
  if (waited < 2 * kMostPatience) {
    std::this_thread::yield();
  } else {
    std::this_thread::sleep_for(std::clamp<Clock::duration>(waited / 8, kLeastNap, kMostNap));
  }
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

// `wakes`: the workers are woken next.
void Team::place_workers(bool wakes) {
  const int here = current_cpu();
  if (here < 0) return;
  here_ = here;
  amiss_ = false;
  for (std::size_t i = 0; i < helpers_; ++i) {
    Placement& place = workers_[i]->place;
    const int off = place.kept_off();
    const bool late = workers_[i]->absent >= kLate;
    if (place.cpu() == here || (off != here && (late || off >= 0))) {
      place.keep_off(here, wakes);
      workers_[i]->absent = {};
    }
  }
}

void Team::count_absence(Clock::duration taken, bool in_series) {
  amiss_ = true;
  // A job that is over before a sleeper could wake tells nothing.
  if (!in_series && taken < kLate / 2) return;
  for (std::size_t i = 0; i < helpers_; ++i) {
    Worker& worker = *workers_[i];
    worker.absent = worker.last_job == number_ ? Clock::duration{} : worker.absent + taken;
  }
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
  const auto over = [&] { return state.value.load(std::memory_order_acquire) == value; };
  if (over() || spin_until(over, kPatience)) return;
  wait_longer_for_part(self, over);
}

// To sleep at once would be to miss the beginning of the next phase; to spin on, to keep the CPU
// from a thread that waits for it.
template <class Over>
void Team::wait_longer_for_part(std::size_t self, Over over) {
  bool brought = false;
  auto patience = Clock::duration(kPatience);
  const auto start = Clock::now();
  do {
    guarded([] { interruption_point(); });
    if (self == 0 && !brought) brought = bring_stalled(over);
    patience = std::min<Clock::duration>(2 * patience, kMostPatience);
    make_room(Clock::now() - start);
  } while (!over() && (brought || !spin_until(over, self == 0 ? patience : kSpinTime)));
  if (brought) place_workers(false);
}

void Team::wait_at_gate() {
  const auto all_out = [this] { return (gate_.load(std::memory_order_acquire) & kInside) == 0; };
  if (all_out() || spin_until(all_out, kPatience)) return;
  wait_longer_at_gate(all_out);
}

template <class AllOut>
void Team::wait_longer_at_gate(AllOut all_out) {
  auto patience = Clock::duration(kPatience);
  const auto start = Clock::now();
  do {
    if (bring_stalled(all_out)) {
      // Makes room for it.
      for (;;) {
        const std::uint32_t seen = gate_.load(std::memory_order_acquire);
        if ((seen & kInside) == 0) return;
        gate_.wait(seen, std::memory_order_acquire);
      }
    }
    patience = std::min<Clock::duration>(2 * patience, kMostPatience);
    make_room(Clock::now() - start);
  } while (!all_out() && !spin_until(all_out, patience));
}

// Brings workers that have lost their CPU in the middle of their work to that of the caller, which
// has nothing to do but to wait for them: elsewhere they wait for a slice of the scheduler, some
// milliseconds. Whether there were any.
template <class Done>
bool Team::bring_stalled(Done done) {
  struct Look {
    Worker* worker;
    std::chrono::nanoseconds had;
  };
  std::array<Look, 16> looks;
  std::size_t count = 0;
  for (std::size_t i = 0; i < helpers_ && count < looks.size(); ++i) {
    Worker& worker = *workers_[i];
    if (!worker.working.load(std::memory_order_relaxed)) continue;
    looks[count++] = {&worker, worker.place.cpu_time()};
  }
  const auto start = Clock::now();
  if (spin_until(done, kPatience)) return false;
  const auto gone = Clock::now() - start;
  const int here = current_cpu();
  bool brought = false;
  for (std::size_t i = 0; i < count; ++i) {
    const auto [worker, had] = looks[i];
    if (!worker->working.load(std::memory_order_relaxed)) continue;
    if (worker->place.cpu_time() - had > gone / 4) continue;
    brought |= worker->place.bring_to(here);
  }
  amiss_ |= brought;
  return brought;
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

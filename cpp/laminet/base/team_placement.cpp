// Where the team's workers run, and what their caller does that waits for them: all that is slow,
// since it is rare.
#include <algorithm>
#include <array>
#include <thread>

#include "laminet/base/spin.h"
#include "laminet/base/team.h"

namespace laminet {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

constexpr auto kMostPatience = microseconds(160);
constexpr auto kLeastNap = microseconds(20);
constexpr auto kMostNap = microseconds(1000);

// A worker that was called and stayed away so long has no CPU: waking takes half of it.
constexpr auto kLate = microseconds(100);

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

}  // namespace

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

// To sleep at once would be to miss the beginning of the next phase; to spin on, to keep the CPU
// from a thread that waits for it.
void Team::wait_longer_for_part(std::size_t self, const PartState& state, std::uint64_t value) {
  const auto over = [&] { return state.is(value); };
  bool brought = false;
  auto patience = Clock::duration(kPatience);
  const auto start = Clock::now();
  do {
    pass_interruption_point();
    if (self == 0 && !brought) brought = bring_stalled(over);
    patience = std::min<Clock::duration>(2 * patience, kMostPatience);
    make_room(Clock::now() - start);
  } while (!over() && (brought || !spin_until(over, self == 0 ? patience : kSpinTime)));
  if (brought) place_workers(false);
}

void Team::wait_longer_at_gate() {
  const auto over = [this] { return all_out(); };
  auto patience = Clock::duration(kPatience);
  const auto start = Clock::now();
  do {
    if (bring_stalled(over)) {
      // Makes room for it.
      for (;;) {
        const std::uint32_t seen = gate_.load(std::memory_order_acquire);
        if ((seen & kInside) == 0) return;
        gate_.wait(seen, std::memory_order_acquire);
      }
    }
    patience = std::min<Clock::duration>(2 * patience, kMostPatience);
    make_room(Clock::now() - start);
  } while (!over() && !spin_until(over, patience));
}

}  // namespace laminet

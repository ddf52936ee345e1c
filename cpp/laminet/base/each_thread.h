// Something that each thread of the team is to do for itself.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "laminet/base/interruption.h"
#include "laminet/base/parallel.h"
#include "laminet/base/thread_count.h"

namespace laminet {

// task() once on the calling thread and once on each of the others that a call may use, which are
// started where they have not been: so scratch is there before it is needed. False where one did
// not come within a tenth of a second, as when the team works for another caller; its turn was then
// taken by another thread.
template <class F>
bool on_each_thread(F&& task) {
  using Clock = std::chrono::steady_clock;
  const std::size_t threads = std::min(num_threads(), max_threads());
  const auto end = Clock::now() + std::chrono::milliseconds(100);
  std::atomic<std::size_t> come{0};
  std::atomic<bool> late{false};
  parallel_for(threads, [&](std::size_t) {
    task();
    come.fetch_add(1);
    // A thread that waits here takes no other's turn.
    while (come.load() < threads && !late.load()) {
      if (Clock::now() > end) late.store(true);
      interruption_point();
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  });
  return !late.load();
}

}  // namespace laminet

#include "laminet/base/made_once.h"

#include <unistd.h>

#include <chrono>
#include <thread>

#include "laminet/base/interruption.h"
#include "laminet/base/per_thread.h"

namespace laminet {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kPoll = std::chrono::microseconds(200);

// A thread that nobody can interrupt may hold what the maker waits for, Python's lock for one. Half
// of the tenth of a second within which an interruption is to come through.
constexpr auto kLongestWait = std::chrono::milliseconds(50);

constinit std::atomic<std::uint32_t> threads{0};

struct ThreadNumber {
  std::uint32_t value = ++threads;
};

// The process above, a number of the thread below; a fork changes the former.
std::uint64_t self() {
  return static_cast<std::uint64_t>(getpid()) << 32 | thread_object<ThreadNumber>().value;
}

}  // namespace

MakingTurns::Turn::Turn(MakingTurns& turns) : turns_(turns), self_(self()) {
  const auto start = Clock::now();
  for (;;) {
    std::uint64_t maker = 0;
    if (turns.maker_.compare_exchange_strong(maker, self_)) return;
    const bool gone = maker >> 32 != self_ >> 32;
    if (maker == self_ || gone || turns.value_.load(std::memory_order_acquire)) break;
    if (!interruptible_here() && Clock::now() - start > kLongestWait) break;
    interruption_point();
    std::this_thread::sleep_for(kPoll);
  }
  self_ = 0;
}

MakingTurns::Turn::~Turn() {
  if (self_ != 0) turns_.maker_.compare_exchange_strong(self_, 0);
}

}  // namespace laminet

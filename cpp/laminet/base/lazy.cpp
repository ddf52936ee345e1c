#include "laminet/base/lazy.h"

#include <pthread.h>

#include <thread>

namespace laminet {
namespace {

constinit std::atomic<std::uint32_t> generation{1};

[[maybe_unused]] const int fork_handler =
    pthread_atfork(nullptr, nullptr, [] { generation.fetch_add(1, std::memory_order_relaxed); });

}  // namespace

bool ForkSafeLock::try_acquire(std::uint32_t& seen) {
  const std::uint32_t own = generation.load(std::memory_order_relaxed);
  seen = holder_.load(std::memory_order_relaxed);
  while (seen != own) {
    if (holder_.compare_exchange_weak(seen, own, std::memory_order_acquire)) return true;
  }
  return false;
}

void ForkSafeLock::acquire() {
  for (std::uint32_t seen = 0; !try_acquire(seen);) holder_.wait(seen, std::memory_order_relaxed);
}

void ForkSafeLock::release() {
  holder_.store(0, std::memory_order_release);
  holder_.notify_all();
}

bool ForkSafeLock::acquire_within(std::chrono::milliseconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  for (std::uint32_t seen = 0; !try_acquire(seen);) {
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace laminet

// Waiting for another thread without a system call.
#pragma once

#include <chrono>

namespace laminet {

// Long enough to bridge the Python code between two calls of a loop, far too short to be noticed
// by another process. (OpenBLAS spins 100 ms, which its users complain of.)
inline constexpr auto kSpinTime = std::chrono::microseconds(40);

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

// Waits until done(), spinning for `time`; false when that time is over.
template <class Done>
bool spin_until(Done done, std::chrono::steady_clock::duration time = kSpinTime) {
  const auto end = std::chrono::steady_clock::now() + time;
  do {
    for (int i = 0; i < 32; ++i) {
      if (done()) return true;
      pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  return done();
}

}  // namespace laminet

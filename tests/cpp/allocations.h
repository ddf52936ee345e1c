// Every `new` of the test program is counted: forward_test.cpp replaces the operators.
#pragma once

#include <atomic>

namespace laminet::testing {

extern std::atomic<long> allocations;
extern std::atomic<long> allocated_bytes;  // of all of them, freed or not

// Whether runs come to allocate nothing. Scratch belongs to a thread, and which of the team's
// threads take part, and when for the first time, is not fixed. So: after a bounded number of runs
// there are 40 without any.
template <class Run>
bool becomes_quiet(Run run) {
  int quiet = 0;
  for (int i = 0; i < 4000 && quiet < 40; ++i) {
    const long before = allocations.load();
    run();
    quiet = allocations.load() == before ? quiet + 1 : 0;
  }
  return quiet == 40;
}

}  // namespace laminet::testing

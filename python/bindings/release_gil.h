// The GIL, released while the core works.
#pragma once

#include <Python.h>
#include <cxxabi.h>
#include <unistd.h>

namespace laminet {

// Releases the GIL for work of more than about 20 microseconds; for less, releasing and taking it
// again costs more than other threads gain.
//
// Not pybind11's gil_scoped_release: when the interpreter ends under a daemon thread that works
// here, Python up to 3.13 ends that thread by unwinding it out of PyEval_RestoreThread, and an
// unwinding that meets a destructor ends the whole program with an abort. Such a thread is kept
// here, asleep, as Python 3.14 does.
class MaybeReleaseGil {
 public:
  explicit MaybeReleaseGil(double flops) {
    constexpr double kLeast = 2e6;
    if (flops >= kLeast) state_ = PyEval_SaveThread();
  }
  ~MaybeReleaseGil() {
    if (state_) take_back();
  }
  MaybeReleaseGil(const MaybeReleaseGil&) = delete;
  MaybeReleaseGil& operator=(const MaybeReleaseGil&) = delete;

 private:
  void take_back() {
#if defined(__GLIBCXX__)
    try {
      PyEval_RestoreThread(state_);
    } catch (abi::__forced_unwind&) {
      for (;;) pause();
    }
#else
    PyEval_RestoreThread(state_);
#endif
  }

  PyThreadState* state_ = nullptr;
};

}  // namespace laminet

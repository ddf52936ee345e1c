// The GIL, released while the core works, and taken now and then to see whether Ctrl-C was pressed.
#pragma once

#include <cxxabi.h>
#include <pybind11/pybind11.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/syscall.h>
#endif

#include <exception>
#include <initializer_list>
#include <limits>
#include <optional>

#include "laminet/base/interruption.h"
#include "pin.h"

namespace laminet {

// Releases the GIL for work of more than about 20 microseconds; for less, releasing and taking it
// again costs more than other threads gain. The arrays that are worked on keep their memory.
//
// Not pybind11's gil_scoped_release: when the interpreter ends under a daemon thread that works
// here, Python up to 3.13 ends that thread by unwinding it out of PyEval_RestoreThread, and an
// unwinding that meets a destructor ends the whole program with an abort. Such a thread is kept
// here, asleep, as Python 3.14 does.
class MaybeReleaseGil {
 public:
  // Of work that may be long.
  MaybeReleaseGil() : MaybeReleaseGil(std::numeric_limits<double>::infinity()) {}
  template <class Arrays = std::initializer_list<pybind11::handle>>
  explicit MaybeReleaseGil(double flops, const Arrays& arrays = {}) {
    constexpr double kLeast = 2e6;
    if (flops < kLeast) return;
    pin_.emplace(arrays);
    // First, as it may throw: only the destructor takes the GIL back.
    interruptible_.emplace([](void* self) { static_cast<MaybeReleaseGil*>(self)->ask(); }, this);
    state_ = PyEval_SaveThread();
  }
  ~MaybeReleaseGil() {
    if (!state_) return;
    interruptible_.reset();
    take_back();
  }
  MaybeReleaseGil(const MaybeReleaseGil&) = delete;
  MaybeReleaseGil& operator=(const MaybeReleaseGil&) = delete;

 private:
  // Lets handlers of signals run, Ctrl-C's among them, and throws what they raise.
  void ask() {
    // Python runs them on its main thread only; the others need not wait for the GIL in vain.
#if defined(__linux__)
    if (getpid() != syscall(SYS_gettid)) return;
#endif
    take_back();
    std::exception_ptr raised;
    if (PyErr_CheckSignals() != 0) {
      raised = std::make_exception_ptr(pybind11::error_already_set());
    }
    state_ = PyEval_SaveThread();
    if (raised) std::rethrow_exception(raised);
  }

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

  std::optional<Pin> pin_;  // let go when the GIL is back
  PyThreadState* state_ = nullptr;
  std::optional<Interruptible> interruptible_;
};

}  // namespace laminet

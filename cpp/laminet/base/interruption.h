// A way out of long work. A program that calls the core may name a question to be asked now and
// then while its thread works: what that throws ends the call, on the other threads of the team as
// well. Python asks for signals so, and Ctrl-C comes through.
#pragma once

#include <atomic>
#include <chrono>

namespace laminet {

// While it lives, interruption points of this thread ask `ask(context)` once in a while. Throws
// std::bad_alloc.
class Interruptible {
 public:
  using Ask = void (*)(void* context);

  Interruptible(Ask ask, void* context);
  ~Interruptible();
  Interruptible(const Interruptible&) = delete;
  Interruptible& operator=(const Interruptible&) = delete;

 private:
  friend void interruption_point();
  void ask_when_due();

  Ask ask_;
  void* context_;
  Interruptible* before_;
  std::chrono::steady_clock::time_point next_;
};

// While it lives, nothing is asked on this thread: for work that must not be left in the middle.
class Uninterrupted {
 public:
  Uninterrupted() noexcept;
  ~Uninterrupted();
  Uninterrupted(const Uninterrupted&) = delete;
  Uninterrupted& operator=(const Uninterrupted&) = delete;

 private:
  Interruptible* held_ = nullptr;
};

// While it lives, interruption points of this thread throw once `dropped` is true: the job that it
// works on has failed elsewhere, and nobody waits for the result.
class WorkingOn {
 public:
  explicit WorkingOn(const std::atomic<bool>& dropped) noexcept;
  ~WorkingOn();
  WorkingOn(const WorkingOn&) = delete;
  WorkingOn& operator=(const WorkingOn&) = delete;

 private:
  const std::atomic<bool>* before_ = nullptr;
};

// What the second kind throws. It never leaves the team.
struct Dropped {};

// To be called between pieces of work of some milliseconds at most; a nanosecond where nobody asks.
void interruption_point();

// Whether somebody asks on this thread.
bool interruptible_here();

}  // namespace laminet

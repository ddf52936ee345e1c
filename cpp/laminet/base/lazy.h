// Values made when they are first needed. The only locks of the core but for the team's.
//
// A process may be forked while one of its threads makes a value. In the child that thread does not
// exist: its lock, which a mutex, std::call_once or a static local would keep for ever, counts as
// free there, and the value is made anew.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace laminet {

// Not recursive. Zero-initialised, never destroyed: usable before main() and after it.
class ForkSafeLock {
 public:
  void acquire();
  void release();
  // False if it could not be had in that time.
  bool acquire_within(std::chrono::milliseconds patience);

 private:
  bool try_acquire(std::uint32_t& seen);

  // 0, or how many forks lie between the first process and the one whose thread has it, plus 1.
  std::atomic<std::uint32_t> holder_{0};
};

// For variables of static storage, as it is never freed; what is made may not ask for it. A member
// of an object is a MadeOnce (made_once.h).
template <class T>
class Lazy {
 public:
  constexpr Lazy() = default;
  Lazy(const Lazy&) = delete;
  Lazy& operator=(const Lazy&) = delete;

  // The value, which is make() of the first call that does not throw. make() must not fork, nor ask
  // for this value.
  template <class Make>
  const T& get(Make&& make) {
    if (const T* value = value_.load(std::memory_order_acquire)) return *value;
    return make_once(make);
  }

  ForkSafeLock& lock() { return lock_; }

 private:
  struct Release {
    ForkSafeLock& lock;
    ~Release() { lock.release(); }
  };

  // Apart, so that what is asked for in every call is a look and a branch.
  template <class Make>
  [[gnu::noinline]] const T& make_once(Make& make) {
    lock_.acquire();
    const Release release{lock_};
    const T* value = value_.load(std::memory_order_acquire);
    if (!value) {
      value = new T(make());
      // At once and whole, so that a fork finds it made or not made.
      value_.store(value, std::memory_order_release);
    }
    return *value;
  }

  std::atomic<const T*> value_{nullptr};
  ForkSafeLock lock_;
};

}  // namespace laminet

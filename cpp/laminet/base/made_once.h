// A value that is made when it is first needed, and then stays.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

namespace laminet {

// Any number of threads may ask for the value at once: one makes it, the others wait. What the
// making throws leaves it unmade, and somebody else's turn.
//
// Not std::call_once, whose callers may wait for ever: for a thread that fork() left behind in the
// parent; for themselves, where an interruption (interruption.h) of the making runs code that needs
// the value; for one that waits at an interruption point for a lock which they hold. Who would wait
// so makes a value for itself, and the first that is ready stays.
class MakingTurns {
 public:
  MakingTurns() = default;
  ~MakingTurns() = default;
  MakingTurns(const MakingTurns&) = delete;
  MakingTurns& operator=(const MakingTurns&) = delete;

 protected:
  // While it lives it is this thread's turn, or the value is there, or not to be waited for.
  class Turn {
   public:
    explicit Turn(MakingTurns& turns);
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    MakingTurns& turns_;
    std::uint64_t self_;
  };

  std::atomic<const void*> value_{nullptr};

 private:
  std::atomic<std::uint64_t> maker_{0};  // process and thread; 0: nobody
};

template <class T>
class MadeOnce : private MakingTurns {
 public:
  MadeOnce() = default;
  ~MadeOnce() { delete if_made(); }
  MadeOnce(const MadeOnce&) = delete;
  MadeOnce& operator=(const MadeOnce&) = delete;

  // Null where it has not been made yet.
  const T* if_made() const { return static_cast<const T*>(value_.load(std::memory_order_acquire)); }

  // make() returns a std::unique_ptr<const T>.
  template <class Make>
  const T& get(Make make) {
    if (const T* value = if_made()) [[likely]] {
      return *value;
    }
    const Turn turn(*this);
    if (const T* value = if_made()) return *value;
    std::unique_ptr<const T> fresh = make();
    const void* first = nullptr;
    if (value_.compare_exchange_strong(first, fresh.get(), std::memory_order_acq_rel)) {
      return *fresh.release();
    }
    return *static_cast<const T*>(first);
  }
};

}  // namespace laminet

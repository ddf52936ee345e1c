#include "laminet/base/interruption.h"

#include <new>
#include <utility>

#include "laminet/base/per_thread.h"

namespace laminet {
namespace {

// A fraction of the tenth of a second within which a person expects an answer; often enough, and
// rare enough for a question that must wait for Python's lock.
constexpr auto kInterval = std::chrono::milliseconds(40);

// What the thread is at.
struct Current {
  Interruptible* interruptible = nullptr;
  const std::atomic<bool>* dropped_job = nullptr;
};

}  // namespace

Interruptible::Interruptible(Ask ask, void* context)
    : ask_(ask),
      context_(context),
      before_(std::exchange(thread_object<Current>().interruptible, this)),
      next_(std::chrono::steady_clock::now() + kInterval) {}

Interruptible::~Interruptible() { thread_object_if_any<Current>()->interruptible = before_; }

void Interruptible::ask_when_due() {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_) return;
  next_ = now + kInterval;
  ask_(context_);
}

Uninterrupted::Uninterrupted() noexcept {
  if (auto* const current = thread_object_if_any<Current>()) {
    held_ = std::exchange(current->interruptible, nullptr);
  }
}

Uninterrupted::~Uninterrupted() {
  if (held_) thread_object_if_any<Current>()->interruptible = held_;
}

WorkingOn::WorkingOn(const std::atomic<bool>& dropped) noexcept {
  try {
    before_ = std::exchange(thread_object<Current>().dropped_job, &dropped);
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): as said
    // Then the work goes on to its end, or until it needs memory.
  }
}

WorkingOn::~WorkingOn() {
  if (auto* const current = thread_object_if_any<Current>()) current->dropped_job = before_;
}

void interruption_point() {
  const auto* const current = thread_object_if_any<Current>();
  if (!current) return;
  if (current->dropped_job && current->dropped_job->load(std::memory_order_relaxed)) {
    throw Dropped{};
  }
  if (current->interruptible) current->interruptible->ask_when_due();
}

bool interruptible_here() {
  const auto* const current = thread_object_if_any<Current>();
  return current && current->interruptible;
}

}  // namespace laminet

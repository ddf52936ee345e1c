#include "laminet/base/interruption.h"

#include <utility>

namespace laminet {
namespace {

// A fraction of the tenth of a second within which a person expects an answer; often enough, and
// rare enough for a question that must wait for Python's lock.
constexpr auto kInterval = std::chrono::milliseconds(40);

constinit thread_local Interruptible* interruptible = nullptr;
constinit thread_local const std::atomic<bool>* dropped_job = nullptr;

}  // namespace

Interruptible::Interruptible(Ask ask, void* context)
    : ask_(ask),
      context_(context),
      before_(std::exchange(interruptible, this)),
      next_(std::chrono::steady_clock::now() + kInterval) {}

Interruptible::~Interruptible() { interruptible = before_; }

void Interruptible::ask_when_due() {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_) return;
  next_ = now + kInterval;
  ask_(context_);
}

WorkingOn::WorkingOn(const std::atomic<bool>& dropped)
    : before_(std::exchange(dropped_job, &dropped)) {}

WorkingOn::~WorkingOn() { dropped_job = before_; }

void interruption_point() {
  if (dropped_job && dropped_job->load(std::memory_order_relaxed)) throw Dropped{};
  if (interruptible) interruptible->ask_when_due();
}

}  // namespace laminet

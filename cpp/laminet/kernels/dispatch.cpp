#include "laminet/kernels/dispatch.h"

#include <atomic>
#include <cstdlib>

#include "laminet/base/check.h"
#include "laminet/kernels/instruction_sets.h"

namespace laminet::kernels {
namespace {

// Narrowest first.
constexpr const InstructionSet* kAll[] = {
    &kGeneric,
#if defined(__x86_64__)
    &kAvx2,
    &kAvx512,
    &kAvx512Bf16,
#endif
};

std::atomic<const InstructionSet*> active{nullptr};

const InstructionSet* find(std::string_view name) {
  std::string known;
  for (const InstructionSet* set : kAll) {
    if (set->name == name) {
      require(set->available(), "instruction set '", name, "' is not available on this CPU");
      return set;
    }
    known += known.empty() ? "" : ", ";
    known += set->name;
  }
  require(false, "unknown instruction set '", name, "', expected one of ", known);
  return nullptr;
}

const InstructionSet* choose() {
  if (const char* name = std::getenv("LAMINET_ISA"); name && *name) {
    try {
      return find(name);
    } catch (const std::invalid_argument& error) {
      require(false, "LAMINET_ISA: ", error.what());
    }
  }
  const InstructionSet* best = &kGeneric;
  for (const InstructionSet* set : kAll) {
    if (set->available()) best = set;
  }
  return best;
}

}  // namespace

const InstructionSet& active_instruction_set() {
  const InstructionSet* set = active.load(std::memory_order_acquire);
  if (!set) {
    const InstructionSet* const first = choose();
    // Not in the place of a choice made meanwhile.
    if (active.compare_exchange_strong(set, first, std::memory_order_acq_rel)) set = first;
  }
  return *set;
}

void set_instruction_set(std::string_view name) {
  active.store(find(name), std::memory_order_release);
}

const InstructionSet& instruction_set(std::string_view name) { return *find(name); }

const InstructionSet& baseline_instruction_set() { return kGeneric; }

std::vector<std::string> available_instruction_sets() {
  std::vector<std::string> names;
  for (const InstructionSet* set : kAll) {
    if (set->available()) names.emplace_back(set->name);
  }
  return names;
}

}  // namespace laminet::kernels

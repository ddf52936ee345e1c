// What the C++ tests share.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "laminet/base/matrix.h"
#include "laminet/kernels/instruction_sets.h"

namespace laminet::testing {

// The instruction sets that this CPU can run; the others are printed, so that a report tells what
// it did not test.
inline std::vector<const kernels::InstructionSet*> instruction_sets() {
  std::vector<const kernels::InstructionSet*> sets = {&kernels::kGeneric};
#if defined(__x86_64__)
  for (const auto* set : {&kernels::kAvx2, &kernels::kAvx512, &kernels::kAvx512Bf16}) {
    if (set->available()) {
      sets.push_back(set);
    } else {
      std::printf("not run on this CPU: %s\n", set->name);
    }
  }
#endif
  return sets;
}

// `size` elements between two guards, whose bytes must stay as they are.
template <class T>
class Guarded {
 public:
  static constexpr std::size_t kGuard = 64;

  explicit Guarded(std::size_t size, T fill = T{0}) : size_(size), storage_(size + 2 * kGuard) {
    std::memset(storage_.data(), kCanary, storage_.size() * sizeof(T));
    std::fill(begin(), end(), fill);
  }
  ~Guarded() { EXPECT_TRUE(intact()); }

  T* begin() { return storage_.data() + kGuard; }
  T* end() { return begin() + size_; }
  T* data() { return begin(); }
  T& operator[](std::size_t i) { return begin()[i]; }

  bool intact() {
    const auto untouched = [](const T* p) {
      const auto* bytes = reinterpret_cast<const unsigned char*>(p);
      for (std::size_t i = 0; i < kGuard * sizeof(T); ++i) {
        if (bytes[i] != kCanary) return false;
      }
      return true;
    };
    return untouched(storage_.data()) && untouched(end());
  }

 private:
  static constexpr unsigned char kCanary = 0xA5;
  std::size_t size_;
  AlignedArray<T> storage_;
};

// Small whole numbers: sums of their products are exact in any order, so that results can be
// compared for equality.
template <class Range>
void fill_with_integers(Range&& range, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> values(-4, 4);
  for (auto& x : range) x = static_cast<std::remove_reference_t<decltype(x)>>(values(random));
}

}  // namespace laminet::testing

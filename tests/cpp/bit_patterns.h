// Inputs for elementwise functions: all kinds of bit patterns.
// LAMINET_TEST_ALL_PATTERNS=1 takes all 2^32 floats (an hour), =n every n-th.
#pragma once

#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace laminet::kernels {

template <class T>
using Bits = std::conditional_t<sizeof(T) == sizeof(float), std::uint32_t, std::uint64_t>;

// Calls use(x, n) with blocks of inputs, all kinds of bit patterns among them.
template <class T, class Use>
void for_patterns(std::uint64_t stride, Use use) {
  constexpr std::size_t block = 4096;
  std::vector<T> x;
  const auto add = [&](T v) {
    x.push_back(v);
    if (x.size() == block) {
      use(x.data(), x.size());
      x.clear();
    }
  };
  for (int i = -8192; i <= 8192; ++i) add(static_cast<T>(i) / 128);
  if constexpr (sizeof(T) == sizeof(float)) {
    for (std::uint64_t p = 0; p < std::uint64_t{1} << 32; p += stride) {
      add(std::bit_cast<float>(static_cast<std::uint32_t>(p)));
    }
  } else {
    std::mt19937_64 random(7);
    std::uniform_real_distribution<double> unit(0, 1);
    const std::uint64_t count = 150'000'000 / stride;
    for (std::uint64_t i = 0; i < count / 8; ++i) {
      add(std::bit_cast<double>(random()));
      add(800 * (2 * unit(random) - 1));
      add(-800 * unit(random));
      add(40 * (2 * unit(random) - 1));
      add(-38.7 + 2 * unit(random));    // gelu, subnormal
      add(-21.6 + 0.5 * unit(random));  // gelu_tanh, subnormal
      add(-752 + 45 * unit(random));    // exp, silu, mish, subnormal
      add((2 * unit(random) - 1) * std::exp2(-20 * unit(random)));
    }
  }
  if (!x.empty()) use(x.data(), x.size());
}

inline std::uint64_t pattern_stride() {
  const char* all = std::getenv("LAMINET_TEST_ALL_PATTERNS");
  if (!all || !*all) return 499;  // a prime: every exponent and all low bits come up
  // Zero, which is what a word reads as, would be a loop without end.
  std::uint64_t stride = 0;
  const auto [end, error] = std::from_chars(all, all + std::strlen(all), stride);
  if (error != std::errc{} || *end != '\0' || stride < 1 || stride >> 32 != 0) {
    throw std::invalid_argument("LAMINET_TEST_ALL_PATTERNS must be from 1 to 2^32 - 1, got '" +
                                std::string(all) + "'");
  }
  return stride;
}

// Equal, and of equal sign if zero; all NaN are equal.
template <class T>
bool same(T a, T b) {
  return std::bit_cast<Bits<T>>(a) == std::bit_cast<Bits<T>>(b) || (std::isnan(a) && std::isnan(b));
}

}  // namespace laminet::kernels

// Numbers of 16 bits: the upper half of a float, with its exponents and 8 bits of precision.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace laminet {

struct bfloat16 {
  std::uint16_t bits;
};

constexpr float widened(bfloat16 x) { return std::bit_cast<float>(std::uint32_t{x.bits} << 16); }

// To nearest, ties to even: half a unit of the last place kept is 2^15 of those below, and one less
// where that place is even, so that a tie does not carry. A NaN stays one, and becomes quiet.
constexpr bfloat16 to_bfloat16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if ((bits & 0x7FFF'FFFFu) > 0x7F80'0000u) {
    return {static_cast<std::uint16_t>((bits >> 16) | 0x40u)};
  }
  return {static_cast<std::uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16)};
}

// Two numbers that follow each other, the first in the upper half: products of pairs add that of
// the upper halves first.
struct bfloat16_pair {
  std::uint32_t bits;
};

constexpr bfloat16_pair pair_of(bfloat16 first, bfloat16 second) {
  return {std::uint32_t{first.bits} << 16 | second.bits};
}

// To bfloat16 as factors of products are: what is subnormal before becomes zero of its sign.
constexpr bfloat16 to_factor(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if ((bits & 0x7F80'0000u) == 0) return {static_cast<std::uint16_t>((bits >> 16) & 0x8000u)};
  return to_bfloat16(x);
}

// sum + a b in float, a and b being numbers of bfloat16, as VDPBF16PS adds a product: by a fused
// multiply-add to which subnormal numbers are zero, and which makes them zero.
//
// In double the product is exact, and so is the sum of what is less than 2^29 apart; of the rest
// the lesser is no more than 2^-29 of the other, which is a float by itself and stays the nearest.
// So nothing is rounded twice. Rounded to 24 bits, what is below 2^-126 - 2^-151 is subnormal.
inline float add_product(float sum, float a, float b) {
  const auto flushed = [](float x) {
    return std::abs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0f, x) : x;
  };
  const double exact = double{flushed(sum)} + double{flushed(a)} * double{flushed(b)};
  return std::abs(exact) < 0x1p-126 - 0x1p-151 ? static_cast<float>(std::copysign(0.0, exact))
                                               : static_cast<float>(exact);
}

}  // namespace laminet

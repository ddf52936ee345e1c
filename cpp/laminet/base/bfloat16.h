// Numbers of 16 bits: the upper half of a float, with its exponents and 8 bits of precision.
#pragma once

#include <bit>
#include <cstdint>

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

}  // namespace laminet

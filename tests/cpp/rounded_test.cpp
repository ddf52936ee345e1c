// Products of numbers of bfloat16: the bits of a plain model, on every instruction set.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "fenced.h"
#include "laminet/base/bfloat16.h"
#include "laminet/base/float_mode.h"
#include "laminet/gemm/gemm.h"
#include "laminet/kernels/table.h"
#include "support.h"

namespace laminet::testing {
namespace {

std::uint32_t bits(float x) { return std::bit_cast<std::uint32_t>(x); }

// Every NaN is the same.
bool same_bits(float a, float b) { return bits(a) == bits(b) || (std::isnan(a) && std::isnan(b)); }

float flushed(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x; }

// One fused multiply-add. Where its result is near the smallest normal number it is made 2^60 times
// as large, and so rounded to 24 bits, before it is flushed.
float model(float sum, float a, float b) {
  sum = flushed(sum);
  a = flushed(a);
  b = flushed(b);
  const float result = std::fma(a, b, sum);
  if (!(std::abs(result) < 0x1p-120f)) return result;
  const float scaled = a * b == 0 || std::abs(a) > std::abs(b)
                           ? std::fma(a, b * 0x1p60f, sum * 0x1p60f)
                           : std::fma(a * 0x1p60f, b, sum * 0x1p60f);
  return std::abs(scaled) < 0x1p-66f ? std::copysign(0.0f, scaled) : scaled * 0x1p-60f;
}

// Numbers of bfloat16 of all sizes, most of them near 1, some near where sums are flushed.
float draw(std::mt19937& random) {
  std::normal_distribution<float> normal(0, 1);
  const float x = widened(to_factor(normal(random)));
  switch (random() % 16) {
    case 0:
      return 0.0f;
    case 1:
      return x * 0x1p-63f;
    case 2:
      return x * 0x1p-40f;
    case 3:
      return x * 0x1p30f;
    default:
      return x;
  }
}

TEST(Bfloat16Products, AreFusedAndFlushed) {
  std::mt19937 random(5);
  for (int i = 0; i < 300'000; ++i) {
    const float a = draw(random), b = draw(random);
    const float sum = draw(random) * (i % 3 == 0 ? draw(random) : 1.0f + 0x1p-23f);
    ASSERT_TRUE(same_bits(add_product(sum, a, b), model(sum, a, b)))
        << std::hexfloat << sum << " + " << a << " * " << b;
    // Nearly cancelled, down to where it is flushed.
    const float rest = -a * b * (1.0f + std::ldexp(1.0f, -static_cast<int>(random() % 24)));
    ASSERT_TRUE(same_bits(add_product(rest, a, b), model(rest, a, b)))
        << std::hexfloat << rest << " + " << a << " * " << b;
  }
  // The two sides of 2^-126 - 2^-151, and of where numbers kept subnormal would be rounded.
  EXPECT_EQ(add_product(0x1p-126f, -0x1p-76f, 0x1p-75f), 0x1p-126f);
  EXPECT_EQ(add_product(0x1p-126f, -0x1p-75f, 0x1.02p-76f), 0.0f);
  EXPECT_EQ(add_product(0x1p-127f, 1.0f, 0.0f), 0.0f);
  EXPECT_TRUE(std::signbit(add_product(-0x1p-127f, 1.0f, -0.0f)));
  EXPECT_EQ(add_product(0x1p-126f, 0x1p-127f, 1.0f), 0x1p-126f);
  EXPECT_EQ(add_product(-0x1.fffffep127f, 0x1p64f, 0x1p64f), 0x1p104f);
}

TEST(Bfloat16Factors, AreRoundedTheSameByAllSets) {
  std::mt19937 random(6);
  constexpr std::size_t rows = 3;
  for (const kernels::InstructionSet* set : instruction_sets()) {
    EXPECT_EQ(set->f64->to_factors, nullptr);
    // Whole vectors, parts of one and of two, and odd numbers of columns.
    for (std::size_t columns = 1; columns < 140; ++columns) {
      const std::size_t halves = (columns + 1) / 2;
      const auto stride = static_cast<std::ptrdiff_t>(columns + 5);
      Fenced<float> x(2 * (columns + 5) + columns), factors(2 * (columns + 5) + columns, 77.0f);
      constexpr bfloat16_pair untouched{77};
      Fenced<bfloat16_pair> pairs(2 * (halves + 3) + halves, untouched);
      for (float& element : x) {
        // Ties and their neighbours, and NaN and subnormal numbers among them.
        const std::uint32_t low[] = {0x7FFF, 0x8000, 0x8001,
                                     static_cast<std::uint32_t>(random() & 0xFFFFu)};
        std::uint32_t pattern = static_cast<std::uint32_t>(random()) << 16 | low[random() % 4];
        if (random() % 8 == 0) pattern &= 0x807F'FFFFu;
        if (random() % 64 == 0) pattern |= 0x7F80'0000u;
        element = std::bit_cast<float>(pattern);
      }
      set->f32->to_factors({rows, columns, x.data(), stride, factors.data(), stride});
      for (std::size_t i = 0; i < factors.size(); ++i) {
        const bool inside = i % (columns + 5) < columns;
        ASSERT_EQ(bits(factors[i]), inside ? bits(widened(to_factor(x[i]))) : bits(77.0f))
            << set->name << " " << bits(x[i]) << " of " << columns;
      }
      if (!set->f32->to_pairs) continue;
      set->f32->to_pairs(
          {rows, columns, x.data(), stride, pairs.data(), static_cast<std::ptrdiff_t>(halves + 3)});
      for (std::size_t i = 0; i < pairs.size(); ++i) {
        const std::size_t row = i / (halves + 3), j = i % (halves + 3) * 2;
        const float* const from = x.data() + row * (columns + 5);
        if (j >= columns) {
          ASSERT_EQ(pairs[i].bits, untouched.bits) << set->name << " of " << columns;
          continue;
        }
        const bfloat16 second = j + 1 < columns ? to_factor(from[j + 1]) : bfloat16{0};
        ASSERT_EQ(pairs[i].bits, pair_of(to_factor(from[j]), second).bits)
            << set->name << " of " << columns;
      }
    }
  }
}

TEST(Bfloat16Factors, ArePairedByRows) {
  std::mt19937 random(8);
  for (const kernels::InstructionSet* set : instruction_sets()) {
    if (!set->f32->to_row_pairs) continue;
    for (std::size_t rows = 1; rows < 6; ++rows) {
      for (const std::size_t columns : {1u, 15u, 16u, 17u, 33u, 64u}) {
        const std::size_t apart = columns + 3, halves = (rows + 1) / 2;
        constexpr bfloat16_pair untouched{77};
        Fenced<float> x((rows - 1) * apart + columns);
        Fenced<bfloat16_pair> pairs((halves - 1) * apart + columns, untouched);
        for (float& element : x) element = draw(random) * (1 + 0x1p-9f);
        set->f32->to_row_pairs({rows, columns, x.data(), static_cast<std::ptrdiff_t>(apart),
                                pairs.data(), static_cast<std::ptrdiff_t>(apart)});
        for (std::size_t i = 0; i < pairs.size(); ++i) {
          const std::size_t row = 2 * (i / apart), j = i % apart;
          const auto at = [&](std::size_t r) {
            return r < rows ? to_factor(x[r * apart + j]) : bfloat16{0};
          };
          ASSERT_EQ(pairs[i].bits,
                    j < columns ? pair_of(at(row), at(row + 1)).bits : untouched.bits)
              << set->name << " " << rows << " x " << columns << " at " << i;
        }
      }
    }
  }
}

// Whole layers: odd and even depths, beyond a block of depth too, each kind of tile and its edges,
// with and without what comes after the sum.
TEST(Bfloat16Layers, GiveTheBitsOfTheModel) {
  std::mt19937 random(7);
  const std::vector<const kernels::InstructionSet*> sets = instruction_sets();
  struct Shape {
    std::size_t rows, k, n;
  };
  for (const auto [rows, k, n] : {Shape{1, 1, 1},
                                  {1, 300, 150},
                                  {2, 33, 70},
                                  {7, 64, 5},
                                  {13, 29, 131},
                                  {37, 2, 16},
                                  {14, 3001, 33}}) {
    AlignedArray<float> x(rows * k), w(n * k), bias(n), start(rows * n);
    for (float& v : x) v = draw(random) * (1 + 0x1p-9f);
    for (float& v : w) v = draw(random);
    for (float& v : bias) v = draw(random);
    for (float& v : start) v = random() % 4 == 0 ? 0x1p-128f : draw(random);
    for (const bool with_bias : {false, true}) {
      for (const bool accumulate : {false, true}) {
        const Activation activation{with_bias ? ActivationKind::relu : ActivationKind::identity};
        std::vector<float> expected(rows * n);
        for (std::size_t i = 0; i < rows; ++i) {
          for (std::size_t j = 0; j < n; ++j) {
            float sum = accumulate ? start.data()[i * n + j] : 0.0f;
            for (std::size_t p = 0; p < k; ++p) {
              sum = model(sum, widened(to_factor(x.data()[i * k + p])), w.data()[j * k + p]);
            }
            if (with_bias) sum = sum + bias.data()[j] > 0 ? sum + bias.data()[j] : 0.0f;
            expected[i * n + j] = sum;
          }
        }
        for (const kernels::InstructionSet* set : sets) {
          const kernels::Table<float>& table = *set->f32;
          const ConstMatrixView<float> weight = dense_view(w.data(), n, k);
          const std::size_t size = packed_size(n, k, table);
          AlignedArray<bfloat16> halves(size);
          AlignedArray<bfloat16_pair> pairs(size);
          const float* const b = with_bias ? bias.data() : nullptr;
          const PackedWeights<float> packed =
              table.to_pairs ? PackedWeights<float>(weight, table, pairs.data(), b)
                             : PackedWeights<float>(weight, table, halves.data(), b);
          AlignedArray<float> y(rows * n);
          std::copy(start.begin(), start.end(), y.begin());
          tiled_layer<float>(
              dense_view(std::as_const(x).data(), rows, k), packed,
              {.panels = {0, packed.layout().panels()}, .accumulate = accumulate, .rounds = true},
              b, activation, dense_view(y.data(), rows, n));
          for (std::size_t i = 0; i < rows * n; ++i) {
            ASSERT_TRUE(same_bits(y.data()[i], expected[i]))
                << set->name << " " << rows << "x" << k << "x" << n << " at " << i << std::hexfloat
                << ": " << y.data()[i] << ", expected " << expected[i];
          }
        }
      }
    }
  }
}

// 2^-126 + 2^-130 - 2^-126: the second product is subnormal but fused, and so is what the bias
// leaves, but that is no sum of products and stays.
TEST(Bfloat16Layers, FlushSumsOfProductsAlone) {
  const float x[] = {0x1p-63f, 0x1p-65f};
  const float bias[] = {-0x1p-126f};
  for (const kernels::InstructionSet* set : instruction_sets()) {
    const kernels::Table<float>& table = *set->f32;
    AlignedArray<bfloat16> halves(packed_size(1, 2, table));
    AlignedArray<bfloat16_pair> pairs(packed_size(1, 2, table));
    const ConstMatrixView<float> weight = dense_view(x, 1, 2);
    const PackedWeights<float> packed =
        table.to_pairs ? PackedWeights<float>(weight, table, pairs.data(), bias)
                       : PackedWeights<float>(weight, table, halves.data(), bias);
    float y = 0;
    tiled_layer<float>(weight, packed, {.panels = {0, 1}, .rounds = true}, bias, {},
                       dense_view(&y, 1, 1));
    EXPECT_EQ(bits(y), bits(0x1p-130f)) << set->name;
  }
}

TEST(Bfloat16Layers, LeaveTheFloatModeAsItWas) {
  const DefaultFloatMode mode;
  volatile float least = 0x1p-126f;
  {
    const FlushingFloatMode flushing;
#if defined(__x86_64__)
    EXPECT_EQ(least * 0.5f, 0.0f);
#endif
  }
  EXPECT_NE(least * 0.5f, 0.0f);
}

}  // namespace
}  // namespace laminet::testing

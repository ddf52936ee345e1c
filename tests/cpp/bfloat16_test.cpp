// Weights stored as bfloat16: rounding, and tiles that read them.
#include "laminet/base/bfloat16.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

#include "fenced.h"
#include "laminet/kernels/table.h"
#include "support.h"

namespace laminet::testing {
namespace {

static_assert(to_bfloat16(1.0f).bits == 0x3F80);
static_assert(to_bfloat16(1.00390625f).bits == 0x3F80);  // 1 + 2^-8, between, to the even one
static_assert(to_bfloat16(1.01171875f).bits == 0x3F82);  // 1 + 3 2^-8 likewise
static_assert(to_bfloat16(std::numeric_limits<float>::max()).bits == 0x7F80);
static_assert(to_bfloat16(std::bit_cast<float>(0x7F80'0001u)).bits == 0x7FC0);  // NaN
static_assert(std::bit_cast<std::uint32_t>(widened({0x8001})) == 0x8001'0000u);

// Each kind of call, of every tile, reads its panels and no byte beyond, and gives the bits that
// the same weights give in full.
TEST(Bfloat16Tiles, GiveTheBitsOfTheSameWeightsInFull) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, 1);
  constexpr std::size_t k = 21;
  for (const kernels::InstructionSet* set : instruction_sets()) {
    EXPECT_EQ(set->f64->tiles[0].of_bfloat16, nullptr);
    for (std::size_t t = 0; t < set->f32->tile_count; ++t) {
      const kernels::Tile<float>& full = set->f32->tiles[t];
      ASSERT_NE(full.of_bfloat16, nullptr) << set->name;
      const kernels::Tile<float, bfloat16>& tile = *full.of_bfloat16;
      ASSERT_EQ(tile.mr, full.mr);
      ASSERT_EQ(tile.nr, full.nr);
      ASSERT_EQ(tile.row_panels, full.row_panels);
      const std::size_t panels = tile.row_panels, size = k * tile.nr;
      Fenced<bfloat16> halves(panels * size, bfloat16{0});
      Fenced<float> wide(panels * size), a(tile.mr * k), bias(panels * tile.nr);
      for (float& v : a) v = normal(random);
      for (float& v : bias) v = normal(random);
      for (std::size_t i = 0; i < panels * size; ++i) {
        halves[i] = to_bfloat16(normal(random));
        wide[i] = widened(halves[i]);
      }
      std::vector<std::uint32_t> steps(k + kernels::kStepsAhead, 0);
      for (std::uint32_t i = 0; i < k; ++i) steps[i] = i;
      const auto run = [&](const auto& with, const auto* panel, std::size_t n, bool prefetch) {
        std::vector<float> c(tile.mr * panels * tile.nr, 0.5f);
        typename std::remove_cvref_t<decltype(with)>::Args args{};
        args.k = k;
        args.a = a.data();
        args.a_stride = k;
        args.panel = panel;
        args.c = c.data();
        args.c_stride = static_cast<std::ptrdiff_t>(panels * tile.nr);
        args.n = n;
        args.bias = bias.data();
        args.accumulate = true;
        args.prefetch = prefetch;
        args.steps = steps.data();
        std::vector<float> all;
        const auto keep = [&] { all.insert(all.end(), c.begin(), c.end()); };
        for (std::size_t m = 1; m <= tile.mr; ++m) {
          with.multiply(args, m);
          keep();
        }
        with.multiply_listed(args, size);
        keep();
        args.n = panels * tile.nr;
        with.multiply_row(args, size);
        keep();
        with.multiply_listed(args, size);
        keep();
        return all;
      };
      for (std::size_t n = 1; n <= tile.nr; ++n) {
        const bool prefetch = n % 2 == 0;
        const std::vector<float> got = run(tile, halves.data(), n, prefetch);
        const std::vector<float> expected = run(full, wide.data(), n, prefetch);
        ASSERT_EQ(std::memcmp(got.data(), expected.data(), got.size() * sizeof(float)), 0)
            << set->name << " " << tile.mr << "x" << tile.nr << " n=" << n;
        ASSERT_NE(got[0], 0.5f);
      }
    }
  }
}

}  // namespace
}  // namespace laminet::testing

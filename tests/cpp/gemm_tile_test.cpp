// Every register tile of every instruction set, at every size up to its own, with every buffer
// between pages that must not be touched.
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <utility>

#include "fenced.h"
#include "laminet/gemm/reference.h"
#include "support.h"

namespace laminet::testing {
namespace {

template <class T>
class GemmTile : public ::testing::Test {};
using Elements = ::testing::Types<float, double>;
TYPED_TEST_SUITE(GemmTile, Elements);

template <class T>
struct Case {
  std::size_t m, n, k;
  bool bias, accumulate, relu;
};

template <class T>
void check(const kernels::Tile<T>& tile, const Case<T>& c) {
  const std::size_t lda = c.k + 3;
  const std::size_t ldc = c.n + 5;
  // The panel's own columns past n are zero, as the contract says; those of B stay n wide.
  Fenced<T> a((c.m - 1) * lda + c.k);
  Fenced<T> b(c.n * c.k);
  // It is aligned as little as the contract allows: rows of 16 bytes start 16 past a cache line.
  const std::size_t offset = tile.nr * sizeof(T) < 64 ? tile.nr : 0;
  Fenced<T> panel_memory(offset + c.k * tile.nr);
  T* const panel = panel_memory.data() + offset;
  Fenced<T> bias(c.n);
  Fenced<T> got((c.m - 1) * ldc + c.n, T{7});
  fill_with_integers(a, 1);
  fill_with_integers(b, 2);
  fill_with_integers(bias, 3);
  const ConstMatrixView<T> a_view{a.data(), c.m, c.k, static_cast<std::ptrdiff_t>(lda), 1};
  const ConstMatrixView<T> b_view = dense_view<const T>(b.data(), c.n, c.k);
  for (std::size_t p = 0; p < c.k; ++p) {
    for (std::size_t j = 0; j < c.n; ++j) panel[p * tile.nr + j] = b_view(j, p);
  }

  std::vector<T> expected(c.m * c.n);
  reference_product<T>(a_view, b_view, c.bias ? bias.data() : nullptr,
                       dense_view(expected.data(), c.m, c.n));
  for (T& z : expected) {
    if (c.accumulate) z += T{7};
    if (c.relu) z = std::max(z, T{0});
  }

  const kernels::TileArgs<T> args{.k = c.k,
                                  .a = a.data(),
                                  .a_stride = static_cast<std::ptrdiff_t>(lda),
                                  .panel = panel,
                                  .c = got.data(),
                                  .c_stride = static_cast<std::ptrdiff_t>(ldc),
                                  .n = c.n,
                                  .bias = c.bias ? bias.data() : nullptr,
                                  .accumulate = c.accumulate,
                                  .relu = c.relu,
                                  .prefetch = c.accumulate,
                                  .ahead = c.bias ? reinterpret_cast<std::uintptr_t>(panel) : 0,
                                  .steps = nullptr};
  tile.multiply(args, c.m);

  for (std::size_t i = 0; i < c.m; ++i) {
    for (std::size_t j = 0; j < c.n; ++j) {
      ASSERT_EQ(got[i * ldc + j], expected[i * c.n + j])
          << "row " << i << " column " << j << " of m=" << c.m << " n=" << c.n << " k=" << c.k;
    }
    if (i + 1 == c.m) continue;
    for (std::size_t j = c.n; j < ldc; ++j) {
      ASSERT_EQ(got[i * ldc + j], T{7}) << "written past column n=" << c.n;
    }
  }
}

TYPED_TEST(GemmTile, EverySizeUpToTheTile) {
  for (const kernels::InstructionSet* set : instruction_sets()) {
    const kernels::Table<TypeParam>& table = set->table<TypeParam>();
    for (std::size_t t = 0; t < table.tile_count; ++t) {
      const kernels::Tile<TypeParam>& tile = table.tiles[t];
      SCOPED_TRACE(std::string(set->name) + " " + std::to_string(tile.mr) + "x" +
                   std::to_string(tile.nr));
      for (std::size_t m = 1; m <= tile.mr; ++m) {
        for (std::size_t n = 1; n <= tile.nr; ++n) {
          for (const std::size_t k :
               {std::size_t{1}, std::size_t{2}, std::size_t{19}, std::size_t{40}}) {
            const bool odd = (m + n + k) % 2;
            check<TypeParam>(tile, {m, n, k, odd, false, !odd});
            check<TypeParam>(tile, {m, n, k, !odd, true, odd});
          }
        }
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

// One row against several panels that do not follow one another.
TYPED_TEST(GemmTile, OneRowOfSeveralPanels) {
  using T = TypeParam;
  for (const kernels::InstructionSet* set : instruction_sets()) {
    const kernels::Table<T>& table = set->table<T>();
    for (std::size_t t = 0; t < table.tile_count; ++t) {
      const kernels::Tile<T>& tile = table.tiles[t];
      const std::size_t n = tile.row_panels * tile.nr;
      const std::size_t k = 37;
      const std::size_t panel_size = (k + 3) * tile.nr;
      Fenced<T> a(k), b(n * k), bias(n), panels(tile.row_panels * panel_size), got(n);
      fill_with_integers(a, 1);
      fill_with_integers(b, 2);
      fill_with_integers(bias, 3);
      for (std::size_t j = 0; j < n; ++j) {
        for (std::size_t p = 0; p < k; ++p) {
          panels[j / tile.nr * panel_size + p * tile.nr + j % tile.nr] = b[j * k + p];
        }
      }
      std::vector<T> expected(n);
      for (const bool with_bias : {false, true}) {
        reference_product<T>(dense_view<const T>(a.data(), 1, k),
                             dense_view<const T>(b.data(), n, k), with_bias ? bias.data() : nullptr,
                             dense_view(expected.data(), 1, n));
        for (const bool prefetch : {false, true}) {
          for (const bool accumulate : {false, true}) {
            std::fill(got.begin(), got.end(), T{7});
            kernels::TileArgs<T> args{};
            args.k = k;
            args.a = a.data();
            args.panel = panels.data();
            args.c = got.data();
            args.n = n;
            args.bias = with_bias ? bias.data() : nullptr;
            args.accumulate = accumulate;
            args.relu = !accumulate;
            args.prefetch = prefetch;
            tile.multiply_row(args, panel_size);
            for (std::size_t j = 0; j < n; ++j) {
              const T z = expected[j] + (accumulate ? T{7} : T{0});
              ASSERT_EQ(got[j], accumulate ? z : std::max(z, T{0})) << set->name << " " << j;
            }
          }
        }
      }
    }
  }
}

// A row given by what is not zero, against the same row in full.
TYPED_TEST(GemmTile, OneRowByItsNonzeros) {
  using T = TypeParam;
  for (const kernels::InstructionSet* set : instruction_sets()) {
    const kernels::Table<T>& table = set->table<T>();
    for (std::size_t t = 0; t < table.tile_count; ++t) {
      const kernels::Tile<T>& tile = table.tiles[t];
      const std::size_t k = 37;
      const std::size_t panel_size = (k + 3) * tile.nr;
      // Columns, and every how many elements one is zero.
      for (const auto& [n, every] : std::initializer_list<std::pair<std::size_t, std::size_t>>{
               {tile.row_panels * tile.nr, 3},
               {tile.nr, 3},
               {tile.nr - 1, 2},
               {1, 3},
               {tile.nr, 1}}) {
        Fenced<T> a(k), b(n * k), bias(n), panels(tile.row_panels * panel_size), got(n);
        fill_with_integers(a, 1);
        for (std::size_t p = 0; p < k; p += every) a[p] = 0;
        fill_with_integers(b, 2);
        fill_with_integers(bias, 3);
        for (std::size_t j = 0; j < n; ++j) {
          for (std::size_t p = 0; p < k; ++p) {
            panels[j / tile.nr * panel_size + p * tile.nr + j % tile.nr] = b[j * k + p];
          }
        }
        const auto count =
            static_cast<std::size_t>(std::count_if(a.begin(), a.end(), [](T v) { return v != 0; }));
        Fenced<T> values(count);
        Fenced<std::uint32_t> steps(count + kernels::kStepsAhead,
                                    static_cast<std::uint32_t>(k - 1));
        for (std::size_t p = 0, i = 0; p < k; ++p) {
          if (a[p] == 0) continue;
          values[i] = a[p];
          steps[i++] = static_cast<std::uint32_t>(p);
        }
        std::vector<T> expected(n);
        reference_product<T>(dense_view<const T>(a.data(), 1, k),
                             dense_view<const T>(b.data(), n, k), nullptr,
                             dense_view(expected.data(), 1, n));
        for (const bool prefetch : {false, true}) {
          for (const bool accumulate : {false, true}) {
            const bool with_bias = prefetch != accumulate;
            std::fill(got.begin(), got.end(), T{7});
            kernels::TileArgs<T> args{};
            args.k = count;
            args.a = values.data();
            args.steps = steps.data();
            args.panel = panels.data();
            args.c = got.data();
            args.n = n;
            args.bias = with_bias ? bias.data() : nullptr;
            args.accumulate = accumulate;
            args.relu = prefetch;
            args.prefetch = prefetch;
            tile.multiply_listed(args, panel_size);
            for (std::size_t j = 0; j < n; ++j) {
              T z = expected[j] + (accumulate ? T{7} : T{0});
              if (with_bias) z += bias[j];
              ASSERT_EQ(got[j], prefetch ? std::max(z, T{0}) : z) << set->name << " " << j;
            }
          }
        }
      }
    }
  }
}

TYPED_TEST(GemmTile, NonzerosAreFound) {
  using T = TypeParam;
  constexpr T infinity = std::numeric_limits<T>::infinity();
  constexpr T kinds[] = {T{0},      T{1}, -T{0}, std::numeric_limits<T>::denorm_min(), T{0}, -T{3},
                         -infinity, T{0}, T{0},  std::numeric_limits<T>::quiet_NaN()};
  for (const kernels::InstructionSet* set : instruction_sets()) {
    for (std::size_t n = 0; n <= 70; ++n) {
      for (std::size_t shift = 0; shift < std::size(kinds); ++shift) {
        Fenced<T> x(n), values(n);
        Fenced<std::uint32_t> places(n);
        for (std::size_t i = 0; i < n; ++i) x[i] = kinds[(i * i + shift) % std::size(kinds)];
        const std::size_t count =
            set->table<T>().nonzeros(x.data(), n, values.data(), places.data());
        std::size_t expected = 0;
        for (std::size_t i = 0; i < n; ++i) {
          if (x[i] == 0) continue;
          ASSERT_LT(expected, count);
          ASSERT_EQ(places[expected], i) << set->name;
          ASSERT_EQ(std::memcmp(&values[expected], &x[i], sizeof(T)), 0);
          ++expected;
        }
        ASSERT_EQ(count, expected) << set->name;
      }
    }
  }
}

// Leaves ones where the next function keeps its variables: what reads more of one than was written
// sees them.
__attribute__((noinline)) void fill_stack() {
  volatile std::byte ones[4096];
  for (volatile std::byte& one : ones) one = std::byte{0xFF};
}

// Every mask of the widest vector, and what lies beside it in memory or in a register.
TYPED_TEST(GemmTile, NonzerosOfEveryMaskAreCounted) {
  using T = TypeParam;
  constexpr std::size_t lanes = 64 / sizeof(T);
  T x[lanes], values[lanes];
  std::uint32_t places[lanes];
  for (const kernels::InstructionSet* set : instruction_sets()) {
    for (unsigned mask = 0; mask < 1u << lanes; ++mask) {
      for (std::size_t i = 0; i < lanes; ++i) x[i] = mask >> i & 1 ? static_cast<T>(i + 1) : T{0};
      fill_stack();
      const std::size_t count = set->table<T>().nonzeros(x, lanes, values, places);
      ASSERT_EQ(count, static_cast<std::size_t>(std::popcount(mask))) << set->name << " " << mask;
      for (std::size_t i = 0, found = 0; i < lanes; ++i) {
        if (x[i] == 0) continue;
        ASSERT_EQ(places[found], i) << set->name << " " << mask;
        ASSERT_EQ(values[found], x[i]) << set->name << " " << mask;
        ++found;
      }
    }
  }
}

// Widest first, and a narrowest tile: what PanelLayout relies on.
TYPED_TEST(GemmTile, TablesAreOrdered) {
  for (const kernels::InstructionSet* set : instruction_sets()) {
    const kernels::Table<TypeParam>& table = set->table<TypeParam>();
    ASSERT_GE(table.tile_count, 1u);
    for (std::size_t t = 1; t < table.tile_count; ++t) {
      EXPECT_LT(table.tiles[t].nr, table.tiles[t - 1].nr) << set->name;
    }
  }
}

}  // namespace
}  // namespace laminet::testing

// Rescaling, sums of matrices and columns by an index, in every instruction set: against plain
// loops on small whole numbers, with every operand between pages that must not be touched.
#include <cmath>
#include <limits>
#include <random>
#include <string_view>
#include <vector>

#include "bit_patterns.h"
#include "block.h"

namespace laminet::kernels {
namespace {

using testing::Block;
using testing::Fenced;
using testing::instruction_sets;

template <class T>
class BlockKernels : public ::testing::Test {};
using AllTypes = ::testing::Types<float, double>;
TYPED_TEST_SUITE(BlockKernels, AllTypes);

template <class T>
void expect_equal(Block<T>& got, Block<T>& want, const char* set, std::size_t n, unsigned which) {
  for (std::size_t i = 0; i < got.memory_size(); ++i) {
    ASSERT_EQ(got.memory[i], want.memory[i]) << set << " " << n << " case " << which;
  }
}

// Bit b of `which`: whether scale, shift, low, high come by column; then clip; then y or d in
// place of x, or left out.
TYPED_TEST(BlockKernels, Rescale) {
  using T = TypeParam;
  for (const InstructionSet* set : instruction_sets()) {
    for (std::size_t n = 1; n <= 37; ++n) {
      for (unsigned which = 0; which < 32; ++which) {
        for (const unsigned where : {0u, 1u, 2u, 3u, 4u}) {
          const std::size_t rows = 3;
          Block<T> x(rows, n, n % 3, 1), y(rows, n, 2, 2), d(rows, n, 4, 3);
          Block<T> want_y(rows, n, 2, 2), want_d(rows, n, 4, 3);
          Block<T> scale(1, n, 0, 4), shift(1, n, 0, 5), low(1, n, 0, 6), high(1, n, 0, 7);
          for (std::size_t j = 0; j < n; ++j) high.at(0, j) = low.at(0, j) + T(j % 4);
          const bool clip = which & 16;
          const auto pick = [&](unsigned bit, Block<T>& values, T value) {
            return which & bit ? ByColumn<T>{99, values.data()} : ByColumn<T>{value};
          };
          const auto at = [](const ByColumn<T>& by, std::size_t j) {
            return by.values ? by.values[j] : by.value;
          };
          RescaleArgs<T> args{};
          args.rows = rows;
          args.columns = n;
          args.x = x.data();
          args.x_stride = x.step();
          args.scale = pick(1, scale, 3);
          args.shift = pick(2, shift, -2);
          args.clip = clip;
          args.low = pick(4, low, which & 8 ? -6 : -5);
          args.high = pick(8, high, 7);
          Block<T>* to_y = where == 1 ? &x : where == 3 ? nullptr : &y;
          Block<T>* to_d = where == 2 ? &x : where == 4 ? nullptr : &d;
          Block<T> want_x(rows, n, n % 3, 1);
          Block<T>& wanted_y = where == 1 ? want_x : want_y;
          Block<T>& wanted_d = where == 2 ? want_x : want_d;
          for (std::size_t i = 0; i < rows; ++i) {
            for (std::size_t j = 0; j < n; ++j) {
              const T z = at(args.scale, j) * x.at(i, j) + at(args.shift, j);
              const T low_j = at(args.low, j), high_j = at(args.high, j);
              const bool inside = !clip || (low_j <= z && z <= high_j);
              if (to_y) {
                wanted_y.at(i, j) = clip ? std::min(std::max(z, low_j), high_j) : z;
              }
              if (to_d) wanted_d.at(i, j) = inside ? at(args.scale, j) : T{0};
            }
          }
          if (to_y) {
            args.y = to_y->data();
            args.y_stride = to_y->step();
          }
          if (to_d) {
            args.d = to_d->data();
            args.d_stride = to_d->step();
          }
          set->table<T>().rescale(args);
          expect_equal(x, want_x, set->name, n, which);
          expect_equal(y, want_y, set->name, n, which);
          expect_equal(d, want_d, set->name, n, which);
        }
      }
    }
  }
}

TYPED_TEST(BlockKernels, RescaleRoundsOnce) {
  using T = TypeParam;
  std::mt19937 random(5);
  std::normal_distribution<double> normal(0, 1);
  for (const InstructionSet* set : instruction_sets()) {
    if (std::string_view(set->name) == "generic") continue;  // may have no fused multiply-add
    for (int repeat = 0; repeat < 100; ++repeat) {
      const T scale = static_cast<T>(normal(random)), shift = static_cast<T>(normal(random));
      std::vector<T> x(37), y(37);
      for (T& v : x) v = static_cast<T>(normal(random));
      RescaleArgs<T> args{};
      args.rows = 1;
      args.columns = x.size();
      args.x = x.data();
      args.y = y.data();
      args.scale = {scale};
      args.shift = {shift};
      set->table<T>().rescale(args);
      for (std::size_t j = 0; j < x.size(); ++j) ASSERT_EQ(y[j], std::fma(scale, x[j], shift));
    }
  }
}

TYPED_TEST(BlockKernels, RescaleAtBoundsAndBeyond) {
  using T = TypeParam;
  const T nan = std::numeric_limits<T>::quiet_NaN();
  const T inf = std::numeric_limits<T>::infinity();
  struct Case {
    T x, low, high, y, d;
  };
  // As torch.clamp(2 x, low, high), but that a NaN has the derivative NaN.
  const Case cases[] = {
      {T(0.5), -1, 1, 1, 2},
      {T(-0.5), -1, 1, -1, 2},
      {T(0.6), -1, 1, 1, 0},
      {T(-0.6), -1, 1, -1, 0},
      {T(0.25), -1, 1, T(0.5), 2},
      {inf, -1, 1, 1, 0},
      {-inf, -1, 1, -1, 0},
      {nan, -1, 1, nan, nan},
      {inf, -inf, inf, inf, 2},
      {-inf, -inf, 3, -inf, 2},
      {0, 5, 3, 3, 0},
      {100, 5, 3, 3, 0},
  };
  for (const InstructionSet* set : instruction_sets()) {
    for (const Case& c : cases) {
      std::vector<T> x(19, c.x), y(19), d(19);
      RescaleArgs<T> args{};
      args.rows = 1;
      args.columns = x.size();
      args.x = x.data();
      args.y = y.data();
      args.d = d.data();
      args.scale = {2};
      args.clip = true;
      args.low = {c.low};
      args.high = {c.high};
      set->table<T>().rescale(args);
      for (const std::size_t j : {std::size_t{0}, x.size() - 1}) {
        EXPECT_TRUE(same(y[j], c.y)) << set->name << " y of " << c.x << ": " << y[j];
        EXPECT_TRUE(same(d[j], c.d)) << set->name << " d of " << c.x << ": " << d[j];
      }
      args.clip = false;
      set->table<T>().rescale(args);
      EXPECT_TRUE(same(y[0], 2 * c.x)) << set->name << " " << c.x;
      EXPECT_TRUE(same(d[0], T(2))) << set->name << " " << c.x;
    }
  }
}

TYPED_TEST(BlockKernels, Sum) {
  using T = TypeParam;
  for (const InstructionSet* set : instruction_sets()) {
    for (std::size_t n = 1; n <= 37; ++n) {
      for (const unsigned which : {0u, 1u, 2u, 3u}) {  // a, b apart; y is b; y is a; no b
        for (const T factor : {T(1), T(-0.25)}) {
          const std::size_t rows = 3;
          Block<T> a(rows, n, n % 3, 1), b(rows, n, 2, 2), y(rows, n, 4, 3);
          Block<T> want_y(rows, n, 4, 3), want_a(rows, n, n % 3, 1), want_b(rows, n, 2, 2);
          Block<T>& to = which == 1 ? b : which == 2 ? a : y;
          Block<T>& want = which == 1 ? want_b : which == 2 ? want_a : want_y;
          for (std::size_t i = 0; i < rows; ++i) {
            for (std::size_t j = 0; j < n; ++j) {
              want.at(i, j) = (a.at(i, j) + (which == 3 ? T{0} : b.at(i, j))) * factor;
            }
          }
          set->table<T>().sum({.rows = rows,
                               .columns = n,
                               .a = a.data(),
                               .a_stride = a.step(),
                               .b = which == 3 ? nullptr : b.data(),
                               .b_stride = b.step(),
                               .y = to.data(),
                               .y_stride = to.step(),
                               .factor = factor});
          expect_equal(a, want_a, set->name, n, which);
          expect_equal(b, want_b, set->name, n, which);
          expect_equal(y, want_y, set->name, n, which);
        }
      }
    }
  }
}

TYPED_TEST(BlockKernels, ColumnsByIndex) {
  using T = TypeParam;
  for (const InstructionSet* set : instruction_sets()) {
    for (std::size_t n = 1; n <= 20; ++n) {
      const std::size_t rows = 3, wide = 7;
      Fenced<std::uint32_t> index(n);
      for (std::size_t j = 0; j < n; ++j) index[j] = static_cast<std::uint32_t>(j * j * 5 % wide);
      Block<T> x(rows, wide, n % 3, 1), y(rows, n, 2, 2), want_y(rows, n, 2, 2);
      Block<T> g(rows, wide, 3, 3), h(rows, n, 1, 4), want_g(rows, wide, 3, 3);
      for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t j = 0; j < n; ++j) {
          want_y.at(i, j) = x.at(i, index[j]);
          want_g.at(i, index[j]) += h.at(i, j);
        }
      }
      set->table<T>().gather_columns(
          {rows, n, index.data(), x.data(), x.step(), y.data(), y.step()});
      set->table<T>().scatter_add_columns(
          {rows, n, index.data(), h.data(), h.step(), g.data(), g.step()});
      expect_equal(y, want_y, set->name, n, 0);
      expect_equal(g, want_g, set->name, n, 1);
    }
  }
}

}  // namespace
}  // namespace laminet::kernels

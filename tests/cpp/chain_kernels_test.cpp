// The kernels of derivatives in every instruction set: against plain loops on small whole numbers,
// which are exact in any order, with every operand between pages that must not be touched.
#include <cmath>
#include <random>
#include <vector>

#include "block.h"

namespace laminet::kernels {
namespace {

using testing::Block;
using testing::Fenced;
using testing::instruction_sets;

template <class T>
class ChainKernels : public ::testing::Test {};
using AllTypes = ::testing::Types<float, double>;
TYPED_TEST_SUITE(ChainKernels, AllTypes);

TYPED_TEST(ChainKernels, GradientTile) {
  using T = TypeParam;
  for (const InstructionSet* set : instruction_sets()) {
    const GradientTile<T>& tile = set->table<T>().gradient_tile;
    for (std::size_t m = 1; m <= tile.mr; ++m) {
      for (std::size_t n = 1; n <= tile.nr; ++n) {
        for (const bool accumulate : {false, true}) {
          const std::size_t k = (m * n) % 7 + 1;
          Block<T> a(k, m, n % 3, 1), b(k, n, m % 4, 2), c(m, n, 3, 3), want(m, n, 3, 3);
          for (std::size_t i = 0; i < m; ++i) {
            for (std::size_t j = 0; j < n; ++j) {
              T sum = accumulate ? want.at(i, j) : T{0};
              for (std::size_t p = 0; p < k; ++p) sum += a.at(p, i) * b.at(p, j);
              want.at(i, j) = sum;
            }
          }
          tile.multiply({.k = k,
                         .a = a.memory.data(),
                         .a_stride = a.step(),
                         .b = b.memory.data(),
                         .b_stride = b.step(),
                         .c = c.memory.data(),
                         .c_stride = c.step(),
                         .n = n,
                         .accumulate = accumulate},
                        m);
          for (std::size_t i = 0; i < c.memory_size(); ++i) {
            ASSERT_EQ(c.memory[i], want.memory[i]) << set->name << " " << m << "x" << n << " " << k;
          }
        }
      }
    }
  }
}

TYPED_TEST(ChainKernels, GatherTile) {
  using T = TypeParam;
  for (const InstructionSet* set : instruction_sets()) {
    const GatherTile<T>& tile = set->table<T>().gather_tile;
    for (std::size_t m = 1; m <= tile.mr; ++m) {
      for (std::size_t n = 1; n <= tile.nr; ++n) {
        const std::vector<std::size_t> listed =
            n % 5 == 0 ? std::vector<std::size_t>{} : std::vector<std::size_t>{0, 2, 3, 8};
        Block<T> b(9, n, m % 4, 2), c(m, n, 3, 3), want(m, n, 3, 3);
        Fenced<T> a(listed.size() * m);
        std::vector<std::ptrdiff_t> offsets;
        for (std::size_t p = 0; p < listed.size(); ++p) {
          offsets.push_back(static_cast<std::ptrdiff_t>(listed[p] * b.stride));
          for (std::size_t i = 0; i < m; ++i) a[p * m + i] = static_cast<T>(p + 2 * i) - 3;
        }
        for (std::size_t i = 0; i < m; ++i) {
          for (std::size_t j = 0; j < n; ++j) {
            T sum = 0;
            for (std::size_t p = 0; p < listed.size(); ++p)
              sum += a[p * m + i] * b.at(listed[p], j);
            want.at(i, j) = sum;
          }
        }
        tile.multiply({.k = listed.size(),
                       .a = a.data(),
                       .offsets = offsets.data(),
                       .b = b.memory.data(),
                       .c = c.memory.data(),
                       .c_stride = c.step(),
                       .n = n},
                      m);
        for (std::size_t i = 0; i < c.memory_size(); ++i) {
          ASSERT_EQ(c.memory[i], want.memory[i]) << set->name << " " << m << "x" << n;
        }
      }
    }
  }
}

TYPED_TEST(ChainKernels, ScaleColumns) {
  using T = TypeParam;
  for (const InstructionSet* set : instruction_sets()) {
    for (std::size_t n = 1; n <= 37; ++n) {
      for (const std::size_t repeat : {1u, 3u, 7u}) {
        for (std::size_t first = 0; first < repeat; ++first) {
          const std::size_t rows = 8;
          Block<T> g(rows, n, n % 3, 1), want(rows, n, n % 3, 1);
          Block<T> d((first + rows - 1) / repeat + 1, n, 2, 2);
          for (std::size_t i = 0; i < rows; ++i) {
            for (std::size_t j = 0; j < n; ++j) want.at(i, j) *= d.at((first + i) / repeat, j);
          }
          set->table<T>().scale_columns(
              {rows, n, g.memory.data(), g.step(), d.memory.data(), d.step(), first, repeat});
          for (std::size_t i = 0; i < g.memory_size(); ++i) {
            ASSERT_EQ(g.memory[i], want.memory[i]) << set->name << " " << n << " " << repeat;
          }
        }
      }
    }
  }
}

TYPED_TEST(ChainKernels, ScaledCopy) {
  using T = TypeParam;
  for (const InstructionSet* set : instruction_sets()) {
    for (std::size_t n = 1; n <= 37; ++n) {
      for (unsigned which = 0; which < 16; ++which) {
        const std::size_t rows = 3;
        Block<T> w(rows, n, n % 3, 1), y(rows, n, 4, 2), want(rows, n, 4, 2);
        Block<T> row(1, rows, 0, 3), after(1, rows, 0, 4), minus(1, n, 0, 5), column(1, n, 0, 6);
        const bool has_minus = which & 2;
        for (std::size_t i = 0; i < rows; ++i) {
          for (std::size_t j = 0; j < n; ++j) {
            T v = w.at(i, j) * (which & 1 ? row.at(0, i) : T{1});
            if (has_minus) v = (v - minus.at(0, j)) * (which & 4 ? after.at(0, i) : T{1});
            want.at(i, j) = v * (which & 8 ? column.at(0, j) : T{1});
          }
        }
        set->table<T>().scaled_copy(
            {rows, n, w.memory.data(), w.step(), which & 1 ? row.memory.data() : nullptr,
             has_minus ? minus.memory.data() : nullptr,
             has_minus && which & 4 ? after.memory.data() : nullptr,
             which & 8 ? column.memory.data() : nullptr, y.memory.data(), y.step()});
        for (std::size_t i = 0; i < y.memory_size(); ++i) {
          ASSERT_EQ(y.memory[i], want.memory[i]) << set->name << " " << n << " " << which;
        }
      }
    }
  }
}

TYPED_TEST(ChainKernels, ColumnSumsAndHeadProducts) {
  using T = TypeParam;
  for (const InstructionSet* set : instruction_sets()) {
    const Table<T>& table = set->table<T>();
    for (std::size_t n = 1; n <= 70; ++n) {
      const std::size_t rows = 5, repeat = 2;
      Block<T> x(rows, n, n % 3, 1), p(3, n, 1, 2);
      Fenced<T> sums(n);
      for (const bool accumulate : {false, true}) {
        for (std::size_t j = 0; j < n; ++j) sums[j] = static_cast<T>(j);
        table.column_sums({rows, n, x.memory.data(), x.step(), sums.data(), accumulate});
        for (std::size_t j = 0; j < n; ++j) {
          T want = accumulate ? static_cast<T>(j) : T{0};
          for (std::size_t i = 0; i < rows; ++i) want += x.at(i, j);
          ASSERT_EQ(sums[j], want) << set->name << " " << n;
        }
        Block<T> by(rows, n, 4, 5);
        table.column_sums({rows, n, x.memory.data(), x.step(), sums.data(), accumulate,
                           by.memory.data(), by.step()});
        for (std::size_t j = 0; j < n; ++j) {
          T want = T{0};
          for (std::size_t i = 0; i < rows; ++i) want += x.at(i, j) * by.at(i, j);
          for (std::size_t i = 0; accumulate && i < rows; ++i) want += x.at(i, j);
          if (accumulate) want += static_cast<T>(j);
          ASSERT_EQ(sums[j], want) << set->name << " " << n;
        }
      }
      for (const HeadProduct product :
           {HeadProduct::softmax, HeadProduct::log_softmax, HeadProduct::log_softmax_transpose}) {
        Block<T> got(rows, n, n % 3, 1);
        table.head_product({product, rows, n, got.memory.data(), got.step(), p.memory.data(),
                            p.step(), 1, repeat});
        for (std::size_t i = 0; i < rows; ++i) {
          const std::size_t at = (1 + i) / repeat;
          const bool transposed = product == HeadProduct::log_softmax_transpose;
          T sum = 0;
          for (std::size_t j = 0; j < n; ++j) sum += (transposed ? T{1} : p.at(at, j)) * x.at(i, j);
          for (std::size_t j = 0; j < n; ++j) {
            T want = transposed ? x.at(i, j) - p.at(at, j) * sum : x.at(i, j) - sum;
            if (product == HeadProduct::softmax) want *= p.at(at, j);
            ASSERT_EQ(got.at(i, j), want) << set->name << " " << n << " row " << i;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace laminet::kernels

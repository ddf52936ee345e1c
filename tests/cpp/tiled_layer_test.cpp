// The loops around the register tile, driven by plain tiles of odd shapes, so that every kind of
// edge occurs at small sizes; and both back ends on the same problem.
#include <algorithm>

#include "laminet/gemm/blas.h"
#include "laminet/gemm/blas_library.h"
#include "laminet/gemm/gemm.h"
#include "laminet/gemm/reference.h"
#include "support.h"

namespace laminet::testing {
namespace {

// The contract of tile.h in its plainest form.
template <std::size_t mr, std::size_t nr>
void plain_multiply(const kernels::TileArgs<double>& args, std::size_t m) {
  ASSERT_LE(m, mr);
  ASSERT_LE(args.n, nr);
  for (std::size_t i = 0; i < m; ++i) {
    const double* a = args.a + static_cast<std::ptrdiff_t>(i) * args.a_stride;
    double* c = args.c + static_cast<std::ptrdiff_t>(i) * args.c_stride;
    for (std::size_t j = 0; j < args.n; ++j) {
      double sum = args.accumulate ? c[j] : 0.0;
      for (std::size_t p = 0; p < args.k; ++p) sum += a[p] * args.panel[p * nr + j];
      if (args.bias) sum += args.bias[j];
      c[j] = args.relu ? std::max(sum, 0.0) : sum;
    }
  }
}

template <std::size_t mr, std::size_t nr, std::size_t panels>
void plain_multiply_row(const kernels::TileArgs<double>& args, std::size_t panel_size) {
  ASSERT_EQ(args.n, panels * nr);
  kernels::TileArgs<double> one = args;
  one.n = nr;
  for (std::size_t q = 0; q < panels; ++q) {
    plain_multiply<mr, nr>(one, 1);
    one.panel += panel_size;
    one.c += nr;
    if (one.bias) one.bias += nr;
  }
}

kernels::Table<double> plain_table() {
  // No list of nonzeros: weights packed without a bias are always multiplied in full.
  static const kernels::Tile<double> tiles[] = {
      {3, 5, plain_multiply<3, 5>, 2, plain_multiply_row<3, 5, 2>, nullptr},
      {8, 2, plain_multiply<8, 2>, 4, plain_multiply_row<8, 2, 4>, nullptr}};
  kernels::Table<double> table = *kernels::kGeneric.f64;
  table.tiles = tiles;
  table.tile_count = 2;
  return table;
}

struct Problem {
  Problem(std::size_t m, std::size_t n, std::size_t k)
      : x(m * k), w(n * k), bias(n), y(m * n, -1.0), expected(m * n), m_(m), n_(n), k_(k) {
    fill_with_integers(x, 1);
    fill_with_integers(w, 2);
    fill_with_integers(bias, 3);
  }
  ConstMatrixView<double> x_view() { return dense_view<const double>(x.data(), m_, k_); }
  ConstMatrixView<double> w_view() { return dense_view<const double>(w.data(), n_, k_); }
  MatrixView<double> y_view() { return dense_view(y.data(), m_, n_); }
  void check() {
    reference_product<double>(x_view(), w_view(), bias.data(), dense_view(expected.data(), m_, n_));
    for (std::size_t i = 0; i < m_ * n_; ++i) {
      ASSERT_EQ(y[i], std::max(expected[i], 0.0)) << "m=" << m_ << " n=" << n_ << " k=" << k_;
    }
  }

  Guarded<double> x, w, bias, y;
  std::vector<double> expected;

 private:
  std::size_t m_, n_, k_;
};

constexpr Activation kRelu{ActivationKind::relu};

TEST(TiledLayer, OddTilesAtEveryEdge) {
  const kernels::Table<double> table = plain_table();
  for (std::size_t m = 1; m <= 17; ++m) {
    for (std::size_t n = 1; n <= 17; ++n) {
      for (const std::size_t k : {1u, 2u, 7u}) {
        Problem problem(m, n, k);
        const PackedWeights<double> packed(problem.w_view(), table);
        tiled_layer<double>(problem.x_view(), packed, problem.bias.data(), kRelu, problem.y_view());
        problem.check();
      }
    }
  }
}

// A depth that the blocking splits into several passes over C, whatever this machine's caches are.
TEST(TiledLayer, SplitDepth) {
  const kernels::Table<double> table = plain_table();
  Problem problem(7, 11, 60'000);
  const PackedWeights<double> packed(problem.w_view(), table);
  tiled_layer<double>(problem.x_view(), packed, problem.bias.data(), kRelu, problem.y_view());
  problem.check();
}

TEST(TiledLayer, ReadsStridedRowsInPlace) {
  const kernels::Table<double> table = plain_table();
  Problem problem(4, 6, 9);
  const PackedWeights<double> packed(problem.w_view(), table);
  // Rows in reverse, and results written in reverse: the same as straight.
  const ConstMatrixView<double> x = problem.x_view();
  const MatrixView<double> y = problem.y_view();
  tiled_layer<double>({x.row(3), 4, 9, -9, 1}, packed, problem.bias.data(), kRelu,
                      {y.row(3), 4, 6, -6, 1});
  problem.check();
}

TEST(BlasLayer, AgreesWithTheReference) {
  if (!blas::library()) GTEST_SKIP() << "no BLAS library: " << blas::load_error();
  for (const std::size_t m : {1u, 2u, 9u}) {
    for (const std::size_t n : {1u, 5u, 64u}) {
      // y starts as NaN: beta = 0 must mean "not read".
      Problem problem(m, n, 33);
      std::fill(problem.y.begin(), problem.y.end(), std::numeric_limits<double>::quiet_NaN());
      blas_layer<double>(problem.x_view(), problem.w_view(), false, problem.bias.data(), kRelu,
                         *kernels::kGeneric.f64, problem.y_view());
      problem.check();
    }
  }
}

TEST(BlasFits, RefusesWhat32BitIntegersCannotSay) {
  const double x = 0.0;
  const std::ptrdiff_t past = std::ptrdiff_t{1} << 31;
  using View = ConstMatrixView<double>;
  EXPECT_TRUE(blas::fits(View{&x, 2, 3, 3, 1}));
  EXPECT_TRUE(blas::fits(View{&x, 2, 3, past - 1, 1}));
  EXPECT_FALSE(blas::fits(View{&x, 2, 3, past, 1}));
  EXPECT_FALSE(blas::fits(View{&x, static_cast<std::size_t>(past), 3, 3, 1}));
  EXPECT_FALSE(blas::fits(View{&x, 2, 3, 2, 1})) << "rows that overlap";
  EXPECT_FALSE(blas::fits(View{&x, 2, 3, -3, 1}));
  EXPECT_FALSE(blas::fits(View{&x, 2, 3, 3, 2}));
}

}  // namespace
}  // namespace laminet::testing

// Levenberg and Marquardt's method: what Python cannot see of it.
#include "laminet/training/least_squares.h"

#include <array>
#include <cmath>
#include <random>
#include <vector>

#include "allocations.h"
#include "laminet/base/thread_count.h"
#include "laminet/kernels/dispatch.h"
#include "laminet/kernels/instruction_sets.h"
#include "laminet/training/cholesky.h"
#include "support.h"

namespace laminet::testing {
namespace {

// 3 -> width -> 2, tanh, and random samples of a function that it cannot be.
struct Problem {
  std::vector<std::vector<double>> all;
  std::vector<DenseView<double>> layers;
  std::size_t rows;

  Problem(std::size_t width, std::size_t m) : rows(m) {
    layers = {dense(width, 3, ActivationKind::tanh), dense(2, width, ActivationKind::identity)};
    random(3 * m);
    random(2 * m);
  }
  const double* random(std::size_t n) {
    std::mt19937 engine(static_cast<unsigned>(all.size()));
    std::normal_distribution<double> normal(0, 1);
    for (double& v : all.emplace_back(n)) v = normal(engine);
    return all.back().data();
  }
  DenseView<double> dense(std::size_t out, std::size_t in, ActivationKind kind) {
    DenseView<double> view;
    view.weight = dense_view(random(out * in), out, in);
    view.bias = random(out);
    view.activation.kind = kind;
    return view;
  }
  LeastSquaresSamples samples() const {
    return {dense_view(all[all.size() - 2].data(), rows, 3),
            dense_view(all.back().data(), rows, 2)};
  }
};

TEST(LeastSquares, AllocatesNothingAfterTheFirstIteration) {
  const std::size_t threads = num_threads();
  set_num_threads(2);
  for (const std::size_t width : {4u, 40u}) {  // by chunks, by tiles
    for (const std::size_t rows : {1100u, 64u}) {
      const Problem problem(width, rows);
      const Mlp<double> net(std::span<const DenseView<double>>(problem.layers));
      LeastSquares method(net, {.tolerance_gradient = 0, .tolerance_change = 0});
      std::array<double, 1> losses;
      EXPECT_TRUE(becomes_quiet([&] { method.run(problem.samples(), losses); })) << width;
    }
  }
  set_num_threads(threads);
}

TEST(Cholesky, SolvesAndRefuses) {
  const std::size_t threads = num_threads();
  set_num_threads(2);
  std::mt19937 engine(0);
  std::normal_distribution<double> normal(0, 1);
  for (const std::size_t n : {1u, 7u, 8u, 9u, 30u, 97u, 260u}) {
    // M M^T / n + 1, of condition 5 or so; and a right side of which the solution is known.
    std::vector<double> m(n * n), a(n * n), x(n), b(n, 0.0);
    for (double& v : m) v = normal(engine);
    for (double& v : x) v = normal(engine);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        double sum = 0;
        for (std::size_t k = 0; k < n; ++k) sum += m[i * n + k] * m[j * n + k];
        a[i * n + j] = sum / static_cast<double>(n) + (i == j ? 1 : 0);
      }
    }
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) b[i] += a[i * n + j] * x[j];
    }
    Cholesky cholesky(n);
    const auto fill = [&] {
      const MatrixView<double> to = cholesky.matrix();
      for (std::size_t i = 0; i < n; ++i) {
        // What is below the diagonal does not count.
        for (std::size_t j = 0; j < n; ++j) to(i, j) = j < i ? std::nan("") : a[i * n + j];
      }
    };
    const auto& table = kernels::active_instruction_set().table<double>();
    fill();
    ASSERT_TRUE(cholesky.factor(table, 2)) << n;
    cholesky.solve(b.data());
    // The error of the solution: some n units times the condition (Higham, theorem 10.4).
    for (std::size_t i = 0; i < n; ++i) {
      EXPECT_NEAR(b[i], x[i], 40 * static_cast<double>(n) * 0x1p-52) << n;
    }
    for (const std::size_t at : {std::size_t{0}, n / 2, n - 1}) {
      for (const double wrong : {-1.0, 0.0, std::nan(""), 1.0 / 0.0}) {
        fill();
        cholesky.matrix()(at, at) = wrong;
        EXPECT_FALSE(cholesky.factor(table, 2)) << n << " " << at << " " << wrong;
      }
    }
  }
  set_num_threads(threads);
}

}  // namespace
}  // namespace laminet::testing

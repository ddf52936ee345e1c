// LayerNorm and RMSNorm and their derivatives in every instruction set, against long double.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "activation_reference.h"
#include "block.h"

namespace laminet::kernels {
namespace {

using testing::Block;
using testing::Fenced;
using testing::instruction_sets;
using Real = long double;

template <class T>
class Norm : public ::testing::Test {};
using AllTypes = ::testing::Types<float, double>;
TYPED_TEST_SUITE(Norm, AllTypes);

template <class T>
constexpr Real kUnit = std::numeric_limits<T>::epsilon() / 2;

// Roundings of a term on its way through a sum of n: those of its partial sum and of their tree.
template <class T>
Real steps(std::size_t n) {
  const Real partial = 64.0L / sizeof(T);
  return std::ceil(static_cast<Real>(n) / partial) + std::log2(partial);
}

// A row normalized, 1 / sqrt(variance + eps), and bounds of the errors of both.
struct Normalized {
  std::vector<Real> x, error;
  Real rstd = 0, rstd_error = 0;
};

// Each deviation d = x - m from the rounded mean m is rounded once; their own mean r, of size
// |m - mean| at most but for roundings, is found with (steps + 2) units of mean |d|, and the
// difference d - r is rounded once more. The variance, mean d^2 - r^2, has (steps + 4) units of
// mean d^2; half of that relative to variance + eps is the error of rstd, and one more rounding.
template <class T>
Normalized reference(const T* x, std::size_t n, bool center, double eps) {
  const Real u = kUnit<T> * 1.01L, count = static_cast<Real>(n), k = steps<T>(n);
  Quad sum = 0;  // long double has few digits left beside a mean of 10^6 deviations
  Real size = 0;
  for (std::size_t j = 0; j < n; ++j) sum += center ? Quad(x[j]) : Quad(0);
  for (std::size_t j = 0; j < n; ++j) size += std::abs(Real{x[j]}) / count;
  const auto from_mean = [&](std::size_t j) { return static_cast<Real>(x[j] - sum / Quad(n)); };
  const Real shift = center ? (k + 2) * u * size : 0;  // of m from the mean
  Real variance = 0, deviation = 0, square = 0;
  for (std::size_t j = 0; j < n; ++j) {
    const Real d = std::abs(from_mean(j));
    variance += d * d / count;
    deviation += (d + shift) / count;
    square += (d + shift) * (d + shift) / count;
  }
  Normalized result;
  result.rstd = 1 / std::sqrt(variance + eps);
  const Real relative = (k + 4) * u * square / (variance + eps) / 2 + 2 * u;
  result.rstd_error = relative * result.rstd;
  for (std::size_t j = 0; j < n; ++j) {
    const Real d = std::abs(from_mean(j));
    const Real rest = center ? u * (d + shift) + (k + 3) * u * deviation + u * d : 0;
    result.x.push_back(from_mean(j) * result.rstd);
    result.error.push_back(rest * result.rstd + d * result.rstd * (relative + u));
  }
  return result;
}

struct Shape {
  std::size_t rows, columns;
  double mean, deviation;
};

std::vector<Shape> shapes() {
  std::vector<Shape> list;
  for (std::size_t n = 1; n <= 40; ++n) list.push_back({n % 5 + 1, n, 0, 1});
  for (const std::size_t n : {64u, 100u, 257u, 1000u}) {
    // A mean of up to 10^6 deviations, and deviations that eps is large beside.
    for (const double mean : {0.0, -3.0, 1e3, 1e6}) list.push_back({7, n, mean, 1});
    list.push_back({5, n, 0.5, 1e-3});
  }
  return list;
}

template <class T>
std::vector<T> values(const Shape& shape, std::size_t count, std::mt19937& random) {
  std::normal_distribution<double> normal(shape.mean, shape.deviation);
  std::vector<T> result(count);
  for (T& v : result) v = static_cast<T>(normal(random));
  return result;
}

TYPED_TEST(Norm, WithinItsErrorBound) {
  using T = TypeParam;
  const double eps = 1e-5;
  for (const InstructionSet* set : instruction_sets()) {
    std::mt19937 random(7);
    Real worst = 0;
    for (const Shape& shape : shapes()) {
      const auto [rows, n, mean, deviation] = shape;
      for (unsigned which = 0; which < 8; ++which) {  // weight, bias, center
        const bool center = which & 4;
        Block<T> x(rows, n, n % 3, 1), y(rows, n, 2, 2), kept(rows, n, 1, 3);
        Fenced<T> weight(n), bias(n), rstd(rows);
        const std::vector<T> filled = values<T>(shape, rows * n, random);
        for (std::size_t i = 0; i < rows * n; ++i) x.at(i / n, i % n) = filled[i];
        for (std::size_t j = 0; j < n; ++j) {
          weight[j] = T(0.5) + static_cast<T>(j % 7) / T(4);
          bias[j] = static_cast<T>(j % 5) - T(2);
        }
        NormArgs<T> args{};
        args.center = center;
        args.rows = rows;
        args.columns = n;
        args.x = x.data();
        args.x_stride = x.step();
        args.y = y.data();
        args.y_stride = y.step();
        args.weight = which & 1 ? weight.data() : nullptr;
        args.bias = which & 2 ? bias.data() : nullptr;
        args.eps = eps;
        args.normalized = kept.data();
        args.normalized_stride = kept.step();
        args.rstd = rstd.data();
        set->table<T>().norm(args);
        const auto check = [&](T got, Real want, Real bound) {
          const Real error = std::abs(got - want) / (bound + std::numeric_limits<T>::denorm_min());
          worst = std::isnan(error) ? HUGE_VALL : std::max(worst, error);
        };
        for (std::size_t i = 0; i < rows; ++i) {
          const Normalized want = reference<T>(&x.at(i, 0), n, center, eps);
          check(rstd[i], want.rstd, want.rstd_error);
          for (std::size_t j = 0; j < n; ++j) {
            const Real w = args.weight ? Real{weight[j]} : 1, b = args.bias ? Real{bias[j]} : 0;
            const Real bound = want.error[j];
            check(kept.at(i, j), want.x[j], bound);
            const Real y_want = want.x[j] * w + b;
            // y is rounded once more, the product too where there is no fused multiply-add.
            const Real rounding = kUnit<T> * 1.01L * (std::abs(want.x[j] * w) + std::abs(y_want));
            check(y.at(i, j), y_want, bound * w + rounding);
          }
        }
      }
    }
    std::printf("norm %s: %.2Lf of its bound\n", set->name, worst);
    EXPECT_LE(worst, 1) << set->name;
  }
}

// What may be left out changes no bit of the rest, nor does a row's place or what it is written to.
TYPED_TEST(Norm, EachRowIsItsOwn) {
  using T = TypeParam;
  for (const InstructionSet* set : instruction_sets()) {
    std::mt19937 random(3);
    for (std::size_t n = 1; n <= 70; n += 3) {
      for (const bool center : {false, true}) {
        const std::size_t rows = 6;
        Block<T> x(rows, n, 2, 1), y(rows, n, 1, 2);
        const std::vector<T> filled = values<T>({rows, n, 1, 2}, rows * n, random);
        for (std::size_t i = 0; i < rows * n; ++i) x.at(i / n, i % n) = filled[i];
        Fenced<T> weight(n, T(1.5)), alone(n), rstd(rows), kept(n);
        NormArgs<T> args{center,        rows,    n,    x.data(), x.step(), y.data(),   y.step(),
                         weight.data(), nullptr, 1e-5, nullptr,  0,        rstd.data()};
        set->table<T>().norm(args);
        args.rows = 1;
        args.y = alone.data();
        args.normalized = kept.data();
        args.rstd = nullptr;
        for (std::size_t i = 0; i < rows; ++i, args.x += x.step()) {
          set->table<T>().norm(args);
          ASSERT_EQ(std::memcmp(alone.data(), &y.at(i, 0), n * sizeof(T)), 0) << set->name << n;
        }
        args = {center,        rows,    n,    x.data(), x.step(), x.data(), x.step(),
                weight.data(), nullptr, 1e-5, nullptr,  0,        nullptr};
        set->table<T>().norm(args);
        for (std::size_t i = 0; i < rows; ++i) {
          ASSERT_EQ(std::memcmp(&x.at(i, 0), &y.at(i, 0), n * sizeof(T)), 0) << set->name << n;
        }
      }
    }
  }
}

TYPED_TEST(Norm, NotFiniteAndConstantRows) {
  using T = TypeParam;
  const T nan = std::numeric_limits<T>::quiet_NaN(), inf = std::numeric_limits<T>::infinity();
  for (const InstructionSet* set : instruction_sets()) {
    for (const std::size_t n : {1u, 2u, 16u, 33u}) {
      for (const T bad : {nan, inf, -inf, T(0.1)}) {
        std::vector<T> x(4 * n, T(0.1)), y(4 * n, T(7)), rstd(4);
        x[n + n / 2] = bad;
        const auto stride = static_cast<std::ptrdiff_t>(n);
        set->table<T>().norm({true, 4, n, x.data(), stride, y.data(), stride, nullptr, nullptr,
                              1e-5, nullptr, 0, rstd.data()});
        for (std::size_t i = 0; i < y.size(); ++i) {
          const bool all_nan = i / n == 1 && !std::isfinite(bad);
          ASSERT_EQ(std::isnan(y[i]), all_nan) << set->name << " " << n << " " << bad;
          const Real size = all_nan ? 0 : std::abs(y[i]);
          ASSERT_LE(size, 320 * kUnit<T>) << set->name << " " << n;
        }
      }
    }
  }
}

// Squares that overflow, beside rows that do not.
TYPED_TEST(Norm, LargeRows) {
  using T = TypeParam;
  const T large = sizeof(T) == sizeof(float) ? T(1e25) : static_cast<T>(1e200);
  for (const InstructionSet* set : instruction_sets()) {
    for (const bool center : {false, true}) {
      for (std::size_t n = 2; n <= 8; ++n) {
        const std::size_t rows = 7;
        Block<T> x(rows, n, 1, 5), y(rows, n, 2, 2);
        for (std::size_t i = 1; i < rows; i += 2) {
          for (std::size_t j = 0; j < n; ++j) {
            x.at(i, j) = large * (T(j % 3) + T(0.7) + (i == 5 ? T(1000) : T(0)));
          }
        }
        Fenced<T> rstd(rows);
        set->table<T>().norm({center, rows, n, x.data(), x.step(), y.data(), y.step(), nullptr,
                              nullptr, 1e-5, nullptr, 0, rstd.data()});
        for (std::size_t i = 0; i < rows; ++i) {
          const Normalized want = reference<T>(&x.at(i, 0), n, center, 1e-5);
          ASSERT_LE(std::abs(rstd[i] - want.rstd), want.rstd_error) << set->name << " " << n;
          for (std::size_t j = 0; j < n; ++j) {
            ASSERT_LE(std::abs(y.at(i, j) - want.x[j]), want.error[j]) << set->name << " " << n;
          }
        }
      }
    }
  }
}

// Of each direction the bound is that of its terms: h has one rounding, each mean (steps + 2)
// units of the mean of its terms' sizes, and four roundings follow.
TYPED_TEST(Norm, DerivativesWithinTheirBounds) {
  using T = TypeParam;
  for (const InstructionSet* set : instruction_sets()) {
    std::mt19937 random(9);
    std::normal_distribution<double> normal(0, 1);
    Real worst = 0;
    for (std::size_t n = 1; n <= 100; n += 1 + n / 30) {
      for (unsigned which = 0; which < 16; ++which) {  // weight, center, pull, in place
        const bool center = which & 2, pull = which & 4, in_place = which & 8;
        const std::size_t rows = 7, repeat = n % 3 + 1, first = n % repeat;
        const std::size_t samples = (first + rows - 1) / repeat + 1;
        Block<T> g(rows, n, n % 3, 1), y(rows, n, 2, 2), kept(samples, n, 1, 3);
        Fenced<T> weight(n), rstd(samples);
        for (std::size_t i = 0; i < rows * n; ++i) {
          g.at(i / n, i % n) = static_cast<T>(normal(random));
        }
        for (std::size_t i = 0; i < samples; ++i) {
          rstd[i] = static_cast<T>(0.1 + std::abs(normal(random)));
          for (std::size_t j = 0; j < n; ++j) kept.at(i, j) = static_cast<T>(normal(random));
        }
        for (std::size_t j = 0; j < n; ++j) weight[j] = static_cast<T>(normal(random));
        const bool weighted = which & 1;
        std::vector<Real> want(rows * n), bound(rows * n);
        const Real u = kUnit<T> * 1.01L, count = static_cast<Real>(n), k = steps<T>(n);
        for (std::size_t i = 0; i < rows; ++i) {
          const std::size_t at = (first + i) / repeat;
          const auto w = [&](std::size_t j) { return weighted ? Real{weight[j]} : Real{1}; };
          const auto h = [&](std::size_t j) { return pull ? g.at(i, j) * w(j) : Real{g.at(i, j)}; };
          Real mean = 0, slope = 0, mean_size = 0, slope_size = 0;
          for (std::size_t j = 0; j < n; ++j) {
            const Real product = h(j) * kept.at(at, j);
            mean += center ? h(j) / count : 0;
            mean_size += center ? std::abs(h(j)) / count : 0;
            slope += product / count;
            slope_size += std::abs(product) / count;
          }
          for (std::size_t j = 0; j < n; ++j) {
            const Real factor = rstd[at] * (pull ? Real{1} : w(j));
            const Real xhat = kept.at(at, j);
            want[i * n + j] = (h(j) - mean - xhat * slope) * factor;
            const Real size = std::abs(h(j)) + mean_size + std::abs(xhat) * slope_size;
            bound[i * n + j] = (k + 8) * u * size * std::abs(factor);
          }
        }
        Block<T>& to = in_place ? g : y;
        const NormProductArgs<T> args{
            center,      rows,        n,           g.data(),
            g.step(),    to.data(),   to.step(),   weighted ? weight.data() : nullptr,
            kept.data(), kept.step(), rstd.data(), first,
            repeat};
        const Table<T>& table = set->table<T>();
        (pull ? table.norm_pull_back : table.norm_push_forward)(args);
        for (std::size_t i = 0; i < rows * n; ++i) {
          const Real error = std::abs(to.at(i / n, i % n) - want[i]) / (bound[i] + 1e-300L);
          worst = std::isnan(error) ? HUGE_VALL : std::max(worst, error);
        }
      }
    }
    std::printf("norm's derivatives %s: %.2Lf of their bound\n", set->name, worst);
    EXPECT_LE(worst, 1) << set->name;
  }
}

TYPED_TEST(Norm, SameBitsWithAvx2AndAvx512) {
#if defined(__x86_64__)
  using T = TypeParam;
  if (!kAvx2.available() || !kAvx512.available()) GTEST_SKIP() << "needs both";
  std::mt19937 random(11);
  for (std::size_t n = 1; n <= 300; n += 1 + n / 16) {
    for (const bool center : {false, true}) {
      const std::size_t rows = 5;
      const auto stride = static_cast<std::ptrdiff_t>(n);
      const std::vector<T> x = values<T>({rows, n, 3, 1}, rows * n, random);
      const std::vector<T> weight = values<T>({1, n, 1, 1}, n, random);
      std::vector<T> results[2];
      for (const int s : {0, 1}) {
        const Table<T>& table = (s ? kAvx512 : kAvx2).table<T>();
        std::vector<T> y(rows * n), kept(rows * n), rstd(rows), back(rows * n), forward(rows * n);
        table.norm({center, rows, n, x.data(), stride, y.data(), stride, weight.data(),
                    weight.data(), 1e-5, kept.data(), stride, rstd.data()});
        NormProductArgs<T> args{
            center,      rows,   n,           x.data(), stride, back.data(), stride, weight.data(),
            kept.data(), stride, rstd.data(), 0,        1};
        table.norm_pull_back(args);
        args.y = forward.data();
        table.norm_push_forward(args);
        for (const auto* part : {&y, &kept, &rstd, &back, &forward}) {
          results[s].insert(results[s].end(), part->begin(), part->end());
        }
      }
      ASSERT_EQ(std::memcmp(results[0].data(), results[1].data(), results[0].size() * sizeof(T)), 0)
          << n;
    }
  }
#else
  GTEST_SKIP() << "an x86 question";
#endif
}

}  // namespace
}  // namespace laminet::kernels

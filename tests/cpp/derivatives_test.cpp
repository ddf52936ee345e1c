// The derivatives of the activations in every instruction set that this CPU runs, over bit
// patterns; the worst error of each is printed.
#include <cmath>
#include <cstdio>
#include <limits>
#include <vector>

#include "bit_patterns.h"
#include "derivative_reference.h"
#include "fenced.h"
#include "support.h"

namespace laminet::kernels {
namespace {

using testing::Fenced;
using testing::instruction_sets;
using AllTypes = ::testing::Types<float, double>;

template <class T>
DerivativeArgs<T> row_args(ActivationKind kind, const T* z, T* y, T* d, std::size_t n) {
  const Activation& defaults = info(kind).defaults;
  const auto stride = static_cast<std::ptrdiff_t>(n);
  return {1, n, z, stride, y, stride, d, stride, nullptr, defaults.alpha, defaults.beta};
}

template <class T>
void run(const Table<T>& table, ActivationKind kind, const T* z, T* y, T* d, std::size_t n) {
  table.derivatives[static_cast<int>(kind)](row_args(kind, z, y, d, n));
}

// The derivatives of these have a zero between -2 and 0, near which terms of the size of 1/2
// cancel; from there the error counts in units of a number of that size.
bool has_zero(ActivationKind kind) {
  return kind == ActivationKind::gelu || kind == ActivationKind::gelu_tanh ||
         kind == ActivationKind::silu || kind == ActivationKind::mish ||
         kind == ActivationKind::gated;
}

// These five are sums of products of several rounded terms each.
double limit(ActivationKind kind) { return has_zero(kind) ? 8 : 4; }

template <class T>
double error(ActivationKind kind, T x, T got, Wide<T> want) {
  if (has_zero(kind) && x > -2.5 && x < 0 && std::abs(want) < Wide<T>(0.25)) {
    return static_cast<double>(
        std::ldexp(std::abs(got - want), std::numeric_limits<T>::digits + 2));
  }
  return ulp_error<T>(got, want);
}

template <class T>
class Derivatives : public ::testing::Test {};
TYPED_TEST_SUITE(Derivatives, AllTypes);

TYPED_TEST(Derivatives, Accuracy) {
  using T = TypeParam;
  const auto sets = instruction_sets();
  struct Worst {
    double error = 0;
    T x = 0;
  };
  std::vector<std::vector<Worst>> worst(kActivationCount, std::vector<Worst>(sets.size()));
  std::vector<Wide<T>> want(4096);
  std::vector<T> got(4096);
  for_patterns<T>(pattern_stride(), [&](const T* x, std::size_t n) {
    for (std::size_t f = 0; f < kActivationCount; ++f) {
      const auto kind = static_cast<ActivationKind>(f);
      for (std::size_t i = 0; i < n; ++i) want[i] = derivative_reference<Wide<T>>(kind, x[i]);
      for (std::size_t s = 0; s < sets.size(); ++s) {
        run<T>(sets[s]->table<T>(), kind, x, nullptr, got.data(), n);
        for (std::size_t i = 0; i < n; ++i) {
          const double e = error<T>(kind, x[i], got[i], want[i]);
          if (e > worst[f][s].error) worst[f][s] = {e, x[i]};
        }
      }
    }
  });
  for (std::size_t f = 0; f < kActivationCount; ++f) {
    std::printf("%-13s %s", std::string(kActivations[f].name).c_str(), type_name<T>);
    for (std::size_t s = 0; s < sets.size(); ++s) {
      const double x = worst[f][s].x;
      std::printf("  %s %.3f ULP at %.9g", sets[s]->name, worst[f][s].error, x);
      EXPECT_LE(worst[f][s].error, limit(static_cast<ActivationKind>(f)))
          << kActivations[f].name << " " << sets[s]->name << " at " << std::hexfloat << x;
    }
    std::printf("\n");
  }
}

// The value that comes with the derivative is that of the function alone, bit for bit.
TYPED_TEST(Derivatives, ValuesHaveTheBitsOfTheFunctionAlone) {
  using T = TypeParam;
  for (const InstructionSet* set : instruction_sets()) {
    const Table<T>& table = set->table<T>();
    std::vector<T> y(4096), d(4096), alone(4096), d_alone(4096);
    for (std::size_t f = 0; f < kActivationCount; ++f) {
      const auto kind = static_cast<ActivationKind>(f);
      std::size_t different = 0;
      for_patterns<T>(20011, [&](const T* x, std::size_t n) {
        run<T>(table, kind, x, y.data(), d.data(), n);
        run<T>(table, kind, x, nullptr, d_alone.data(), n);
        const auto stride = static_cast<std::ptrdiff_t>(n);
        const Activation& defaults = info(kind).defaults;
        table.activations[f](
            {1, n, x, stride, alone.data(), stride, nullptr, defaults.alpha, defaults.beta});
        for (std::size_t i = 0; i < n; ++i) {
          different += !same(y[i], alone[i]) + !same(d[i], d_alone[i]);
        }
      });
      EXPECT_EQ(different, 0u) << kActivations[f].name << " " << set->name;
    }
  }
}

TYPED_TEST(Derivatives, SameBitsWithAvx2AndAvx512) {
#if defined(__x86_64__)
  using T = TypeParam;
  if (!kAvx2.available() || !kAvx512.available()) GTEST_SKIP() << "needs both";
  std::vector<T> a(4096), b(4096);
  for (std::size_t f = 0; f < kActivationCount; ++f) {
    const auto kind = static_cast<ActivationKind>(f);
    std::size_t different = 0;
    for_patterns<T>(1009, [&](const T* x, std::size_t n) {
      run<T>(kAvx2.table<T>(), kind, x, nullptr, a.data(), n);
      run<T>(kAvx512.table<T>(), kind, x, nullptr, b.data(), n);
      for (std::size_t i = 0; i < n; ++i) different += !same(a[i], b[i]);
    });
    EXPECT_EQ(different, 0u) << kActivations[f].name;
  }
#else
  GTEST_SKIP() << "an x86 question";
#endif
}

TYPED_TEST(Derivatives, KinksAndInfinities) {
  using T = TypeParam;
  const T nan = std::numeric_limits<T>::quiet_NaN();
  const T inf = std::numeric_limits<T>::infinity();
  const T leak = static_cast<T>(0.01);
  const T lambda = static_cast<T>(1.0507009873554804934);
  const T lambda_alpha = static_cast<T>(1.7580993408473768);
  const T sixth = static_cast<T>(1.0 / 6.0);
  // What PyTorch's backward functions give.
  const T inputs[] = {-inf, -3, T(-0.0), 0, 3, 6, inf, nan};
  constexpr std::size_t count = std::size(inputs);
  const T any = 12345;  // not looked at here
  const T expected[kActivationCount][count] = {
      {1, 1, 1, 1, 1, 1, 1, 1},                                           // identity
      {0, 0, 0, 0, 1, 1, 1, nan},                                         // relu
      {0, 0, 0, 0, 1, 0, 0, nan},                                         // relu6
      {leak, leak, leak, leak, 1, 1, 1, nan},                             // leaky_relu
      {0, any, 1, 1, 1, 1, 1, nan},                                       // elu
      {0, any, lambda_alpha, lambda_alpha, lambda, lambda, lambda, nan},  // selu
      {nan, any, T(0.5), T(0.5), any, any, nan, nan},                     // gelu
      {nan, any, T(0.5), T(0.5), any, any, nan, nan},                     // gelu_tanh
      {nan, any, T(0.5), T(0.5), any, any, nan, nan},                     // silu
      {nan, any, T(0.6), T(0.6), any, any, nan, nan},                     // mish
      {0, any, 1, 1, any, any, 0, nan},                                   // tanh
      {0, any, T(0.25), T(0.25), any, any, 0, nan},                       // sigmoid
      {0, any, T(0.5), T(0.5), any, any, 1, nan},                         // softplus
      {0, T(0.0625), 1, 1, T(0.0625), any, 0, nan},                       // softsign
      {0, 0, sixth, sixth, 0, 0, 0, nan},                                 // hard_sigmoid
      {0, 0, T(0.5), T(0.5), 1, 1, 1, nan},                               // hard_swish
      {nan, any, 1, 1, any, any, nan, nan},                               // sin
      {nan, any, T(0.5), T(0.5), any, any, nan, nan},                     // gated
  };
  for (const InstructionSet* set : instruction_sets()) {
    for (std::size_t f = 0; f < kActivationCount; ++f) {
      for (std::size_t i = 0; i < count; ++i) {
        if (expected[f][i] == any) continue;
        std::vector<T> z(37, inputs[i]), d(37);
        run<T>(set->table<T>(), static_cast<ActivationKind>(f), z.data(), nullptr, d.data(), 37);
        for (const T got : {d.front(), d.back()}) {
          EXPECT_TRUE(same(got, expected[f][i]))
              << kActivations[f].name << " " << set->name << " " << type_name<T> << " at "
              << inputs[i] << ": " << got << ", not " << expected[f][i];
        }
      }
    }
  }
}

// Every width, stride and bias, in place or not; nothing outside the rows is read or written.
TYPED_TEST(Derivatives, StayInTheirRows) {
  using T = TypeParam;
  constexpr std::size_t rows = 3;
  std::mt19937 random(3);
  std::normal_distribution<double> normal(0, 3);
  for (const InstructionSet* set : instruction_sets()) {
    for (const ActivationInfo& row : kActivations) {
      const ActivationKind kind = row.defaults.kind;
      for (std::size_t n = 1; n <= 37; ++n) {
        for (const bool with_bias : {false, true}) {
          for (const std::size_t stride : {n, n + 5}) {
            const std::size_t size = (rows - 1) * stride + n;
            Fenced<T> z(size), d(size), bias(n);
            std::vector<T> want_y(size), want_d(size);
            for (std::size_t j = 0; j < n; ++j) bias[j] = static_cast<T>(normal(random));
            for (std::size_t i = 0; i < size; ++i) {
              z[i] = want_y[i] = static_cast<T>(normal(random));
              d[i] = want_d[i] = 12345;
              if (i % stride >= n) continue;
              const T x = with_bias ? z[i] + bias[i % stride] : z[i];
              run<T>(set->table<T>(), kind, &x, &want_y[i], &want_d[i], 1);
            }
            auto args = row_args<T>(kind, z.data(), z.data(), d.data(), n);
            args.rows = rows;
            args.z_stride = args.y_stride = args.d_stride = static_cast<std::ptrdiff_t>(stride);
            if (with_bias) args.bias = bias.data();
            set->table<T>().derivatives[static_cast<int>(kind)](args);
            ASSERT_EQ(std::memcmp(z.data(), want_y.data(), size * sizeof(T)), 0)
                << row.name << " " << set->name << " " << n;
            ASSERT_EQ(std::memcmp(d.data(), want_d.data(), size * sizeof(T)), 0)
                << row.name << " " << set->name << " " << n;
          }
        }
      }
    }
  }
}

// D(t) + beta D(-t): 8 units of a number of the size of 1 + |beta| near the zeros of D, else of
// the terms.
TYPED_TEST(Derivatives, GatedTakesAnyParameters) {
  using T = TypeParam;
  using R = Wide<T>;
  for (const InstructionSet* set : instruction_sets()) {
    for (const double alpha : {1.0, -1.0, 0.37, 25.0, -1e-3, 1e30, 0.0}) {
      for (const double beta : {0.0, 1.0, 0.3, -0.7, 12.0}) {
        std::vector<T> x, d;
        for (int i = -700; i <= 700; ++i) x.push_back(static_cast<T>(i) / T(8));
        d.resize(x.size());
        auto args = row_args<T>(ActivationKind::gated, x.data(), nullptr, d.data(), x.size());
        args.alpha = alpha;
        args.beta = beta;
        set->table<T>().derivatives[static_cast<int>(ActivationKind::gated)](args);
        for (std::size_t i = 0; i < x.size(); ++i) {
          const R a = static_cast<T>(alpha), b = static_cast<T>(beta);
          const R want = gated_derivative_reference<R>(x[i], a, b);
          const R open = gated_derivative_reference<R>(x[i], a, 0);
          const R t = std::abs(a * x[i]);
          const R least = t < R(2.5) ? (1 + std::abs(b)) / 4 : R(0);
          const R size = std::max(std::abs(open) + std::abs(want - open), least);
          ASSERT_LE(std::abs(d[i] - want), 8 * size * std::numeric_limits<T>::epsilon() +
                                               4 * std::numeric_limits<T>::denorm_min())
              << set->name << " " << alpha << " " << beta << " at " << x[i];
        }
      }
    }
  }
}

TYPED_TEST(Derivatives, HardSigmoidAndEluTakeAnyParameters) {
  using T = TypeParam;
  const auto at = [](const InstructionSet* set, ActivationKind kind, T x, double alpha,
                     double beta) {
    T d;
    auto args = row_args<T>(kind, &x, nullptr, &d, 1);
    args.alpha = alpha;
    args.beta = beta;
    set->table<T>().derivatives[static_cast<int>(kind)](args);
    return d;
  };
  for (const InstructionSet* set : instruction_sets()) {
    const auto hard = ActivationKind::hard_sigmoid;
    EXPECT_EQ(at(set, hard, T(0.5), 0.25, 0.5), T(0.25)) << set->name;
    EXPECT_EQ(at(set, hard, T(-2), 0.25, 0.5), T(0)) << set->name;
    EXPECT_EQ(at(set, hard, T(2), -0.25, 0.5), T(0)) << set->name;
    EXPECT_EQ(at(set, hard, T(1.99), -0.25, 0.5), T(-0.25)) << set->name;
    EXPECT_EQ(at(set, hard, T(7), 0.0, 0.5), T(0)) << set->name;
    EXPECT_EQ(at(set, hard, T(7), 1e-38, 0.5), static_cast<T>(1e-38)) << set->name;
    for (const double alpha : {0.3, -2.0, 1e30, 0.0}) {
      for (const T x : {T(0), T(-1), T(-80), T(-140)}) {
        const auto want = static_cast<Wide<T>>(static_cast<T>(alpha)) * std::exp(Wide<T>(x));
        EXPECT_LE(ulp_error<T>(at(set, ActivationKind::elu, x, alpha, 0), want), 4)
            << set->name << " " << alpha << " " << x;
      }
    }
  }
}

}  // namespace
}  // namespace laminet::kernels

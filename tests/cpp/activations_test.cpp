// The elementary functions and activations of every instruction set that this CPU runs, over bit
// patterns; the worst error of each is printed.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "activation_reference.h"
#include "bit_patterns.h"
#include "fenced.h"
#include "support.h"

namespace laminet::kernels {
namespace {

using testing::Fenced;
using testing::instruction_sets;
using AllTypes = ::testing::Types<float, double>;

TEST(UlpError, CountsUnitsOfTheExactValue) {
  EXPECT_EQ(ulp_error(1.0f, 1.0), 0);
  EXPECT_EQ(ulp_error(std::nextafter(1.0f, 2.0f), 1.0), 1);
  EXPECT_EQ(ulp_error(0.0f, 0x1p-149), 1);
  EXPECT_EQ(ulp_error(0.0f, 0x3p-151), 0.75);
  EXPECT_EQ(ulp_error(HUGE_VALF, double{std::numeric_limits<float>::max()}), 1);
  EXPECT_EQ(ulp_error(HUGE_VALF, 1e300), 0);
  EXPECT_GT(ulp_error(HUGE_VALF, 1e30), 1e6);
  EXPECT_EQ(ulp_error(std::nanf(""), 1.0), HUGE_VAL);
  EXPECT_EQ(ulp_error(1.0f, std::nan("")), HUGE_VAL);
}

// Beside 4 ULP hard_sigmoid may be off by this times |alpha x| + |beta|: in float those parameters,
// which are doubles, have two parts of 24 bits. That shows only where the sum is zero but for their
// rounding, as at x = -3.
template <class T>
constexpr double kHardSigmoidFloor = sizeof(T) == sizeof(float) ? 0x1p-46 : 0;

template <class T>
struct Function {
  std::string name;
  double limit;
  double floor;  // an absolute error that counts as none
  std::function<Wide<T>(Wide<T>)> reference;
  std::function<void(const Table<T>&, const T* x, T* y, std::size_t n)> run;
};

template <class T>
ElementwiseArgs<T> row_args(ActivationKind kind, const T* x, T* y, std::size_t n) {
  const Activation& defaults = info(kind).defaults;
  const auto stride = static_cast<std::ptrdiff_t>(n);
  return {1, n, x, stride, y, stride, nullptr, defaults.alpha, defaults.beta};
}

template <class T>
void run_activation(const Table<T>& table, ActivationKind kind, const T* x, T* y, std::size_t n) {
  table.activations[static_cast<int>(kind)](row_args(kind, x, y, n));
}

template <class T>
std::vector<Function<T>> all_functions() {
  using R = Wide<T>;
  std::vector<Function<T>> list;
  const char* const names[kElementaryCount] = {"exp", "expm1", "log1p_exp", "tanh", "sigmoid"};
  for (std::size_t i = 0; i < kElementaryCount; ++i) {
    const auto f = static_cast<Elementary>(i);
    list.push_back({std::string("elementary ") + names[i], 2, 0,
                    [f](R x) { return elementary_reference(f, x); },
                    [i](const Table<T>& table, const T* x, T* y, std::size_t n) {
                      table.elementary[i](x, y, n);
                    }});
  }
  for (const ActivationInfo& row : kActivations) {
    const ActivationKind kind = row.defaults.kind;
    const double floor = kind == ActivationKind::hard_sigmoid ? kHardSigmoidFloor<T> : 0;
    list.push_back({std::string(row.name), 4, floor,
                    [kind](R x) { return activation_reference(kind, x); },
                    [kind](const Table<T>& table, const T* x, T* y, std::size_t n) {
                      run_activation(table, kind, x, y, n);
                    }});
  }
  return list;
}

template <class T>
class Activations : public ::testing::Test {};
TYPED_TEST_SUITE(Activations, AllTypes);

TYPED_TEST(Activations, Accuracy) {
  using T = TypeParam;
  const auto sets = instruction_sets();
  const auto functions = all_functions<T>();
  struct Worst {
    double error = 0;
    T x = 0;
  };
  std::vector<std::vector<Worst>> worst(functions.size(), std::vector<Worst>(sets.size()));
  std::vector<Wide<T>> want(4096);
  std::vector<T> got(4096);
  for_patterns<T>(pattern_stride(), [&](const T* x, std::size_t n) {
    for (std::size_t f = 0; f < functions.size(); ++f) {
      for (std::size_t i = 0; i < n; ++i) want[i] = functions[f].reference(x[i]);
      for (std::size_t s = 0; s < sets.size(); ++s) {
        functions[f].run(sets[s]->table<T>(), x, got.data(), n);
        for (std::size_t i = 0; i < n; ++i) {
          const double error = ulp_error<T>(got[i], want[i]);
          if (error <= worst[f][s].error) continue;
          if (std::abs(got[i] - want[i]) <= functions[f].floor) continue;
          worst[f][s] = {error, x[i]};
        }
      }
    }
  });
  for (std::size_t f = 0; f < functions.size(); ++f) {
    std::printf("%-22s %s", functions[f].name.c_str(), type_name<T>);
    for (std::size_t s = 0; s < sets.size(); ++s) {
      const double x = worst[f][s].x;
      std::printf("  %s %.3f ULP at %.9g", sets[s]->name, worst[f][s].error, x);
      EXPECT_LE(worst[f][s].error, functions[f].limit)
          << functions[f].name << " " << sets[s]->name << " at " << std::hexfloat << x;
    }
    std::printf("\n");
  }
}

TYPED_TEST(Activations, SpecialValues) {
  using T = TypeParam;
  const T nan = std::numeric_limits<T>::quiet_NaN();
  const T inf = std::numeric_limits<T>::infinity();
  const T huge = std::numeric_limits<T>::max();
  const T big = static_cast<T>(sizeof(T) == sizeof(float) ? 1e38 : 1e300);
  const T lambda = static_cast<T>(1.0507009873554804934);
  const T selu_low = static_cast<T>(-1.7580993408473768);
  const T leak = static_cast<T>(0.01);
  const T any = 12345;  // not looked at here
  // What NumPy gives for the literal formula in T, except where that overflows on the way.
  const T inputs[] = {-inf, -huge, -big, T(-0.0), T(0), big, huge, inf};
  const std::vector<std::vector<T>> expected = {
      {-inf, -huge, -big, T(-0.0), 0, big, huge, inf},                     // identity
      {0, 0, 0, 0, 0, big, huge, inf},                                     // relu
      {0, 0, 0, 0, 0, 6, 6, 6},                                            // relu6
      {-inf, leak * -huge, leak * -big, T(-0.0), 0, big, huge, inf},       // leaky_relu
      {-1, -1, -1, T(-0.0), 0, big, huge, inf},                            // elu
      {selu_low, selu_low, selu_low, T(-0.0), 0, lambda * big, inf, inf},  // selu
      {nan, T(-0.0), T(-0.0), T(-0.0), 0, big, huge, inf},                 // gelu
      {nan, T(-0.0), T(-0.0), T(-0.0), 0, big, huge, inf},                 // gelu_tanh
      {nan, T(-0.0), T(-0.0), T(-0.0), 0, big, huge, inf},                 // silu
      {nan, T(-0.0), T(-0.0), T(-0.0), 0, big, huge, inf},                 // mish
      {-1, -1, -1, T(-0.0), 0, 1, 1, 1},                                   // tanh
      {0, 0, 0, T(0.5), T(0.5), 1, 1, 1},                                  // sigmoid
      {0, 0, 0, std::log(T(2)), std::log(T(2)), big, huge, inf},           // softplus
      {nan, -1, -1, T(-0.0), 0, 1, 1, nan},                                // softsign
      {0, 0, 0, T(0.5), T(0.5), 1, 1, 1},                                  // hard_sigmoid
      {nan, T(-0.0), T(-0.0), T(-0.0), 0, big, huge, inf},                 // hard_swish
      {nan, any, any, T(-0.0), 0, any, any, nan},                          // sin
      {nan, T(-0.0), T(-0.0), T(-0.0), 0, big, huge, inf},                 // gated
  };
  const std::vector<std::vector<T>> elementary = {
      {0, 0, 0, 1, 1, inf, inf, inf},
      {-1, -1, -1, T(-0.0), 0, inf, inf, inf},
      expected[static_cast<int>(ActivationKind::softplus)],
      expected[static_cast<int>(ActivationKind::tanh)],
      expected[static_cast<int>(ActivationKind::sigmoid)],
  };
  for (const InstructionSet* set : instruction_sets()) {
    const auto functions = all_functions<T>();
    for (std::size_t f = 0; f < functions.size(); ++f) {
      const auto& row = f < kElementaryCount ? elementary[f] : expected[f - kElementaryCount];
      for (std::size_t i = 0; i <= std::size(inputs); ++i) {
        const T x = i < std::size(inputs) ? inputs[i] : nan;
        const T want = i < std::size(inputs) ? row[i] : nan;
        if (want == any) continue;
        std::vector<T> many(37, x);
        functions[f].run(set->table<T>(), many.data(), many.data(), many.size());
        for (const T y : {many.front(), many.back()}) {
          EXPECT_TRUE(same(y, want))
              << functions[f].name << " " << set->name << " " << type_name<T> << " at " << x << ": "
              << y << ", not " << want;
        }
      }
    }
  }
}

TYPED_TEST(Activations, HardSigmoidTakesAnyParameters) {
  using T = TypeParam;
  for (const InstructionSet* set : instruction_sets()) {
    for (const double alpha : {0.2, -0.3, 1e-3, 7.0}) {
      for (const double beta : {0.5, 0.1, -0.7, 3.0}) {
        for (double t = -0.5; t <= 1.5; t += 0.0078125) {
          const T x = static_cast<T>((t - beta) / alpha);
          auto args = row_args<T>(ActivationKind::hard_sigmoid, &x, nullptr, 1);
          T y;
          args.y = &y;
          args.alpha = alpha;
          args.beta = beta;
          set->table<T>().activations[static_cast<int>(ActivationKind::hard_sigmoid)](args);
          const Quad exact = Quad(alpha) * Quad(x) + Quad(beta);
          const auto want = static_cast<Wide<T>>(exact < 0 ? 0 : exact > 1 ? 1 : exact);
          const double size = std::abs(alpha * static_cast<double>(x)) + std::abs(beta);
          if (std::abs(y - want) <= kHardSigmoidFloor<T> * size) continue;
          EXPECT_LE(ulp_error<T>(y, want), 4) << set->name << alpha << " " << beta << " " << x;
        }
      }
    }
  }
}

// x s(t) + beta x s(-t), t = alpha x: of each of the two terms 4 ULP, whatever they add up to.
TYPED_TEST(Activations, GatedTakesAnyParameters) {
  using T = TypeParam;
  using R = Wide<T>;
  for (const InstructionSet* set : instruction_sets()) {
    double worst = 0;
    for (const double alpha : {1.0, -1.0, 0.37, 25.0, -1e-3, 1e-30, 1e30, 0.0}) {
      for (const double beta : {0.0, 1.0, 0.3, -0.7, 12.0, 1e-20}) {
        const R a = static_cast<T>(alpha), b = static_cast<T>(beta);
        std::vector<T> x, y;
        for (int i = -700; i <= 700; ++i) x.push_back(static_cast<T>(i) / T(8));
        for (int i = -140; i <= 120; ++i) x.push_back(static_cast<T>(std::ldexp(-1.37, i)));
        for (int i = -140; i <= 120; ++i) x.push_back(static_cast<T>(std::ldexp(1.37, i)));
        y.resize(x.size());
        auto args = row_args<T>(ActivationKind::gated, x.data(), y.data(), x.size());
        args.alpha = alpha;
        args.beta = beta;
        set->table<T>().activations[static_cast<int>(ActivationKind::gated)](args);
        for (std::size_t i = 0; i < x.size(); ++i) {
          const R open = gated_reference<R>(x[i], a, 0), want = gated_reference<R>(x[i], a, b);
          const R size = std::abs(open) + std::abs(want - open);
          if (want == y[i]) continue;
          // Units of the size of the terms.
          const double error = ulp_error<T>(static_cast<T>(size), size + std::abs(R{y[i]} - want));
          worst = std::isnan(y[i]) ? HUGE_VAL : std::max(worst, error);
          ASSERT_LE(error, 4.5) << set->name << " " << alpha << " " << beta << " at " << x[i];
        }
      }
    }
    std::printf("gated %s %s: %.3f ULP of its terms\n", set->name, type_name<T>, worst);
    EXPECT_LE(worst, 4.5) << set->name;
  }
}

TYPED_TEST(Activations, GatedOfInfinity) {
  using T = TypeParam;
  const T inf = std::numeric_limits<T>::infinity();
  const T nan = std::numeric_limits<T>::quiet_NaN();
  struct Case {
    T x;
    double alpha, beta;
    T y;
  };
  // (beta + (1 - beta) / (1 + exp(-alpha x))) x in NumPy.
  const Case cases[] = {{inf, 1, 0, inf},      {-inf, 1, 0, nan},    {-inf, 1, 0.5, -inf},
                        {-inf, 2, -1, inf},    {inf, -1, 0.25, inf}, {inf, -1, 0, nan},
                        {-inf, -1, 0.5, -inf}, {inf, 0, 0.5, nan},   {nan, 1, 0.5, nan}};
  for (const InstructionSet* set : instruction_sets()) {
    for (const Case& c : cases) {
      auto args = row_args<T>(ActivationKind::gated, &c.x, nullptr, 1);
      T y = 0;
      args.y = &y;
      args.alpha = c.alpha;
      args.beta = c.beta;
      set->table<T>().activations[static_cast<int>(ActivationKind::gated)](args);
      EXPECT_TRUE(same(y, c.y)) << set->name << " " << c.x << " " << c.alpha << " " << c.beta;
    }
  }
}

// The hardest of all arguments: those closest to multiples of pi / 2, and the largest.
TYPED_TEST(Activations, SinOfHardArguments) {
  using T = TypeParam;
  const std::vector<T> hard =
      sizeof(T) == sizeof(float)
          ? std::vector<T>{T(0x1.6a16c2p+8), T(0x1.921fb6p+0),  T(0x1.921fb6p+1),
                           T(0x1.f9cbe2p+7), T(0x1.3a28c6p+17), T(0x1.fffffep+127),
                           T(0x1p17),        T(0x1.000002p17)}
          // 6381956970095103 2^797 is the double closest to a multiple of pi / 2.
          : std::vector<T>{T(std::ldexp(6381956970095103.0, 797)),
                           T(0x1.921fb54442d18p+0),
                           T(0x1.921fb54442d18p+1),
                           T(std::numeric_limits<T>::max()),
                           T(0x1p30),
                           T(0x1.0000000000001p30),
                           T(1e22)};
  for (const InstructionSet* set : instruction_sets()) {
    for (const T x : hard) {
      for (const T sign : {T(1), T(-1)}) {
        T y = 0, d = 0;
        const T z = sign * x;
        run_activation(set->table<T>(), ActivationKind::sin, &z, &y, 1);
        set->table<T>().derivatives[static_cast<int>(ActivationKind::sin)](
            {1, 1, &z, 1, nullptr, 1, &d, 1, nullptr, 0, 0});
        EXPECT_LE(ulp_error<T>(y, std::sin(Wide<T>(z))), 2) << set->name << " sin " << z;
        EXPECT_LE(ulp_error<T>(d, std::cos(Wide<T>(z))), 2) << set->name << " cos " << z;
      }
    }
  }
}

TYPED_TEST(Activations, SameBitsWithAvx2AndAvx512) {
#if defined(__x86_64__)
  using T = TypeParam;
  if (!kAvx2.available() || !kAvx512.available()) GTEST_SKIP() << "needs both";
  std::vector<T> a(4096), b(4096);
  for (const Function<T>& function : all_functions<T>()) {
    std::size_t different = 0;
    for_patterns<T>(211, [&](const T* x, std::size_t n) {
      function.run(kAvx2.table<T>(), x, a.data(), n);
      function.run(kAvx512.table<T>(), x, b.data(), n);
      for (std::size_t i = 0; i < n; ++i) different += !same(a[i], b[i]);
    });
    EXPECT_EQ(different, 0u) << function.name;
  }
#else
  GTEST_SKIP() << "an x86 question";
#endif
}

TYPED_TEST(Activations, ElementaryFunctionsStayInTheirElements) {
  using T = TypeParam;
  for (const InstructionSet* set : instruction_sets()) {
    for (std::size_t f = 0; f < kElementaryCount; ++f) {
      for (std::size_t n = 0; n <= 70; ++n) {
        Fenced<T> x(n), y(n);
        for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<T>(i) / T{16} - T{2};
        set->table<T>().elementary[f](x.data(), y.data(), n);
        for (std::size_t i = 0; i < n; ++i) {
          T alone = 0;
          set->table<T>().elementary[f](&x[i], &alone, 1);
          ASSERT_EQ(y[i], alone) << set->name << " " << f << " " << n << " " << i;
        }
      }
    }
  }
}

TYPED_TEST(Activations, EveryWidthBiasAndStrideStaysInItsRows) {
  using T = TypeParam;
  constexpr std::size_t rows = 3, gap = 5;
  constexpr T canary = 12345;
  std::mt19937 random(3);
  std::normal_distribution<double> normal(0, 3);
  for (const InstructionSet* set : instruction_sets()) {
    for (const ActivationInfo& row : kActivations) {
      const ActivationKind kind = row.defaults.kind;
      const auto function = set->table<T>().activations[static_cast<int>(kind)];
      for (std::size_t n = 1; n <= 70; ++n) {
        for (const bool with_bias : {false, true}) {
          for (const bool in_place : {false, true}) {
            for (const std::size_t stride : {n, n + gap}) {
              const std::size_t size = (rows - 1) * stride + n;
              Fenced<T> z(size), y(size), bias(n);
              for (std::size_t i = 0; i < size; ++i) {
                z[i] = i % stride < n ? static_cast<T>(normal(random)) : canary;
                y[i] = in_place ? z[i] : canary;
              }
              for (std::size_t j = 0; j < n; ++j) bias[j] = static_cast<T>(normal(random));
              std::vector<T> want(size, canary);
              for (std::size_t i = 0; i < size; ++i) {
                if (i % stride >= n) continue;
                const T x = with_bias ? z[i] + bias[i % stride] : z[i];
                run_activation(set->table<T>(), kind, &x, &want[i], 1);
              }
              auto args = row_args<T>(kind, in_place ? y.data() : z.data(), y.data(), n);
              args.rows = rows;
              args.z_stride = args.y_stride = static_cast<std::ptrdiff_t>(stride);
              if (with_bias) args.bias = bias.data();
              function(args);
              ASSERT_EQ(std::memcmp(y.data(), want.data(), size * sizeof(T)), 0)
                  << row.name << " " << set->name << " " << n << " stride " << stride << " bias "
                  << with_bias << " in place " << in_place;
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace laminet::kernels

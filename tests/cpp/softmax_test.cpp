// Softmax and log-softmax of every instruction set, against long double and a derived bound.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "activation_reference.h"
#include "fenced.h"
#include "support.h"

namespace laminet::kernels {
namespace {

using testing::Fenced;
using testing::instruction_sets;
using AllTypes = ::testing::Types<float, double>;

template <class T>
class Softmax : public ::testing::Test {};
TYPED_TEST_SUITE(Softmax, AllTypes);

// With u the unit roundoff and d = x - max: fl(d) is off by u|d|, which e^d takes over as a
// relative error, and exp adds 2 ULP <= 4u; a partial sum of n / P terms adds n/P + log2(P) times u
// (P = 64 bytes of T), the division or logarithm, its rounding and the last subtraction 3u. The
// largest term, e^0, has no error of its own. No more is granted than this sum of first-order
// terms, times 1.01 for the higher ones.
TYPED_TEST(Softmax, WithinItsErrorBound) {
  using T = TypeParam;
  constexpr double u = std::numeric_limits<T>::epsilon() / 2;
  std::mt19937 random(5);
  std::normal_distribution<double> normal(0, 1);
  for (const InstructionSet* set : instruction_sets()) {
    double worst[2] = {0, 0};
    for (const double spread : {0.01, 1.0, 10.0, 60.0, 300.0}) {
      for (const double shift : {0.0, 1e4, -1e4}) {
        for (std::size_t n = 1; n <= 150; n += 1 + n / 40) {
          std::vector<T> x(n);
          for (T& v : x) v = static_cast<T>(normal(random) * spread + shift);
          Fenced<T> soft(n), log_soft(n);
          std::copy(x.begin(), x.end(), soft.data());
          std::copy(x.begin(), x.end(), log_soft.data());
          set->table<T>().softmax(soft.data(), n);
          set->table<T>().log_softmax(log_soft.data(), n);

          const std::size_t first =
              static_cast<std::size_t>(std::max_element(x.begin(), x.end()) - x.begin());
          const long double max = x[first];
          long double others = 0, weighted = 0;
          for (std::size_t i = 0; i < n; ++i) {
            if (i == first) continue;
            others += std::exp(x[i] - max);
            weighted += std::exp(x[i] - max) * (max - x[i]);
          }
          const double mean_d = others > 0 ? static_cast<double>(weighted / others) : 0;
          const double partial = 64.0 / sizeof(T);
          const double sum_error = mean_d + 4 + static_cast<double>(n) / partial + 4;
          for (std::size_t i = 0; i < n; ++i) {
            const long double d = x[i] - max;
            const double e_error = std::abs(static_cast<double>(d)) + 4;
            const long double p = std::exp(d) / (1 + others);
            const long double tiny = std::numeric_limits<T>::denorm_min();
            const double error = static_cast<double>(
                std::abs(soft[i] - p) / (1.01L * (e_error + sum_error + 3) * u * p + 2 * tiny));
            worst[0] = std::max(worst[0], std::isnan(soft[i]) ? HUGE_VAL : error);
            const long double log_p = d - std::log1p(others);
            const double log_error = static_cast<double>(
                std::abs(log_soft[i] - log_p) / (1.01L * (sum_error + 3) * u * -log_p + 2 * tiny));
            worst[1] = std::max(worst[1], std::isnan(log_soft[i]) ? HUGE_VAL : log_error);
          }
        }
      }
    }
    std::printf("softmax %s %s: %.2f of its bound, log_softmax %.2f\n", set->name, type_name<T>,
                worst[0], worst[1]);
    EXPECT_LE(worst[0], 1) << set->name;
    EXPECT_LE(worst[1], 1) << set->name;
  }
}

TYPED_TEST(Softmax, ExtremeLogits) {
  using T = TypeParam;
  const T inf = std::numeric_limits<T>::infinity();
  const T nan = std::numeric_limits<T>::quiet_NaN();
  for (const InstructionSet* set : instruction_sets()) {
    const Table<T>& table = set->table<T>();
    for (const std::size_t n : {1, 2, 3, 16, 17, 33, 64}) {
      for (std::size_t at = 0; at < n; ++at) {
        std::vector<T> soft(n, T(-1e4)), log_soft;
        soft[at] = T(1e4);
        log_soft = soft;
        table.softmax(soft.data(), n);
        table.log_softmax(log_soft.data(), n);
        for (std::size_t i = 0; i < n; ++i) {
          EXPECT_EQ(soft[i], T(i == at));
          EXPECT_EQ(log_soft[i], i == at ? T(0) : T(-2e4));
        }
        for (const T bad : {inf, nan}) {
          std::vector<T> x(n, T(1));
          x[at] = bad;
          std::vector<T> y = x;
          table.softmax(x.data(), n);
          table.log_softmax(y.data(), n);
          for (std::size_t i = 0; i < n; ++i) {
            EXPECT_TRUE(std::isnan(x[i]) && std::isnan(y[i])) << set->name << n << " " << at;
          }
        }
        std::vector<T> x(n, T(1));
        x[at] = -inf;
        std::vector<T> y = x;
        table.softmax(x.data(), n);
        table.log_softmax(y.data(), n);
        for (std::size_t i = 0; i < n; ++i) {
          if (n == 1) {
            EXPECT_TRUE(std::isnan(x[i]) && std::isnan(y[i]));
          } else {
            EXPECT_NEAR(x[i], i == at ? 0 : 1.0 / static_cast<double>(n - 1), 1e-7);
            EXPECT_TRUE(i == at ? y[i] == -inf : std::isfinite(y[i]));
          }
        }
      }
    }
  }
}

TYPED_TEST(Softmax, SameBitsWithAvx2AndAvx512) {
#if defined(__x86_64__)
  using T = TypeParam;
  if (!kAvx2.available() || !kAvx512.available()) GTEST_SKIP() << "needs both";
  std::mt19937 random(11);
  std::normal_distribution<double> normal(0, 3);
  for (std::size_t n = 1; n <= 300; ++n) {
    for (const auto function : {&Table<T>::softmax, &Table<T>::log_softmax}) {
      std::vector<T> a(n);
      for (T& v : a) v = static_cast<T>(normal(random));
      std::vector<T> b = a;
      (kAvx2.table<T>().*function)(a.data(), n);
      (kAvx512.table<T>().*function)(b.data(), n);
      ASSERT_EQ(std::memcmp(a.data(), b.data(), n * sizeof(T)), 0) << n;
    }
  }
#else
  GTEST_SKIP() << "an x86 question";
#endif
}

}  // namespace
}  // namespace laminet::kernels

// Activations with parameters by column: each column has the bits that its parameters give as
// numbers, in every instruction set.
#include <cstring>
#include <random>
#include <vector>

#include "block.h"
#include "laminet/kernels/activation.h"

namespace laminet::kernels {
namespace {

using testing::Block;
using testing::Fenced;
using testing::instruction_sets;

template <class T>
class ByColumnParameters : public ::testing::Test {};
using AllTypes = ::testing::Types<float, double>;
TYPED_TEST_SUITE(ByColumnParameters, AllTypes);

template <class T>
struct Problem {
  Problem(std::size_t m, std::size_t n, unsigned seed)
      : rows(m),
        columns(n),
        z(m, n, n % 3, 1),
        y(m, n, 2, 2),
        d(m, n, 1, 3),
        alphas(n),
        betas(n),
        bias(n) {
    std::mt19937 random(seed);
    std::normal_distribution<double> normal(0, 1);
    for (std::size_t i = 0; i < m * n; ++i) z.at(i / n, i % n) = static_cast<T>(3 * normal(random));
    for (std::size_t j = 0; j < n; ++j) {
      alphas[j] = static_cast<T>(normal(random));
      betas[j] = static_cast<T>(normal(random));
      bias[j] = static_cast<T>(normal(random));
    }
    if (n > 1) alphas[1] = 0;
  }
  std::size_t rows, columns;
  Block<T> z, y, d;
  Fenced<T> alphas, betas, bias;
};

// Bit by bit: alpha by column, beta by column, a bias, in place.
TYPED_TEST(ByColumnParameters, AreThoseOfEachColumn) {
  using T = TypeParam;
  for (const InstructionSet* set : instruction_sets()) {
    const Table<T>& table = set->table<T>();
    for (std::size_t f = 0; f < kActivationCount; ++f) {
      const ActivationInfo& row = kActivations[f];
      for (std::size_t n = 1; n <= 37; ++n) {
        for (unsigned which = 1; which < 16; ++which) {
          const std::size_t rows = n % 11 + 1;  // more and less than go together
          Problem<T> p(rows, n, which);
          const Activation& defaults = row.defaults;
          const T* const alphas = which & 1 ? p.alphas.data() : nullptr;
          const T* const betas = which & 2 ? p.betas.data() : nullptr;
          const T* const bias = which & 4 ? p.bias.data() : nullptr;
          const bool in_place = which & 8;
          Block<T> want_y(rows, n, n % 3, 1), want_d(rows, n, 1, 3);
          for (std::size_t i = 0; i < rows; ++i) {
            for (std::size_t j = 0; j < n; ++j) {
              const double alpha = alphas ? double{p.alphas[j]} : defaults.alpha;
              const double beta = betas ? double{p.betas[j]} : defaults.beta;
              table.derivatives[f]({1, 1, &p.z.at(i, j), 1, &want_y.at(i, j), 1, &want_d.at(i, j),
                                    1, bias ? bias + j : nullptr, alpha, beta});
            }
          }
          Block<T>& y = in_place ? p.z : p.y;
          const auto check = [&](Block<T>& got, Block<T>& want) {
            for (std::size_t i = 0; i < rows; ++i) {
              ASSERT_EQ(std::memcmp(&got.at(i, 0), &want.at(i, 0), n * sizeof(T)), 0)
                  << row.name << " " << set->name << " " << n << " case " << which;
            }
          };
          const T* const z = p.z.data();
          table.derivatives[f]({rows, n, z, p.z.step(), nullptr, 0, p.d.data(), p.d.step(), bias,
                                defaults.alpha, defaults.beta, alphas, betas});
          check(p.d, want_d);
          std::vector<T> kept(p.z.data(), p.z.data() + p.z.memory_size());
          table.activations[f]({rows, n, z, p.z.step(), y.data(), y.step(), bias, defaults.alpha,
                                defaults.beta, alphas, betas});
          check(y, want_y);
          std::copy(kept.begin(), kept.end(), p.z.data());
          table.derivatives[f]({rows, n, z, p.z.step(), y.data(), y.step(), p.d.data(), p.d.step(),
                                bias, defaults.alpha, defaults.beta, alphas, betas});
          check(y, want_y);
          check(p.d, want_d);
        }
      }
    }
  }
}

TYPED_TEST(ByColumnParameters, SameBitsWithAvx2AndAvx512) {
#if defined(__x86_64__)
  using T = TypeParam;
  if (!kAvx2.available() || !kAvx512.available()) GTEST_SKIP() << "needs both";
  for (std::size_t f = 0; f < kActivationCount; ++f) {
    if (!kActivations[f].has_alpha) continue;
    const std::size_t rows = 19, n = 53;
    Problem<T> p(rows, n, 5);
    Block<T> y2(rows, n, 2, 2), d2(rows, n, 1, 3);
    DerivativeArgs<T> args{rows,          n,          p.z.data(), p.z.step(),
                           p.y.data(),    p.y.step(), p.d.data(), p.d.step(),
                           p.bias.data(), 0,          0,          p.alphas.data(),
                           p.betas.data()};
    kAvx2.table<T>().derivatives[f](args);
    args.y = y2.data();
    args.d = d2.data();
    kAvx512.table<T>().derivatives[f](args);
    for (std::size_t i = 0; i < rows; ++i) {
      ASSERT_EQ(std::memcmp(&p.y.at(i, 0), &y2.at(i, 0), n * sizeof(T)), 0) << kActivations[f].name;
      ASSERT_EQ(std::memcmp(&p.d.at(i, 0), &d2.at(i, 0), n * sizeof(T)), 0) << kActivations[f].name;
    }
  }
#else
  GTEST_SKIP() << "an x86 question";
#endif
}

}  // namespace
}  // namespace laminet::kernels

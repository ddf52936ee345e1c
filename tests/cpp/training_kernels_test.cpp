// Losses and the steps of optimisers, in every instruction set: against plain loops in long double,
// with every operand between pages that must not be touched; and the same bits in the wide ones.
#include <cmath>
#include <cstring>
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
class TrainingKernels : public ::testing::Test {};
using AllTypes = ::testing::Types<float, double>;
TYPED_TEST_SUITE(TrainingKernels, AllTypes);

constexpr LossKind kKinds[] = {LossKind::squared_error,
                               LossKind::absolute_error,
                               LossKind::huber,
                               LossKind::quantile,
                               LossKind::poisson,
                               LossKind::cross_entropy,
                               LossKind::binary_cross_entropy};
static_assert(std::size(kKinds) == kLossCount);

template <class T>
bool same_bits(const T& a, const T& b) {
  return std::memcmp(&a, &b, sizeof(T)) == 0;
}

struct Term {
  long double loss, slope;
};

Term term_of(LossKind kind, long double o, long double t, long double parameter, long double q) {
  const long double d = t - o;
  switch (kind) {
    case LossKind::squared_error:
      return {d * d, -2 * d};
    case LossKind::absolute_error:
      return {std::abs(d), d == 0 ? 0.0L : d > 0 ? -1.0L : 1.0L};
    case LossKind::huber:
      if (std::abs(d) <= parameter) return {d * d / 2, -d};
      return {parameter * (std::abs(d) - parameter / 2), d > 0 ? -parameter : parameter};
    case LossKind::quantile:
      return {std::max(q * d, (q - 1) * d), d == 0 ? 0.0L : d > 0 ? -q : 1 - q};
    case LossKind::poisson:
      return {std::exp(o) - t * o, std::exp(o) - t};
    default:
      return {std::max(o, 0.0L) - t * o + std::log1p(std::exp(-std::abs(o))),
              1 / (1 + std::exp(-o)) - t};
  }
}

// A row, and in `size` the sum of |terms| that rounding is relative to.
template <class T>
struct Case {
  LossKind kind;
  std::size_t n;
  std::vector<T> o, t, levels;
  T parameter, weight;

  Case(LossKind which, std::size_t columns, unsigned seed)
      : kind(which), n(columns), o(columns), t(columns), levels(columns) {
    std::mt19937 random(seed);
    std::normal_distribution<double> normal(0, 3);
    std::uniform_real_distribution<double> uniform(0, 1);
    for (std::size_t j = 0; j < n; ++j) {
      o[j] = static_cast<T>(normal(random));
      t[j] = static_cast<T>(kind == LossKind::poisson || kind >= LossKind::cross_entropy
                                ? uniform(random)
                                : normal(random));
      levels[j] = static_cast<T>(uniform(random));
    }
    if (n > 2) t[2] = kind >= LossKind::cross_entropy ? T{0} : o[2];  // at the kinks
    parameter = static_cast<T>(1.5);
    weight = static_cast<T>(0.75);
  }

  long double loss(std::vector<long double>& slopes, long double& size) const {
    slopes.resize(n);
    long double sum = 0;
    size = 0;
    if (kind == LossKind::cross_entropy) {
      long double most = o[0], exps = 0, targets = 0;
      for (const T x : o) most = std::max<long double>(most, x);
      for (const T x : o) exps += std::exp(x - most);
      for (const T x : t) targets += x;
      for (std::size_t j = 0; j < n; ++j) {
        const long double one = t[j] * (std::log(exps) + most - o[j]);
        sum += one;
        size += std::abs(t[j]) * (std::log(exps) + std::abs(most - o[j]));
        slopes[j] = std::exp(o[j] - most) / exps * targets - t[j];
      }
      return sum;
    }
    for (std::size_t j = 0; j < n; ++j) {
      const Term term = term_of(kind, o[j], t[j], parameter, levels[j]);
      sum += term.loss;
      size += std::abs(term.loss) + std::abs(t[j] * o[j]) + std::exp(std::min<T>(o[j], 0));
      slopes[j] = term.slope;
    }
    return sum;
  }
};

TYPED_TEST(TrainingKernels, Losses) {
  using T = TypeParam;
  const long double eps = std::numeric_limits<T>::epsilon();
  for (const LossKind kind : kKinds) {
    for (std::size_t n = 1; n <= 37; ++n) {
      const std::size_t rows = 3;
      std::vector<std::vector<T>> bits;
      for (const InstructionSet* set : instruction_sets()) {
        Block<T> o(rows, n, n % 3, 1), t(rows, n, n % 2, 2), g(rows, n, 4, 3), levels(1, n, 0, 4);
        Fenced<double> losses(rows);
        Fenced<T> weights(rows);
        std::vector<Case<T>> cases;
        for (std::size_t i = 0; i < rows; ++i) {
          cases.emplace_back(kind, n, static_cast<unsigned>(100 * n + i));
          cases.back().levels = cases.front().levels;
          weights[i] = cases[i].weight;
          for (std::size_t j = 0; j < n; ++j) {
            o.at(i, j) = cases[i].o[j];
            t.at(i, j) = cases[i].t[j];
            levels.at(0, j) = cases[0].levels[j];
          }
        }
        LossArgs<T> args{};
        args.rows = rows;
        args.columns = n;
        args.outputs = o.data();
        args.outputs_stride = o.step();
        args.targets = t.data();
        args.targets_stride = t.step();
        args.weights = weights.data();
        args.scale = T{2};
        args.g = n % 2 ? g.data() : o.data();  // in place, too
        args.g_stride = n % 2 ? g.step() : o.step();
        args.losses = losses.data();
        args.parameter = cases[0].parameter;
        args.levels = levels.data();
        set->template table<T>().losses[static_cast<std::size_t>(kind)](args);
        std::vector<T> found;
        for (std::size_t i = 0; i < rows; ++i) {
          std::vector<long double> slopes;
          long double size = 0;
          const long double loss = cases[i].loss(slopes, size);
          // Elementary functions of 2 units each, a sum of n terms, a product.
          const long double bound = (static_cast<long double>(n) + 8) * eps * (size + 1);
          EXPECT_NEAR(losses[i], 0.75L * loss, bound) << set->name << " " << int(kind) << " " << n;
          found.push_back(static_cast<T>(losses[i]));
          for (std::size_t j = 0; j < n; ++j) {
            const T got = n % 2 ? g.at(i, j) : o.at(i, j);
            const long double most = kind == LossKind::cross_entropy ? n + 8 : 8;
            EXPECT_NEAR(got, 1.5L * slopes[j], most * eps * (1 + std::abs(slopes[j])))
                << set->name << " " << int(kind) << " " << n << " " << j;
            found.push_back(got);
          }
        }
        if (std::string_view(set->name) != "generic") bits.push_back(found);
        // Without gradients the same losses.
        args.g = nullptr;
        for (std::size_t i = 0; i < rows && n % 2; ++i) {
          const double with = losses[i];
          set->template table<T>().losses[static_cast<std::size_t>(kind)](args);
          EXPECT_EQ(losses[i], with);
        }
      }
      for (const std::vector<T>& one : bits) {
        for (std::size_t i = 0; i < one.size(); ++i) {
          EXPECT_TRUE(same_bits(one[i], bits[0][i])) << int(kind) << " " << n;
        }
      }
    }
  }
}

// Of logits that are as far apart as numbers can be, and where one class has all probability.
TYPED_TEST(TrainingKernels, LossesOfLargeLogits) {
  using T = TypeParam;
  const T most = std::numeric_limits<T>::max();
  struct Row {
    T o[3], t[3];
    double loss;
    T g[3];
  };
  const T inf = std::numeric_limits<T>::infinity();
  const Row rows[] = {
      {{most, -most, 0}, {1, 0, 0}, 0, {0, 0, 0}},
      {{40, 0, 0}, {1, 0, 0}, 2 * std::exp(-40.0), {0, 0, 0}},
      {{-most, -most, -most}, {0, 1, 0}, std::log(3.0), {T(1) / 3, T(-2) / 3, T(1) / 3}},
      {{most, 0, 0}, {0, 1, 0}, static_cast<double>(most), {1, -1, 0}},
      {{inf, 0, 0}, {1, 0, 0}, NAN, {T(NAN), T(NAN), T(NAN)}},
  };
  for (const InstructionSet* set : instruction_sets()) {
    for (const Row& row : rows) {
      T g[3];
      double loss = 0;
      LossArgs<T> args{};
      args.rows = 1;
      args.columns = 3;
      args.outputs = row.o;
      args.targets = row.t;
      args.scale = 1;
      args.g = g;
      args.losses = &loss;
      set->template table<T>().losses[static_cast<std::size_t>(LossKind::cross_entropy)](args);
      if (std::isnan(row.loss)) {
        EXPECT_TRUE(std::isnan(loss));
      } else {
        EXPECT_NEAR(loss, row.loss, 4e-7 * row.loss) << set->name;
      }
      for (int j = 0; j < 3; ++j) {
        if (std::isnan(row.g[j])) {
          EXPECT_TRUE(std::isnan(g[j]));
        } else {
          EXPECT_NEAR(g[j], row.g[j], 4e-7) << set->name;
        }
      }
    }
    // log(1 + exp(-o)) of a large o is exp(-o), not 0; of the largest it is 0.
    const T o[] = {30, -most, most, -30};
    const T t[] = {1, 0, 1, 0};
    for (int j = 0; j < 4; ++j) {
      T g = 7;
      double loss = 0;
      LossArgs<T> args{};
      args.rows = args.columns = 1;
      args.outputs = o + j;
      args.targets = t + j;
      args.scale = 1;
      args.g = &g;
      args.losses = &loss;
      const auto kind = static_cast<std::size_t>(LossKind::binary_cross_entropy);
      set->template table<T>().losses[kind](args);
      const double want = std::abs(o[j]) == most ? 0 : std::exp(-30.0);
      EXPECT_NEAR(loss, want, 1e-6 * want) << set->name;
      EXPECT_NEAR(g, 0, 1e-7);
    }
  }
}

struct Settings {
  bool nesterov, first, momentum, decay;
};

TYPED_TEST(TrainingKernels, Optimizers) {
  using T = TypeParam;
  const long double eps = std::numeric_limits<T>::epsilon();
  for (std::size_t n = 0; n <= 37; ++n) {
    for (unsigned which = 0; which < 16; ++which) {
      const Settings own{bool(which & 1), bool(which & 2), bool(which & 4), bool(which & 8)};
      std::vector<std::vector<T>> bits;
      for (const InstructionSet* set : instruction_sets()) {
        const kernels::Table<T>& table = set->template table<T>();
        std::mt19937 random(static_cast<unsigned>(n));
        std::normal_distribution<double> normal(0, 1);
        Fenced<T> p(n), g(n), mean(n), square(n), average(n);
        for (std::size_t j = 0; j < n; ++j) {
          p[j] = static_cast<T>(normal(random));
          g[j] = static_cast<T>(normal(random));
          mean[j] = static_cast<T>(normal(random));
          square[j] = static_cast<T>(std::abs(normal(random)));
          average[j] = static_cast<T>(normal(random));
        }
        if (n > 3) g[3] = mean[3] = square[3] = 0;  // as of padding
        const std::vector<T> p0(p.begin(), p.end()), m0(mean.begin(), mean.end()),
            s0(square.begin(), square.end()), a0(average.begin(), average.end());
        const T l2 = own.decay ? T(0.25) : T(0), keep = own.decay ? T(0.875) : T(1);
        const UpdateArgs<T> update{n, p.data(), g.data(), T(0.5), l2, keep};
        const auto near = [&](T got, long double want, long double size) {
          EXPECT_NEAR(got, want, 8 * eps * size) << set->name << " " << n << " " << which;
        };
        table.sgd({update, own.momentum ? mean.data() : nullptr, T(0.75), T(0.5), own.nesterov,
                   own.first, T(0.125)});
        std::vector<T> found(p.begin(), p.end());
        for (std::size_t j = 0; j < n; ++j) {
          const long double gradient = 0.5L * g[j] + static_cast<long double>(l2) * p0[j];
          long double step = gradient;
          if (own.momentum) {
            step = (own.first ? 0.0L : 0.75L * m0[j]) + 0.5L * gradient;
            near(mean[j], step, std::abs(gradient) + std::abs(m0[j]) + 1);
            if (own.nesterov) step = gradient + 0.75L * step;
          }
          near(p[j], static_cast<long double>(keep) * p0[j] - 0.125L * step, 4 + std::abs(p0[j]));
        }
        std::copy(p0.begin(), p0.end(), p.begin());
        std::copy(m0.begin(), m0.end(), mean.begin());
        table.adam({update, mean.data(), square.data(), T(0.25), T(0.75), T(0.25), T(0.125), T(2),
                    T(0.5)});
        table.average({n, p.data(), average.data(), T(0.25)});
        for (std::size_t j = 0; j < n; ++j) {
          const long double gradient = 0.5L * g[j] + static_cast<long double>(l2) * p0[j];
          const long double m = m0[j] + 0.25L * (gradient - m0[j]);
          const long double v = 0.75L * s0[j] + 0.25L * gradient * gradient;
          near(mean[j], m, 1 + std::abs(m0[j]) + std::abs(gradient));
          near(square[j], v, v);
          const long double want =
              static_cast<long double>(keep) * p0[j] - 0.125L * m / (2 * std::sqrt(v) + 0.5L);
          near(p[j], want, 4 + std::abs(p0[j]));
          near(average[j], a0[j] + 0.25L * (p[j] - a0[j]), std::abs(a0[j]) + std::abs(p[j]));
        }
        for (Fenced<T>* all : {&p, &mean, &square, &average}) {
          found.insert(found.end(), all->begin(), all->end());
        }
        long double squares = 0;
        for (const T x : g) squares += static_cast<long double>(x) * x;
        found.push_back(table.sum_of_squares(g.data(), n));
        near(found.back(), squares, static_cast<long double>(n) * squares + 1);
        if (std::string_view(set->name) != "generic") bits.push_back(found);
      }
      for (const std::vector<T>& one : bits) {
        for (std::size_t i = 0; i < one.size(); ++i) {
          EXPECT_TRUE(same_bits(one[i], bits[0][i])) << n << " " << which << " " << i;
        }
      }
    }
  }
}

}  // namespace
}  // namespace laminet::kernels

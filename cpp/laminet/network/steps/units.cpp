// The derivatives of activations with respect to their parameters.
#include "laminet/network/steps/units.h"

#include <algorithm>
#include <stdexcept>

#include "laminet/base/types.h"

namespace laminet::steps {
namespace {

// Columns at a time: what is between lies on the stack.
constexpr std::size_t kPart = 128;

// Some units of one sample.
template <class T>
struct UnitRow {
  const kernels::Table<T>& table;
  Activation activation;
  const T* alphas;  // of these units, or null
  const T* betas;
  const T* bias;
  const T* z;  // without the bias
  std::size_t count;

  T alpha(std::size_t j) const { return alphas ? alphas[j] : static_cast<T>(activation.alpha); }
  T beta(std::size_t j) const { return betas ? betas[j] : static_cast<T>(activation.beta); }

  // y = s(z + bias), s being another function, or this one with another alpha and a beta of 0.
  void apply(ActivationKind kind, double number, const T* by_unit, T* y) const {
    table.activations[static_cast<std::size_t>(kind)]({.rows = 1,
                                                       .columns = count,
                                                       .z = z,
                                                       .z_stride = 0,
                                                       .y = y,
                                                       .y_stride = 0,
                                                       .bias = bias,
                                                       .alpha = number,
                                                       .beta = 0.0,
                                                       .alphas = by_unit});
  }
};

// 0 where x is above 0, else x, which may be NaN.
template <class T>
T negative(T x) {
  return x > 0 ? T{0} : x;
}

// s = alpha f(z) for z < 0, and z beyond.
template <class T>
void of_slope_below(const UnitRow<T>& row, T* by_alpha) {
  row.apply(row.activation.kind, 1.0, nullptr, by_alpha);
  for (std::size_t j = 0; j < row.count; ++j) by_alpha[j] = negative(by_alpha[j]);
}

// s = clip(alpha z + beta, 0, 1): z and 1 where it is not clipped, as the slopes have it.
template <class T>
void of_hard_sigmoid(const UnitRow<T>& row, T* by_alpha, T* by_beta) {
  row.apply(ActivationKind::identity, 0.0, nullptr, by_alpha);
  row.table.derivatives[static_cast<std::size_t>(row.activation.kind)](
      {.rows = 1,
       .columns = row.count,
       .z = row.z,
       .z_stride = 0,
       .y = nullptr,
       .y_stride = 0,
       .d = by_beta,
       .d_stride = 0,
       .bias = row.bias,
       .alpha = row.activation.alpha,
       .beta = row.activation.beta,
       .alphas = row.alphas,
       .betas = row.betas});
  for (std::size_t j = 0; j < row.count; ++j) {
    const T slope = by_beta[j];
    if (slope != slope) continue;  // NOLINT(misc-redundant-expression): NaN, both
    const bool between = T{0} < row.beta(j) && row.beta(j) < T{1};
    const bool inside = row.alpha(j) == 0 ? between : slope != 0;
    if (!inside) by_alpha[j] = 0;
    by_beta[j] = inside ? T{1} : T{0};
  }
}

// s = z sigmoid(t) + beta z sigmoid(-t), t = alpha z, with sigmoid' = sigmoid(t) sigmoid(-t):
//   ds/dbeta = z sigmoid(-t),  ds/dalpha = (1 - beta) z sigmoid(t) z sigmoid(-t)
// Each factor is a gated of its own, which does not cancel.
template <class T>
void of_gated(const UnitRow<T>& row, T* by_alpha, T* by_beta) {
  T open[kPart];
  T turned[kPart];
  for (std::size_t j = 0; j < row.count; ++j) turned[j] = -row.alpha(j);
  row.apply(row.activation.kind, row.activation.alpha, row.alphas, open);
  row.apply(row.activation.kind, 0.0, turned, by_beta);
  for (std::size_t j = 0; j < row.count; ++j) {
    const T both = open[j] * by_beta[j];
    by_alpha[j] = both * (1 - row.beta(j));
  }
}

template <class T>
void partials(const UnitRow<T>& row, T* by_alpha, T* by_beta) {
  switch (row.activation.kind) {
    case ActivationKind::leaky_relu:
    case ActivationKind::elu:
      return of_slope_below(row, by_alpha);
    case ActivationKind::hard_sigmoid:
      return of_hard_sigmoid(row, by_alpha, by_beta);
    case ActivationKind::gated:
      return of_gated(row, by_alpha, by_beta);
    default:
      throw std::logic_error("a function without parameters");
  }
}

}  // namespace

template <class T>
void keep_unit_gradients(const StepCall<T>& call, const Activation& activation,
                         const UnitParameters& units, const T* bias, ConstMatrixView<T> g,
                         const Frame<T>& kept) {
  const MatrixView<T> z = kept_of(call, kept, g.columns, kFirstOfUnits);
  const auto [of_alphas, of_betas] = unit_gradients_of(call, kept, 0, g.columns);
  const T* const alphas = call.operands.of(units.alphas);
  const T* const betas = call.operands.of(units.betas);
  T by_alpha[kPart];
  T by_beta[kPart];
  for (std::size_t i = 0; i < g.rows; ++i) {
    for (std::size_t j = 0; j < g.columns; j += kPart) {
      const std::size_t count = std::min(kPart, g.columns - j);
      const auto from = [j](const T* row) { return row ? row + j : nullptr; };
      partials<T>(
          {call.table(), activation, from(alphas), from(betas), from(bias), z.row(i) + j, count},
          by_alpha, by_beta);
      const auto keep = [&](const MatrixView<T>& to, const T* by) {
        for (std::size_t k = 0; to.data && k < count; ++k) {
          to.row(i)[j + k] = g.row(i)[j + k] * by[k];
        }
      };
      keep(of_alphas, by_alpha);
      keep(of_betas, by_beta);
    }
  }
}

template <class T>
UnitGradients<T> unit_gradients_of(const StepCall<T>& call, const Frame<T>& kept, std::size_t first,
                                   std::size_t columns) {
  const UnitParameters& units = *units_of(call.step().operation);
  const auto matrix = [&](std::size_t i) {
    return kept_of(call, kept, call.step().output.count, kFirstOfUnits + i)
        .column_block(first, columns);
  };
  UnitGradients<T> result;
  if (units.alphas.rows > 0) result.alphas = matrix(0);
  if (units.betas.rows > 0) result.betas = matrix(units.alphas.rows);
  return result;
}

#define LAMINET_INSTANTIATE(T)                                                                    \
  template void keep_unit_gradients(const StepCall<T>&, const Activation&, const UnitParameters&, \
                                    const T*, ConstMatrixView<T>, const Frame<T>&);               \
  template UnitGradients<T> unit_gradients_of(const StepCall<T>&, const Frame<T>&, std::size_t,   \
                                              std::size_t);
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet::steps

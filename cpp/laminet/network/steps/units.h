// Activations whose parameters may be of each unit.
#pragma once

#include <cstddef>

#include "laminet/base/matrix.h"
#include "laminet/gemm/gemm.h"
#include "laminet/kernels/table.h"
#include "laminet/network/steps/steps.h"

namespace laminet::steps {

// Whether s' is 1 everywhere.
constexpr bool constant_slopes(const Activation& activation) {
  return activation.kind == ActivationKind::identity;
}

// The first of the matrices that a step keeps, the slopes of its activation; no data where these
// are constant.
template <class T>
ConstMatrixView<T> slopes_of(const Activation& activation, const StepCall<T>& call,
                             const Frame<T>& kept) {
  if (constant_slopes(activation)) return {};
  return kept_of(call, kept, call.step().output.count);
}

// y = s(z) of the units from `first` on; y may be z.
template <class T>
void apply(const StepCall<T>& call, const Activation& activation, const UnitParameters& units,
           ConstMatrixView<T> z, MatrixView<T> y, std::size_t first = 0) {
  const T* const alphas = call.operands.of(units.alphas);
  const T* const betas = call.operands.of(units.betas);
  apply_activation<T>(z, nullptr, activation, call.table(), y, alphas ? alphas + first : nullptr,
                      betas ? betas + first : nullptr);
}

// d = s'(z + bias) and, where y has data, y = s(z + bias), of the units from `first` on; either may
// be z. The bias is that of all units.
template <class T>
void apply_with_slopes(const StepCall<T>& call, const Activation& activation,
                       const UnitParameters& units, const T* bias, ConstMatrixView<T> z,
                       MatrixView<T> y, MatrixView<T> d, std::size_t first = 0) {
  const auto from = [&](const T* row) { return row ? row + first : nullptr; };
  call.table().derivatives[static_cast<std::size_t>(activation.kind)](
      {.rows = z.rows,
       .columns = z.columns,
       .z = z.data,
       .z_stride = z.row_stride,
       .y = y.data,
       .y_stride = y.row_stride,
       .d = d.data,
       .d_stride = d.row_stride,
       .bias = from(bias),
       .alpha = activation.alpha,
       .beta = activation.beta,
       .alphas = from(call.operands.of(units.alphas)),
       .betas = from(call.operands.of(units.betas))});
}

// What such an activation keeps besides its slopes, from this matrix on: what it is applied to, but
// for the bias; of which a pass with Slopes::keep makes the gradients of the alphas of each sample,
// and in another matrix, where there are both, those of the betas.
inline constexpr std::size_t kFirstOfUnits = 1;

// How many matrices that is.
constexpr std::size_t unit_matrices(const UnitParameters& units) {
  return units.alphas.rows + units.betas.rows;  // one row each
}

// `g` are the gradients of the activation's result.
template <class T>
void keep_unit_gradients(const StepCall<T>& call, const Activation& activation,
                         const UnitParameters& units, const T* bias, ConstMatrixView<T> g,
                         const Frame<T>& kept);

// What it has kept of the columns from `first` on; no data where there are no such parameters.
template <class T>
struct UnitGradients {
  MatrixView<T> alphas;
  MatrixView<T> betas;
};
template <class T>
UnitGradients<T> unit_gradients_of(const StepCall<T>& call, const Frame<T>& kept, std::size_t first,
                                   std::size_t columns);

}  // namespace laminet::steps

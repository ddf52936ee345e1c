// Activations whose parameters may be of each unit.
#pragma once

#include "laminet/base/matrix.h"
#include "laminet/kernels/table.h"
#include "laminet/network/steps/steps.h"

namespace laminet::steps {

// y = s(z) of the units from `first` on; y may be z.
template <class T>
void apply(const StepCall<T>& call, const Activation& activation, const UnitParameters& units,
           ConstMatrixView<T> z, MatrixView<T> y, std::size_t first = 0) {
  const T* const alphas = call.operands.of(units.alphas);
  const T* const betas = call.operands.of(units.betas);
  call.table().activations[static_cast<std::size_t>(activation.kind)](
      {.rows = z.rows,
       .columns = z.columns,
       .z = z.data,
       .z_stride = z.row_stride,
       .y = y.data,
       .y_stride = y.row_stride,
       .bias = nullptr,
       .alpha = activation.alpha,
       .beta = activation.beta,
       .alphas = alphas ? alphas + first : nullptr,
       .betas = betas ? betas + first : nullptr});
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

}  // namespace laminet::steps

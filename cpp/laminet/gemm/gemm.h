// One dense layer, Y = s(X W^T + b), on either back end. Samples are rows.
//
//   x     (m, k), contiguous rows
//   bias  n elements, or null
//   y     (m, n), contiguous rows; does not overlap x
//
// Nothing here allocates or starts threads: callers give each thread its own rows of x and y.
#pragma once

#include "laminet/base/matrix.h"
#include "laminet/gemm/pack.h"
#include "laminet/kernels/activation.h"

namespace laminet {

// Our own cache-aware product. A row's result does not depend on the other rows (kernels.h).
template <class T>
void tiled_layer(const ConstMatrixView<T>& x, const PackedWeights<T>& w, const T* bias,
                 const Activation& activation, const MatrixView<T>& y);

// Only the columns of y that these panels give; y and bias are those of the whole layer. Weights
// from memory are fetched a block ahead.
template <class T>
void tiled_layer(const ConstMatrixView<T>& x, const PackedWeights<T>& w, PanelRange panels,
                 bool from_memory, const T* bias, const Activation& activation,
                 const MatrixView<T>& y);

// cblas_sgemv for one row, cblas_sgemm for more (or the d-versions), then bias and activation in
// one pass. x, w (n, k) and y as blas::fits() demands.
template <class T>
void blas_layer(ConstMatrixView<T> x, ConstMatrixView<T> w, const T* bias,
                const Activation& activation, const kernels::Table<T>& table, MatrixView<T> y);

// y = s(z + bias), z and y with contiguous rows; y may be z.
template <class T>
void apply_activation(const ConstMatrixView<T>& z, const T* bias, const Activation& activation,
                      const kernels::Table<T>& table, const MatrixView<T>& y);

}  // namespace laminet

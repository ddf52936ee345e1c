#include "laminet/gemm/gemm.h"

#include "laminet/gemm/blas.h"

namespace laminet {

template <class T>
void apply_activation(const ConstMatrixView<T>& z, const T* bias, const Activation& activation,
                      const kernels::Table<T>& table, const MatrixView<T>& y) {
  const kernels::ElementwiseArgs<T> args{.rows = z.rows,
                                         .columns = z.columns,
                                         .z = z.data,
                                         .z_stride = z.row_stride,
                                         .y = y.data,
                                         .y_stride = y.row_stride,
                                         .bias = bias,
                                         .alpha = activation.alpha,
                                         .beta = activation.beta};
  table.activations[static_cast<std::size_t>(activation.kind)](args);
}

template <class T>
void blas_layer(ConstMatrixView<T> x, ConstMatrixView<T> w, const T* bias,
                const Activation& activation, const kernels::Table<T>& table, MatrixView<T> y) {
  blas::multiply(x, w, y);
  if (bias || activation.kind != ActivationKind::identity) {
    apply_activation<T>(y, bias, activation, table, y);
  }
}

template void apply_activation(const ConstMatrixView<float>&, const float*, const Activation&,
                               const kernels::Table<float>&, const MatrixView<float>&);
template void apply_activation(const ConstMatrixView<double>&, const double*, const Activation&,
                               const kernels::Table<double>&, const MatrixView<double>&);
template void blas_layer(ConstMatrixView<float>, ConstMatrixView<float>, const float*,
                         const Activation&, const kernels::Table<float>&, MatrixView<float>);
template void blas_layer(ConstMatrixView<double>, ConstMatrixView<double>, const double*,
                         const Activation&, const kernels::Table<double>&, MatrixView<double>);

}  // namespace laminet

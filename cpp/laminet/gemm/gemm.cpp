#include "laminet/gemm/gemm.h"

#include "laminet/base/types.h"
#include "laminet/gemm/blas.h"
#include "laminet/kernels/table.h"

namespace laminet {

template <class T>
void apply_activation(const ConstMatrixView<T>& z, const T* bias, const Activation& activation,
                      const kernels::Table<T>& table, const MatrixView<T>& y, const T* alphas,
                      const T* betas) {
  const kernels::ElementwiseArgs<T> args{.rows = z.rows,
                                         .columns = z.columns,
                                         .z = z.data,
                                         .z_stride = z.row_stride,
                                         .y = y.data,
                                         .y_stride = y.row_stride,
                                         .bias = bias,
                                         .alpha = activation.alpha,
                                         .beta = activation.beta,
                                         .alphas = alphas,
                                         .betas = betas};
  table.activations[static_cast<std::size_t>(activation.kind)](args);
}

template <class T>
void blas_layer(ConstMatrixView<T> x, ConstMatrixView<T> w, bool accumulate, const T* bias,
                const Activation& activation, const kernels::Table<T>& table, MatrixView<T> y) {
  blas::multiply(x, w, y, accumulate);
  if (bias || activation.kind != ActivationKind::identity) {
    apply_activation<T>(y, bias, activation, table, y);
  }
}

#define LAMINET_INSTANTIATE(T)                                                             \
  template void apply_activation(const ConstMatrixView<T>&, const T*, const Activation&,   \
                                 const kernels::Table<T>&, const MatrixView<T>&, const T*, \
                                 const T*);                                                \
  template void blas_layer(ConstMatrixView<T>, ConstMatrixView<T>, bool, const T*,         \
                           const Activation&, const kernels::Table<T>&, MatrixView<T>);
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet

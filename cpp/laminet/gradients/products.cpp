#include "laminet/gradients/products.h"

#include "laminet/gemm/blas.h"
#include "laminet/gemm/gemm.h"

namespace laminet {

template <class T>
void ChainWeights<T>::forward(std::size_t l, ConstMatrixView<T> x, const T* bias,
                              MatrixView<T> y) const {
  const LayerOperands<T>& layer = layers[l];
  if (layer.packed) {
    tiled_layer<T>(x, *layer.packed, bias, Activation{}, y);
  } else {
    blas_layer<T>(x, layer.weight, bias, Activation{}, *table, y);
  }
}

template <class T>
void ChainWeights<T>::backward(std::size_t l, ConstMatrixView<T> g, MatrixView<T> y) const {
  const ConstMatrixView<T> w = layers[l].weight;
  if (layers[l].packed) {
    tiled_layer<T>(g, transposed[l], nullptr, Activation{}, y);
  } else {
    blas::multiply<T>(g, {w.data, w.columns, w.rows, w.column_stride, w.row_stride}, y);
  }
}

template <class T>
bool ChainWeights<T>::usable(ConstMatrixView<T> view) const {
  return layers.front().packed ? view.contiguous_rows() : blas::fits(view);
}

template <class T>
void scale_by_diagonal(const kernels::Table<T>& table, MatrixView<T> g, ConstMatrixView<T> d,
                       std::size_t first, std::size_t repeat) {
  if (!d.data) return;
  table.scale_columns({.rows = g.rows,
                       .columns = g.columns,
                       .g = g.data,
                       .g_stride = g.row_stride,
                       .d = d.row(first / repeat),
                       .d_stride = d.row_stride,
                       .first = first % repeat,
                       .repeat = repeat});
}

template <class T>
void apply_head_derivative(const ChainWeights<T>& weights, bool transposed, MatrixView<T> rows,
                           ConstMatrixView<T> p, std::size_t first, std::size_t repeat) {
  using kernels::HeadProduct;
  if (weights.head == Head::none) return;
  const HeadProduct log =
      transposed ? HeadProduct::log_softmax_transpose : HeadProduct::log_softmax;
  weights.table->head_product(
      {.product = weights.head == Head::softmax ? HeadProduct::softmax : log,
       .rows = rows.rows,
       .columns = rows.columns,
       .x = rows.data,
       .x_stride = rows.row_stride,
       .p = p.row(first / repeat),
       .p_stride = p.row_stride,
       .first = first % repeat,
       .repeat = repeat});
}

#define LAMINET_INSTANTIATE(T)                                                                 \
  template struct ChainWeights<T>;                                                             \
  template void scale_by_diagonal(const kernels::Table<T>&, MatrixView<T>, ConstMatrixView<T>, \
                                  std::size_t, std::size_t);                                   \
  template void apply_head_derivative(const ChainWeights<T>&, bool, MatrixView<T>,             \
                                      ConstMatrixView<T>, std::size_t, std::size_t);
LAMINET_INSTANTIATE(float)
LAMINET_INSTANTIATE(double)
#undef LAMINET_INSTANTIATE

}  // namespace laminet

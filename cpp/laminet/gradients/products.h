// The products of the chain rule, one layer at a time, on either back end. Samples, tangents and
// gradients are rows.
//
// Nothing here allocates or starts threads: callers give each thread its own rows.
#pragma once

#include <cstddef>
#include <span>

#include "laminet/base/matrix.h"
#include "laminet/network/execute.h"
#include "laminet/network/head.h"

namespace laminet {

// The weights of a network as derivatives need them. Layers are counted from 0: W_l is (n_{l+1},
// n_l), where n_0 .. n_L are the sizes.
template <class T>
struct ChainWeights {
  std::span<const LayerOperands<T>> layers;
  std::span<const PackedWeights<T>> transposed;  // of W_l^T; empty on the BLAS back end
  const kernels::Table<T>* table;
  Head head;
  bool finite;  // all weights are; known where `transposed` is

  std::size_t depth() const { return layers.size(); }
  std::size_t in(std::size_t l) const { return layers[l].weight.columns; }
  std::size_t out(std::size_t l) const { return layers[l].weight.rows; }

  // y = x W_l^T + bias (null: none). Tangents take no bias.
  void forward(std::size_t l, ConstMatrixView<T> x, const T* bias, MatrixView<T> y) const;
  // y = g W_l: what a gradient takes.
  void backward(std::size_t l, ConstMatrixView<T> g, MatrixView<T> y) const;
  // Whether the products above can read or write the view where it lies.
  bool usable(ConstMatrixView<T> view) const;
};

// Row i of g times row (first + i) / repeat of d, element by element: g D, D being the diagonal of
// a sample to which `repeat` rows of g belong. No d (null) is a diagonal of ones.
template <class T>
void scale_by_diagonal(const kernels::Table<T>& table, MatrixView<T> g, ConstMatrixView<T> d,
                       std::size_t first, std::size_t repeat);

// Rows of gradients (transposed) or tangents, which belong to samples likewise, times the
// derivative of the head, given the probabilities p of each sample; nothing where there is no head.
template <class T>
void apply_head_derivative(const ChainWeights<T>& weights, bool transposed, MatrixView<T> rows,
                           ConstMatrixView<T> p, std::size_t first, std::size_t repeat);

}  // namespace laminet

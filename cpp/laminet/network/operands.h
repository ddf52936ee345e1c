// The numbers of a network as its steps take them.
#pragma once

#include <cstddef>
#include <span>

#include "laminet/base/matrix.h"
#include "laminet/gemm/blas.h"
#include "laminet/gemm/pack.h"
#include "laminet/kernels/table.h"
#include "laminet/network/program.h"

namespace laminet {

// Of a dense step.
template <class T>
struct DenseOperands {
  const T* bias = nullptr;  // null where there is none
  // By group. Of W, for the way forward, and of W^T, for the way back, where that is wanted; none
  // where the step runs on the BLAS back end.
  std::span<const PackedWeights<T>> packed;
  std::span<const PackedWeights<T>> transposed;
  ConstMatrixView<T> weight;  // of all groups, one below the other
  // Of W, where `packed` is for products that round: for those that do not. None where `packed` is
  // for both.
  std::span<const PackedWeights<T>> exact = {};
  bool rounds_back = false;  // gradients, too, before they are multiplied by `transposed`

  // For tangents, which are not rounded.
  std::span<const PackedWeights<T>> for_tangents() const { return exact.empty() ? packed : exact; }
};

template <class T>
struct Operands {
  const T* parameters;                      // all of them
  std::span<const DenseOperands<T>> steps;  // by step; empty ones where it has no product
  const kernels::Table<T>* table;
  bool tiled;           // the back end
  bool finite;          // no weight is infinite or NaN; known where `transposed` is
  bool drops = false;   // dropout does; by masks that have been written before
  bool rounds = false;  // values to bfloat16, before they are multiplied by weights; not tangents

  // No data where there is none.
  const T* of(const ParameterBlock& block) const {
    return block.rows > 0 ? parameters + block.start : nullptr;
  }
  // Whether products can read or write the view where it lies.
  bool usable(const ConstMatrixView<T>& view) const {
    return tiled ? view.contiguous_rows() : blas::fits(view);
  }
};

}  // namespace laminet

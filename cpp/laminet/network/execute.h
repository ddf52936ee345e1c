// Layers run over rows: the one loop behind whole networks and single layers.
#pragma once

#include <span>

#include "laminet/base/matrix.h"
#include "laminet/gemm/pack.h"
#include "laminet/kernels/activation.h"
#include "laminet/network/head.h"
#include "laminet/network/plan.h"

namespace laminet {

template <class T>
struct LayerOperands {
  ConstMatrixView<T> weight;
  const PackedWeights<T>* packed;  // null: this layer runs on the BLAS back end
  const T* bias;
  Activation activation;
};

// y = the head of A_L for all rows of x, in plan.blocks, or layer by layer, on plan.threads
// threads.
template <class T>
void run_forward(std::span<const LayerOperands<T>> layers, const kernels::Table<T>& table,
                 const Plan& plan, Head head, ConstMatrixView<T> x, MatrixView<T> y);

// Rows of scratch that run_forward takes under a plan, on the calling thread and on each other one.
struct ScratchRows {
  std::size_t caller;
  std::size_t others;
};
ScratchRows scratch_rows(const Plan& plan);

// Asks for so many on the calling thread, and for the pages behind them.
template <class T>
void reserve_scratch(std::span<const LayerOperands<T>> layers, std::size_t rows);

// Every Z_l and A_l, contiguous; without the head.
template <class T>
void run_trace(std::span<const LayerOperands<T>> layers, const kernels::Table<T>& table,
               const Plan& plan, ConstMatrixView<T> x,
               std::span<const MatrixView<T>> pre_activations,
               std::span<const MatrixView<T>> activations);

}  // namespace laminet

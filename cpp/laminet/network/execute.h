// A program runs over rows: the one loop behind whole networks and single layers.
#pragma once

#include <span>

#include "laminet/base/matrix.h"
#include "laminet/network/operands.h"
#include "laminet/network/plan.h"
#include "laminet/network/program.h"

namespace laminet {

// y = the output for all rows of x, in plan.blocks, or step by step, on plan.threads threads.
template <class T>
void run_forward(const Program& program, const Operands<T>& operands, const Plan& plan,
                 ConstMatrixView<T> x, MatrixView<T> y);

// Rows of scratch that run_forward takes under a plan, on the calling thread and on each other one.
struct ScratchRows {
  std::size_t caller;
  std::size_t others;
};
ScratchRows scratch_rows(const Plan& plan);

// Asks for so many on the calling thread, and for the pages behind them.
template <class T>
void reserve_scratch(const Program& program, std::size_t rows);

// Every Z_l and A_l of the dense steps, contiguous rows; without the head.
template <class T>
void run_trace(const Program& program, const Operands<T>& operands, const Plan& plan,
               ConstMatrixView<T> x, std::span<const MatrixView<T>> pre_activations,
               std::span<const MatrixView<T>> activations);

}  // namespace laminet

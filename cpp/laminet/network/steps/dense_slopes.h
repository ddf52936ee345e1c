// What a dense step and its parts share: the columns of a group, and how its slopes are used.
#pragma once

#include <cstddef>

#include "laminet/gemm/gather.h"
#include "laminet/network/steps/steps.h"
#include "laminet/network/steps/units.h"

namespace laminet::steps {

// Of one group: the columns that it reads, and those that it gives.
template <class View>
View part_of(View view, std::size_t group, std::size_t columns) {
  return view.column_block(group * columns, columns);
}

template <class T>
const T* part_of(const T* bias, std::size_t group, std::size_t columns) {
  return bias ? bias + group * columns : nullptr;
}

template <class T>
bool may_gather(const DenseStep& operation, const Operands<T>& operands, std::size_t repeat) {
  return operands.tiled && operands.finite && operation.groups == 1 &&
         gathers(operation.activation, repeat);
}

// Whether rows of W that meet slopes of 0 are left out. Slopes that gradients have been multiplied
// by are 0 or 1 then.
template <class T>
bool gathers_back(const DenseStep& operation, const StepCall<T>& call, const Recorded<T>& recorded,
                  const Frame<T>& gradients) {
  const Step& step = call.step();
  return !constant_slopes(operation.activation) && step.inputs.size() == 1 &&
         !call.program.backward(call.index).adds[0] && gradients(step.inputs[0]).data &&
         may_gather(operation, call.operands, recorded.repeat);
}

// The gradients that pull_back_slopes leaves.
template <class T>
ConstMatrixView<T> times_slopes(const StepCall<T>& call, const Recorded<T>& recorded,
                                const Frame<T>& gradients, Slopes slopes) {
  const Columns& output = call.step().output;
  return slopes == Slopes::keep ? kept_of(call, recorded.kept, output.count) : gradients(output);
}

}  // namespace laminet::steps

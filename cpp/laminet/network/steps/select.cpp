#include "laminet/network/steps/select.h"

#include "laminet/network/steps/instantiate.h"

namespace laminet::steps {
namespace {

template <class T>
kernels::IndexedColumnsArgs<T> args_of(const SelectStep& operation, ConstMatrixView<T> from,
                                       MatrixView<T> to) {
  return {.rows = from.rows,
          .columns = operation.columns.size(),
          .index = operation.columns.data(),
          .from = from.data,
          .from_stride = from.row_stride,
          .to = to.data,
          .to_stride = to.row_stride};
}

}  // namespace

std::vector<std::size_t> kept_columns(const SelectStep&, const Step&) { return {}; }

StepCosts costs(const SelectStep& operation, const Step&) {
  const std::size_t n = operation.columns.size();
  const StepCost pass{.read = n, .written = n};
  return {.forward = pass, .pull_back = pass, .push_forward = pass};
}

template <class T>
void forward(const SelectStep& operation, const StepCall<T>& call, const Frame<T>& values) {
  call.table().gather_columns(
      args_of<T>(operation, values(call.step().inputs[0]), values(call.step().output)));
}

template <class T>
void record(const SelectStep& operation, const StepCall<T>& call, const Frame<T>& values,
            const Frame<T>&, bool wanted) {
  if (wanted) forward(operation, call, values);
}

template <class T>
void pull_back(const SelectStep& operation, const StepCall<T>& call, const Recorded<T>&,
               const Frame<T>& gradients, Slopes) {
  const MatrixView<T> result = gradients(call.step().inputs[0]);
  if (!result.data) return;
  call.table().scatter_add_columns(args_of<T>(operation, gradients(call.step().output), result));
}

template <class T>
void push_forward(const SelectStep& operation, const StepCall<T>& call, const Recorded<T>&,
                  const Frame<T>& tangents) {
  forward(operation, call, tangents);
}

#define LAMINET_INSTANTIATE(T) LAMINET_STEP(SelectStep, T)
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet::steps

#include "laminet/network/steps/softmax.h"

#include "laminet/network/steps/instantiate.h"
#include "laminet/network/steps/rows.h"

namespace laminet::steps {
namespace {

using kernels::HeadProduct;

// The product of rows with the derivative, in place.
template <class T>
void multiply(HeadProduct product, const StepCall<T>& call, const Recorded<T>& recorded,
              MatrixView<T> rows) {
  const MatrixView<T> p = kept_of(call, recorded.kept, rows.columns);
  call.table().head_product({.product = product,
                             .rows = rows.rows,
                             .columns = rows.columns,
                             .x = rows.data,
                             .x_stride = rows.row_stride,
                             .p = p.row(recorded.first / recorded.repeat),
                             .p_stride = p.row_stride,
                             .first = recorded.first % recorded.repeat,
                             .repeat = recorded.repeat});
}

}  // namespace

// The probabilities.
std::vector<std::size_t> kept_columns(const SoftmaxStep&, const Step& step) {
  return {step.output.count};
}

// By the convention of activations, one FLOP an element, and 4 for its derivative. It works in
// cache on what the last step wrote: nothing is moved.
StepCosts costs(const SoftmaxStep&, const Step& step) {
  const StepCost row{.functions = 4 * step.output.count};
  return {.forward = {.functions = step.output.count}, .pull_back = row, .push_forward = row};
}

template <class T>
void forward(const SoftmaxStep& operation, const StepCall<T>& call, const Frame<T>& values) {
  const MatrixView<T> out = values(call.step().output);
  give<T>(call.table(), values(call.step().inputs[0]), out, false);
  apply_head(operation.kind, call.table(), out);
}

template <class T>
void record(const SoftmaxStep& operation, const StepCall<T>& call, const Frame<T>& values,
            const Frame<T>& kept, bool wanted) {
  const MatrixView<T> in = values(call.step().inputs[0]);
  const MatrixView<T> p = kept_of(call, kept, in.columns);
  give<T>(call.table(), in, p, false);
  apply_head(Head::softmax, call.table(), p);
  if (!wanted) return;
  if (operation.kind == Head::softmax) {
    give<T>(call.table(), p, values(call.step().output), false);
  } else {
    forward(operation, call, values);
  }
}

template <class T>
void pull_back(const SoftmaxStep& operation, const StepCall<T>& call, const Recorded<T>& recorded,
               const Frame<T>& gradients, Slopes) {
  const MatrixView<T> g = gradients(call.step().output);
  multiply(
      operation.kind == Head::softmax ? HeadProduct::softmax : HeadProduct::log_softmax_transpose,
      call, recorded, g);
  give<T>(call.table(), g, gradients(call.step().inputs[0]),
          call.program.backward(call.index).adds[0]);
}

template <class T>
void push_forward(const SoftmaxStep& operation, const StepCall<T>& call,
                  const Recorded<T>& recorded, const Frame<T>& tangents) {
  const MatrixView<T> out = tangents(call.step().output);
  give<T>(call.table(), tangents(call.step().inputs[0]), out, false);
  multiply(operation.kind == Head::softmax ? HeadProduct::softmax : HeadProduct::log_softmax, call,
           recorded, out);
}

#define LAMINET_INSTANTIATE(T) LAMINET_STEP(SoftmaxStep, T)
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet::steps

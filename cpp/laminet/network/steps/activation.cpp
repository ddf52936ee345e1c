#include "laminet/network/steps/activation.h"

#include "laminet/gemm/gemm.h"
#include "laminet/network/steps/instantiate.h"
#include "laminet/network/steps/rows.h"

namespace laminet::steps {

// The slopes.
std::size_t kept_columns(const ActivationStep& operation, const Step& step) {
  return operation.activation.kind == ActivationKind::identity ? 0 : step.output.count;
}

template <class T>
void forward(const ActivationStep& operation, const StepCall<T>& call, const Frame<T>& values) {
  apply_activation<T>(values(call.step().inputs[0]), nullptr, operation.activation, call.table(),
                      values(call.step().output));
}

template <class T>
void record(const ActivationStep& operation, const StepCall<T>& call, const Frame<T>& values,
            const Frame<T>& kept, bool wanted) {
  const MatrixView<T> d = kept_of(call, kept);
  if (!d.data && wanted) forward(operation, call, values);
  if (!d.data) return;
  const ConstMatrixView<T> z = values(call.step().inputs[0]);
  const MatrixView<T> out = wanted ? values(call.step().output) : MatrixView<T>{};
  call.table().derivatives[static_cast<std::size_t>(operation.activation.kind)](
      {.rows = z.rows,
       .columns = z.columns,
       .z = z.data,
       .z_stride = z.row_stride,
       .y = out.data,
       .y_stride = out.row_stride,
       .d = d.data,
       .d_stride = d.row_stride,
       .bias = nullptr,
       .alpha = operation.activation.alpha,
       .beta = operation.activation.beta});
}

template <class T>
void pull_back(const ActivationStep&, const StepCall<T>& call, const Recorded<T>& recorded,
               const Frame<T>& gradients, Slopes) {
  const MatrixView<T> g = gradients(call.step().output);
  scale_by_diagonal<T>(call.table(), g, kept_of(call, recorded.kept), recorded.first,
                       recorded.repeat);
  give<T>(g, gradients(call.step().inputs[0]), call.program.backward(call.index).adds[0]);
}

template <class T>
void push_forward(const ActivationStep&, const StepCall<T>& call, const Recorded<T>& recorded,
                  const Frame<T>& tangents) {
  const MatrixView<T> out = tangents(call.step().output);
  give<T>(tangents(call.step().inputs[0]), out, false);
  scale_by_diagonal<T>(call.table(), out, kept_of(call, recorded.kept), recorded.first,
                       recorded.repeat);
}

#define LAMINET_INSTANTIATE(T) LAMINET_STEP(ActivationStep, T)
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet::steps

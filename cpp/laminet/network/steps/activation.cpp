#include "laminet/network/steps/activation.h"

#include "laminet/network/steps/instantiate.h"
#include "laminet/network/steps/rows.h"
#include "laminet/network/steps/units.h"

namespace laminet::steps {
// The slopes; and what the gradients of parameters by unit are made of.
std::vector<std::size_t> kept_columns(const ActivationStep& operation, const Step& step) {
  if (constant_slopes(operation.activation)) return {};
  return std::vector<std::size_t>(1 + unit_matrices(operation.units), step.output.count);
}

StepCosts costs(const ActivationStep& operation, const Step& step) {
  const std::size_t n = step.output.count;
  const std::size_t flops = constant_slopes(operation.activation) ? 0 : n;
  const StepCost pass{.functions = flops, .read = n, .written = n};
  StepCosts result{.forward = pass,
                   .record = {.functions = flops, .read = flops},
                   .pull_back = pass,
                   .push_forward = pass};
  result.forward.weights_read = operation.units.size();
  return result;
}

template <class T>
void forward(const ActivationStep& operation, const StepCall<T>& call, const Frame<T>& values) {
  apply<T>(call, operation.activation, operation.units, values(call.step().inputs[0]),
           values(call.step().output));
}

template <class T>
void record(const ActivationStep& operation, const StepCall<T>& call, const Frame<T>& values,
            const Frame<T>& kept, bool wanted) {
  if (constant_slopes(operation.activation)) {
    if (wanted) forward(operation, call, values);
    return;
  }
  const ConstMatrixView<T> z = values(call.step().inputs[0]);
  const MatrixView<T> out = wanted ? values(call.step().output) : MatrixView<T>{};
  if (operation.units.any()) {
    give<T>(call.table(), z, kept_of(call, kept, z.columns, kFirstOfUnits), false);
  }
  apply_with_slopes<T>(call, operation.activation, operation.units, nullptr, z, out,
                       kept_of(call, kept, z.columns));
}

template <class T>
void pull_back(const ActivationStep& operation, const StepCall<T>& call,
               const Recorded<T>& recorded, const Frame<T>& gradients, Slopes slopes) {
  const MatrixView<T> g = gradients(call.step().output);
  if (slopes == Slopes::keep && operation.units.any()) {
    keep_unit_gradients<T>(call, operation.activation, operation.units, nullptr, g, recorded.kept);
  }
  scale_by_diagonal<T>(call.table(), g, slopes_of(operation.activation, call, recorded.kept),
                       recorded.first, recorded.repeat);
  give<T>(call.table(), g, gradients(call.step().inputs[0]),
          call.program.backward(call.index).adds[0]);
}

template <class T>
void push_forward(const ActivationStep& operation, const StepCall<T>& call,
                  const Recorded<T>& recorded, const Frame<T>& tangents) {
  const MatrixView<T> out = tangents(call.step().output);
  give<T>(call.table(), tangents(call.step().inputs[0]), out, false);
  scale_by_diagonal<T>(call.table(), out, slopes_of(operation.activation, call, recorded.kept),
                       recorded.first, recorded.repeat);
}

#define LAMINET_INSTANTIATE(T) LAMINET_STEP(ActivationStep, T)
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet::steps

#include "laminet/network/steps/sum.h"

#include "laminet/network/steps/instantiate.h"
#include "laminet/network/steps/rows.h"

namespace laminet::steps {
std::vector<std::size_t> kept_columns(const SumStep&, const Step&) { return {}; }

StepCosts costs(const SumStep& operation, const Step& step) {
  const std::size_t n = step.output.count;
  const std::size_t terms = step.inputs.size();
  const std::size_t scaled = operation.factor == 1.0 ? 0 : n;
  const StepCost forward{.others = (terms - 1) * n + scaled, .read = terms * n, .written = n};
  return {.forward = forward,
          .pull_back = {.others = scaled, .read = n, .written = terms * n},
          .push_forward = forward};
}

template <class T>
void forward(const SumStep& operation, const StepCall<T>& call, const Frame<T>& values) {
  const Step& step = call.step();
  const std::size_t terms = step.inputs.size();
  const MatrixView<T> out = values(step.output);
  const auto factor = static_cast<T>(operation.factor);
  if (terms == 1) return sum<T>(call.table(), values(step.inputs[0]), {}, factor, out);
  // The result may have the place of one of the terms: of the first two, or it is in the way.
  ConstMatrixView<T> all = values(step.inputs[0]);
  for (std::size_t i = 1; i < terms; ++i) {
    sum<T>(call.table(), all, values(step.inputs[i]), i + 1 == terms ? factor : T{1}, out);
    all = out;
  }
}

template <class T>
void record(const SumStep& operation, const StepCall<T>& call, const Frame<T>& values,
            const Frame<T>&, bool wanted) {
  if (wanted) forward(operation, call, values);
}

template <class T>
void pull_back(const SumStep& operation, const StepCall<T>& call, const Recorded<T>&,
               const Frame<T>& gradients, Slopes) {
  const Step& step = call.step();
  const MatrixView<T> g = gradients(step.output);
  if (operation.factor != 1.0) sum<T>(call.table(), g, {}, static_cast<T>(operation.factor), g);
  for (std::size_t i = 0; i < step.inputs.size(); ++i) {
    give<T>(call.table(), g, gradients(step.inputs[i]), call.program.backward(call.index).adds[i]);
  }
}

template <class T>
void push_forward(const SumStep& operation, const StepCall<T>& call, const Recorded<T>&,
                  const Frame<T>& tangents) {
  forward(operation, call, tangents);
}

#define LAMINET_INSTANTIATE(T) LAMINET_STEP(SumStep, T)
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet::steps

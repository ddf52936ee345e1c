#include "laminet/network/steps/copy.h"

#include "laminet/network/steps/instantiate.h"
#include "laminet/network/steps/rows.h"

namespace laminet::steps {

std::vector<std::size_t> kept_columns(const CopyStep&, const Step&) { return {}; }

StepCosts costs(const CopyStep&, const Step& step) {
  const StepCost pass{.read = step.output.count, .written = step.output.count};
  return {.forward = pass, .pull_back = pass, .push_forward = pass};
}

template <class T>
void forward(const CopyStep&, const StepCall<T>& call, const Frame<T>& values) {
  give<T>(call.table(), values(call.step().inputs[0]), values(call.step().output), false);
}

template <class T>
void record(const CopyStep& operation, const StepCall<T>& call, const Frame<T>& values,
            const Frame<T>&, bool wanted) {
  if (wanted) forward(operation, call, values);
}

template <class T>
void pull_back(const CopyStep&, const StepCall<T>& call, const Recorded<T>&,
               const Frame<T>& gradients, Slopes) {
  give<T>(call.table(), gradients(call.step().output), gradients(call.step().inputs[0]),
          call.program.backward(call.index).adds[0]);
}

template <class T>
void push_forward(const CopyStep& operation, const StepCall<T>& call, const Recorded<T>&,
                  const Frame<T>& tangents) {
  forward(operation, call, tangents);
}

#define LAMINET_INSTANTIATE(T) LAMINET_STEP(CopyStep, T)
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet::steps

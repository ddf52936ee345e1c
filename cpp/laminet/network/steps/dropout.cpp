#include "laminet/network/steps/dropout.h"

#include "laminet/network/steps/instantiate.h"
#include "laminet/network/steps/rows.h"

namespace laminet::steps {
namespace {

// Rows times the masks of their samples.
template <class T>
void drop(const StepCall<T>& call, const Frame<T>& kept, std::size_t first, std::size_t repeat,
          MatrixView<T> rows) {
  if (!call.operands.drops) return;
  scale_by_diagonal<T>(call.table(), rows, kept_of(call, kept, rows.columns), first, repeat);
}

}  // namespace

// The mask.
std::vector<std::size_t> kept_columns(const DropoutStep&, const Step& step) {
  return {step.output.count};
}

// Outside training.
StepCosts costs(const DropoutStep&, const Step& step) {
  const StepCost pass{.read = step.output.count, .written = step.output.count};
  return {.forward = pass, .pull_back = pass, .push_forward = pass};
}

template <class T>
void forward(const DropoutStep&, const StepCall<T>& call, const Frame<T>& values) {
  give<T>(call.table(), values(call.step().inputs[0]), values(call.step().output), false);
}

template <class T>
void record(const DropoutStep& operation, const StepCall<T>& call, const Frame<T>& values,
            const Frame<T>& kept, bool wanted) {
  if (!wanted) return;
  forward(operation, call, values);
  drop<T>(call, kept, 0, 1, values(call.step().output));
}

template <class T>
void pull_back(const DropoutStep&, const StepCall<T>& call, const Recorded<T>& recorded,
               const Frame<T>& gradients, Slopes) {
  const MatrixView<T> g = gradients(call.step().output);
  drop<T>(call, recorded.kept, recorded.first, recorded.repeat, g);
  give<T>(call.table(), g, gradients(call.step().inputs[0]),
          call.program.backward(call.index).adds[0]);
}

template <class T>
void push_forward(const DropoutStep& operation, const StepCall<T>& call,
                  const Recorded<T>& recorded, const Frame<T>& tangents) {
  forward(operation, call, tangents);
  drop<T>(call, recorded.kept, recorded.first, recorded.repeat, tangents(call.step().output));
}

#define LAMINET_INSTANTIATE(T) LAMINET_STEP(DropoutStep, T)
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet::steps

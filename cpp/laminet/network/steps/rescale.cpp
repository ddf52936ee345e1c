#include "laminet/network/steps/rescale.h"

#include <algorithm>

#include "laminet/network/steps/instantiate.h"
#include "laminet/network/steps/rows.h"

namespace laminet::steps {
namespace {

bool clips(const RescaleStep& operation) { return operation.low.rows > 0; }

// y = the result, d = its derivative, each where it has data.
template <class T>
void run(const RescaleStep& operation, const StepCall<T>& call, ConstMatrixView<T> x,
         MatrixView<T> y, MatrixView<T> d) {
  const auto by_column = [&](const ParameterBlock& block) {
    return kernels::ByColumn<T>{T{0}, call.operands.of(block)};
  };
  call.table().rescale({.rows = x.rows,
                        .columns = x.columns,
                        .x = x.data,
                        .x_stride = x.row_stride,
                        .y = y.data,
                        .y_stride = y.row_stride,
                        .d = d.data,
                        .d_stride = d.row_stride,
                        .scale = by_column(operation.scale),
                        .shift = by_column(operation.shift),
                        .clip = clips(operation),
                        .low = by_column(operation.low),
                        .high = by_column(operation.high)});
}

// Rows of gradients or tangents times the derivative.
template <class T>
void multiply(const RescaleStep& operation, const StepCall<T>& call, const Recorded<T>& recorded,
              MatrixView<T> rows) {
  if (clips(operation)) {
    return scale_by_diagonal<T>(call.table(), rows, kept_of(call, recorded.kept, rows.columns),
                                recorded.first, recorded.repeat);
  }
  const T* const scale = call.operands.of(operation.scale);
  scale_by_diagonal<T>(call.table(), rows, dense_view(scale, 1, rows.columns), 0,
                       std::max<std::size_t>(1, rows.rows));
}

}  // namespace

// The derivative where it is not the scale.
std::vector<std::size_t> kept_columns(const RescaleStep& operation, const Step& step) {
  if (!clips(operation)) return {};
  return {step.output.count};
}

StepCosts costs(const RescaleStep& operation, const Step& step) {
  const std::size_t n = step.output.count;
  const std::size_t bounds = clips(operation) ? 2 * n : 0;
  const StepCost row{.others = n,
                     .read = n,
                     .written = n,
                     .weights_read = clips(operation) ? 0 : operation.scale.size()};
  return {.forward = {.others = 2 * n + bounds,
                      .read = n,
                      .written = n,
                      .weights_read = operation.scale.size() + operation.shift.size() +
                                      operation.low.size() + operation.high.size()},
          .record = {.others = clips(operation) ? n : 0, .read = clips(operation) ? n : 0},
          .pull_back = row,
          .push_forward = row};
}

template <class T>
void forward(const RescaleStep& operation, const StepCall<T>& call, const Frame<T>& values) {
  run<T>(operation, call, values(call.step().inputs[0]), values(call.step().output), {});
}

template <class T>
void record(const RescaleStep& operation, const StepCall<T>& call, const Frame<T>& values,
            const Frame<T>& kept, bool wanted) {
  const ConstMatrixView<T> x = values(call.step().inputs[0]);
  const MatrixView<T> d = clips(operation) ? kept_of(call, kept, x.columns) : MatrixView<T>{};
  const MatrixView<T> y = wanted ? values(call.step().output) : MatrixView<T>{};
  if (y.data || d.data) run<T>(operation, call, x, y, d);
}

template <class T>
void pull_back(const RescaleStep& operation, const StepCall<T>& call, const Recorded<T>& recorded,
               const Frame<T>& gradients, Slopes) {
  const MatrixView<T> g = gradients(call.step().output);
  multiply(operation, call, recorded, g);
  give<T>(call.table(), g, gradients(call.step().inputs[0]),
          call.program.backward(call.index).adds[0]);
}

template <class T>
void push_forward(const RescaleStep& operation, const StepCall<T>& call,
                  const Recorded<T>& recorded, const Frame<T>& tangents) {
  const MatrixView<T> out = tangents(call.step().output);
  give<T>(call.table(), tangents(call.step().inputs[0]), out, false);
  multiply(operation, call, recorded, out);
}

#define LAMINET_INSTANTIATE(T) LAMINET_STEP(RescaleStep, T)
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet::steps

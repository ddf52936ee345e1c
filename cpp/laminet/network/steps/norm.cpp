#include "laminet/network/steps/norm.h"

#include "laminet/network/steps/instantiate.h"
#include "laminet/network/steps/rows.h"

namespace laminet::steps {
namespace {

// The matrices that a norm keeps: the normalized rows, the gradients of the result where it has
// parameters, and 1 / deviation of each group, each a column by itself.
enum Kept : std::size_t { kNormalized, kGradient, kFirstDeviation };

std::size_t columns_of(const NormStep& operation, const Step& step) {
  return step.output.count / operation.groups;
}

template <class T>
T* deviations(const StepCall<T>& call, const Frame<T>& kept, std::size_t group) {
  return kept_of(call, kept, 1, kFirstDeviation + group).data;
}

template <class T>
void run(const NormStep& operation, const StepCall<T>& call, const Frame<T>& values,
         const Frame<T>* kept, bool wanted) {
  const Step& step = call.step();
  const std::size_t columns = columns_of(operation, step);
  const T* const weight = call.operands.of(operation.weight);
  const T* const bias = call.operands.of(operation.bias);
  const auto part = [&](MatrixView<T> view, std::size_t group) {
    return view.data ? view.column_block(group * columns, columns) : view;
  };
  for (std::size_t g = 0; g < operation.groups; ++g) {
    const MatrixView<T> x = part(values(step.inputs[0]), g);
    const MatrixView<T> y = part(wanted ? values(step.output) : MatrixView<T>{}, g);
    MatrixView<T> normalized{};
    if (kept) normalized = part(kept_of(call, *kept, step.output.count, kNormalized), g);
    call.table().norm({.center = operation.center,
                       .rows = x.rows,
                       .columns = columns,
                       .x = x.data,
                       .x_stride = x.row_stride,
                       .y = y.data,
                       .y_stride = y.row_stride,
                       .weight = weight ? weight + g * columns : nullptr,
                       .bias = bias ? bias + g * columns : nullptr,
                       .eps = operation.eps,
                       .normalized = normalized.data,
                       .normalized_stride = normalized.row_stride,
                       .rstd = kept ? deviations(call, *kept, g) : nullptr});
  }
}

// Rows of gradients or tangents times the derivative, in place.
template <class T>
void multiply(const NormStep& operation, const StepCall<T>& call, const Recorded<T>& recorded,
              MatrixView<T> rows, bool back) {
  const std::size_t columns = columns_of(operation, call.step());
  const T* const weight = call.operands.of(operation.weight);
  const auto function = back ? call.table().norm_pull_back : call.table().norm_push_forward;
  const std::size_t sample = recorded.first / recorded.repeat;
  for (std::size_t g = 0; g < operation.groups; ++g) {
    const MatrixView<T> part = rows.column_block(g * columns, columns);
    const MatrixView<T> normalized =
        kept_of(call, recorded.kept, rows.columns, kNormalized).column_block(g * columns, columns);
    function({.center = operation.center,
              .rows = rows.rows,
              .columns = columns,
              .g = part.data,
              .g_stride = part.row_stride,
              .y = part.data,
              .y_stride = part.row_stride,
              .weight = weight ? weight + g * columns : nullptr,
              .normalized = normalized.row(sample),
              .normalized_stride = normalized.row_stride,
              .rstd = deviations(call, recorded.kept, g) + sample,
              .first = recorded.first % recorded.repeat,
              .repeat = recorded.repeat});
  }
}

bool keeps_gradient(const NormStep& operation) {
  return operation.weight.rows + operation.bias.rows > 0;
}

}  // namespace

std::vector<std::size_t> kept_columns(const NormStep& operation, const Step& step) {
  std::vector<std::size_t> columns = {step.output.count,
                                      keeps_gradient(operation) ? step.output.count : 0};
  columns.resize(kFirstDeviation + operation.groups, 1);
  return columns;
}

// With y = c / s, c = x - mean(x) (or x), s = sqrt(mean(c^2) + eps), and of rows g of gradients or
// tangents (g - mean(g) - y mean(g y)) / s, without mean(g) where c = x.
StepCosts costs(const NormStep& operation, const Step& step) {
  const std::size_t n = step.output.count;
  const std::size_t groups = operation.groups;
  const std::size_t weights = operation.weight.size();
  const std::size_t biases = operation.bias.size();
  // A mean is n - 1 additions, one to zero, and a division.
  const std::size_t centered = operation.center ? n + groups + n : 0;
  const std::size_t squares = n + n + groups;
  const std::size_t deviation = 2 * groups;  // + eps, root
  const StepCost row{.others = weights + centered + squares + n + n + n,
                     .read = n,
                     .written = n,
                     .weights_read = weights};
  return {.forward = {.biases = biases,
                      .others = centered + squares + deviation + n + weights,
                      .read = n,
                      .written = n,
                      .weights_read = weights,
                      .biases_read = biases},
          .record = {.read = n + groups},
          .pull_back = row,
          .push_forward = row,
          .gradients = {.biases = biases,
                        .others = 2 * weights,
                        .read = weights > 0 ? 2 * n : biases,
                        .gradients_written = weights + biases}};
}

template <class T>
void forward(const NormStep& operation, const StepCall<T>& call, const Frame<T>& values) {
  run<T>(operation, call, values, nullptr, true);
}

template <class T>
void record(const NormStep& operation, const StepCall<T>& call, const Frame<T>& values,
            const Frame<T>& kept, bool wanted) {
  run<T>(operation, call, values, &kept, wanted);
}

template <class T>
void pull_back(const NormStep& operation, const StepCall<T>& call, const Recorded<T>& recorded,
               const Frame<T>& gradients, Slopes slopes) {
  const MatrixView<T> g = gradients(call.step().output);
  if (slopes == Slopes::keep && keeps_gradient(operation)) {
    give<T>(call.table(), g, kept_of(call, recorded.kept, g.columns, kGradient), false);
  }
  multiply(operation, call, recorded, g, true);
  give<T>(call.table(), g, gradients(call.step().inputs[0]),
          call.program.backward(call.index).adds[0]);
}

template <class T>
void push_forward(const NormStep& operation, const StepCall<T>& call, const Recorded<T>& recorded,
                  const Frame<T>& tangents) {
  const MatrixView<T> out = tangents(call.step().output);
  give<T>(call.table(), tangents(call.step().inputs[0]), out, false);
  multiply(operation, call, recorded, out, false);
}

template <class T>
MatrixView<T> normalized_of(const StepCall<T>& call, const Frame<T>& kept) {
  return kept_of(call, kept, call.step().output.count, kNormalized);
}

template <class T>
MatrixView<T> gradient_of(const StepCall<T>& call, const Frame<T>& kept) {
  return kept_of(call, kept, call.step().output.count, kGradient);
}

#define LAMINET_INSTANTIATE(T)                                               \
  LAMINET_STEP(NormStep, T)                                                  \
  template MatrixView<T> normalized_of(const StepCall<T>&, const Frame<T>&); \
  template MatrixView<T> gradient_of(const StepCall<T>&, const Frame<T>&);
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet::steps

#include "laminet/network/steps/steps.h"

#include <map>
#include <variant>

#include "laminet/base/types.h"
#include "laminet/gemm/blocking.h"
#include "laminet/network/steps/activation.h"
#include "laminet/network/steps/copy.h"
#include "laminet/network/steps/dense.h"
#include "laminet/network/steps/dense_parts.h"
#include "laminet/network/steps/dropout.h"
#include "laminet/network/steps/norm.h"
#include "laminet/network/steps/rescale.h"
#include "laminet/network/steps/select.h"
#include "laminet/network/steps/softmax.h"
#include "laminet/network/steps/sum.h"

namespace laminet {
namespace {

// use(rows, their part of the frame) for the rows of a part, if there are some.
template <class T, class Use>
void for_own_rows(const Frame<T>& frame, const StepPart& part, Use use) {
  const RowRange rows = share_of_rows(frame.rows(), part.parts, part.part);
  if (rows.count > 0) use(rows, frame.rows(rows.first, rows.count));
}

}  // namespace

std::vector<std::size_t> kept_columns(const Step& step) {
  return std::visit([&](const auto& operation) { return steps::kept_columns(operation, step); },
                    step.operation);
}

std::vector<StepCosts> costs(const Program& program) {
  std::vector<StepCosts> result(program.steps().size());
  // Columns of buffers that steps further on give a gradient to.
  std::map<std::size_t, std::vector<bool>> given;
  for (std::size_t s = result.size(); s-- > 0;) {
    const Step& step = program.steps()[s];
    result[s] = std::visit([&](const auto& operation) { return steps::costs(operation, step); },
                           step.operation);
    std::size_t again = 0;
    for (const Columns& in : step.inputs) {
      std::vector<bool>& columns = given[in.buffer];
      columns.resize(program.all_of(in.buffer).count);
      const auto give = [&](std::size_t column) {
        again += columns[in.first + column] ? 1 : 0;
        columns[in.first + column] = true;
      };
      if (const auto* select = std::get_if<SelectStep>(&step.operation)) {
        for (const std::size_t column : select->columns) give(column);
      } else {
        for (std::size_t column = 0; column < in.count; ++column) give(column);
      }
    }
    result[s].pull_back.others += again;
    result[s].pull_back.read += again;
  }
  return result;
}

template <class T>
void forward(const StepCall<T>& call, const Frame<T>& values) {
  std::visit([&](const auto& operation) { steps::forward(operation, call, values); },
             call.step().operation);
}

template <class T>
void pre_activation(const StepCall<T>& call, const Frame<T>& values, MatrixView<T> z) {
  steps::pre_activation(call, values, z);
}

template <class T>
void forward_part(const StepCall<T>& call, const Frame<T>& values, const StepPart& part) {
  if (call.program.dense(call.index)) return steps::forward_part(call, values, part);
  for_own_rows(values, part, [&](RowRange, const Frame<T>& own) { forward(call, own); });
}

template <class T>
void record(const StepCall<T>& call, const Frame<T>& values, const Frame<T>& kept, bool wanted) {
  std::visit([&](const auto& operation) { steps::record(operation, call, values, kept, wanted); },
             call.step().operation);
}

template <class T>
void record_part(const StepCall<T>& call, const Frame<T>& values, const Frame<T>& kept, bool wanted,
                 const StepPart& part) {
  if (call.program.dense(call.index)) {
    return steps::record_part(call, values, kept, wanted, part);
  }
  for_own_rows(values, part, [&](RowRange rows, const Frame<T>& own) {
    record(call, own, kept.rows(rows.first, rows.count), wanted);
  });
}

template <class T>
void pull_back(const StepCall<T>& call, const Recorded<T>& recorded, const Frame<T>& gradients,
               Slopes slopes) {
  std::visit(
      [&](const auto& operation) {
        steps::pull_back(operation, call, recorded, gradients, slopes);
      },
      call.step().operation);
}

template <class T>
void pull_back_part(const StepCall<T>& call, const Recorded<T>& recorded, const Frame<T>& gradients,
                    Slopes slopes, BackStage stage, const StepPart& part) {
  if (stage == BackStage::product) {
    return steps::pull_back_product(call, recorded, gradients, slopes, part);
  }
  for_own_rows(gradients, part, [&](RowRange rows, const Frame<T>& own) {
    // Where gradients are kept, they have a row for each sample.
    const Frame<T> kept =
        slopes == Slopes::keep ? recorded.kept.rows(rows.first, rows.count) : recorded.kept;
    const std::size_t first = slopes == Slopes::keep ? 0 : recorded.first + rows.first;
    const Recorded<T> of_rows{recorded.values, kept, first, recorded.repeat};
    if (stage == BackStage::all) return pull_back(call, of_rows, own, slopes);
    if (stage == BackStage::slopes) return steps::pull_back_slopes(call, of_rows, own, slopes);
    steps::pull_back_sum(call, of_rows, own, slopes);
  });
}

template <class T>
void push_forward(const StepCall<T>& call, const Recorded<T>& recorded, const Frame<T>& tangents) {
  std::visit(
      [&](const auto& operation) { steps::push_forward(operation, call, recorded, tangents); },
      call.step().operation);
}

template <class T>
void push_forward_part(const StepCall<T>& call, const Recorded<T>& recorded,
                       const Frame<T>& tangents, const StepPart& part) {
  if (call.program.dense(call.index)) {
    return steps::push_forward_part(call, recorded, tangents, part);
  }
  for_own_rows(tangents, part, [&](RowRange rows, const Frame<T>& own) {
    const std::size_t first = recorded.first + rows.first;
    push_forward(call, Recorded<T>{recorded.values, recorded.kept, first, recorded.repeat}, own);
  });
}

#define LAMINET_INSTANTIATE(T)                                                                  \
  template void forward(const StepCall<T>&, const Frame<T>&);                                   \
  template void pre_activation(const StepCall<T>&, const Frame<T>&, MatrixView<T>);             \
  template void forward_part(const StepCall<T>&, const Frame<T>&, const StepPart&);             \
  template void record(const StepCall<T>&, const Frame<T>&, const Frame<T>&, bool);             \
  template void pull_back(const StepCall<T>&, const Recorded<T>&, const Frame<T>&, Slopes);     \
  template void push_forward(const StepCall<T>&, const Recorded<T>&, const Frame<T>&);          \
  template void record_part(const StepCall<T>&, const Frame<T>&, const Frame<T>&, bool,         \
                            const StepPart&);                                                   \
  template void pull_back_part(const StepCall<T>&, const Recorded<T>&, const Frame<T>&, Slopes, \
                               BackStage, const StepPart&);                                     \
  template void push_forward_part(const StepCall<T>&, const Recorded<T>&, const Frame<T>&,      \
                                  const StepPart&);
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet

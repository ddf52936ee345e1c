#include "laminet/network/steps/steps.h"

#include <variant>

#include "laminet/base/types.h"
#include "laminet/gemm/blocking.h"
#include "laminet/network/steps/activation.h"
#include "laminet/network/steps/copy.h"
#include "laminet/network/steps/dense.h"
#include "laminet/network/steps/norm.h"
#include "laminet/network/steps/rescale.h"
#include "laminet/network/steps/select.h"
#include "laminet/network/steps/softmax.h"
#include "laminet/network/steps/sum.h"

namespace laminet {

std::vector<std::size_t> kept_columns(const Step& step) {
  return std::visit([&](const auto& operation) { return steps::kept_columns(operation, step); },
                    step.operation);
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
  const RowRange rows = share_of_rows(values.rows(), part.parts, part.part);
  if (rows.count > 0) forward(call, values.rows(rows.first, rows.count));
}

template <class T>
void record(const StepCall<T>& call, const Frame<T>& values, const Frame<T>& kept, bool wanted) {
  std::visit([&](const auto& operation) { steps::record(operation, call, values, kept, wanted); },
             call.step().operation);
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
void push_forward(const StepCall<T>& call, const Recorded<T>& recorded, const Frame<T>& tangents) {
  std::visit(
      [&](const auto& operation) { steps::push_forward(operation, call, recorded, tangents); },
      call.step().operation);
}

#define LAMINET_INSTANTIATE(T)                                                              \
  template void forward(const StepCall<T>&, const Frame<T>&);                               \
  template void pre_activation(const StepCall<T>&, const Frame<T>&, MatrixView<T>);         \
  template void forward_part(const StepCall<T>&, const Frame<T>&, const StepPart&);         \
  template void record(const StepCall<T>&, const Frame<T>&, const Frame<T>&, bool);         \
  template void pull_back(const StepCall<T>&, const Recorded<T>&, const Frame<T>&, Slopes); \
  template void push_forward(const StepCall<T>&, const Recorded<T>&, const Frame<T>&);
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet

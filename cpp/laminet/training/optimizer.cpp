#include "laminet/training/optimizer.h"

#include <algorithm>
#include <cmath>

#include "laminet/base/types.h"

namespace laminet {
namespace {

template <class T>
void update_parameters(const kernels::Table<T>& table, const Optimizer& optimizer,
                       const StepRate& step, double gradient_scale, const UpdatedRange<T>& range) {
  const double decay = range.weight || optimizer.decay_all ? optimizer.decay : 0;
  const bool beside_muon = optimizer.kind == Optimizer::Kind::muon && !range.orthogonal;
  const double rate = step.learning_rate * range.factor * (beside_muon ? optimizer.adam_rate : 1.0);

  if (range.orthogonal) {
    std::copy_n(range.gradients, range.count, range.moments[0]);
    return table.sgd({.update = {.n = range.count,
                                 .parameters = range.parameters,
                                 .gradients = range.orthogonal,
                                 .scale = T{1},
                                 .l2 = T{0},
                                 .keep = static_cast<T>(1 - rate * decay)},
                      .velocity = nullptr,
                      .momentum = T{0},
                      .share = T{1},
                      .nesterov = false,
                      .first = false,
                      .rate = static_cast<T>(rate)});
  }
  const kernels::UpdateArgs<T> own{
      .n = range.count,
      .parameters = range.parameters,
      .gradients = range.gradients,
      .scale = static_cast<T>(gradient_scale),
      .l2 = static_cast<T>(optimizer.decoupled ? 0 : decay),
      .keep = static_cast<T>(optimizer.decoupled ? 1 - rate * decay : 1)};
  if (optimizer.kind == Optimizer::Kind::sgd) {
    return table.sgd({.update = own,
                      .velocity = range.moments[0],
                      .momentum = static_cast<T>(optimizer.momentum),
                      .share = static_cast<T>(step.t == 1 ? 1 : 1 - optimizer.dampening),
                      .nesterov = optimizer.nesterov,
                      .first = step.t == 1,
                      .rate = static_cast<T>(rate)});
  }
  table.adam({.update = own,
              .mean = range.moments[0],
              .square = range.moments[1],
              .mean_rate = static_cast<T>(1 - optimizer.mean_decay),
              .square_keep = static_cast<T>(optimizer.square_decay),
              .square_rate = static_cast<T>(1 - optimizer.square_decay),
              .rate = static_cast<T>(rate / step.mean_share),
              .root_scale = static_cast<T>(1 / std::sqrt(step.square_share)),
              .eps = static_cast<T>(optimizer.eps)});
}

}  // namespace

StepRate::StepRate(const Optimizer& optimizer, std::size_t number, double rate)
    : t(number),
      learning_rate(rate),
      mean_share(1 - std::pow(optimizer.mean_decay, static_cast<double>(number))),
      square_share(1 - std::pow(optimizer.square_decay, static_cast<double>(number))) {}

template <class T>
void update(const kernels::Table<T>& table, const Optimizer& optimizer, const StepRate& step,
            double gradient_scale, const UpdatedRange<T>& range) {
  if (range.factor != 0) update_parameters<T>(table, optimizer, step, gradient_scale, range);
  if (!range.average) return;
  if (step.t == 1) {
    std::copy_n(range.parameters, range.count, range.average);
  } else {
    table.average({.n = range.count,
                   .x = range.parameters,
                   .average = range.average,
                   .rate = static_cast<T>(1 - optimizer.average_keep)});
  }
}

#define LAMINET_INSTANTIATE(T)                                                              \
  template void update(const kernels::Table<T>&, const Optimizer&, const StepRate&, double, \
                       const UpdatedRange<T>&);
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet

#include "laminet/training/optimizer.h"

#include <cmath>

#include "laminet/base/types.h"

namespace laminet {

template <class T>
void update(const kernels::Table<T>& table, const Optimizer& optimizer, const StepRate& step,
            double gradient_scale, const UpdatedRange<T>& range) {
  const double decay = range.weight || optimizer.decay_all ? optimizer.decay : 0;
  const double rate = step.learning_rate;
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
                      .nesterov = optimizer.nesterov,
                      .first = step.t == 1,
                      .rate = static_cast<T>(rate)});
  }
  // The moments begin at 0; what they are short of is made good (Kingma and Ba, 2015).
  const auto t = static_cast<double>(step.t);
  const double mean_share = 1 - std::pow(optimizer.mean_decay, t);
  const double square_share = 1 - std::pow(optimizer.square_decay, t);
  table.adam({.update = own,
              .mean = range.moments[0],
              .square = range.moments[1],
              .mean_rate = static_cast<T>(1 - optimizer.mean_decay),
              .square_keep = static_cast<T>(optimizer.square_decay),
              .square_rate = static_cast<T>(1 - optimizer.square_decay),
              .rate = static_cast<T>(rate / mean_share),
              .root_scale = static_cast<T>(1 / std::sqrt(square_share)),
              .eps = static_cast<T>(optimizer.eps)});
}

#define LAMINET_INSTANTIATE(T)                                                              \
  template void update(const kernels::Table<T>&, const Optimizer&, const StepRate&, double, \
                       const UpdatedRange<T>&);
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet

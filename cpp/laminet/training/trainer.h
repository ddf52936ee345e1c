// Training of a network: forward, loss, back, and the step of an optimiser, in one call.
//
//   Trainer<float> trainer(net, {kernels::LossKind::squared_error}, {});
//   const double loss = trainer.step({x, targets}, 1e-3);   // mean loss before the step
//   trainer.numbers().copy_weight(l, w);
//
// One caller at a time; each call may use the team of threads. The tiled back end, whatever is
// chosen. The same bits for any number of threads and any instruction set from AVX2 on. Nothing is
// allocated after the first step of a size.
#pragma once

#include <cstddef>
#include <vector>

#include "laminet/base/matrix.h"
#include "laminet/network/mlp.h"
#include "laminet/training/numbers.h"
#include "laminet/training/optimizer.h"

namespace laminet {

// Samples x (B, n_0) and what their outputs should be, (B, n_L): for cross entropy probabilities,
// one-hot for labels. Any strides. Weights of samples: B of them, or null.
template <class T>
struct Samples {
  ConstMatrixView<T> x;
  ConstMatrixView<T> targets;
  const T* weights = nullptr;
};

template <class T>
class Trainer {
 public:
  // Starts from the network's numbers. Cross entropy is of what comes before a head of softmax or
  // log-softmax, which is left out.
  Trainer(const Mlp<T>& start, Loss loss, const Optimizer& optimizer);

  // A step on these samples; the mean loss before it: sum_i w_i loss_i / sum_i w_i, of squared,
  // absolute, Huber, quantile, Poisson and binary losses loss_i being the mean over the outputs.
  double step(const Samples<T>& samples, double learning_rate);
  // That of these samples, without a step.
  double loss(const Samples<T>& samples);

  std::size_t steps() const { return steps_; }
  const TrainedNumbers<T>& numbers() const { return numbers_; }
  const Program& program() const { return program_; }

 private:
  struct Pass;
  // run(pass, its first row) for one pass after the other; the sum of the losses. `scale` is that
  // of their gradients.
  template <class Run>
  double run_passes(const Samples<T>& samples, double scale, Run run);
  void check(const Samples<T>& samples) const;
  double total_weight(const Samples<T>& samples) const;

  Program program_;
  Loss loss_;
  std::vector<T> levels_;
  Optimizer optimizer_;
  TrainedNumbers<T> numbers_;
  HugePageArray<T> gradients_;  // of steps of several passes
  std::vector<double> losses_;
  std::size_t steps_ = 0;
};

}  // namespace laminet

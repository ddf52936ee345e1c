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
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "laminet/network/mlp.h"
#include "laminet/network/precision.h"
#include "laminet/training/batches.h"
#include "laminet/training/newton_schulz.h"
#include "laminet/training/numbers.h"
#include "laminet/training/optimizer.h"
#include "laminet/training/pass.h"
#include "laminet/training/samples.h"

namespace laminet {

// What an epoch came to. A step whose loss is not finite is not made, nor any after it.
struct EpochResult {
  double loss;        // mean of those before each step, by the weights of the samples
  std::size_t steps;  // that were made
};

template <class T>
class Trainer {
 public:
  // Starts from the network's numbers. Cross entropy is of what comes before a head of softmax or
  // log-softmax, which is left out. Steps, and nothing else, drop features where the network has
  // dropout, by the seed and the number of the step.
  //
  // In Precision::bfloat16, of float alone, all products of a step (forward, back, and those that
  // gradients are) have factors rounded to bfloat16, as tile.h has it; parameters, sums, gradients
  // and all else stay float, and loss() is that of these parameters. bfloat16_weights is none of
  // training.
  Trainer(const Mlp<T>& start, const Loss& loss, const Optimizer& optimizer,
          const RateFactors& factors = {}, std::uint64_t dropout_seed = 0,
          Precision precision = Precision::full);

  // A step on these samples; the mean loss before it: sum_i w_i loss_i / sum_i w_i, of squared,
  // absolute, Huber, quantile, Poisson and binary losses loss_i being the mean over the outputs.
  // Samples of weight 0 are as if they were not there.
  double step(const Samples<T>& samples, double learning_rate);

  // A step on one batch after the other, each at its own rate, of which there are as many; batches
  // of the samples as they lie, or shuffled. An interruption comes between two steps.
  EpochResult epoch(const Samples<T>& samples, std::size_t batch_size,
                    const std::optional<Shuffle>& shuffle, std::span<const double> rates);

  // The loss of these samples, without a step; and with the gradients, in memory for all numbers
  // that lies as the parameters do (numbers.h), until the next call.
  double loss(const Samples<T>& samples);
  double gradients(const Samples<T>& samples, const T*& memory);

  // A step by gradients that were made elsewhere: of the mean loss of a batch, in this memory,
  // which lies as the parameters do and is all zeros when asked for.
  T* given_gradients();
  void apply(double learning_rate);

  std::size_t steps() const { return steps_; }
  // The next step is number `steps` + 1, as moments ask that have been set.
  void set_steps(std::size_t steps) { steps_ = steps; }
  const TrainedNumbers<T>& numbers() const { return numbers_; }
  TrainedNumbers<T>& numbers() { return numbers_; }
  const Optimizer& optimizer() const { return optimizer_; }
  // Of a step on so many rows, an update counted as the products that take as long.
  double flops(std::size_t rows) const;
  const Program& program() const { return program_; }

 private:
  enum class Aim { loss, gradients, step, apply };
  class Job;
  EpochResult run(const Samples<T>& samples, std::size_t batch_size,
                  const std::optional<Shuffle>& shuffle, std::span<const double> rates, Aim aim);

  Program program_;
  Loss loss_;
  Targets<T> targets_;
  Optimizer optimizer_;
  TrainedNumbers<T> numbers_;
  NewtonSchulz<T> newton_schulz_;
  Batches<T> batches_;
  std::vector<GradientOperands<T>> operands_;  // of all rows; of slices that are rounded, by part
  HugePageArray<T> gradients_;                 // of all parameters; of each slice
  std::vector<double> losses_;
  std::vector<double> squares_;  // of the gradients: TrainedNumbers::squares()
  std::size_t steps_ = 0;
  std::uint64_t dropout_seed_;
};

}  // namespace laminet

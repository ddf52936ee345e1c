// What is minimised and how: descriptions, and what an optimiser does in one step.
#pragma once

#include <cstddef>
#include <vector>

#include "laminet/kernels/table.h"

namespace laminet {

struct Loss {
  kernels::LossKind kind = kernels::LossKind::squared_error;
  double parameter = 1;        // of Huber: where its parabola ends
  std::vector<double> levels;  // of quantiles, by output
};

// SGD (with momentum, Nesterov's too) and Adam, whose decay is of the gradient (L2) or, decoupled,
// of the parameter itself (AdamW; Loshchilov and Hutter, 2019). Rules and defaults are PyTorch's.
struct Optimizer {
  enum class Kind { sgd, adam } kind = Kind::adam;
  double momentum = 0;
  bool nesterov = false;
  double mean_decay = 0.9;      // beta_1
  double square_decay = 0.999;  // beta_2
  double eps = 1e-8;
  double decay = 0;
  bool decoupled = false;
  bool decay_all = false;  // biases and norms, too

  // How many buffers of moments it keeps.
  std::size_t moments() const { return kind == Kind::adam ? 2 : momentum != 0 ? 1 : 0; }
};

// Of the t-th step, counted from 1, at that learning rate.
struct StepRate {
  std::size_t t;
  double learning_rate;
};

// Parameters side by side in memory, with what belongs to them.
template <class T>
struct UpdatedRange {
  T* parameters;
  const T* gradients;
  T* moments[2];
  std::size_t count;
  bool weight;  // decays, whatever `decay_all`
};

template <class T>
void update(const kernels::Table<T>& table, const Optimizer& optimizer, const StepRate& step,
            double gradient_scale, const UpdatedRange<T>& range);

}  // namespace laminet

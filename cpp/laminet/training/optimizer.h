// What an optimiser is, and what it does in one step.
#pragma once

#include <cstddef>
#include <vector>

#include "laminet/kernels/table.h"

namespace laminet {

// SGD (with momentum, Nesterov's too) and Adam, whose decay is of the gradient (L2) or, decoupled,
// of the parameter itself (AdamW; Loshchilov and Hutter, 2019); Muon (Jordan and others, 2024) for
// weights, AdamW for all else. Rules and defaults are PyTorch's.
struct Optimizer {
  enum class Kind { sgd, adam, muon } kind = Kind::adam;
  double momentum = 0;
  double dampening = 0;
  bool nesterov = false;
  double mean_decay = 0.9;      // beta_1
  double square_decay = 0.999;  // beta_2
  double eps = 1e-8;
  std::size_t newton_schulz_steps = 5;
  bool match_rms = false;  // of AdamW's updates
  double adam_rate = 1;    // beside Muon, in parts of its own learning rate
  double decay = 0;
  bool decoupled = false;
  bool decay_all = false;   // biases and norms, too
  double clip_norm = 0;     // of all gradients together; 0: any
  double average_keep = 0;  // of an average of the parameters, per step; 0: there is none

  // How many buffers of moments it keeps.
  std::size_t moments() const { return kind != Kind::sgd ? 2 : momentum != 0 ? 1 : 0; }
  bool averages() const { return average_keep > 0; }
};

// Of the t-th step, counted from 1, at that learning rate.
struct StepRate {
  StepRate(const Optimizer& optimizer, std::size_t number, double rate);

  std::size_t t;
  double learning_rate;
  // What Adam's moments, which begin at 0, have of what they would be (Kingma and Ba, 2015).
  double mean_share;
  double square_share;
};

// Parameters side by side in memory, with what belongs to them.
template <class T>
struct UpdatedRange {
  T* parameters;
  const T* gradients;
  T* moments[2];
  T* average;
  std::size_t count;
  double factor;  // of the learning rate; with 0 nothing changes, but the average
  bool weight;    // decays, whatever `decay_all`
  // Of weights by Muon: what is subtracted. The gradients are the new momentum then.
  const T* orthogonal = nullptr;
};

template <class T>
void update(const kernels::Table<T>& table, const Optimizer& optimizer, const StepRate& step,
            double gradient_scale, const UpdatedRange<T>& range);

}  // namespace laminet

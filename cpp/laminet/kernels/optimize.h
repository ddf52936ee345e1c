// What an optimiser does with n parameters that lie side by side, and their gradients. All of it is
// element by element, by correctly rounded operations: the same bits everywhere.
//
// A gradient is first multiplied by `scale`, which clips it, then `l2` times the parameter is
// added. A parameter is multiplied by `keep`, 1 without decay, before the step is subtracted.
#pragma once

#include <cstddef>

namespace laminet::kernels {

template <class T>
struct UpdateArgs {
  std::size_t n;
  T* parameters;
  const T* gradients;
  T scale;
  T l2;
  T keep;
};

//   velocity = momentum velocity + share g,  or share g where `first` is set
//   p = keep p - rate (nesterov ? g + momentum velocity : velocity)
// Without momentum velocity is null and p = keep p - rate g.
template <class T>
struct SgdArgs {
  UpdateArgs<T> update;
  T* velocity;
  T momentum;
  T share;
  bool nesterov;
  bool first;
  T rate;
};

//   mean += mean_rate (g - mean)
//   square = square_keep square + square_rate g^2
//   p = keep p - rate mean / (sqrt(square) root_scale + eps)
template <class T>
struct AdamArgs {
  UpdateArgs<T> update;
  T* mean;
  T* square;
  T mean_rate;
  T square_keep;
  T square_rate;
  T rate;
  T root_scale;
  T eps;
};

// average += rate (x - average)
template <class T>
struct AverageArgs {
  std::size_t n;
  const T* x;
  T* average;
  T rate;
};

}  // namespace laminet::kernels

// Losses of rows of outputs, with their gradients. Strides are in elements.
#pragma once

#include <cstddef>

namespace laminet::kernels {

// By output o and target t, d being t - o:
enum class LossKind {
  squared_error,         // d^2
  absolute_error,        // |d|
  huber,                 // d^2 / 2 where |d| <= parameter, else parameter (|d| - parameter / 2)
  quantile,              // max(q d, (q - 1) d), q being the level of the column
  poisson,               // exp(o) - t o
  cross_entropy,         // -t log softmax(o)
  binary_cross_entropy,  // max(o, 0) - t o + log(1 + exp(-|o|))
};
inline constexpr std::size_t kLossCount = 7;

// Of each row, with its weight w (1 where `weights` is null):
//   losses   w times the sum over the row of the losses above
//   g        w scale times their derivatives with respect to the outputs; g may be the outputs
// At kinks the derivative is 0 where the loss is 0 and that of PyTorch elsewhere.
template <class T>
struct LossArgs {
  std::size_t rows;
  std::size_t columns;
  const T* outputs;
  std::ptrdiff_t outputs_stride;
  const T* targets;
  std::ptrdiff_t targets_stride;
  const T* weights;
  T scale;
  T* g;  // or null: the losses alone
  std::ptrdiff_t g_stride;
  double* losses;
  T parameter;
  const T* levels;  // of quantiles, by column
};

template <class T>
using LossFn = void (*)(const LossArgs<T>& args);

}  // namespace laminet::kernels

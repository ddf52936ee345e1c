// The user's view of a network: layers, and the three ways in which they are put together.
#pragma once

#include <cstddef>
#include <variant>
#include <vector>

#include "laminet/base/matrix.h"
#include "laminet/kernels/activation.h"

namespace laminet {

// The parameters of an activation, one for each unit, in place of its own; null where it has none.
template <class T>
struct UnitArrays {
  const T* alphas = nullptr;
  const T* betas = nullptr;

  bool any() const { return alphas || betas; }
};

// A function with such parameters, and of how many units.
template <class T>
struct UnitsView {
  UnitArrays<T> units;
  std::size_t features = 0;
};

// a = s(W x + b): W (out_features, in_features) with any strides; bias contiguous, or null.
template <class T>
struct DenseView {
  ConstMatrixView<T> weight;
  const T* bias = nullptr;
  Activation activation;
  UnitArrays<T> units = {};
};

// s(x). Here and below `features` are how many it takes, where it has arrays; else 0.
template <class T>
struct ActivationView {
  Activation activation;
  UnitArrays<T> units = {};
  std::size_t features = 0;
};

// A number, or one for each feature.
template <class T>
struct ByFeature {
  T value = 0;
  const T* values = nullptr;
};

// clip(scale x + shift, low, high); the bounds only where `clip` is set.
template <class T>
struct RescaleView {
  ByFeature<T> scale;
  ByFeature<T> shift;
  bool clip = false;
  ByFeature<T> low;
  ByFeature<T> high;
  std::size_t features = 0;
};

// (x - mean) / sqrt(variance + eps) weight + bias, or without `center` x / sqrt(mean of x^2 + eps)
// weight + bias; weight and bias may be null.
template <class T>
struct NormView {
  bool center = true;
  double eps = 1e-5;
  const T* weight = nullptr;
  const T* bias = nullptr;
  std::size_t features = 0;
};

// Nothing, but in training, where features are 0 with the probability `rate`, at least 0 and less
// than 1, and divided by 1 - rate where they stay.
struct DropoutView {
  double rate = 0;
};

template <class T>
struct LayerView;

// In series: each layer takes what the one before it gives.
template <class T>
using SeriesView = std::vector<LayerView<T>>;

enum class Join { concat, sum, mean };

// Side by side over the same input; a branch of no layers gives the input itself.
template <class T>
struct ParallelView {
  std::vector<SeriesView<T>> branches;
  Join join = Join::concat;
};

// x + f(x).
template <class T>
struct ResidualView {
  SeriesView<T> layers;
};

// Some columns, in any order.
struct SelectView {
  std::vector<std::size_t> columns;
};

template <class T>
struct LayerView {
  std::variant<DenseView<T>, ActivationView<T>, RescaleView<T>, NormView<T>, SelectView,
               DropoutView, ParallelView<T>, ResidualView<T>>
      kind;
};

// Throws std::invalid_argument where a parameter that the function takes is not finite in T: 1e39
// is a slope in double, in float it is infinity, and infinity times 0 no number.
template <class T>
void check_activation(const Activation& activation);

}  // namespace laminet

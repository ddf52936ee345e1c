// The user's view of a network: layers, and the three ways in which they are put together.
#pragma once

#include <cstddef>
#include <variant>
#include <vector>

#include "laminet/base/matrix.h"
#include "laminet/kernels/activation.h"

namespace laminet {

// a = s(W x + b): W (out_features, in_features) with any strides; bias contiguous, or null.
template <class T>
struct DenseView {
  ConstMatrixView<T> weight;
  const T* bias = nullptr;
  Activation activation;
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

// Some columns, in ascending order and one after the other.
struct SelectView {
  std::size_t first;
  std::size_t count;
};

template <class T>
struct LayerView {
  std::variant<DenseView<T>, Activation, SelectView, ParallelView<T>, ResidualView<T>> kind;
};

// Throws std::invalid_argument where a parameter that the function takes is not finite in T: 1e39
// is a slope in double, in float it is infinity, and infinity times 0 no number.
template <class T>
void check_activation(const Activation& activation);

}  // namespace laminet

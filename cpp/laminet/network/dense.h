// One dense layer: the user's view of it, and the layer as a network keeps it.
#pragma once

#include <cstddef>

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

// Throws std::invalid_argument where a parameter that the function takes is not finite in T: 1e39
// is a slope in double, in float it is infinity, and infinity times 0 no number.
template <class T>
void check_activation(const Activation& activation);

// The same with storage of its own and contiguous rows. Immutable.
template <class T>
class Dense {
 public:
  explicit Dense(const DenseView<T>& source);

  std::size_t in_features() const { return in_features_; }
  std::size_t out_features() const { return out_features_; }
  ConstMatrixView<T> weight() const {
    return dense_view<const T>(weight_.data(), out_features_, in_features_);
  }
  const T* bias() const { return bias_.data(); }  // null where the layer has none
  const Activation& activation() const { return activation_; }
  std::size_t bytes() const { return weight_.bytes() + bias_.bytes(); }

 private:
  std::size_t out_features_;
  std::size_t in_features_;
  AlignedArray<T> weight_;
  AlignedArray<T> bias_;
  Activation activation_;
};

}  // namespace laminet

#include "laminet/network/dense.h"

#include <algorithm>

#include "laminet/base/check.h"

namespace laminet {

template <class T>
Dense<T>::Dense(const DenseView<T>& source)
    : out_features_(source.weight.rows),
      in_features_(source.weight.columns),
      weight_(checked_product(source.weight.rows, source.weight.columns)),
      activation_(source.activation) {
  require(out_features_ > 0 && in_features_ > 0,
          "weight must have at least one row and one column, got shape (", out_features_, ", ",
          in_features_, ")");
  copy<T>(source.weight, dense_view(weight_.data(), out_features_, in_features_));
  if (source.bias) {
    bias_ = AlignedArray<T>(out_features_);
    std::copy(source.bias, source.bias + out_features_, bias_.data());
  }
}

template class Dense<float>;
template class Dense<double>;

}  // namespace laminet

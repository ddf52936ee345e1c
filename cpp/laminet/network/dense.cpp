#include "laminet/network/dense.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "laminet/base/check.h"
#include "laminet/base/interruption.h"

namespace laminet {

template <class T>
void check_activation(const Activation& activation) {
  const ActivationInfo& row = info(activation.kind);
  const auto check = [&](bool taken, const char* parameter, double value) {
    // Compared before it is converted: a conversion out of range is undefined.
    const bool finite = std::abs(value) <= static_cast<double>(std::numeric_limits<T>::max());
    require(!taken || finite, parameter, " of ", row.name, " must be finite in ",
            sizeof(T) == sizeof(float) ? "float32" : "float64", ", got ", value);
  };
  check(row.has_alpha, "alpha", activation.alpha);
  check(row.has_beta, "beta", activation.beta);
}

template <class T>
Dense<T>::Dense(const DenseView<T>& source)
    : out_features_(source.weight.rows),
      in_features_(source.weight.columns),
      weight_(checked_product(source.weight.rows, source.weight.columns)),
      activation_(source.activation) {
  require(out_features_ > 0 && in_features_ > 0,
          "weight must have at least one row and one column, got shape (", out_features_, ", ",
          in_features_, ")");
  check_activation<T>(activation_);
  constexpr std::size_t kBetween = std::size_t{1} << 20;  // elements, of some milliseconds
  const std::size_t step = std::max<std::size_t>(1, kBetween / in_features_);
  const MatrixView<T> weight = dense_view(weight_.data(), out_features_, in_features_);
  for (std::size_t i = 0; i < out_features_; i += step) {
    interruption_point();
    const std::size_t rows = std::min(step, out_features_ - i);
    copy<T>(source.weight.row_block(i, rows), weight.row_block(i, rows));
  }
  if (source.bias) {
    bias_ = AlignedArray<T>(out_features_);
    std::copy(source.bias, source.bias + out_features_, bias_.data());
  }
}

template void check_activation<float>(const Activation&);
template void check_activation<double>(const Activation&);
template class Dense<float>;
template class Dense<double>;

}  // namespace laminet

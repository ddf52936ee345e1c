// What a dense layer's product means, as three plain loops; what the tests compare with.
#pragma once

#include "laminet/base/matrix.h"

namespace laminet {

// z_ij = sum_p x_ip w_jp + b_j, products and sums in double, rounded once at the end.
template <class T>
void reference_product(ConstMatrixView<T> x, ConstMatrixView<T> w, const T* bias, MatrixView<T> z) {
  for (std::size_t i = 0; i < x.rows; ++i) {
    for (std::size_t j = 0; j < w.rows; ++j) {
      double sum = 0.0;
      for (std::size_t p = 0; p < x.columns; ++p) {
        sum += static_cast<double>(x(i, p)) * static_cast<double>(w(j, p));
      }
      z(i, j) = static_cast<T>(bias ? sum + static_cast<double>(bias[j]) : sum);
    }
  }
}

}  // namespace laminet

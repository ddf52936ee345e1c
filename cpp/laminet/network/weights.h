// What is asked of a weight, and how it is copied.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>

#include "laminet/base/bfloat16.h"
#include "laminet/base/check.h"
#include "laminet/base/interruption.h"
#include "laminet/base/matrix.h"
#include "laminet/gemm/blas.h"

namespace laminet {

template <class T>
void require_blas_fits(ConstMatrixView<T> weight) {
  require(blas::fits(weight), "a weight of shape (", weight.rows, ", ", weight.columns,
          ") is too large for the 32-bit integers of BLAS; use back end 'tiled'");
}

// With a place to be interrupted every few milliseconds.
template <class T>
void copy_weight(ConstMatrixView<T> from, MatrixView<T> to) {
  constexpr std::size_t kBetween = std::size_t{1} << 20;  // elements
  const std::size_t step = std::max<std::size_t>(1, kBetween / from.columns);
  for (std::size_t i = 0; i < from.rows; i += step) {
    interruption_point();
    const std::size_t rows = std::min(step, from.rows - i);
    copy<T>(from.row_block(i, rows), to.row_block(i, rows));
  }
}

// To bfloat16, or to what stands for it as a factor of products of such numbers. Throws
// std::invalid_argument where a number becomes infinite.
template <class T>
void round_to_bfloat16(MatrixView<T> weight, bool factors) {
  for (std::size_t i = 0; i < weight.rows; ++i) {
    interruption_point();
    for (T& w : std::span(weight.row(i), weight.columns)) {
      const float given = static_cast<float>(w);
      const float rounded = widened(factors ? to_factor(given) : to_bfloat16(given));
      require(!std::isinf(rounded) || std::isinf(w), "a weight of ", w,
              " is beyond the range of bfloat16");
      w = static_cast<T>(rounded);
    }
  }
}

}  // namespace laminet

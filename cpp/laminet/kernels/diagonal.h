// Products with diagonal matrices, which the chain rule puts between the weights.
#pragma once

#include <cstddef>

namespace laminet::kernels {

// Row i of g, element by element, times row (first + i) / repeat of d; first < repeat.
template <class T>
struct ScaleColumnsArgs {
  std::size_t rows;
  std::size_t columns;
  T* g;
  std::ptrdiff_t g_stride;
  const T* d;
  std::ptrdiff_t d_stride;
  std::size_t first;
  std::size_t repeat;
};

// y = diag(after) (diag(row_scale) w - 1 minus^T) diag(column_scale), each of the four left out
// where it is null. y may be w.
template <class T>
struct ScaledCopyArgs {
  std::size_t rows;
  std::size_t columns;
  const T* w;
  std::ptrdiff_t w_stride;
  const T* row_scale;     // `rows` elements
  const T* minus;         // `columns` elements
  const T* after;         // `rows` elements
  const T* column_scale;  // `columns` elements
  T* y;
  std::ptrdiff_t y_stride;
};

}  // namespace laminet::kernels

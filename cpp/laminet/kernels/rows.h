// What joins the elements of a row or of a column: softmax, norms, their derivatives, sums. Strides
// are in elements; nothing outside the rows is read or written.
#pragma once

#include <cstddef>

namespace laminet::kernels {

// One row of n >= 1 logits in place: exp(x - max) / sum, or x - max - log(sum).
template <class T>
using RowFn = void (*)(T* row, std::size_t n);

// The derivative of softmax or log-softmax, given the probabilities p, applied to each row x:
//   softmax               x = p (x - <p, x>), element by element; it is symmetric
//   log_softmax           x = x - <p, x>
//   log_softmax_transpose x = x - p <1, x>
enum class HeadProduct { softmax, log_softmax, log_softmax_transpose };

// Row i of x belongs to row (first + i) / repeat of p; first < repeat.
template <class T>
struct HeadProductArgs {
  HeadProduct product;
  std::size_t rows;
  std::size_t columns;
  T* x;
  std::ptrdiff_t x_stride;
  const T* p;
  std::ptrdiff_t p_stride;
  std::size_t first;
  std::size_t repeat;
};

// LayerNorm of each row or, without `center`, RMSNorm, in which mean is 0:
//   normalized = (x - mean) rstd,  rstd = 1 / sqrt(variance + eps),  y = normalized weight + bias
// The variance is biased, the mean of (x - mean)^2; both are taken in two passes over the row, so
// that a mean much larger than the deviations costs no digits; squares may overflow. y, normalized
// and rstd may be null; y or normalized may be x.
template <class T>
struct NormArgs {
  bool center;
  std::size_t rows;
  std::size_t columns;
  const T* x;
  std::ptrdiff_t x_stride;
  T* y;
  std::ptrdiff_t y_stride;
  const T* weight;  // `columns` elements, or null: 1
  const T* bias;    // `columns` elements, or null: 0
  double eps;
  T* normalized;
  std::ptrdiff_t normalized_stride;
  T* rstd;  // `rows` elements
};

// The derivative of a norm, given what NormArgs kept, applied to each row of g:
//   norm_pull_back     y = rstd (h - mean(h) - normalized mean(h normalized)),  h = g weight
//   norm_push_forward  y = rstd (g - mean(g) - normalized mean(g normalized)) weight
// without mean(h) and mean(g) for RMSNorm. Row i of g and y belongs to row (first + i) / repeat of
// normalized and rstd; first < repeat. y may be g.
template <class T>
struct NormProductArgs {
  bool center;
  std::size_t rows;
  std::size_t columns;
  const T* g;
  std::ptrdiff_t g_stride;
  T* y;
  std::ptrdiff_t y_stride;
  const T* weight;  // `columns` elements, or null: 1
  const T* normalized;
  std::ptrdiff_t normalized_stride;
  const T* rstd;
  std::size_t first;
  std::size_t repeat;
};

// sums, of `columns` elements, = the sums over the rows of x, or of x times `by` element by element
// where that is not null; or += them.
template <class T>
struct ColumnSumsArgs {
  std::size_t rows;
  std::size_t columns;
  const T* x;
  std::ptrdiff_t x_stride;
  T* sums;
  bool accumulate;
  const T* by = nullptr;
  std::ptrdiff_t by_stride = 0;
};

}  // namespace laminet::kernels

// Functions of each element of a matrix. Strides are in elements; nothing outside the rows is read
// or written.
#pragma once

#include <cstddef>
#include <cstdint>

namespace laminet::kernels {

// y = s(z + bias) of a matrix of pre-activations z; y may be z. What the parameters mean, and
// whether the function has them, activation.h says.
template <class T>
struct ElementwiseArgs {
  std::size_t rows;
  std::size_t columns;
  const T* z;
  std::ptrdiff_t z_stride;
  T* y;
  std::ptrdiff_t y_stride;
  const T* bias;  // `columns` elements, or null
  double alpha;
  double beta;
  // The parameters by column, `columns` elements each, or null: then the number above.
  const T* alphas = nullptr;
  const T* betas = nullptr;
};

template <class T>
using ElementwiseFn = void (*)(const ElementwiseArgs<T>& args);

// The same, with the derivative: d = s'(z + bias) and, unless y is null, y = s(z + bias). Either
// may be z.
template <class T>
struct DerivativeArgs {
  std::size_t rows;
  std::size_t columns;
  const T* z;
  std::ptrdiff_t z_stride;
  T* y;
  std::ptrdiff_t y_stride;
  T* d;
  std::ptrdiff_t d_stride;
  const T* bias;  // `columns` elements, or null
  double alpha;
  double beta;
  const T* alphas = nullptr;  // as above
  const T* betas = nullptr;
};

// y = x in the form that factors of products of bfloat16 have: Y is T, or bfloat16_pair, of which a
// row has half as many.
template <class T, class Y>
struct RoundArgs {
  std::size_t rows;
  std::size_t columns;
  const T* x;
  std::ptrdiff_t x_stride;
  Y* y;
  std::ptrdiff_t y_stride;
};

template <class T>
using DerivativeFn = void (*)(const DerivativeArgs<T>& args);

// A number for all columns or, where `values` is not null, one for each.
template <class T>
struct ByColumn {
  T value;
  const T* values = nullptr;
};

// y = min(max(scale x + shift, low), high), the bounds only where `clip` is set; product and sum
// are rounded once, by fused multiply-add. NaN stays NaN. Where low > high, y is high.
//
// d is its derivative: scale, or where it is clipped 0 if the value before lies outside of the
// bounds (at the bounds it is still scale, as PyTorch's clamp has it) and NaN if that is NaN.
// Either of y and d may be null, and either may be x.
template <class T>
struct RescaleArgs {
  std::size_t rows;
  std::size_t columns;
  const T* x;
  std::ptrdiff_t x_stride;
  T* y;
  std::ptrdiff_t y_stride;
  T* d;
  std::ptrdiff_t d_stride;
  ByColumn<T> scale;
  ByColumn<T> shift;
  bool clip;
  ByColumn<T> low;
  ByColumn<T> high;
};

// y = (a + b) factor, or y = a factor where b is null. y may be a or b: y += a is b = y.
template <class T>
struct SumArgs {
  std::size_t rows;
  std::size_t columns;
  const T* a;
  std::ptrdiff_t a_stride;
  const T* b;
  std::ptrdiff_t b_stride;
  T* y;
  std::ptrdiff_t y_stride;
  T factor;
};

// Columns by a list of `columns` places, which for a gather may repeat:
//   gather_columns       to[:, j] = from[:, index[j]]
//   scatter_add_columns  to[:, index[j]] += from[:, j], j ascending; its pull back
// The two matrices do not overlap.
template <class T>
struct IndexedColumnsArgs {
  std::size_t rows;
  std::size_t columns;
  const std::uint32_t* index;
  const T* from;
  std::ptrdiff_t from_stride;
  T* to;
  std::ptrdiff_t to_stride;
};

// The elementary functions that the activations stand on, exposed so that tests can measure them.
enum class Elementary { exp, expm1, log1p_exp, tanh, sigmoid };
inline constexpr std::size_t kElementaryCount = 5;

// y = f(x) for n contiguous elements.
template <class T>
using ArrayFn = void (*)(const T* x, T* y, std::size_t n);

}  // namespace laminet::kernels

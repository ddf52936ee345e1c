// Products by a CBLAS library (blas_library.h), which there must be.
#pragma once

#include <cstddef>

#include "laminet/base/matrix.h"

namespace laminet::blas {

// Y = X W^T, or Y += X W^T. Y (m, n) has contiguous rows; X (m, k) and W (n, k) have contiguous
// rows, or contiguous columns (views of a transposed matrix). Their strides and sizes fit an int:
// fits() below, of the view or of its transpose. One row of X is gemv, more are gemm.
template <class T>
void multiply(ConstMatrixView<T> x, ConstMatrixView<T> w, MatrixView<T> y, bool accumulate = false);

// A product large enough to make the library ask for a buffer. It lends them: threads that work at
// the same time take one each, the next of which it asks for then.
template <class T>
void warm_up();

// Whether CBLAS's 32-bit integers can describe the view.
template <class T>
bool fits(ConstMatrixView<T> view);

}  // namespace laminet::blas

// A CBLAS library, loaded at run time.
#pragma once

#include <string>

#include "laminet/base/matrix.h"

namespace laminet::blas {

struct LibraryInfo {
  std::string name;     // "OpenBLAS", or "CBLAS" where the library does not tell
  std::string version;  // empty where it does not tell
  std::string core;     // the kernels it chose, as it calls them
  std::string path;
};

// The library, or null where there is none: LAMINET_BLAS where set, else the copy of OpenBLAS that
// is installed beside this code. Loaded on the first call, and set to one thread: the team of
// base/parallel is the only parallelism. Throws std::runtime_error where LAMINET_BLAS names a file
// that cannot be used. A fork waits for the end of a load under way, for 5 seconds: then the child
// has none.
const LibraryInfo* library();

// Why library() is null; empty where it is not.
const std::string& load_error();

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

#include "laminet/gemm/blas.h"

#include <algorithm>
#include <limits>

#include "laminet/base/interruption.h"
#include "laminet/base/types.h"
#include "laminet/gemm/blas_library.h"

namespace laminet::blas {
namespace {

// The values that every cblas.h gives these names.
constexpr int kRowMajor = 101;
constexpr int kNoTrans = 111;
constexpr int kTrans = 112;

constexpr std::size_t kIntMax = std::numeric_limits<int>::max();

// An operand as CBLAS takes it: a row-major matrix, transposed or not, and its leading dimension,
// which is at least the length of a row even where there is one row.
struct Operand {
  int trans;
  int ld;
};

template <class T>
Operand operand(ConstMatrixView<T> v, bool transposed) {
  const bool by_rows = v.contiguous_rows();
  const std::size_t rows = by_rows ? v.rows : v.columns;
  const std::size_t length = by_rows ? v.columns : v.rows;
  const auto stride = static_cast<std::size_t>(by_rows ? v.row_stride : v.column_stride);
  return {by_rows == transposed ? kTrans : kNoTrans, static_cast<int>(rows <= 1 ? length : stride)};
}

// No call of the library can be interrupted: this much takes a core some 30 ms, 50 where it is
// shared.
constexpr double kMostFlops = 3e9;

template <class T>
void multiply_at_once(ConstMatrixView<T> x, ConstMatrixView<T> w, MatrixView<T> y,
                      bool accumulate) {
  const Functions& f = functions();
  const int m = static_cast<int>(x.rows);
  const int n = static_cast<int>(w.rows);
  const int k = static_cast<int>(w.columns);
  const T beta = accumulate ? T{1} : T{0};
  const Operand wt = operand(w, true);
  if (m == 1) {
    // y = W x: of the matrix as it is stored, transposed or not.
    const bool by_rows = wt.trans == kTrans;
    const int trans = by_rows ? kNoTrans : kTrans;
    const int rows = by_rows ? n : k;
    const int columns = by_rows ? k : n;
    const int step = k == 1 ? 1 : static_cast<int>(x.column_stride);
    if constexpr (sizeof(T) == sizeof(float)) {
      f.sgemv(kRowMajor, trans, rows, columns, 1.0f, w.data, wt.ld, x.data, step, beta, y.data, 1);
    } else {
      f.dgemv(kRowMajor, trans, rows, columns, 1.0, w.data, wt.ld, x.data, step, beta, y.data, 1);
    }
    return;
  }
  const Operand xn = operand(x, false);
  const int ldy = operand<T>(y, false).ld;
  if constexpr (sizeof(T) == sizeof(float)) {
    f.sgemm(kRowMajor, xn.trans, wt.trans, m, n, k, 1.0f, x.data, xn.ld, w.data, wt.ld, beta,
            y.data, ldy);
  } else {
    f.dgemm(kRowMajor, xn.trans, wt.trans, m, n, k, 1.0, x.data, xn.ld, w.data, wt.ld, beta, y.data,
            ldy);
  }
}

}  // namespace

template <class T>
bool fits(ConstMatrixView<T> view) {
  if (!view.contiguous_rows() || view.rows > kIntMax || view.columns > kIntMax) return false;
  return view.rows <= 1 || (view.row_stride >= static_cast<std::ptrdiff_t>(view.columns) &&
                            view.row_stride <= std::numeric_limits<int>::max());
}

template <class T>
void multiply(ConstMatrixView<T> x, ConstMatrixView<T> w, MatrixView<T> y, bool accumulate) {
  const auto most = [&](std::size_t with) {
    const double flops = 2.0 * static_cast<double>(w.columns) * static_cast<double>(with);
    return static_cast<std::size_t>(
        std::clamp(kMostFlops / flops, 1.0, static_cast<double>(kIntMax)));
  };
  // Both are packed anew in each call: so parts that are long in either direction.
  const std::size_t rows = std::min(x.rows, most(std::min<std::size_t>(w.rows, 512)));
  const std::size_t columns = std::min(w.rows, most(rows));
  for (std::size_t i = 0; i < x.rows; i += rows) {
    const std::size_t m = std::min(rows, x.rows - i);
    for (std::size_t j = 0; j < w.rows; j += columns) {
      if (i > 0 || j > 0) interruption_point();
      const std::size_t n = std::min(columns, w.rows - j);
      multiply_at_once(x.row_block(i, m), w.row_block(j, n), y.row_block(i, m).column_block(j, n),
                       accumulate);
    }
  }
}

template <class T>
void warm_up() {
  constexpr std::size_t n = 64;
  AlignedArray<T> memory(3 * n * n);
  std::fill(memory.begin(), memory.end(), T{0});
  T* const first = memory.data();
  multiply<T>(dense_view<const T>(first, n, n), dense_view<const T>(first + n * n, n, n),
              dense_view(first + 2 * n * n, n, n));
}

#define LAMINET_INSTANTIATE(T)            \
  template void warm_up<T>();             \
  template bool fits(ConstMatrixView<T>); \
  template void multiply(ConstMatrixView<T>, ConstMatrixView<T>, MatrixView<T>, bool);
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet::blas

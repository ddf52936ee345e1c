// The Cholesky factorisation of symmetric matrices of up to a few thousand rows, in float64.
//
// The same bits for any number of threads and any instruction set from AVX2 on, which no BLAS
// promises.
#pragma once

#include <cstddef>

#include "laminet/base/matrix.h"
#include "laminet/kernels/table.h"

namespace laminet {

class Cholesky {
 public:
  explicit Cholesky(std::size_t rows);

  // Where the matrix to be factored goes, of which the upper half counts, and where U with A = U^T
  // U is afterwards.
  MatrixView<double> matrix() { return {matrix_.data(), rows_, rows_, stride(), 1}; }

  // False where the matrix is not positive definite, NaN included; it is lost then.
  bool factor(const kernels::Table<double>& table, std::size_t threads);
  // b = A^-1 b.
  void solve(double* b) const;

 private:
  std::ptrdiff_t stride() const { return static_cast<std::ptrdiff_t>(stride_); }
  double* row(std::size_t i) { return matrix_.data() + i * stride_; }
  const double* row(std::size_t i) const { return matrix_.data() + i * stride_; }
  bool factor_rows(std::size_t first, std::size_t end);
  void update(std::size_t first, std::size_t mid, std::size_t end);

  std::size_t rows_;
  std::size_t stride_;
  AlignedArray<double> matrix_;
  AlignedArray<double> negated_;
  const kernels::Table<double>* table_ = nullptr;
  std::size_t threads_ = 1;
};

}  // namespace laminet

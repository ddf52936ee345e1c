// The residuals of a network whose numbers change, and the normal equations of their squares.
//
// Residual j of sample i is r = sqrt(w_i / (sum of w, number of outputs)) (f_j(x_i) - y_ij), so
// that the sum of all squares is the loss. J has a row for each of them and a column for each
// number that is trained. There is never more of it than the rows of a few hundred residuals: they
// are made and multiplied block by block.
#pragma once

#include <cstddef>
#include <vector>

#include "laminet/base/huge_pages.h"
#include "laminet/base/matrix.h"
#include "laminet/network/mlp.h"
#include "laminet/training/normal_matrix.h"
#include "laminet/training/pair_products.h"
#include "laminet/training/parameter_columns.h"

namespace laminet {

// Samples x (B, n_0) and what their outputs should be, (B, n_L), any strides. Weights of samples,
// or null: some of them above 0, and none below.
struct LeastSquaresSamples {
  ConstMatrixView<double> x;
  ConstMatrixView<double> targets;
  const double* weights = nullptr;
};

class NormalEquations {
 public:
  explicit NormalEquations(const Mlp<double>& start);

  const ParameterColumns& columns() const { return columns_; }
  const Parameters<double>& parameters() const { return parameters_; }
  const kernels::Table<double>& table() const { return *operands_.table; }

  // Checks the samples that the functions below are given next, and makes room for them.
  void begin(const LeastSquaresSamples& samples);
  // The numbers, by column.
  void load(const double* numbers);
  // The loss.
  double loss(const LeastSquaresSamples& samples);
  // The same, and J^T J with J^T r to its right, the upper half.
  double form(const LeastSquaresSamples& samples);
  ConstMatrixView<double> sums() const { return sums_of(0); }

 private:
  // Residuals whose rows of J are made, then multiplied: enough for the products to hide the loads
  // of what they are added to, few enough for the rows of some panels to stay in L2. The rounding
  // of the sums depends on it, hence constant.
  static constexpr std::size_t kBlock = 128;
  // Up to so many columns the sums are small, and chunks of samples have some of their own.
  static constexpr std::size_t kFewColumns = 96;

  struct Rows {
    std::size_t first;
    std::size_t count;
  };
  void residuals(const LeastSquaresSamples& samples, const Rows& rows, MatrixView<double> outputs,
                 std::size_t output, double* column, std::ptrdiff_t stride);
  void forward_rows(const LeastSquaresSamples& samples, const Rows& rows);
  void jacobian_rows(const LeastSquaresSamples& samples, const Rows& rows, std::size_t output,
                     const Panels& panels, std::size_t first);
  Panels::Shape shape() const { return {table().gradient_tile, kBlock, width_}; }
  bool few_columns() const { return width_ <= kFewColumns; }
  void form_by_chunks(const LeastSquaresSamples& samples, std::size_t threads);
  void form_by_tiles(const LeastSquaresSamples& samples, std::size_t threads);
  std::size_t chunk_rows(std::size_t batch) const;
  double total(std::size_t batch) const;
  MatrixView<double> sums_of(std::size_t chunk) const;

  Program program_;
  ParameterColumns columns_;
  Parameters<double> parameters_;
  Prepared<double> forward_;
  Prepared<double> transposed_;
  std::vector<DenseOperands<double>> steps_;
  Operands<double> operands_;
  std::size_t width_;                   // columns of J and r
  std::size_t stride_;                  // of sums
  HugePageArray<double> rows_;          // that the threads share
  std::vector<PairProducts> pairs_;     // of layers
  std::vector<ColumnRange> apart_;      // their columns
  mutable HugePageArray<double> sums_;  // of chunks of samples
  AlignedArray<double> squares_;        // by sample: of its residuals
  AlignedArray<double> scales_;         // by sample: of its residuals
};

}  // namespace laminet

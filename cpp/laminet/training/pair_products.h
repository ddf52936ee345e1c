// The part of J^T J that belongs to one dense layer, for half of the multiplications.
//
// A row of J is d_u a_q by output u and input q, d being the gradient with respect to what the
// layer gives before its function and a what it reads, and 1 for the bias. An element of J^T J is
// a sum over the rows of (a_q a_p) (d_u d_v): of pairs of inputs, of which half are others, times
// pairs of outputs, likewise.
#pragma once

#include <cstddef>
#include <vector>

#include "laminet/base/huge_pages.h"
#include "laminet/gradients/tape.h"
#include "laminet/network/program.h"
#include "laminet/training/normal_matrix.h"
#include "laminet/training/parameter_columns.h"

namespace laminet {

class PairProducts {
 public:
  // Whether that takes less time than to multiply the rows of J.
  static bool worthwhile(const DenseColumns& layer);

  PairProducts(const DenseColumns& layer, const kernels::Table<double>& table, std::size_t rows);

  ColumnRange columns() const {
    return {layer_.column, layer_.column + layer_.inputs() * layer_.outputs};
  }

  // The pairs of the samples of a tape, as rows from `first` on.
  void fill(const Program& program, const Tape<double>& tape, std::size_t first);
  // Their products, of so many rows.
  void add(std::size_t rows, bool accumulate, const Share& share);
  // To where they belong in the upper half of J^T J.
  void write(MatrixView<double> sums, const Share& share) const;

 private:
  // All pairs i <= j of some numbers, those of an i one after the other.
  struct Pairs {
    explicit Pairs(std::size_t numbers);
    std::size_t operator()(std::size_t i, std::size_t j) const {
      return i <= j ? starts[i] + j - i : starts[j] + i - j;
    }
    std::size_t numbers;
    std::size_t count;
    std::vector<std::size_t> starts;  // by i
  };
  void multiply(const Panels& to, std::size_t begin, std::size_t end, const Pairs& pairs,
                ConstMatrixView<double> values, const double* columns) const;

  DenseColumns layer_;
  const kernels::Table<double>* table_;
  std::size_t rows_;
  bool few_inputs_;  // fewer than outputs: their pairs are made once, those of the others as needed
  Pairs few_;
  Pairs many_;
  HugePageArray<double> few_pairs_;
  HugePageArray<double> values_;    // of which there are many: by row, then by column
  HugePageArray<double> products_;  // pairs of few by pairs of many
};

}  // namespace laminet

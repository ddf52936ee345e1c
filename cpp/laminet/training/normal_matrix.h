// J^T J of a matrix J of many rows, of which there is a block at a time.
#pragma once

#include <cstddef>
#include <numeric>
#include <span>

#include "laminet/base/matrix.h"
#include "laminet/kernels/table.h"

namespace laminet {

// Rows of J in panels of a few columns, as its products read them, in memory of somebody else's. A
// panel has whole tiles both ways, and lies in one piece: of a wide matrix each row of a tile would
// be on a page of its own.
class Panels {
 public:
  struct Shape {
    Shape(const kernels::GradientTile<double>& tile, std::size_t all_rows, std::size_t all_columns)
        : rows(all_rows),
          columns(all_columns),
          width(std::lcm(tile.mr, tile.nr)),
          // An odd number of cache lines: rows then lie in different sets of L1.
          stride((round_up(width, kLine) / kLine | 1) * kLine) {}

    std::size_t count() const { return (columns + width - 1) / width; }
    std::size_t elements() const { return checked_product(count(), rows * stride); }

    std::size_t rows;
    std::size_t columns;
    std::size_t width;  // columns of a panel
    std::size_t stride;

   private:
    static constexpr std::size_t kLine = 64 / sizeof(double);
  };

  Panels(double* memory, const Shape& shape) : memory_(memory), shape_(shape) {}

  const Shape& shape() const { return shape_; }
  std::ptrdiff_t stride() const { return static_cast<std::ptrdiff_t>(shape_.stride); }
  // The first row of a column.
  double* column(std::size_t j) const {
    return memory_ + j / shape_.width * shape_.rows * shape_.stride + j % shape_.width;
  }

 private:
  double* memory_;
  Shape shape_;
};

// Of what threads do one of so many equal shares.
struct Share {
  std::size_t part = 0;
  std::size_t parts = 1;
};

struct ColumnRange {
  std::size_t first;
  std::size_t end;
};

// sums = or += J^T J of the first `rows` rows, its upper half and what is in the tiles below it;
// but for tiles of which rows and columns are within one of `without`.
void add_normal_matrix(const kernels::GradientTile<double>& tile, const Panels& panels,
                       std::size_t rows, bool accumulate, MatrixView<double> sums,
                       std::span<const ColumnRange> without = {}, const Share& share = {});

// sums = or += A^T B.
void add_product(const kernels::GradientTile<double>& tile, const Panels& a, const Panels& b,
                 std::size_t rows, bool accumulate, MatrixView<double> sums);

}  // namespace laminet

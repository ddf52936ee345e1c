#include "laminet/training/normal_matrix.h"

#include <algorithm>

#include "laminet/base/interruption.h"

namespace laminet {
namespace {

// Columns of the first factor that stay in L2 while all of the second go by. A multiple of what
// panels have.
constexpr std::size_t kKept = 96;

// Some columns of A against those of B that are in one tile.
struct Strip {
  const kernels::GradientTile<double>& tile;
  const Panels& a;
  const Panels& b;
  std::size_t rows;
  bool accumulate;
  MatrixView<double> sums;

  void multiply(std::size_t i, std::size_t m, std::size_t j, std::size_t n) const {
    tile.multiply({.k = rows,
                   .a = a.column(i),
                   .a_stride = a.stride(),
                   .b = b.column(j),
                   .b_stride = b.stride(),
                   .c = sums.row(i) + j,
                   .c_stride = sums.row_stride,
                   .n = n,
                   .accumulate = accumulate},
                  m);
  }
};

}  // namespace

void add_normal_matrix(const kernels::GradientTile<double>& tile, const Panels& panels,
                       std::size_t rows, bool accumulate, MatrixView<double> sums,
                       std::span<const ColumnRange> without, const Share& share) {
  const Strip strip{tile, panels, panels, rows, accumulate, sums};
  const std::size_t columns = panels.shape().columns;
  const auto is_without = [&](std::size_t first, std::size_t end) {
    return std::any_of(without.begin(), without.end(), [&](const ColumnRange& range) {
      return range.first <= first && end <= range.end;
    });
  };
  std::size_t turn = 0;
  for (std::size_t kept = 0; kept < columns; kept += kKept) {
    for (std::size_t j = kept; j < columns; j += tile.nr) {
      const std::size_t n = std::min(tile.nr, columns - j);
      // No rows below the last of these columns.
      const std::size_t end = std::min({columns, kept + kKept, j + n});
      if (is_without(kept, j + n)) continue;
      if (turn++ % share.parts != share.part) continue;
      interruption_point();
      for (std::size_t i = kept; i < end; i += tile.mr) {
        if (!is_without(i, j + n)) strip.multiply(i, std::min(tile.mr, columns - i), j, n);
      }
    }
  }
}

void add_product(const kernels::GradientTile<double>& tile, const Panels& a, const Panels& b,
                 std::size_t rows, bool accumulate, MatrixView<double> sums) {
  const Strip strip{tile, a, b, rows, accumulate, sums};
  for (std::size_t kept = 0; kept < sums.rows; kept += kKept) {
    const std::size_t end = std::min(sums.rows, kept + kKept);
    for (std::size_t j = 0; j < sums.columns; j += tile.nr) {
      const std::size_t n = std::min(tile.nr, sums.columns - j);
      for (std::size_t i = kept; i < end; i += tile.mr) {
        strip.multiply(i, std::min(tile.mr, end - i), j, n);
      }
    }
  }
}

}  // namespace laminet

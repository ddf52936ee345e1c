#include <algorithm>
#include <cstring>
#include <type_traits>

#include "laminet/base/interruption.h"
#include "laminet/base/scratch.h"
#include "laminet/base/types.h"
#include "laminet/gemm/gemm.h"
#include "laminet/kernels/table.h"

namespace laminet {
namespace {

struct GradientRowsPurpose;
struct GradientColumnsPurpose;

// Below it rows are read where they lie, and stay in L1: elements.
constexpr std::size_t kLeastToPack = 16384;

// columns of a row into panels `stride` apart. A width that is constant makes each copy a few
// moves; copy_n would call memmove.
template <class T, class Width>
void pack_row(const T* from, std::size_t columns, Width width, T* to, std::size_t stride) {
  std::size_t j = 0;
  for (; j + width <= columns; j += width, to += stride) {
    std::memcpy(to, from + j, width * sizeof(T));
  }
  if (j == columns) return;
  std::copy(from + j, from + columns, to);
  std::fill(to + (columns - j), to + width, T{0});
}

// use(width) with those of most tiles as constants.
template <class Use>
void with_width(std::size_t width, Use use) {
  switch (width) {
    case 6:
      return use(std::integral_constant<std::size_t, 6>());
    case 8:
      return use(std::integral_constant<std::size_t, 8>());
    case 16:
      return use(std::integral_constant<std::size_t, 16>());
    case 32:
      return use(std::integral_constant<std::size_t, 32>());
    case 64:
      return use(std::integral_constant<std::size_t, 64>());
    default:
      return use(width);
  }
}

// run(i, j) for each tile of c.
template <class T, class Input, class Run>
void for_gradient_tiles(const kernels::GradientTile<T, Input>& tile, MatrixView<T> c, Run run) {
  // The first panel touches every page of c, which may be fresh: long for a large one.
  const std::size_t between = 16 * tile.mr;
  for (std::size_t j = 0; j < c.columns; j += tile.nr) {
    for (std::size_t i = 0; i < c.rows; i += tile.mr) {
      if (i % between == 0) interruption_point();
      run(i, j);
    }
  }
}

}  // namespace

template <class T>
void pack_columns(ConstMatrixView<T> from, const ColumnPanels<T>& to, std::size_t first) {
  with_width(to.width, [&](auto width) {
    for (std::size_t i = 0; i < from.rows; ++i) {
      pack_row(from.row(i), from.columns, width, to.data + (first + i) * width, to.stride());
    }
  });
}

template <class T, class Input>
void tiled_gradient(const kernels::GradientTile<T, Input>& tile, std::size_t k,
                    const ColumnPanels<Input>& a, const ColumnPanels<Input>& b, bool accumulate,
                    MatrixView<T> c) {
  for_gradient_tiles(tile, c, [&](std::size_t i, std::size_t j) {
    tile.multiply({.k = k,
                   .a = a.panel(i / tile.mr),
                   .a_stride = static_cast<std::ptrdiff_t>(a.width),
                   .b = b.panel(j / tile.nr),
                   .b_stride = static_cast<std::ptrdiff_t>(b.width),
                   .c = c.row(i) + j,
                   .c_stride = c.row_stride,
                   .n = std::min(tile.nr, c.columns - j),
                   .accumulate = accumulate},
                  std::min(tile.mr, c.rows - i));
  });
}

template <class T>
void tiled_gradient(const kernels::GradientTile<T>& tile, ConstMatrixView<T> a,
                    ConstMatrixView<T> b, bool accumulate, MatrixView<T> c) {
  // Rows that lie far apart come from the right sets of L1 and its TLB too seldom: brought together
  // first, 512 rows of 784 and 256 columns take 2.9 ms instead of 4.5, 128 of 1,024 and 1,024 take
  // 3.6 instead of 8.1 (Zen 3, one core).
  const bool packs = a.rows * (a.columns + b.columns) >= kLeastToPack && c.rows > 4 * tile.mr &&
                     c.columns > 4 * tile.nr;
  if (packs) {
    ColumnPanels<T> rows{nullptr, a.rows, tile.mr};
    ColumnPanels<T> columns{nullptr, b.rows, tile.nr};
    rows.data = thread_scratch<T, GradientRowsPurpose>(rows.size(a.columns));
    columns.data = thread_scratch<T, GradientColumnsPurpose>(columns.size(b.columns));
    pack_columns(a, rows, 0);
    pack_columns(b, columns, 0);
    return tiled_gradient(tile, a.rows, rows, columns, accumulate, c);
  }
  for_gradient_tiles(tile, c, [&](std::size_t i, std::size_t j) {
    tile.multiply({.k = a.rows,
                   .a = a.data + i,
                   .a_stride = a.row_stride,
                   .b = b.data + j,
                   .b_stride = b.row_stride,
                   .c = c.row(i) + j,
                   .c_stride = c.row_stride,
                   .n = std::min(tile.nr, c.columns - j),
                   .accumulate = accumulate},
                  std::min(tile.mr, c.rows - i));
  });
}

#define LAMINET_INSTANTIATE(T)                                                         \
  template void pack_columns(ConstMatrixView<T>, const ColumnPanels<T>&, std::size_t); \
  template void tiled_gradient(const kernels::GradientTile<T>&, std::size_t,           \
                               const ColumnPanels<T>&, const ColumnPanels<T>&, bool,   \
                               MatrixView<T>);                                         \
  template void tiled_gradient(const kernels::GradientTile<T>&, ConstMatrixView<T>,    \
                               ConstMatrixView<T>, bool, MatrixView<T>);
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

template void pack_columns(ConstMatrixView<bfloat16_pair>, const ColumnPanels<bfloat16_pair>&,
                           std::size_t);
template void tiled_gradient(const kernels::GradientTile<float, bfloat16_pair>&, std::size_t,
                             const ColumnPanels<bfloat16_pair>&, const ColumnPanels<bfloat16_pair>&,
                             bool, MatrixView<float>);

}  // namespace laminet

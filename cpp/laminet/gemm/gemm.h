// One dense layer, Y = s(X W^T + b), on either back end. Samples are rows.
//
//   x     (m, k), contiguous rows
//   bias  n elements, or null
//   y     (m, n), contiguous rows; does not overlap x
//
// Nothing here allocates or starts threads: callers give each thread its own rows of x and y.
#pragma once

#include <array>

#include "laminet/base/cpu_info.h"
#include "laminet/base/matrix.h"
#include "laminet/gemm/blocking.h"
#include "laminet/gemm/pack.h"
#include "laminet/kernels/activation.h"
#include "laminet/kernels/products.h"

namespace laminet {

// Panels of one tile, which tiled_layer works through in blocks.
template <class T>
struct Sweep {
  const kernels::Tile<T>* tile;
  std::size_t first_panel;
  std::size_t first_column;
  std::size_t columns;  // 0: nothing to do
  Blocking blocking;
};

// How tiled_layer cuts a product of so many rows with these panels: the wide ones, then the tail.
template <class T>
std::array<Sweep<T>, 2> plan_sweeps(const PanelLayout<T>& layout, PanelRange panels,
                                    std::size_t rows, std::size_t depth, const CacheSizes& caches);

// Our own cache-aware product. A row's result does not depend on the other rows (table.h).
template <class T>
void tiled_layer(const ConstMatrixView<T>& x, const PackedWeights<T>& w, const T* bias,
                 const Activation& activation, const MatrixView<T>& y);

struct TiledOptions {
  PanelRange panels;         // only the columns of y that these give
  bool from_memory = false;  // the weights are, and are fetched a block ahead
  bool accumulate = false;   // Y = s(Y + X W^T + b), the products being summed first
  // X is rounded to bfloat16 first, and products are made as those of tile.h; where weights are
  // stored as pairs always. Of networks of float.
  bool rounds = false;
};

// y and bias are those of the whole layer, whatever the panels.
template <class T>
void tiled_layer(const ConstMatrixView<T>& x, const PackedWeights<T>& w, TiledOptions options,
                 const T* bias, const Activation& activation, const MatrixView<T>& y);

// cblas_sgemv for one row, cblas_sgemm for more (or the d-versions), then bias and activation in
// one pass. x, w (n, k) and y as blas::fits() demands.
template <class T>
void blas_layer(ConstMatrixView<T> x, ConstMatrixView<T> w, bool accumulate, const T* bias,
                const Activation& activation, const kernels::Table<T>& table, MatrixView<T> y);

// c = or += a^T b, contiguous rows of all three; the products are summed first, from the first row
// of a and b to the last.
template <class T>
void tiled_gradient(const kernels::GradientTile<T>& tile, ConstMatrixView<T> a,
                    ConstMatrixView<T> b, bool accumulate, MatrixView<T> c);

// Rows of a matrix as the gradient tile reads them fastest: panels of `width` columns, in each one
// row after the other, and zeros past the last column.
template <class T>
struct ColumnPanels {
  T* data = nullptr;
  std::size_t rows = 0;  // that there is room for
  std::size_t width = 1;

  // Of one panel: an odd number of cache lines, as panels a power of two apart displace each other.
  std::size_t stride() const { return round_up(rows * width, 32) + 16; }
  T* panel(std::size_t i) const { return data + i * stride(); }
  // Elements of memory for so many columns.
  std::size_t size(std::size_t columns) const { return (columns + width - 1) / width * stride(); }
};

// Brings in rows `first` and those that follow it.
template <class T>
void pack_columns(ConstMatrixView<T> from, const ColumnPanels<T>& to, std::size_t first);

// c = or += a^T b of the first k rows, from those panels on that are given.
template <class T, class Input>
void tiled_gradient(const kernels::GradientTile<T, Input>& tile, std::size_t k,
                    const ColumnPanels<Input>& a, const ColumnPanels<Input>& b, bool accumulate,
                    MatrixView<T> c);

// y = s(z + bias), z and y with contiguous rows; y may be z. The function's parameters by column,
// or null: then its own.
template <class T>
void apply_activation(const ConstMatrixView<T>& z, const T* bias, const Activation& activation,
                      const kernels::Table<T>& table, const MatrixView<T>& y,
                      const T* alphas = nullptr, const T* betas = nullptr);

}  // namespace laminet

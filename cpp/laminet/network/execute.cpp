#include "laminet/network/execute.h"

#include <algorithm>

#include "laminet/base/float_mode.h"
#include "laminet/base/interruption.h"
#include "laminet/base/parallel.h"
#include "laminet/gemm/blas.h"
#include "laminet/gemm/gemm.h"
#include "laminet/network/workspace.h"

namespace laminet {
namespace {

// Rows of scratch start on cache lines.
template <class T>
std::size_t scratch_stride(std::size_t width) {
  return round_up(width, AlignedArray<T>::kAlignment / sizeof(T));
}

// Two halves of the calling thread's scratch, used in turn: a layer reads one and writes the other.
template <class T>
class PingPong {
 public:
  PingPong(std::size_t rows, std::size_t widest)
      : rows_(rows), stride_(scratch_stride<T>(widest)) {}

  // Memory is asked for here: a single layer between two usable views needs none.
  MatrixView<T> half(std::size_t turn, std::size_t columns) {
    const std::size_t half = checked_product(rows_, stride_);
    if (!memory_) memory_ = thread_scratch<T>(checked_product(2, half));
    return {memory_ + turn % 2 * half, rows_, columns, static_cast<std::ptrdiff_t>(stride_), 1};
  }

 private:
  std::size_t rows_;
  std::size_t stride_;
  T* memory_ = nullptr;
};

template <class T>
bool usable(const LayerOperands<T>& layer, ConstMatrixView<T> view) {
  return layer.packed ? view.contiguous_rows() : blas::fits(view);
}

template <class T>
void run_layer(const LayerOperands<T>& layer, const Activation& activation,
               const kernels::Table<T>& table, const ConstMatrixView<T>& x,
               const MatrixView<T>& y) {
  if (layer.packed) {
    tiled_layer(x, *layer.packed, layer.bias, activation, y);
  } else {
    blas_layer(x, layer.weight, layer.bias, activation, table, y);
  }
}

template <class T>
std::size_t widest(std::span<const LayerOperands<T>> layers) {
  std::size_t width = layers.front().weight.columns;
  for (const LayerOperands<T>& layer : layers) width = std::max(width, layer.weight.rows);
  return width;
}

// x itself, or a copy in scratch (the half that layer 0 does not write) where the layer cannot read
// its strides.
template <class T>
ConstMatrixView<T> readable(const LayerOperands<T>& layer, ConstMatrixView<T> x,
                            PingPong<T>& scratch) {
  if (usable(layer, x)) return x;
  const MatrixView<T> gathered = scratch.half(1, x.columns);
  copy(x, gathered);
  return gathered;
}

template <class T>
void forward_block(std::span<const LayerOperands<T>> layers, std::size_t width,
                   const kernels::Table<T>& table, Head head, ConstMatrixView<T> x,
                   MatrixView<T> y) {
  PingPong<T> scratch(x.rows, width);
  ConstMatrixView<T> in = readable(layers.front(), x, scratch);
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const LayerOperands<T>& layer = layers[l];
    const bool last = l + 1 == layers.size();
    const bool direct = last && usable<T>(layer, y);
    MatrixView<T> out = y;
    if (!direct) out = scratch.half(l, layer.weight.rows);
    run_layer(layer, layer.activation, table, in, out);
    if (last) apply_head(head, table, out);
    if (last && !direct) copy<T>(out, y);
    in = out;
  }
}

// All rows through one layer after the other, each layer shared by the threads.
template <class T>
void forward_layers(std::span<const LayerOperands<T>> layers, std::size_t width,
                    const kernels::Table<T>& table, const Plan& plan, Head head,
                    ConstMatrixView<T> x, MatrixView<T> y) {
  PingPong<T> scratch(x.rows, width);
  const ConstMatrixView<T> in = readable(layers.front(), x, scratch);
  const std::size_t count = layers.size();
  const bool direct = usable<T>(layers.back(), y);
  // Asked for here, on the caller: scratch belongs to a thread.
  T* const halves[] = {scratch.half(0, width).data, scratch.half(1, width).data};
  const std::ptrdiff_t stride = scratch.half(0, width).row_stride;
  const auto output = [&](std::size_t l) -> MatrixView<T> {
    if (l + 1 == count && direct) return y;
    return {halves[l % 2], x.rows, layers[l].weight.rows, stride, 1};
  };
  const std::size_t phases = count + (head == Head::none ? 0 : 1);
  parallel_phases(phases, plan.threads, plan.wake, [&](std::size_t l, std::size_t part) {
    if (l == count) {
      const RowRange rows = share_of_rows(x.rows, plan.threads, part);
      apply_head(head, table, output(count - 1).row_block(rows.first, rows.count));
      return;
    }
    const LayerOperands<T>& layer = layers[l];
    const PanelLayout<T>& layout = layer.packed->layout();
    const Grid grid = choose_grid(layout, x.rows, plan.threads);
    if (part >= grid.row_parts * grid.column_parts) return;
    const RowRange rows = share_of_rows(x.rows, grid.row_parts, part / grid.column_parts);
    const ConstMatrixView<T> from = l == 0 ? in : ConstMatrixView<T>(output(l - 1));
    tiled_layer<T>(from.row_block(rows.first, rows.count), *layer.packed,
                   layout.share(grid.column_parts, part % grid.column_parts), plan.from_memory,
                   layer.bias, layer.activation, output(l).row_block(rows.first, rows.count));
  });
  if (!direct) copy<T>(output(count - 1), y);
}

// block(rows) for each block of rows, on the team where the plan has several threads.
template <class Block>
void for_row_blocks(const Plan& plan, Block block) {
  const auto task = [&](std::size_t i) {
    const RowRange rows = plan.blocks[i];
    if (i > 0) interruption_point();
    if (rows.count > 0) block(rows);
  };
  if (plan.blocks.threads > 1) {
    parallel_for(plan.blocks.count(), plan.wake, task);
  } else {
    for (std::size_t i = 0; i < plan.blocks.count(); ++i) task(i);
  }
}

}  // namespace

template <class T>
void run_forward(std::span<const LayerOperands<T>> layers, const kernels::Table<T>& table,
                 const Plan& plan, Head head, ConstMatrixView<T> x, MatrixView<T> y) {
  if (x.rows == 0) return;
  const DefaultFloatMode mode;
  const std::size_t width = widest(layers);
  if (plan.split == Split::layers) {
    for (std::size_t first = 0; first < x.rows; first += plan.chunk_rows) {
      const std::size_t count = std::min(plan.chunk_rows, x.rows - first);
      forward_layers(layers, width, table, plan, head, x.row_block(first, count),
                     y.row_block(first, count));
    }
    return;
  }
  for_row_blocks(plan, [&](RowRange rows) {
    forward_block(layers, width, table, head, x.row_block(rows.first, rows.count),
                  y.row_block(rows.first, rows.count));
  });
}

template <class T>
void run_trace(std::span<const LayerOperands<T>> layers, const kernels::Table<T>& table,
               const Plan& plan, ConstMatrixView<T> x,
               std::span<const MatrixView<T>> pre_activations,
               std::span<const MatrixView<T>> activations) {
  if (x.rows == 0) return;
  const DefaultFloatMode mode;
  for_row_blocks(plan, [&](RowRange rows) {
    const auto [first, count] = rows;
    PingPong<T> scratch(count, x.columns);
    ConstMatrixView<T> in = readable(layers.front(), x.row_block(first, count), scratch);
    for (std::size_t l = 0; l < layers.size(); ++l) {
      const MatrixView<T> z = pre_activations[l].row_block(first, count);
      const MatrixView<T> a = activations[l].row_block(first, count);
      run_layer(layers[l], Activation{}, table, in, z);
      apply_activation<T>(z, nullptr, layers[l].activation, table, a);
      in = a;
    }
  });
}

ScratchRows scratch_rows(const Plan& plan) {
  if (plan.split == Split::layers) return {std::min(plan.blocks.batch, plan.chunk_rows), 0};
  const std::size_t rows = plan.blocks.most_rows();
  return {rows, plan.blocks.threads > 1 ? rows : 0};
}

template <class T>
void reserve_scratch(std::span<const LayerOperands<T>> layers, std::size_t rows) {
  PingPong<T> scratch(rows, widest(layers));
  for (const std::size_t turn : {0, 1}) {
    const MatrixView<T> half = scratch.half(turn, widest(layers));
    std::fill_n(half.data, rows * static_cast<std::size_t>(half.row_stride), T{0});
  }
}

#define LAMINET_INSTANTIATE(T)                                                             \
  template void run_forward(std::span<const LayerOperands<T>>, const kernels::Table<T>&,   \
                            const Plan&, Head, ConstMatrixView<T>, MatrixView<T>);         \
  template void reserve_scratch(std::span<const LayerOperands<T>>, std::size_t);           \
  template void run_trace(std::span<const LayerOperands<T>>, const kernels::Table<T>&,     \
                          const Plan&, ConstMatrixView<T>, std::span<const MatrixView<T>>, \
                          std::span<const MatrixView<T>>);
LAMINET_INSTANTIATE(float)
LAMINET_INSTANTIATE(double)
#undef LAMINET_INSTANTIATE

}  // namespace laminet

#include "laminet/network/execute.h"

#include <algorithm>

#include "laminet/base/float_mode.h"
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

// The two halves of a thread's scratch, used in turn: a layer reads one and writes the other.
template <class T>
class PingPong {
 public:
  PingPong(std::size_t rows, std::size_t widest)
      : rows_(rows), stride_(scratch_stride<T>(widest)) {}

  // The half that was not given out last. Memory is asked for here: a single layer between two
  // usable views needs none.
  MatrixView<T> next(std::size_t columns) {
    const std::size_t half = checked_product(rows_, stride_);
    T* memory = thread_scratch<T>(checked_product(2, half));
    turn_ = 1 - turn_;
    return {memory + turn_ * half, rows_, columns, static_cast<std::ptrdiff_t>(stride_), 1};
  }

 private:
  std::size_t rows_;
  std::size_t stride_;
  std::size_t turn_ = 1;
};

template <class T>
bool usable(const LayerOperands<T>& layer, ConstMatrixView<T> view) {
  return layer.packed ? view.contiguous_rows() : blas::fits(view);
}

template <class T>
void run_layer(const LayerOperands<T>& layer, const Activation& activation,
               const kernels::Table<T>& table, ConstMatrixView<T> x, MatrixView<T> y) {
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

template <class T>
void forward_block(std::span<const LayerOperands<T>> layers, std::size_t width,
                   const kernels::Table<T>& table, Head head, ConstMatrixView<T> x,
                   MatrixView<T> y) {
  PingPong<T> scratch(x.rows, width);
  ConstMatrixView<T> in = x;
  if (!usable(layers.front(), in)) {
    const MatrixView<T> gathered = scratch.next(x.columns);
    copy(x, gathered);
    in = gathered;
  }
  for (const LayerOperands<T>& layer : layers) {
    const bool last = &layer == &layers.back();
    const bool direct = last && usable<T>(layer, y);
    const MatrixView<T> out = direct ? y : scratch.next(layer.weight.rows);
    run_layer(layer, layer.activation, table, in, out);
    if (last) apply_head(head, table, out);
    if (last && !direct) copy<T>(out, y);
    in = out;
  }
}

// block(first, count) for each block of rows, on the team where the plan has more than one thread.
template <class Block>
void for_row_blocks(const Plan& plan, std::size_t rows, Block block) {
  const std::size_t blocks = (rows + plan.block_rows - 1) / plan.block_rows;
  const auto task = [&](std::size_t i) {
    const std::size_t first = i * plan.block_rows;
    block(first, std::min(plan.block_rows, rows - first));
  };
  if (plan.threads > 1) {
    parallel_for(blocks, task);
  } else {
    for (std::size_t i = 0; i < blocks; ++i) task(i);
  }
}

}  // namespace

template <class T>
void run_forward(std::span<const LayerOperands<T>> layers, const kernels::Table<T>& table,
                 const Plan& plan, Head head, ConstMatrixView<T> x, MatrixView<T> y) {
  if (x.rows == 0) return;
  const DefaultFloatMode mode;
  const std::size_t width = widest(layers);
  for_row_blocks(plan, x.rows, [&](std::size_t first, std::size_t count) {
    forward_block(layers, width, table, head, x.row_block(first, count), y.row_block(first, count));
  });
}

template <class T>
void run_trace(std::span<const LayerOperands<T>> layers, const kernels::Table<T>& table,
               const Plan& plan, ConstMatrixView<T> x,
               std::span<const MatrixView<T>> pre_activations,
               std::span<const MatrixView<T>> activations) {
  if (x.rows == 0) return;
  const DefaultFloatMode mode;
  for_row_blocks(plan, x.rows, [&](std::size_t first, std::size_t count) {
    ConstMatrixView<T> in = x.row_block(first, count);
    if (!usable(layers.front(), in)) {
      const MatrixView<T> gathered = PingPong<T>(count, x.columns).next(x.columns);
      copy(in, gathered);
      in = gathered;
    }
    for (std::size_t l = 0; l < layers.size(); ++l) {
      const MatrixView<T> z = pre_activations[l].row_block(first, count);
      const MatrixView<T> a = activations[l].row_block(first, count);
      run_layer(layers[l], Activation{}, table, in, z);
      apply_activation<T>(z, nullptr, layers[l].activation, table, a);
      in = a;
    }
  });
}

#define LAMINET_INSTANTIATE(T)                                                             \
  template void run_forward(std::span<const LayerOperands<T>>, const kernels::Table<T>&,   \
                            const Plan&, Head, ConstMatrixView<T>, MatrixView<T>);         \
  template void run_trace(std::span<const LayerOperands<T>>, const kernels::Table<T>&,     \
                          const Plan&, ConstMatrixView<T>, std::span<const MatrixView<T>>, \
                          std::span<const MatrixView<T>>);
LAMINET_INSTANTIATE(float)
LAMINET_INSTANTIATE(double)
#undef LAMINET_INSTANTIATE

}  // namespace laminet

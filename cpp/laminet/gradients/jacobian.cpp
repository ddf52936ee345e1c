// Jacobians of a network and of its layers.
#include <algorithm>
#include <memory>

#include "laminet/base/float_mode.h"
#include "laminet/base/interruption.h"
#include "laminet/base/thread_count.h"
#include "laminet/gradients/blocks.h"
#include "laminet/gradients/derivatives.h"
#include "laminet/gradients/gather.h"
#include "laminet/gradients/tape.h"
#include "laminet/gradients/work.h"
#include "laminet/network/workspace.h"

namespace laminet {
namespace {

// The rows of all matrices of a stack as those of one matrix, where they lie so; else no data.
template <class T>
MatrixView<T> as_rows(const MatrixStack<T>& stack) {
  const bool regular = stack.count <= 1 ||
                       stack.stride == static_cast<std::ptrdiff_t>(stack.rows) * stack.row_stride;
  if (!regular) return {};
  // Of one-row matrices the row stride says nothing.
  const std::ptrdiff_t step = stack.rows == 1 ? stack.stride : stack.row_stride;
  return {stack.data, stack.count * stack.rows, stack.columns, step, stack.column_stride};
}

// Rows between two interruption points, where they are written and no more: the pages behind them,
// which may be fresh ones, take some milliseconds.
template <class T>
std::size_t rows_between(std::size_t columns) {
  constexpr std::size_t kBytes = std::size_t{8} << 20;
  return std::max<std::size_t>(1, kBytes / (sizeof(T) * columns));
}

// For each sample the head's probabilities, and their product with the last layer's weights.
template <class T>
T* means_scratch(const ChainWeights<T>& chain, std::size_t samples) {
  struct MeansPurpose;
  const std::size_t last = chain.depth() - 1;
  return thread_scratch<T, MeansPurpose>(
      checked_product(samples, row_stride<T>(chain.out(last)) + row_stride<T>(chain.in(last))));
}

// The first factor of reverse mode: rows `first` .. of D_L W_L D_{L-1}, weights scaled by two
// diagonals, for each sample on the tape. With a head, whose derivative is diag(q) (I - 1 p^T), q
// being p or ones, they are diag(q) (D_L W_L - 1 (p^T D_L W_L)) D_{L-1}.
template <class T>
void last_factor(const ChainWeights<T>& chain, const Tape<T>& tape, std::size_t first,
                 MatrixView<T> g) {
  const std::size_t last = chain.depth() - 1;
  const std::size_t per_sample = chain.out(last);
  const ConstMatrixView<T> d = tape.slopes(last);
  const ConstMatrixView<T> below = last == 0 ? ConstMatrixView<T>{} : tape.slopes(last - 1);
  const ConstMatrixView<T> p = tape.probabilities();
  const ConstMatrixView<T> w = chain.layers[last].weight;
  const std::size_t from = first / per_sample;
  MatrixView<T> means{};
  if (p.data) {
    const std::size_t samples = (first + g.rows + per_sample - 1) / per_sample - from;
    const std::size_t p_stride = row_stride<T>(p.columns);
    const std::size_t m_stride = row_stride<T>(w.columns);
    T* memory = means_scratch(chain, samples);
    const MatrixView<T> weighted{memory + samples * m_stride, samples, p.columns,
                                 static_cast<std::ptrdiff_t>(p_stride), 1};
    means = {memory, samples, w.columns, static_cast<std::ptrdiff_t>(m_stride), 1};
    copy<T>(p.row_block(from, samples), weighted);
    if (d.data) {
      scale_by_diagonal<T>(*chain.table, weighted, d.row_block(from, samples), 0, 1);
    }
    chain.backward(last, weighted, means);
  }
  for (std::size_t r = 0; r < g.rows;) {
    const std::size_t sample = (first + r) / per_sample;
    const std::size_t row = (first + r) % per_sample;
    const std::size_t n = std::min({per_sample - row, g.rows - r, rows_between<T>(w.columns)});
    interruption_point();
    chain.table->scaled_copy({.rows = n,
                              .columns = w.columns,
                              .w = w.row(row),
                              .w_stride = w.row_stride,
                              .row_scale = d.data ? d.row(sample) + row : nullptr,
                              .minus = means.data ? means.row(sample - from) : nullptr,
                              .after = chain.head == Head::softmax ? p.row(sample) + row : nullptr,
                              .column_scale = below.data ? below.row(sample) : nullptr,
                              .y = g.row(r),
                              .y_stride = g.row_stride});
    r += n;
  }
}

// Rows `first` .. of the Jacobians of the samples on the tape, counted over all of them, in reverse
// mode.
template <class T>
void reverse_rows(const ChainWeights<T>& chain, const Tape<T>& tape, std::size_t first,
                  MatrixView<T> out) {
  const std::size_t last = chain.depth() - 1;
  ChainScratch<T> scratch(chain, out.rows);
  const bool direct = last == 0 && chain.usable(out);
  const MatrixView<T> g = direct ? out : scratch.next(chain.in(last));
  last_factor<T>(chain, tape, first, g);
  if (last > 0) {
    pull_back<T>(chain, tape, last - 1, g, first, chain.out(last), scratch, out);
  } else if (!direct) {
    copy<T>(g, out);
  }
}

// Rows of the transposed Jacobians likewise, in forward mode: (rows, n_L), in the scratch.
template <class T>
MatrixView<T> forward_rows(const ChainWeights<T>& chain, const Tape<T>& tape,
                           ConstMatrixView<T> w_first, std::size_t first, std::size_t rows,
                           ChainScratch<T>& scratch) {
  const std::size_t per_sample = chain.in(0);
  const MatrixView<T> t = scratch.next(chain.out(0));
  const ConstMatrixView<T> d = tape.slopes(0);
  for (std::size_t r = 0; r < rows;) {
    const std::size_t sample = (first + r) / per_sample;
    const std::size_t row = (first + r) % per_sample;
    const std::size_t n = std::min({per_sample - row, rows - r, rows_between<T>(w_first.columns)});
    interruption_point();
    chain.table->scaled_copy({.rows = n,
                              .columns = w_first.columns,
                              .w = w_first.row(row),
                              .w_stride = w_first.row_stride,
                              .row_scale = nullptr,
                              .minus = nullptr,
                              .after = nullptr,
                              .column_scale = d.data ? d.row(sample) : nullptr,
                              .y = t.row(r),
                              .y_stride = t.row_stride});
    r += n;
  }
  const MatrixView<T> result = push_forward<T>(chain, tape, 1, t, first, per_sample, scratch, {});
  apply_head_derivative<T>(chain, false, result, tape.probabilities(), first, per_sample);
  return result;
}

}  // namespace

template <class T>
ConstMatrixView<T> Derivatives<T>::first_transposed() const {
  const ConstMatrixView<T> w = net_->layers().front().weight();
  const AlignedArray<T>& made = first_.get([&w] {
    auto array = std::make_unique<AlignedArray<T>>(w.rows * w.columns);
    constexpr std::size_t kBlock = 1024;
    for (std::size_t i = 0; i < w.rows; i += kBlock) {
      interruption_point();
      const std::size_t n = std::min(kBlock, w.rows - i);
      copy<T>({w.row(i), w.columns, n, w.column_stride, w.row_stride},
              dense_view(array->data(), w.columns, w.rows).column_block(i, n));
    }
    return array;
  });
  return dense_view<const T>(made.data(), w.columns, w.rows);
}

template <class T>
void Derivatives<T>::reserve_jacobian(const ChainWeights<T>& chain, std::size_t samples) const {
  const bool reverse = choose_jacobian_mode(net_->sizes()) == JacobianMode::reverse;
  const std::size_t per_sample = reverse ? net_->out_features() : net_->in_features();
  const std::size_t rows = checked_product(samples, per_sample);
  ChainScratch<T>(chain, rows).touch();
  if (!reverse) return;
  reserve_gather(chain, rows, samples, per_sample);
  if (chain.head != Head::none) means_scratch(chain, samples);
}

template <class T>
void Derivatives<T>::jacobian(ConstMatrixView<T> x, MatrixView<T> y,
                              const MatrixStack<T>& j) const {
  check_input(x);
  const std::size_t n_in = net_->in_features();
  const std::size_t n_out = net_->out_features();
  if (y.data) check_rows<T>("y", y, x.rows, n_out);
  require(j.count == x.rows && j.rows == n_out && j.columns == n_in, "the Jacobian has shape (",
          j.count, ", ", j.rows, ", ", j.columns, "), expected (", x.rows, ", ", n_out, ", ", n_in,
          ")");
  if (x.rows == 0) return;
  const DefaultFloatMode mode;
  const bool reverse = choose_jacobian_mode(net_->sizes()) == JacobianMode::reverse;
  const ChainWeights<T> chain = weights(x.rows, reverse);
  const std::size_t per_sample = reverse ? n_out : n_in;
  const ChainSplit split = split_chain(jacobian_work(*net_, chain, x.rows), cache_sizes());
  const ConstMatrixView<T> w_first = reverse ? ConstMatrixView<T>{} : first_transposed();
  const auto record = [&](Tape<T>& tape, std::size_t first, std::size_t count) {
    const MatrixView<T> block = y.data ? y.row_block(first, count) : MatrixView<T>{};
    if (!y.data || chain.usable(block)) {
      tape.record(chain, x.row_block(first, count), block);
    } else {
      ChainScratch<T> scratch(chain, count);
      const MatrixView<T> dense = scratch.next(n_out);
      tape.record(chain, x.row_block(first, count), dense);
      copy<T>(dense, block);
    }
  };
  // Rows of the chain of the samples on the tape, which are those from `sample` on.
  const auto run_rows = [&](const Tape<T>& tape, std::size_t sample, std::size_t first,
                            std::size_t rows) {
    const MatrixStack<T> block = j.block(sample, tape.samples());
    if (!reverse) {
      ChainScratch<T> scratch(chain, rows);
      const MatrixView<T> transposed = forward_rows<T>(chain, tape, w_first, first, rows, scratch);
      for (std::size_t r = 0; r < rows; ++r) {
        const MatrixView<T> one = block[(first + r) / n_in].column_block((first + r) % n_in, 1);
        for (std::size_t i = 0; i < n_out; ++i) one(i, 0) = transposed(r, i);
      }
      return;
    }
    const MatrixView<T> out = as_rows(block);
    if (out.data) {
      reverse_rows<T>(chain, tape, first, out.row_block(first, rows));
    } else {
      for (std::size_t r = 0; r < rows;) {
        const std::size_t row = (first + r) % n_out;
        const std::size_t n = std::min(n_out - row, rows - r);
        reverse_rows<T>(chain, tape, first + r, block[(first + r) / n_out].row_block(row, n));
        r += n;
      }
    }
  };
  if (split.row_groups > 1) {
    Tape<T>& tape = thread_tape<T>();
    record(tape, 0, x.rows);
    const std::size_t rows = x.rows * per_sample;
    const std::size_t share = (rows + split.row_groups - 1) / split.row_groups;
    parallel_for(split.row_groups, [&](std::size_t i) {
      const std::size_t first = std::min(rows, i * share);
      const std::size_t count = std::min(share, rows - first);
      if (count > 0) run_rows(tape, 0, first, count);
    });
    return;
  }
  for_blocks(split, x.rows, [&](std::size_t first, std::size_t count) {
    Tape<T>& tape = thread_tape<T>();
    record(tape, first, count);
    run_rows(tape, first, 0, count * per_sample);
  });
}

template <class T>
void Derivatives<T>::layer_jacobians(ConstMatrixView<T> x,
                                     std::span<const MatrixStack<T>> layers) const {
  check_input(x);
  const ChainWeights<T> chain = weights(x.rows, false);
  require(layers.size() == chain.depth(), "layer_jacobians takes ", chain.depth(),
          " stacks of matrices, got ", layers.size());
  for (std::size_t l = 0; l < chain.depth(); ++l) {
    const MatrixStack<T>& j = layers[l];
    require(j.count == x.rows && j.rows == chain.out(l) && j.columns == chain.in(l) &&
                (j.column_stride == 1 || j.columns == 1 || j.count == 0),
            "the Jacobians of layer ", l, " have shape (", j.count, ", ", j.rows, ", ", j.columns,
            "), expected (", x.rows, ", ", chain.out(l), ", ", chain.in(l),
            ") with contiguous rows");
  }
  if (x.rows == 0) return;
  const DefaultFloatMode mode;
  const ChainSplit split = split_chain(layer_jacobians_work(*net_, chain, x.rows), cache_sizes());
  for_blocks(split, x.rows, [&](std::size_t first, std::size_t count) {
    Tape<T>& tape = thread_tape<T>();
    tape.record(chain, x.row_block(first, count), {});
    for (std::size_t l = 0; l < chain.depth(); ++l) {
      const ConstMatrixView<T> d = tape.slopes(l);
      for (std::size_t i = 0; i < count; ++i) {
        const ConstMatrixView<T> w = chain.layers[l].weight;
        const MatrixView<T> j = layers[l][first + i];
        const std::size_t step = rows_between<T>(w.columns);
        for (std::size_t r = 0; r < w.rows; r += step) {
          interruption_point();
          chain.table->scaled_copy({.rows = std::min(step, w.rows - r),
                                    .columns = w.columns,
                                    .w = w.row(r),
                                    .w_stride = w.row_stride,
                                    .row_scale = d.data ? d.row(i) + r : nullptr,
                                    .minus = nullptr,
                                    .after = nullptr,
                                    .column_scale = nullptr,
                                    .y = j.row(r),
                                    .y_stride = j.row_stride});
        }
      }
    }
  });
}

template ConstMatrixView<float> Derivatives<float>::first_transposed() const;
template ConstMatrixView<double> Derivatives<double>::first_transposed() const;
template void Derivatives<float>::reserve_jacobian(const ChainWeights<float>&, std::size_t) const;
template void Derivatives<double>::reserve_jacobian(const ChainWeights<double>&, std::size_t) const;
template void Derivatives<float>::jacobian(ConstMatrixView<float>, MatrixView<float>,
                                           const MatrixStack<float>&) const;
template void Derivatives<double>::jacobian(ConstMatrixView<double>, MatrixView<double>,
                                            const MatrixStack<double>&) const;
template void Derivatives<float>::layer_jacobians(ConstMatrixView<float>,
                                                  std::span<const MatrixStack<float>>) const;
template void Derivatives<double>::layer_jacobians(ConstMatrixView<double>,
                                                   std::span<const MatrixStack<double>>) const;

}  // namespace laminet

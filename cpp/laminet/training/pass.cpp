#include "laminet/training/pass.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "laminet/base/bfloat16.h"
#include "laminet/base/cpu_info.h"
#include "laminet/base/float_mode.h"
#include "laminet/base/scratch.h"
#include "laminet/base/types.h"
#include "laminet/gemm/gemm.h"
#include "laminet/gemm/rounded.h"
#include "laminet/gradients/split.h"
#include "laminet/network/steps/norm.h"
#include "laminet/network/steps/units.h"

namespace laminet {
namespace {

struct TargetsPurpose;

constexpr std::size_t kRowsAhead = 8;

}  // namespace

template <class T>
void GradientOperands<T>::set(const Program& program, const kernels::Table<T>& table,
                              std::size_t rows, bool in_pairs) {
  const std::size_t panel_rows = in_pairs ? (rows + 1) / 2 : rows;
  if (panel_rows == rows_) return;
  rows_ = 0;  // until there is memory for them
  mr_ = in_pairs ? table.pair_gradient_tile->mr : table.gradient_tile.mr;
  nr_ = in_pairs ? table.pair_gradient_tile->nr : table.gradient_tile.nr;
  const ColumnPanels<T> inputs{nullptr, panel_rows, mr_};
  const ColumnPanels<T> outputs{nullptr, panel_rows, nr_};
  starts_.assign(program.steps().size(), {});
  std::size_t size = 0;
  for (std::size_t s = 0; s < starts_.size(); ++s) {
    const DenseStep* const dense = program.dense(s);
    if (!dense) continue;
    Start& start = starts_[s];
    start = {size, inputs.size(dense->in_features), 0, outputs.size(dense->out_features)};
    start.outputs = start.inputs + dense->groups * start.inputs_of_group;
    size = start.outputs + dense->groups * start.outputs_of_group;
  }
  if (memory_.size() < size) {
    memory_ = {};
    memory_ = HugePageArray<T>(size);
  }
  data_ = memory_.data();
  rows_ = panel_rows;
}

template <class T>
void Pass<T>::pack(const Tape<T>& tape, std::size_t row, std::size_t count,
                   const GradientOperands<T>& to) const {
  const Frame<T> values = tape.values().rows(row, count);
  const Frame<T> kept = tape.kept().rows(row, count);
  for (std::size_t s = 0; s < program.steps().size(); ++s) {
    const DenseStep* const dense = program.dense(s);
    if (!dense) continue;
    const Columns& in = program.steps()[s].inputs[0];
    for (std::size_t g = 0; g < dense->groups; ++g) {
      const ConstMatrixView<T> x =
          values({in.buffer, in.first + g * dense->in_features, dense->in_features});
      const ConstMatrixView<T> delta =
          kept({program.first_kept(s), g * dense->out_features, dense->out_features});
      if (operands.rounds) {
        pack_rounded(x, delta, row, to, s, g);
      } else {
        pack_columns<T>(x, to.inputs(s, g), row);
        pack_columns<T>(delta, to.outputs(s, g), row);
      }
    }
  }
}

template <class T>
void Pass<T>::pack_rounded(ConstMatrixView<T> inputs, ConstMatrixView<T> outputs, std::size_t row,
                           const GradientOperands<T>& to, std::size_t step,
                           std::size_t group) const {
  const kernels::Table<T>& table = *operands.table;
  if constexpr (std::is_same_v<T, float>) {
    if (in_pairs()) {
      using Pair = bfloat16_pair;
      pack_columns<Pair>(row_pairs_of(inputs, table), to.template inputs<Pair>(step, group),
                         row / 2);
      const MatrixView<Pair> pairs = row_pairs_of(outputs, table);
      if (outputs.rows % 2 > 0) {
        Pair* const odd = pairs.row(pairs.rows - 1);
        std::transform(odd, odd + pairs.columns, odd, as_right_factor);
      }
      return pack_columns<Pair>(pairs, to.template outputs<Pair>(step, group), row / 2);
    }
  }
  pack_columns<T>(rounded<T>(inputs, table), to.inputs(step, group), row);
  pack_columns<T>(rounded<T>(outputs, table), to.outputs(step, group), row);
}

namespace {

// Of those panels that a part is the product of: it begins where they do (numbers.cpp).
template <class T, class E>
void panel_product(const kernels::GradientTile<T, E>& tile, std::size_t rows,
                   const GradientOperands<T>& packed, const TrainedPart& part, bool accumulate,
                   MatrixView<T> to) {
  ColumnPanels<E> a = packed.template inputs<E>(part.step, part.group);
  ColumnPanels<E> b = packed.template outputs<E>(part.step, part.group);
  a.data = a.panel(part.first / a.width);
  b.data = b.panel(part.output / b.width);
  tiled_gradient<T>(tile, rows, a, b, accumulate, to);
}

}  // namespace

template <class T>
void Pass<T>::weight_gradient(std::size_t rows, const GradientOperands<T>& packed,
                              const TrainedPart& part, bool accumulate, MatrixView<T> to) const {
  const kernels::Table<T>& table = *operands.table;
  if (!operands.rounds) {
    return panel_product<T>(table.gradient_tile, rows, packed, part, accumulate, to);
  }
  // In pairs, too: what is accumulated is added in the same mode.
  const FlushingFloatMode mode;
  if constexpr (std::is_same_v<T, float>) {
    if (in_pairs()) {
      return panel_product<T>(*table.pair_gradient_tile, (rows + 1) / 2, packed, part, accumulate,
                              to);
    }
  }
  panel_product<T>(table.rounded_gradient_tile, rows, packed, part, accumulate, to);
}

template <class T>
void Pass<T>::load(Tape<T>& tape, std::size_t row, std::size_t count, std::size_t place) const {
  const ConstMatrixView<T>& x = samples.x;
  const std::size_t end = place + count;
  for (std::size_t i = 0; i < count; ++i) {
    // Shuffled rows come from far away: the next ones are on their way meanwhile.
    if (place + i + kRowsAhead < end) {
      __builtin_prefetch(x.row(batches.sample(place + i + kRowsAhead)));
    }
    const std::size_t sample = batches.sample(place + i);
    if (x.column_stride == 1) {
      std::memcpy(tape.input().row(row + i), x.row(sample), x.columns * sizeof(T));
    } else {
      copy<T>(x.row_block(sample, 1), tape.input().row_block(row + i, 1));
    }
  }
}

template <class T>
void Pass<T>::loss(Tape<T>& tape, std::size_t row, std::size_t count, std::size_t place, T scale,
                   MatrixView<T> gradients, double* losses) const {
  const MatrixView<T> out = tape.values()(program.output()).row_block(row, count);
  const std::size_t stride = row_stride(out.columns);
  T* const wanted = thread_scratch<T, TargetsPurpose>(count * stride);
  for (std::size_t i = 0; i < count; ++i) {
    if (i + kRowsAhead < count) {
      targets.prefetch(samples, batches.sample(place + i + kRowsAhead));
    }
    targets.write(samples, batches.sample(place + i), wanted + i * stride);
  }
  const T* const weights = batches.weights(place);
  // Losses that are not joined are means over the outputs.
  const bool joined = kind == kernels::LossKind::cross_entropy;
  const T share = joined ? T{1} : T{1} / static_cast<T>(out.columns);
  operands.table->losses[static_cast<std::size_t>(kind)](
      {.rows = count,
       .columns = out.columns,
       .outputs = out.data,
       .outputs_stride = out.row_stride,
       .targets = wanted,
       .targets_stride = static_cast<std::ptrdiff_t>(stride),
       .weights = weights,
       .scale = weights ? share : share * scale,
       .g = gradients.data,
       .g_stride = gradients.row_stride,
       .losses = losses + row,
       .parameter = parameter,
       .levels = targets.levels()});
}

template <class T>
void Pass<T>::run(Tape<T>& tape, std::size_t row, std::size_t count, std::size_t place, T scale,
                  bool back, double* losses) const {
  load(tape, row, count, place);
  tape.run(program, operands, row, count, tape.values()(program.output()).row_block(row, count));
  if (!back) return loss(tape, row, count, place, scale, {}, losses);
  const auto gradients = ChainFrame<T>::backward(program, operands, count, {});
  loss(tape, row, count, place, scale, gradients.frame()(program.output()), losses);
  pull_back<T>(program, operands,
               {tape.values().rows(row, count), tape.kept().rows(row, count), 0, 1},
               {.last = program.steps().size() - 1, .keep = true}, gradients.frame());
}

template <class T>
void Pass<T>::gradient(const Tape<T>& tape, std::size_t rows, const GradientOperands<T>* packed,
                       const TrainedPart& part, bool accumulate, T* to) const {
  using What = TrainedPart::What;
  const StepCall<T> call{program, part.step, operands};
  const Frame<T> values = tape.values().rows(0, rows);
  const Frame<T> kept = tape.kept().rows(0, rows);
  const auto add_up = [&](ConstMatrixView<T> x, ConstMatrixView<T> by) {
    operands.table->column_sums({.rows = x.rows,
                                 .columns = x.columns,
                                 .x = x.data,
                                 .x_stride = x.row_stride,
                                 .sums = to,
                                 .accumulate = accumulate,
                                 .by = by.data,
                                 .by_stride = by.row_stride});
  };
  const auto delta = [&](std::size_t first, std::size_t count) {
    return ConstMatrixView<T>(kept({program.first_kept(part.step), first, count}));
  };
  switch (part.what) {
    case What::weight: {
      const DenseStep& dense = *program.dense(part.step);
      const Columns& in = call.step().inputs[0];
      const std::size_t first = in.first + part.group * dense.in_features + part.first;
      const MatrixView<T> c = dense_view(to, part.inputs, part.stride);
      const MatrixView<T> own = c.column_block(0, part.outputs);
      if (packed) {
        weight_gradient(rows, *packed, part, accumulate, own);
      } else {
        tiled_gradient<T>(operands.table->gradient_tile, values({in.buffer, first, part.inputs}),
                          delta(part.group * dense.out_features + part.output, part.outputs),
                          accumulate, own);
      }
      for (std::size_t i = 0; part.outputs < part.stride && i < part.inputs; ++i) {
        std::fill(c.row(i) + part.outputs, c.row(i) + part.stride, T{0});
      }
      return;
    }
    case What::bias:
      return add_up(delta(part.output, part.outputs), {});
    case What::norm_weight:
    case What::norm_bias: {
      const auto g = steps::gradient_of(call, kept).column_block(part.output, part.count);
      const auto x = steps::normalized_of(call, kept).column_block(part.output, part.count);
      return add_up(g, part.what == What::norm_weight ? x : MatrixView<T>{});
    }
    case What::alphas:
    case What::betas: {
      const auto g = steps::unit_gradients_of(call, kept, part.output, part.count);
      return add_up(part.what == What::alphas ? g.alphas : g.betas, {});
    }
  }
}

namespace {

// Of a row that goes forward and back.
template <class T>
std::size_t bytes_of_row(const Program& program) {
  return (Tape<T>::elements_per_sample(program) + chain_elements_per_row(program)) * sizeof(T);
}

// So much of a slice stays in the L2 of every CPU that has AVX2, with the weights. Its gradients
// are summed block by block, so that the rows of one may not depend on the machine.
constexpr std::size_t kSliceBytes = std::size_t{1} << 18;
// Multiples of the rows of every tile.
constexpr std::size_t kSliceRows = 48;

}  // namespace

template <class T>
std::size_t Pass<T>::slice_rows() const {
  const std::size_t rows = kSliceBytes / bytes_of_row<T>(program);
  return std::max(kSliceRows, rows / kSliceRows * kSliceRows);
}

template <class T>
std::size_t Pass<T>::block_rows() const {
  const std::size_t rows = most_block_samples({.batch = 1,
                                               .rows = 1,
                                               .flops = 0,
                                               .chain_flops = 0,
                                               .bytes = bytes_of_row<T>(program),
                                               .mr = operands.table->tiles[0].mr,
                                               .threads = 1,
                                               .weight_bytes = 0,
                                               .steps = std::nullopt},
                                              cache_sizes());
  return rows + rows % 2;
}

#define LAMINET_INSTANTIATE(T)        \
  template class GradientOperands<T>; \
  template struct Pass<T>;
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet

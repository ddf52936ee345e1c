// Jacobians of a network and of its layers.
#include <algorithm>
#include <optional>

#include "laminet/base/float_mode.h"
#include "laminet/base/interruption.h"
#include "laminet/base/scratch.h"
#include "laminet/base/thread_count.h"
#include "laminet/base/types.h"
#include "laminet/gemm/panel_rows.h"
#include "laminet/gradients/blocks.h"
#include "laminet/gradients/derivatives.h"
#include "laminet/gradients/phases.h"
#include "laminet/gradients/tape.h"
#include "laminet/gradients/work.h"
#include "laminet/network/steps/dense.h"
#include "laminet/network/steps/rows.h"

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
T* means_scratch(const Program& program, std::size_t step, std::size_t samples) {
  struct MeansPurpose;
  const DenseStep& last = *program.dense(step);
  return thread_scratch<T, MeansPurpose>(
      checked_product(samples, row_stride(last.out_features) + row_stride(last.in_features)));
}

// The slopes of a step as a derivative has them: no data where they are 1.
template <class T>
ConstMatrixView<T> slopes_of(const Program& program, std::size_t step, const Tape<T>& tape) {
  const DenseStep& dense = *program.dense(step);
  if (dense.activation.kind == ActivationKind::identity) return {};
  return tape.kept()({program.first_kept(step), 0, program.steps()[step].output.count});
}

// The first factor of reverse mode, of step `last`: rows `first` .. of D_L W_L D_{L-1}, weights
// scaled by two diagonals, for each sample on the tape. With a head, whose derivative is diag(q) (I
// - 1 p^T), q being p or ones, they are diag(q) (D_L W_L - 1 (p^T D_L W_L)) D_{L-1}.
template <class T>
void last_factor(const Program& program, const Operands<T>& chain, const Tape<T>& tape,
                 const JacobianRule& rule, Head head, std::size_t first, MatrixView<T> g) {
  const std::size_t last = *rule.first;
  const std::size_t per_sample = program.out_features();
  const ConstMatrixView<T> d = slopes_of(program, last, tape);
  const ConstMatrixView<T> below =
      rule.below ? slopes_of(program, *rule.below, tape) : ConstMatrixView<T>{};
  const ConstMatrixView<T> w = chain.steps[last].weight;
  const std::size_t from = first / per_sample;
  ConstMatrixView<T> p{};
  MatrixView<T> means{};
  if (head != Head::none) {
    p = tape.kept()({program.first_kept(program.steps().size() - 1), 0, per_sample});
    const std::size_t samples = (first + g.rows + per_sample - 1) / per_sample - from;
    const std::size_t p_stride = row_stride(p.columns);
    const std::size_t m_stride = row_stride(w.columns);
    T* memory = means_scratch<T>(program, last, samples);
    const MatrixView<T> weighted{memory + samples * m_stride, samples, p.columns,
                                 static_cast<std::ptrdiff_t>(p_stride), 1};
    means = {memory, samples, w.columns, static_cast<std::ptrdiff_t>(m_stride), 1};
    copy<T>(p.row_block(from, samples), weighted);
    if (d.data) {
      steps::scale_by_diagonal<T>(*chain.table, weighted, d.row_block(from, samples), 0, 1);
    }
    steps::times_weight<T>(StepCall<T>{program, last, chain}, weighted, means);
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
                              .after = head == Head::softmax ? p.row(sample) + row : nullptr,
                              .column_scale = below.data ? below.row(sample) : nullptr,
                              .y = g.row(r),
                              .y_stride = g.row_stride});
    r += n;
  }
}

// Rows of an identity for each sample, from row `first` of all on.
template <class T>
void unit_rows(MatrixView<T> rows, std::size_t first) {
  for (std::size_t i = 0; i < rows.rows; ++i) {
    std::fill_n(rows.row(i), rows.columns, T{0});
    rows.row(i)[(first + i) % rows.columns] = T{1};
  }
}

// The way back from the first factor, if any.
WayBack way_back(const Program& program, const JacobianRule& rule) {
  if (!rule.first) return {.last = program.steps().size() - 1};
  return {.last = *rule.first > 0 ? *rule.first - 1 : kNoStep,
          .scaled = rule.below.value_or(kNoStep)};
}

// The gradients that it begins with: of rows `first` .. of the Jacobians.
template <class T>
void begin_rows(const Program& program, const Operands<T>& chain, const Tape<T>& tape,
                const JacobianRule& rule, Head head, std::size_t first, const Frame<T>& gradients) {
  if (!rule.first) return unit_rows<T>(gradients(program.output()), first);
  begin_step(program, *rule.first, gradients);
  last_factor<T>(program, chain, tape, rule, head, first,
                 gradients(program.steps()[*rule.first].inputs[0]));
}

// Rows `first` .. of the Jacobians of the samples on the tape, counted over all of them, in reverse
// mode.
template <class T>
void reverse_rows(const Program& program, const Operands<T>& chain, const Tape<T>& tape,
                  const JacobianRule& rule, Head head, std::size_t first, MatrixView<T> out) {
  const auto gradients = ChainFrame<T>::backward(program, chain, out.rows, out);
  const Recorded<T> recorded{tape.values(), tape.kept(), first, program.out_features()};
  begin_rows<T>(program, chain, tape, rule, head, first, gradients.frame());
  const WayBack way = way_back(program, rule);
  if (way.last != kNoStep) pull_back<T>(program, chain, recorded, way, gradients.frame());
  gradients.finish();
}

// The Jacobians of all samples of x in reverse mode, the steps shared by the threads; and their
// outputs, if y has data.
template <class T>
void reverse_shared(const Program& program, const Operands<T>& chain, const JacobianRule& rule,
                    Head head, const std::vector<BackPhase>& all, const StepSharing& sharing,
                    ConstMatrixView<T> x, MatrixView<T> y, MatrixView<T> out) {
  Tape<T>& tape = thread_tape<T>();
  tape.start(program, chain, x);
  tape.load();
  const bool own_y = y.data && !chain.usable(y);
  const MatrixView<T> outputs = own_y ? tape.values()(program.output()) : y;
  const auto gradients = ChainFrame<T>::backward(program, chain, out.rows, out);
  const Frame<T>& frame = gradients.frame();
  const Recorded<T> recorded{tape.values(), tape.kept(), 0, program.out_features()};
  const WayBack way = way_back(program, rule);
  const BackPhases back(all, way.last);
  const std::size_t steps = program.steps().size();
  run_series(sharing, steps + 1 + back.count, [&](std::size_t phase, const StepPart& part) {
    if (phase < steps) return tape.run_part(program, chain, phase, outputs, part);
    if (phase > steps) {
      return pull_back_phase<T>(program, chain, recorded, way, frame, back.first[phase - steps - 1],
                                part);
    }
    for_own_rows(out.rows, part, [&](RowRange rows) {
      begin_rows<T>(program, chain, tape, rule, head, rows.first,
                    frame.rows(rows.first, rows.count));
    });
  });
  gradients.finish();
  if (own_y) copy<T>(outputs, y);
}

// The first factor of forward mode, of the step `index`: rows `first` .. of W_1^T D_1 for each
// sample on the tape.
template <class T>
void first_rows(const Program& program, const Operands<T>& chain, const Tape<T>& tape,
                std::size_t index, std::size_t first, MatrixView<T> t) {
  const DenseOperands<T>& own = chain.steps[index];
  const ConstMatrixView<T> d = slopes_of(program, index, tape);
  const std::size_t per_sample = own.weight.columns;
  if (!chain.tiled) {
    for (std::size_t r = 0; r < t.rows; ++r) {
      const std::size_t sample = (first + r) / per_sample;
      for (std::size_t j = 0; j < t.columns; ++j) {
        const T slope = d.data ? d(sample, j) : T{1};
        t(r, j) = own.weight(j, (first + r) % per_sample) * slope;
      }
    }
    return;
  }
  const PackedWeights<T>& packed = own.for_tangents()[0];
  const PanelLayout<T>& layout = packed.layout();
  const std::size_t nr = layout.body->nr;
  for (std::size_t p = 0; p < layout.panels(); ++p) {
    // Its columns of W^T are rows of a panel.
    const std::size_t columns = p < layout.body_panels ? nr : layout.tail_columns;
    for (std::size_t r = 0; r < t.rows;) {
      const std::size_t sample = (first + r) / per_sample;
      const std::size_t row = (first + r) % per_sample;
      const std::size_t n = std::min({per_sample - row, t.rows - r, rows_between<T>(nr)});
      interruption_point();
      const MatrixView<T> y = t.row_block(r, n).column_block(p * nr, columns);
      const ConstMatrixView<T> w = panel_rows<T>(packed, p, {row, n}, y);
      chain.table->scaled_copy({.rows = n,
                                .columns = columns,
                                .w = w.data,
                                .w_stride = w.row_stride,
                                .row_scale = nullptr,
                                .minus = nullptr,
                                .after = nullptr,
                                .column_scale = d.data ? d.row(sample) + p * nr : nullptr,
                                .y = y.data,
                                .y_stride = y.row_stride});
      r += n;
    }
  }
}

// Rows of the transposed Jacobians likewise, in forward mode: (rows, n_L), in the scratch.
template <class T>
MatrixView<T> forward_rows(const Program& program, const Operands<T>& chain, const Tape<T>& tape,
                           const JacobianRule& rule, std::size_t first, std::size_t rows) {
  const auto tangents = ChainFrame<T>::forward(program, chain, rows, {}, {});
  const Recorded<T> recorded{tape.values(), tape.kept(), first, program.in_features()};
  std::size_t from = 0;
  if (rule.first) {
    first_rows<T>(program, chain, tape, *rule.first, first,
                  tangents.frame()(program.steps()[*rule.first].output));
    from = *rule.first + 1;
  } else {
    unit_rows<T>(tangents.frame()(program.input()), first);
  }
  push_forward<T>(program, chain, recorded, from, tangents.frame());
  return tangents.frame()(program.output());
}

}  // namespace

template <class T>
void Derivatives<T>::reserve_jacobian(const Operands<T>& operands, std::size_t samples) const {
  const Program& program = net_->program();
  const bool reverse = rule_.mode == JacobianMode::reverse;
  const std::size_t per_sample = reverse ? net_->out_features() : net_->in_features();
  const std::size_t rows = checked_product(samples, per_sample);
  ChainFrame<T>::reserve(program, rows);
  if (!reverse) return;
  for (std::size_t s = 0; s < program.steps().size(); ++s) {
    const DenseStep* const dense = program.dense(s);
    if (dense) steps::reserve_pull_back(*dense, operands, rows, per_sample);
  }
  if (rule_.first && net_->head() != Head::none) means_scratch<T>(program, *rule_.first, samples);
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
  const Program& program = net_->program();
  const bool reverse = rule_.mode == JacobianMode::reverse;
  const Operands<T>& chain = operands(x.rows, reverse);
  const std::size_t per_sample = reverse ? n_out : n_in;
  const ChainSplit split = split_chain(jacobian_work(*net_, rule_, x.rows), cache_sizes());
  const auto record = [&](Tape<T>& tape, std::size_t first, std::size_t count) {
    const MatrixView<T> block = y.data ? y.row_block(first, count) : MatrixView<T>{};
    if (!y.data || chain.usable(block)) {
      tape.record(program, chain, x.row_block(first, count), block);
    } else {
      const auto scratch = ChainFrame<T>::forward(program, chain, count, {}, {});
      const MatrixView<T> dense = scratch.frame()(program.output());
      tape.record(program, chain, x.row_block(first, count), dense);
      copy<T>(dense, block);
    }
  };
  // Rows of the chain of the samples on the tape, which are those from `sample` on.
  const auto run_rows = [&](const Tape<T>& tape, std::size_t sample, std::size_t first,
                            std::size_t rows) {
    const MatrixStack<T> block = j.block(sample, tape.samples());
    if (!reverse) {
      const MatrixView<T> transposed = forward_rows<T>(program, chain, tape, rule_, first, rows);
      for (std::size_t r = 0; r < rows; ++r) {
        const MatrixView<T> one = block[(first + r) / n_in].column_block((first + r) % n_in, 1);
        for (std::size_t i = 0; i < n_out; ++i) one(i, 0) = transposed(r, i);
      }
      return;
    }
    const MatrixView<T> out = as_rows(block);
    if (out.data) {
      reverse_rows<T>(program, chain, tape, rule_, net_->head(), first, out.row_block(first, rows));
    } else {
      for (std::size_t r = 0; r < rows;) {
        const std::size_t row = (first + r) % n_out;
        const std::size_t n = std::min(n_out - row, rows - r);
        reverse_rows<T>(program, chain, tape, rule_, net_->head(), first + r,
                        block[(first + r) / n_out].row_block(row, n));
        r += n;
      }
    }
  };
  if (const MatrixView<T> out = as_rows(j); split.steps && out.data) {
    reverse_shared<T>(program, chain, rule_, net_->head(), phases_, *split.steps, x, y, out);
    return;
  }
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
  const Program& program = net_->program();
  const Operands<T>& chain = operands(x.rows, false);
  const std::span<const DenseView<T>> own = net_->layers();
  require(layers.size() == own.size(), "layer_jacobians takes ", own.size(),
          " stacks of matrices, got ", layers.size());
  for (std::size_t l = 0; l < own.size(); ++l) {
    const MatrixStack<T>& j = layers[l];
    const ConstMatrixView<T>& w = own[l].weight;
    require(j.count == x.rows && j.rows == w.rows && j.columns == w.columns &&
                (j.column_stride == 1 || j.columns == 1 || j.count == 0),
            "the Jacobians of layer ", l, " have shape (", j.count, ", ", j.rows, ", ", j.columns,
            "), expected (", x.rows, ", ", w.rows, ", ", w.columns, ") with contiguous rows");
  }
  if (x.rows == 0) return;
  const DefaultFloatMode mode;
  const ChainSplit split = split_chain(layer_jacobians_work(*net_, x.rows), cache_sizes());
  for_blocks(split, x.rows, [&](std::size_t first, std::size_t count) {
    Tape<T>& tape = thread_tape<T>();
    tape.record(program, chain, x.row_block(first, count), {});
    for (std::size_t l = 0; l < own.size(); ++l) {
      const ConstMatrixView<T> w = own[l].weight;
      // A function that follows a layer is of its step, but not the layer's.
      ConstMatrixView<T> d{};
      if (own[l].activation.kind != ActivationKind::identity) {
        d = slopes_of(program, net_->places()[l].step, tape);
        d = d.column_block(net_->places()[l].first, w.rows);
      }
      for (std::size_t i = 0; i < count; ++i) {
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

#define LAMINET_INSTANTIATE(T)                                                                     \
  template void Derivatives<T>::reserve_jacobian(const Operands<T>&, std::size_t) const;           \
  template void Derivatives<T>::jacobian(ConstMatrixView<T>, MatrixView<T>, const MatrixStack<T>&) \
      const;                                                                                       \
  template void Derivatives<T>::layer_jacobians(ConstMatrixView<T>,                                \
                                                std::span<const MatrixStack<T>>) const;
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet

#include "laminet/training/trainer.h"

#include <algorithm>
#include <numeric>

#include "laminet/base/check.h"
#include "laminet/base/cpu_info.h"
#include "laminet/base/float_mode.h"
#include "laminet/base/parallel.h"
#include "laminet/base/scratch.h"
#include "laminet/base/thread_count.h"
#include "laminet/base/types.h"
#include "laminet/gemm/blocking.h"
#include "laminet/gemm/gemm.h"
#include "laminet/gradients/blocks.h"
#include "laminet/gradients/split.h"
#include "laminet/gradients/tape.h"
#include "laminet/gradients/work.h"
#include "laminet/network/steps/norm.h"
#include "laminet/network/steps/units.h"

namespace laminet {
namespace {

struct TargetsPurpose;
struct GradientPurpose;

// Below it a second thread costs more than it saves.
constexpr double kLeastFlopsToShare = 5e5;

// What an optimiser does with a parameter, in FLOPs of a product that takes as long.
constexpr double kFlopsOfUpdate = 40;

std::size_t threads_for(double flops) { return flops < kLeastFlopsToShare ? 1 : num_threads(); }

Program trained_program(const Program& program, const Loss& loss) {
  return loss.kind == kernels::LossKind::cross_entropy ? program.with_head(Head::none) : program;
}

}  // namespace

// Up to kPassRows samples on the tape: forward and back by their rows, then the gradients and
// updates by parts of the parameters.
template <class T>
struct Trainer<T>::Pass {
  Trainer& trainer;
  Tape<T>& tape;
  MatrixView<T> targets;  // contiguous rows
  Samples<T> samples;
  double scale;  // of the losses' gradients
  double* losses;

  std::size_t rows() const { return samples.x.rows; }

  void run(std::size_t first, std::size_t count, bool back) const {
    const Program& program = trainer.program_;
    const Operands<T>& operands = trainer.numbers_.operands();
    const MatrixView<T> out = tape.values()(program.output()).row_block(first, count);
    tape.run(program, operands, first, count, out);
    const MatrixView<T> own = targets.row_block(first, count);
    copy<T>(samples.targets.row_block(first, count), own);
    kernels::LossArgs<T> args{.rows = count,
                              .columns = out.columns,
                              .outputs = out.data,
                              .outputs_stride = out.row_stride,
                              .targets = own.data,
                              .targets_stride = own.row_stride,
                              .weights = samples.weights ? samples.weights + first : nullptr,
                              .scale = static_cast<T>(scale),
                              .g = nullptr,
                              .g_stride = 0,
                              .losses = losses + first,
                              .parameter = static_cast<T>(trainer.loss_.parameter),
                              .levels = trainer.levels_.data()};
    const auto loss = operands.table->losses[static_cast<std::size_t>(trainer.loss_.kind)];
    if (!back) return loss(args);
    const auto gradients = ChainFrame<T>::backward(program, operands, count, {});
    const MatrixView<T> g = gradients.frame()(program.output());
    args.g = g.data;
    args.g_stride = g.row_stride;
    loss(args);
    pull_back<T>(program, operands,
                 {tape.values().rows(first, count), tape.kept().rows(first, count), 0, 1},
                 {.last = program.steps().size() - 1, .keep = true}, gradients.frame());
  }

  // The rows of a thread, block by block.
  void run_part(std::size_t parts, std::size_t part, bool back) const {
    const RowRange own = share_of_rows(rows(), parts, part);
    const std::size_t bytes = (Tape<T>::elements_per_sample(trainer.program_) +
                               chain_elements_per_row(trainer.program_)) *
                              sizeof(T);
    const ChainWork work{.batch = rows(),
                         .rows = 1,
                         .flops = 0,
                         .chain_flops = 0,
                         .bytes = bytes,
                         .mr = trainer.numbers_.operands().table->tiles[0].mr,
                         .threads = parts,
                         .weight_bytes = 0,
                         .steps = std::nullopt};
    const std::size_t most = most_block_samples(work, cache_sizes());
    for (std::size_t i = 0; i < own.count; i += most) {
      run(own.first + i, std::min(most, own.count - i), back);
    }
  }

  // to = or += the gradient of a part, in its layout.
  void gradient_of(const TrainedPart& part, bool accumulate, T* to) const {
    using What = TrainedPart::What;
    const Program& program = trainer.program_;
    const Operands<T>& operands = trainer.numbers_.operands();
    const StepCall<T> call{program, part.step, operands};
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
      return ConstMatrixView<T>(tape.kept()({program.first_kept(part.step), first, count}));
    };
    switch (part.what) {
      case What::weight: {
        const DenseStep& dense = *program.dense(part.step);
        const Columns& in = call.step().inputs[0];
        const std::size_t first = in.first + part.group * dense.in_features + part.first;
        const MatrixView<T> c = dense_view(to, part.inputs, part.stride);
        tiled_gradient<T>(operands.table->gradient_tile,
                          tape.values()({in.buffer, first, part.inputs}),
                          delta(part.group * dense.out_features + part.output, part.outputs),
                          accumulate, c.column_block(0, part.outputs));
        for (std::size_t i = 0; part.outputs < part.stride && i < part.inputs; ++i) {
          std::fill(c.row(i) + part.outputs, c.row(i) + part.stride, T{0});
        }
        return;
      }
      case What::bias:
        return add_up(delta(part.output, part.outputs), {});
      case What::norm_weight:
      case What::norm_bias: {
        const auto g = steps::gradient_of(call, tape.kept()).column_block(part.output, part.count);
        const auto x =
            steps::normalized_of(call, tape.kept()).column_block(part.output, part.count);
        return add_up(g, part.what == What::norm_weight ? x : MatrixView<T>{});
      }
      case What::alphas:
      case What::betas: {
        const auto g = steps::unit_gradients_of(call, tape.kept(), part.output, part.count);
        return add_up(part.what == What::alphas ? g.alphas : g.betas, {});
      }
    }
  }
};

template <class T>
Trainer<T>::Trainer(const Mlp<T>& start, Loss loss, const Optimizer& optimizer)
    : program_(trained_program(start.program(), loss)),
      loss_(std::move(loss)),
      levels_(loss_.levels.begin(), loss_.levels.end()),
      optimizer_(optimizer),
      numbers_(start, program_, optimizer.moments()) {
  require(loss_.kind != kernels::LossKind::quantile || levels_.size() == program_.out_features(),
          "a quantile loss takes ", program_.out_features(), " levels, one for each output, got ",
          levels_.size());
}

template <class T>
void Trainer<T>::check(const Samples<T>& samples) const {
  require(samples.x.rows > 0, "a step takes at least one sample");
  require(samples.x.columns == program_.in_features(), "x has ", samples.x.columns,
          " features, the network takes ", program_.in_features());
  check_rows<T>("targets", samples.targets, samples.x.rows, program_.out_features());
}

template <class T>
double Trainer<T>::total_weight(const Samples<T>& samples) const {
  const std::size_t rows = samples.x.rows;
  double total = static_cast<double>(rows);
  if (samples.weights) total = std::accumulate(samples.weights, samples.weights + rows, 0.0);
  const bool joined = loss_.kind == kernels::LossKind::cross_entropy;
  return joined ? total : total * static_cast<double>(program_.out_features());
}

template <class T>
template <class Run>
double Trainer<T>::run_passes(const Samples<T>& samples, double scale, Run run) {
  const std::size_t batch = samples.x.rows;
  const std::size_t most = std::min(batch, kPassRows);
  losses_.resize(std::max(losses_.size(), most));
  Tape<T>& tape = thread_tape<T>();
  const std::size_t columns = program_.out_features();
  const std::size_t stride = row_stride(columns);
  T* const targets = thread_scratch<T, TargetsPurpose>(most * stride);
  double loss = 0;
  for (std::size_t first = 0; first < batch; first += kPassRows) {
    const std::size_t rows = std::min(kPassRows, batch - first);
    const Pass pass{*this,
                    tape,
                    {targets, rows, columns, static_cast<std::ptrdiff_t>(stride)},
                    {samples.x.row_block(first, rows), samples.targets.row_block(first, rows),
                     samples.weights ? samples.weights + first : nullptr},
                    scale,
                    losses_.data()};
    tape.start(program_, numbers_.operands(), pass.samples.x);
    run(pass, first);
    loss =
        std::accumulate(losses_.begin(), losses_.begin() + static_cast<std::ptrdiff_t>(rows), loss);
  }
  return loss;
}

template <class T>
double Trainer<T>::step(const Samples<T>& samples, double learning_rate) {
  check(samples);
  const DefaultFloatMode mode;
  const double weight = total_weight(samples);
  const StepRate rate{++steps_, learning_rate};
  const std::span<const TrainedPart> parts = numbers_.parts();
  const std::size_t batch = samples.x.rows;
  const bool once = batch <= kPassRows;
  if (!once && gradients_.size() == 0) gradients_ = HugePageArray<T>(numbers_.size());
  const auto run = [&](const Pass& pass, std::size_t first) {
    const std::size_t threads =
        threads_for(3 * program_.flops() * static_cast<double>(pass.rows()) +
                    kFlopsOfUpdate * static_cast<double>(program_.weights()));
    const auto phase = [&](std::size_t which, std::size_t part) {
      if (which == 0) return pass.run_part(threads, part, true);
      for (std::size_t i = part; i < parts.size(); i += threads) {
        const TrainedPart& own = parts[i];
        T* const gradient = once ? thread_scratch<T, GradientPurpose>(numbers_.largest_part())
                                 : gradients_.data() + own.offset;
        pass.gradient_of(own, first > 0, gradient);
        if (first + pass.rows() < batch) continue;
        update<T>(*numbers_.operands().table, optimizer_, rate, 1,
                  {.parameters = numbers_.parameters(own),
                   .gradients = gradient,
                   .moments = {numbers_.moment(own, 0), numbers_.moment(own, 1)},
                   .count = own.count,
                   .weight = own.what == TrainedPart::What::weight});
        numbers_.changed(own);
      }
    };
    if (threads > 1) {
      parallel_phases(2, threads, Wake::always, phase);
    } else {
      for (const std::size_t which : {0u, 1u}) phase(which, 0);
    }
  };
  return run_passes(samples, 1 / weight, run) / weight;
}

template <class T>
double Trainer<T>::loss(const Samples<T>& samples) {
  check(samples);
  const DefaultFloatMode mode;
  const auto run = [&](const Pass& pass, std::size_t) {
    const std::size_t threads = threads_for(program_.flops() * static_cast<double>(pass.rows()));
    for_tasks(threads, threads, [&](std::size_t i) { pass.run_part(threads, i, false); });
  };
  return run_passes(samples, 0, run) / total_weight(samples);
}

#define LAMINET_INSTANTIATE(T) template class Trainer<T>;
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet

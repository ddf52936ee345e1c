// Gradients with respect to the parameters: dZ^T A and the column sums of dZ, layer by layer.
//
// Passes over a fixed number of rows alternate: forward and back for these rows, by blocks of rows
// on the team; then their products, by rows of the gradients on the team, added to those of the
// passes before. So each sum is made in one order, whatever the number of threads.
#include <algorithm>

#include "laminet/base/float_mode.h"
#include "laminet/base/thread_count.h"
#include "laminet/base/types.h"
#include "laminet/gemm/blas.h"
#include "laminet/gemm/gemm.h"
#include "laminet/gemm/rounded.h"
#include "laminet/gradients/blocks.h"
#include "laminet/gradients/derivatives.h"
#include "laminet/gradients/tape.h"
#include "laminet/gradients/work.h"
#include "laminet/network/steps/norm.h"
#include "laminet/network/steps/units.h"

namespace laminet {
namespace {

// Forward, then back to dZ of every layer, which takes the place of the slopes; and dX, unless
// input.data is null. For `count` samples from `first` on.
template <class T>
void run_samples(const Program& program, const Operands<T>& chain, Tape<T>& tape, std::size_t first,
                 std::size_t count, ConstMatrixView<T> grad_output, MatrixView<T> input) {
  tape.run(program, chain, first, count, {});
  const auto gradients = ChainFrame<T>::backward(program, chain, count, input);
  copy<T>(grad_output, gradients.frame()(program.output()));
  pull_back<T>(program, chain,
               {tape.values().rows(first, count), tape.kept().rows(first, count), 0, 1},
               {.last = program.steps().size() - 1, .keep = true}, gradients.frame());
  gradients.finish();
}

// The same for all samples of the tape, the steps shared by the threads; then sums(part).
template <class T, class Sums>
void run_shared(const Program& program, const Operands<T>& chain, Tape<T>& tape,
                const std::vector<BackPhase>& back, const StepSharing& sharing,
                ConstMatrixView<T> grad_output, MatrixView<T> input, Sums sums) {
  tape.load();
  const auto gradients = ChainFrame<T>::backward(program, chain, tape.samples(), input);
  copy<T>(grad_output, gradients.frame()(program.output()));
  const std::size_t steps = program.steps().size();
  const WayBack way{.last = steps - 1, .keep = true};
  const Recorded<T> recorded{tape.values(), tape.kept(), 0, 1};
  run_series(sharing, steps + back.size() + 1, [&](std::size_t phase, const StepPart& part) {
    if (phase < steps) return tape.run_part(program, chain, phase, {}, part);
    if (phase == steps + back.size()) return sums(part);
    pull_back_phase<T>(program, chain, recorded, way, gradients.frame(), back[phase - steps], part);
  });
  gradients.finish();
}

// c = or += a^T b.
template <class T>
void add_product(const Operands<T>& chain, ConstMatrixView<T> a, ConstMatrixView<T> b,
                 bool accumulate, MatrixView<T> c) {
  if (!chain.tiled) {
    blas::multiply<T>({a.data, a.columns, a.rows, a.column_stride, a.row_stride},
                      {b.data, b.columns, b.rows, b.column_stride, b.row_stride}, c, accumulate);
    return;
  }
  tiled_gradient<T>(chain.table->gradient_tile, a, b, accumulate, c);
}

template <class T>
std::size_t norm_columns(const Mlp<T>& net, std::size_t i) {
  const ColumnsPlace& place = net.norm_places()[i];
  if (place.step == net.program().steps().size()) return 0;
  const Step& step = net.program().steps()[place.step];
  return step.output.count / std::get<NormStep>(step.operation).groups;
}

// sums = or += the sums of the columns of x, or of x times `by`.
template <class T>
void add_columns(const Mlp<T>& net, ConstMatrixView<T> x, ConstMatrixView<T> by, bool accumulate,
                 T* sums) {
  if (!sums) return;
  net.table().column_sums({.rows = x.rows,
                           .columns = x.columns,
                           .x = x.data,
                           .x_stride = x.row_stride,
                           .sums = sums,
                           .accumulate = accumulate,
                           .by = by.data,
                           .by_stride = by.row_stride});
}

// dweight = column sums of g * normalized, dbias = column sums of g, g being the gradient of a
// norm's result.
template <class T>
void add_norm_gradients(const Mlp<T>& net, const Operands<T>& chain, const Tape<T>& tape,
                        bool accumulate, std::span<const std::pair<T*, T*>> norms) {
  for (std::size_t i = 0; i < norms.size(); ++i) {
    const std::size_t columns = norm_columns(net, i);
    if (columns == 0) continue;
    const StepCall<T> call{net.program(), net.norm_places()[i].step, chain};
    const std::size_t first = net.norm_places()[i].first;
    const MatrixView<T> g = steps::gradient_of(call, tape.kept()).column_block(first, columns);
    const MatrixView<T> normalized =
        steps::normalized_of(call, tape.kept()).column_block(first, columns);
    add_columns<T>(net, g, normalized, accumulate, norms[i].first);
    add_columns<T>(net, g, {}, accumulate, norms[i].second);
  }
}

// Of parameters by unit: column sums of what each sample has.
template <class T>
void add_unit_gradients(const Mlp<T>& net, const Operands<T>& chain, const Tape<T>& tape,
                        bool accumulate, std::span<const std::pair<T*, T*>> units) {
  for (std::size_t i = 0; i < units.size(); ++i) {
    const ColumnsPlace& place = net.unit_places()[i];
    const StepCall<T> call{net.program(), place.step, chain};
    const auto kept =
        steps::unit_gradients_of(call, tape.kept(), place.first, net.units()[i].features);
    add_columns<T>(net, kept.alphas, {}, accumulate, units[i].first);
    add_columns<T>(net, kept.betas, {}, accumulate, units[i].second);
  }
}

}  // namespace

template <class T>
void Derivatives<T>::gradients(ConstMatrixView<T> x, ConstMatrixView<T> grad_output,
                               const ParameterGradients<T>& parameters, MatrixView<T> input) const {
  check_input(x);
  check_rows<T>("grad_output", grad_output, x.rows, net_->out_features());
  if (input.data) check_rows<T>("input", input, x.rows, net_->in_features());
  const Program& program = net_->program();
  const Operands<T>& chain = operands(x.rows, true);
  const std::span<const DenseView<T>> layers = net_->layers();
  const std::size_t depth = layers.size();
  require(parameters.weights.size() == depth && parameters.biases.size() == depth,
          "gradients take ", depth, " weights and biases, got ", parameters.weights.size(), " and ",
          parameters.biases.size());
  for (std::size_t l = 0; l < depth; ++l) {
    const MatrixView<T>& w = parameters.weights[l];
    const ConstMatrixView<T>& own = layers[l].weight;
    require(w.rows == own.rows && w.columns == own.columns && w.contiguous_rows(),
            "the gradient of weight ", l, " has shape (", w.rows, ", ", w.columns, "), expected (",
            own.rows, ", ", own.columns, ") with contiguous rows");
  }
  require(parameters.norms.empty() || parameters.norms.size() == net_->norms().size(),
          "gradients take pairs of ", net_->norms().size(), " norms, got ",
          parameters.norms.size());
  require(parameters.units.empty() || parameters.units.size() == net_->units().size(),
          "gradients take pairs of ", net_->units().size(), " functions, got ",
          parameters.units.size());
  if (x.rows == 0) {
    const auto clear = [](const std::pair<T*, T*>& pair, std::size_t columns) {
      for (T* const sums : {pair.first, pair.second}) {
        if (sums) std::fill_n(sums, columns, T{0});
      }
    };
    for (std::size_t i = 0; i < parameters.norms.size(); ++i) {
      clear(parameters.norms[i], norm_columns(*net_, i));
    }
    for (std::size_t i = 0; i < parameters.units.size(); ++i) {
      clear(parameters.units[i], net_->units()[i].features);
    }
    for (std::size_t l = 0; l < depth; ++l) {
      const MatrixView<T>& w = parameters.weights[l];
      for (std::size_t i = 0; i < w.rows; ++i) std::fill_n(w.row(i), w.columns, T{0});
      if (parameters.biases[l]) std::fill_n(parameters.biases[l], w.rows, T{0});
    }
    return;
  }
  const DefaultFloatMode mode;
  Tape<T>& tape = thread_tape<T>();
  const std::size_t mr = net_->table().gradient_tile.mr;
  for (std::size_t pass = 0; pass < x.rows; pass += kPassRows) {
    const std::size_t rows = std::min(kPassRows, x.rows - pass);
    tape.start(program, chain, x.row_block(pass, rows));
    const ChainSplit split = split_chain(product_work(*net_, rows, 3), cache_sizes());
    const bool accumulate = pass > 0;
    const std::size_t tasks = split.threads;
    const auto add_products = [&](std::size_t i) {
      for (std::size_t l = 0; l < depth; ++l) {
        const auto [step, group, from] = net_->places()[l];
        const std::size_t out = layers[l].weight.rows;
        const std::size_t in = layers[l].weight.columns;
        // An equal share of each gradient's rows, in whole tiles.
        const std::size_t share = round_up((out + tasks - 1) / tasks, mr);
        const std::size_t first = std::min(i * share, out);
        const std::size_t count = std::min(share, out - first);
        if (count == 0) continue;
        const ConstMatrixView<T> delta =
            tape.kept()({program.first_kept(step), from + first, count});
        Columns read = program.steps()[step].inputs[0];
        read = {read.buffer, read.first + group * in, in};
        // Of what W is multiplied by.
        const ConstMatrixView<T> values = tape.values()(read);
        add_product<T>(chain, delta, chain.rounds ? rounded<T>(values, *chain.table) : values,
                       accumulate, parameters.weights[l].row_block(first, count));
        if (!parameters.biases[l]) continue;
        add_columns<T>(*net_, delta, {}, accumulate, parameters.biases[l] + first);
      }
    };
    const ConstMatrixView<T> own_outputs = grad_output.row_block(pass, rows);
    const MatrixView<T> own_input = input.data ? input.row_block(pass, rows) : MatrixView<T>{};
    if (split.steps) {
      run_shared<T>(program, chain, tape, phases_, *split.steps, own_outputs, own_input,
                    [&](const StepPart& part) {
                      add_products(part.part);
                      if (part.part > 0) return;
                      add_norm_gradients(*net_, chain, tape, accumulate, parameters.norms);
                      add_unit_gradients(*net_, chain, tape, accumulate, parameters.units);
                    });
      continue;
    }
    for_blocks(split, rows, [&](std::size_t first, std::size_t count) {
      run_samples<T>(program, chain, tape, first, count, own_outputs.row_block(first, count),
                     own_input.data ? own_input.row_block(first, count) : MatrixView<T>{});
    });
    add_norm_gradients(*net_, chain, tape, accumulate, parameters.norms);
    add_unit_gradients(*net_, chain, tape, accumulate, parameters.units);
    for_tasks(split.threads, tasks, add_products);
  }
}

#define LAMINET_INSTANTIATE(T)                                                    \
  template void Derivatives<T>::gradients(ConstMatrixView<T>, ConstMatrixView<T>, \
                                          const ParameterGradients<T>&, MatrixView<T>) const;
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet

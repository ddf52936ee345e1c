#include "laminet/network/steps/dense.h"

#include <algorithm>

#include "laminet/base/types.h"
#include "laminet/gemm/blas.h"
#include "laminet/gemm/gather.h"
#include "laminet/gemm/gemm.h"
#include "laminet/network/plan.h"
#include "laminet/network/steps/instantiate.h"
#include "laminet/network/steps/rows.h"
#include "laminet/network/steps/units.h"

namespace laminet::steps {
namespace {

// Of one group: the columns that it reads, and those that it gives.
template <class View>
View part_of(View view, std::size_t group, std::size_t columns) {
  return view.column_block(group * columns, columns);
}

template <class T>
const T* part_of(const T* bias, std::size_t group, std::size_t columns) {
  return bias ? bias + group * columns : nullptr;
}

// The result, before what is added to it: its own memory where `add` shares that.
template <class T>
bool begin_sum(const StepCall<T>& call, const Frame<T>& rows, MatrixView<T> out) {
  const Step& step = call.step();
  if (step.inputs.size() < 2) return false;
  give<T>(call.table(), rows(step.inputs[1]), out, false);
  return true;
}

// out = s(in W^T + bias), or with out added.
template <class T>
void product(const DenseStep& operation, const StepCall<T>& call, std::size_t group,
             ConstMatrixView<T> in, const T* bias, const Activation& activation, bool accumulate,
             MatrixView<T> out) {
  const DenseOperands<T>& own = call.dense();
  const ConstMatrixView<T> x = part_of(in, group, operation.in_features);
  const MatrixView<T> y = part_of(out, group, operation.out_features);
  const T* const b = part_of(bias, group, operation.out_features);
  if (call.operands.tiled) {
    const PackedWeights<T>& w = own.packed[group];
    const TiledOptions options{{0, w.layout().panels()}, false, accumulate};
    tiled_layer<T>(x, w, options, b, activation, y);
  } else {
    const ConstMatrixView<T> w =
        own.weight.row_block(group * operation.out_features, operation.out_features);
    blas_layer<T>(x, w, accumulate, b, activation, call.table(), y);
  }
}

template <class T>
void products(const DenseStep& operation, const StepCall<T>& call, ConstMatrixView<T> in,
              const T* bias, const Activation& activation, bool accumulate, MatrixView<T> out) {
  for (std::size_t group = 0; group < operation.groups; ++group) {
    product(operation, call, group, in, bias, activation, accumulate, out);
  }
}

// out = g W, or += that.
template <class T>
void transposed_products(const DenseStep& operation, const StepCall<T>& call, ConstMatrixView<T> g,
                         bool accumulate, MatrixView<T> out) {
  const DenseOperands<T>& own = call.dense();
  for (std::size_t group = 0; group < operation.groups; ++group) {
    const ConstMatrixView<T> from = part_of(g, group, operation.out_features);
    const MatrixView<T> to = part_of(out, group, operation.in_features);
    if (call.operands.tiled) {
      const PackedWeights<T>& w = own.transposed[group];
      const TiledOptions options{{0, w.layout().panels()}, false, accumulate};
      tiled_layer<T>(from, w, options, nullptr, Activation{}, to);
    } else {
      const ConstMatrixView<T> w =
          own.weight.row_block(group * operation.out_features, operation.out_features);
      blas::multiply<T>(from, {w.data, w.columns, w.rows, w.column_stride, w.row_stride}, to,
                        accumulate);
    }
  }
}

// What a part has of products over so many rows: run(rows, group, panels, the columns that these
// give of the group's), once for each group.
template <class T, class Run>
void for_share(const PanelLayout<T>& layout, std::size_t groups, std::size_t columns,
               std::size_t rows, const StepPart& part, Run run) {
  const Grid grid = choose_grid(layout, groups, rows, part.parts);
  if (part.part >= grid.row_parts * grid.column_parts) return;
  const RowRange own = share_of_rows(rows, grid.row_parts, part.part / grid.column_parts);
  const std::size_t column_part = part.part % grid.column_parts;
  if (groups == 1) {
    const PanelRange panels = layout.share(grid.column_parts, column_part);
    const std::size_t first = panels.first * layout.body->nr;
    const std::size_t end = std::min(panels.last * layout.body->nr, columns);
    if (end > first) run(own, 0, panels, RowRange{first, end - first});
    return;
  }
  const RowRange mine = share_of_rows(groups, grid.column_parts, column_part);
  for (std::size_t i = 0; i < mine.count; ++i) {
    run(own, mine.first + i, PanelRange{0, layout.panels()}, RowRange{0, columns});
  }
}

// A part of the products of a dense step, from `in` into `out`, and what is added to them; then
// then(rows, columns of the result).
template <class T, class Then>
void products_part(const DenseStep& operation, const StepCall<T>& call, const StepPart& part,
                   const Frame<T>& frame, const T* bias, const Activation& activation,
                   MatrixView<T> out, Then then) {
  const Step& step = call.step();
  const bool adds = step.inputs.size() > 1;
  const ConstMatrixView<T> in = frame(step.inputs[0]);
  const ConstMatrixView<T> add = adds ? frame(step.inputs[1]) : MatrixView<T>{};
  for_share(call.dense().packed[0].layout(), operation.groups, operation.out_features, out.rows,
            part, [&](RowRange rows, std::size_t group, PanelRange panels, RowRange columns) {
              const RowRange own{group * operation.out_features + columns.first, columns.count};
              const MatrixView<T> y = out.row_block(rows.first, rows.count);
              if (adds) {
                give<T>(call.table(),
                        add.row_block(rows.first, rows.count).column_block(own.first, own.count),
                        y.column_block(own.first, own.count), false);
              }
              tiled_layer<T>(part_of(ConstMatrixView<T>(in.row_block(rows.first, rows.count)),
                                     group, operation.in_features),
                             call.dense().packed[group], {panels, part.from_memory, adds},
                             part_of(bias, group, operation.out_features), activation,
                             part_of(y, group, operation.out_features));
              then(rows, own);
            });
}

bool constant_slopes(const DenseStep& operation) {
  return operation.activation.kind == ActivationKind::identity;
}

// No data where the slopes are 1 everywhere.
template <class T>
ConstMatrixView<T> slopes_of(const DenseStep& operation, const StepCall<T>& call,
                             const Frame<T>& kept) {
  if (constant_slopes(operation)) return {};
  return kept_of(call, kept, call.step().output.count);
}

template <class T>
bool may_gather(const DenseStep& operation, const Operands<T>& operands, std::size_t repeat) {
  return operands.tiled && operands.finite && operation.groups == 1 &&
         gathers(operation.activation, repeat);
}

// Whether rows of W that meet slopes of 0 are left out. Slopes that gradients have been multiplied
// by are 0 or 1 then.
template <class T>
bool gathers_back(const DenseStep& operation, const StepCall<T>& call, const Recorded<T>& recorded,
                  const Frame<T>& gradients) {
  const Step& step = call.step();
  return !constant_slopes(operation) && step.inputs.size() == 1 &&
         !call.program.backward(call.index).adds[0] && gradients(step.inputs[0]).data &&
         may_gather(operation, call.operands, recorded.repeat);
}

// The gradients that pull_back_slopes leaves.
template <class T>
ConstMatrixView<T> times_slopes(const StepCall<T>& call, const Recorded<T>& recorded,
                                const Frame<T>& gradients, Slopes slopes) {
  const Columns& output = call.step().output;
  return slopes == Slopes::keep ? kept_of(call, recorded.kept, output.count) : gradients(output);
}

}  // namespace

// The slopes, and in their place the gradients with respect to Z; and those of parameters by unit.
std::vector<std::size_t> kept_columns(const DenseStep& operation, const Step& step) {
  return std::vector<std::size_t>(1 + unit_matrices(operation.units), step.output.count);
}

StepCosts costs(const DenseStep& operation, const Step& step) {
  const std::size_t in = step.inputs[0].count;
  const std::size_t out = step.output.count;
  const std::size_t weights = operation.weight.size();
  const std::size_t products = operation.flops();
  const std::size_t biases = operation.bias.size();
  const std::size_t added = step.inputs.size() > 1 ? out : 0;
  const std::size_t curved = constant_slopes(operation) ? 0 : out;
  return {.forward = {.products = products,
                      .biases = biases,
                      .functions = curved,
                      .others = added,
                      .read = in + added,
                      .written = out,
                      .weights_read = weights + operation.units.size(),
                      .biases_read = biases},
          .record = {.functions = curved, .read = curved},
          .pull_back = {.products = products,
                        .functions = curved,
                        .read = out,
                        .written = in + added,
                        .weights_read = weights},
          .push_forward = {.products = products,
                           .functions = curved,
                           .others = added,
                           .read = in + added,
                           .written = out,
                           .weights_read = weights},
          .gradients = {.products = products,
                        .biases = biases,
                        .read = out + in,
                        .gradients_written = weights + biases},
          .first_factor = {.functions = curved * operation.in_features,
                           .written = out * operation.in_features,
                           .weights_read = weights}};
}

template <class T>
void forward(const DenseStep& operation, const StepCall<T>& call, const Frame<T>& values) {
  const Step& step = call.step();
  const ConstMatrixView<T> in = values(step.inputs[0]);
  const MatrixView<T> out = values(step.output);
  const bool adds = begin_sum(call, values, out);
  const bool by_unit = operation.units.any();
  products<T>(operation, call, in, call.dense().bias, by_unit ? Activation{} : operation.activation,
              adds, out);
  if (by_unit) apply<T>(call, operation.activation, operation.units, out, out);
}

template <class T>
void pre_activation(const StepCall<T>& call, const Frame<T>& values, MatrixView<T> z) {
  const bool adds = begin_sum(call, values, z);
  products<T>(*call.program.dense(call.index), call, values(call.step().inputs[0]),
              call.dense().bias, Activation{}, adds, z);
}

template <class T>
void forward_part(const StepCall<T>& call, const Frame<T>& values, const StepPart& part) {
  const DenseStep& operation = *call.program.dense(call.index);
  const MatrixView<T> out = values(call.step().output);
  const bool by_unit = operation.units.any();
  products_part<T>(
      operation, call, part, values, call.dense().bias,
      by_unit ? Activation{} : operation.activation, out, [&](RowRange rows, RowRange columns) {
        if (!by_unit) return;
        const MatrixView<T> own =
            out.row_block(rows.first, rows.count).column_block(columns.first, columns.count);
        apply<T>(call, operation.activation, operation.units, own, own, columns.first);
      });
}

template <class T>
void record(const DenseStep& operation, const StepCall<T>& call, const Frame<T>& values,
            const Frame<T>& kept, bool wanted) {
  const Step& step = call.step();
  const DenseOperands<T>& own = call.dense();
  const ConstMatrixView<T> in = values(step.inputs[0]);
  const MatrixView<T> out = wanted ? values(step.output) : MatrixView<T>{};
  if (constant_slopes(operation)) {
    if (!wanted) return;
    const bool adds = begin_sum(call, values, out);
    return products<T>(operation, call, in, own.bias, Activation{}, adds, out);
  }
  // The bias is added in the pass that follows, which makes the slopes and the activations of z.
  const MatrixView<T> d = kept_of(call, kept, step.output.count);
  MatrixView<T> z = wanted ? out : d;
  if (operation.units.any()) z = kept_of(call, kept, step.output.count, kFirstOfUnits);
  const bool adds = begin_sum(call, values, z);
  products<T>(operation, call, in, nullptr, Activation{}, adds, z);
  apply_with_slopes<T>(call, operation.activation, operation.units, own.bias, z, out, d);
}

template <class T>
void record_part(const StepCall<T>& call, const Frame<T>& values, const Frame<T>& kept, bool wanted,
                 const StepPart& part) {
  const DenseStep& operation = *call.program.dense(call.index);
  const MatrixView<T> out = wanted ? values(call.step().output) : MatrixView<T>{};
  if (constant_slopes(operation)) {
    if (!wanted) return;
    return products_part<T>(operation, call, part, values, call.dense().bias, Activation{}, out,
                            [](RowRange, RowRange) {});
  }
  const MatrixView<T> d = kept_of(call, kept, call.step().output.count);
  MatrixView<T> z = wanted ? out : d;
  if (operation.units.any()) z = kept_of(call, kept, call.step().output.count, kFirstOfUnits);
  products_part<T>(
      operation, call, part, values, nullptr, Activation{}, z,
      [&](RowRange rows, RowRange columns) {
        const auto own = [&](MatrixView<T> view) {
          if (!view.data) return view;
          return view.row_block(rows.first, rows.count).column_block(columns.first, columns.count);
        };
        apply_with_slopes<T>(call, operation.activation, operation.units, call.dense().bias, own(z),
                             own(out), own(d), columns.first);
      });
}

template <class T>
void pull_back_slopes(const StepCall<T>& call, const Recorded<T>& recorded,
                      const Frame<T>& gradients, Slopes slopes) {
  const DenseStep& operation = *call.program.dense(call.index);
  const MatrixView<T> g = gradients(call.step().output);
  const ConstMatrixView<T> d = slopes_of(operation, call, recorded.kept);
  if (slopes == Slopes::keep) {
    if (operation.units.any()) {
      keep_unit_gradients<T>(call, operation.activation, operation.units, call.dense().bias, g,
                             recorded.kept);
    }
    const MatrixView<T> delta = kept_of(call, recorded.kept, g.columns);
    if (d.data) {
      scale_by_diagonal<T>(call.table(), delta, g, 0, 1);
    } else {
      give<T>(call.table(), g, delta, false);
    }
  } else if (slopes == Slopes::multiply && !gathers_back(operation, call, recorded, gradients)) {
    scale_by_diagonal<T>(call.table(), g, d, recorded.first, recorded.repeat);
  }
}

template <class T>
void pull_back_product(const StepCall<T>& call, const Recorded<T>& recorded,
                       const Frame<T>& gradients, Slopes slopes, const StepPart& part) {
  const DenseStep& operation = *call.program.dense(call.index);
  const MatrixView<T> to = gradients(call.step().inputs[0]);
  if (!to.data) return;
  const ConstMatrixView<T> g = times_slopes(call, recorded, gradients, slopes);
  const bool adds = call.program.backward(call.index).adds[0];
  const bool gather = slopes != Slopes::keep && gathers_back(operation, call, recorded, gradients);
  const DenseOperands<T>& own = call.dense();
  for_share(own.transposed[0].layout(), operation.groups, operation.in_features, to.rows, part,
            [&](RowRange rows, std::size_t group, PanelRange panels, RowRange columns) {
              const ConstMatrixView<T> from =
                  part_of(g.row_block(rows.first, rows.count), group, operation.out_features);
              const MatrixView<T> result =
                  part_of(to.row_block(rows.first, rows.count), group, operation.in_features);
              if (!gather) {
                return tiled_layer<T>(from, own.transposed[group], {panels, part.from_memory, adds},
                                      nullptr, Activation{}, result);
              }
              gathered_product<T>(own.weight.column_block(columns.first, columns.count),
                                  call.table(), from, slopes_of(operation, call, recorded.kept),
                                  recorded.first + rows.first, recorded.repeat,
                                  result.column_block(columns.first, columns.count));
            });
}

template <class T>
void pull_back_sum(const StepCall<T>& call, const Recorded<T>& recorded, const Frame<T>& gradients,
                   Slopes slopes) {
  const Step& step = call.step();
  if (step.inputs.size() < 2) return;
  give<T>(call.table(), times_slopes(call, recorded, gradients, slopes), gradients(step.inputs[1]),
          call.program.backward(call.index).adds[1]);
}

template <class T>
void pull_back(const DenseStep& operation, const StepCall<T>& call, const Recorded<T>& recorded,
               const Frame<T>& gradients, Slopes slopes) {
  const MatrixView<T> to = gradients(call.step().inputs[0]);
  pull_back_slopes(call, recorded, gradients, slopes);
  const ConstMatrixView<T> g = times_slopes(call, recorded, gradients, slopes);
  if (slopes != Slopes::keep && gathers_back(operation, call, recorded, gradients)) {
    gathered_product<T>(call.dense().weight, call.table(), g,
                        slopes_of(operation, call, recorded.kept), recorded.first, recorded.repeat,
                        to);
  } else if (to.data) {
    transposed_products<T>(operation, call, g, call.program.backward(call.index).adds[0], to);
  }
  // In the order of the inputs, which may be the same buffer.
  pull_back_sum(call, recorded, gradients, slopes);
}

template <class T>
void push_forward(const DenseStep& operation, const StepCall<T>& call, const Recorded<T>& recorded,
                  const Frame<T>& tangents) {
  const Step& step = call.step();
  const MatrixView<T> out = tangents(step.output);
  const bool adds = begin_sum(call, tangents, out);
  products<T>(operation, call, tangents(step.inputs[0]), nullptr, Activation{}, adds, out);
  scale_by_diagonal<T>(call.table(), out, slopes_of(operation, call, recorded.kept), recorded.first,
                       recorded.repeat);
}

template <class T>
void push_forward_part(const StepCall<T>& call, const Recorded<T>& recorded,
                       const Frame<T>& tangents, const StepPart& part) {
  const DenseStep& operation = *call.program.dense(call.index);
  const MatrixView<T> out = tangents(call.step().output);
  const ConstMatrixView<T> d = slopes_of(operation, call, recorded.kept);
  products_part<T>(
      operation, call, part, tangents, nullptr, Activation{}, out,
      [&](RowRange rows, RowRange columns) {
        if (!d.data) return;
        scale_by_diagonal<T>(
            call.table(),
            out.row_block(rows.first, rows.count).column_block(columns.first, columns.count),
            d.column_block(columns.first, columns.count), recorded.first + rows.first,
            recorded.repeat);
      });
}

template <class T>
void times_weight(const StepCall<T>& call, ConstMatrixView<T> g, MatrixView<T> y) {
  transposed_products<T>(*call.program.dense(call.index), call, g, false, y);
}

template <class T>
void reserve_pull_back(const DenseStep& operation, const Operands<T>& operands, std::size_t rows,
                       std::size_t repeat) {
  if (may_gather(operation, operands, repeat)) {
    reserve_gather<T>(rows, operation.out_features, repeat);
  }
}

#define LAMINET_INSTANTIATE(T) LAMINET_STEP(DenseStep, T)
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

#define LAMINET_INSTANTIATE(T)                                                                     \
  template void pre_activation(const StepCall<T>&, const Frame<T>&, MatrixView<T>);                \
  template void forward_part(const StepCall<T>&, const Frame<T>&, const StepPart&);                \
  template void record_part(const StepCall<T>&, const Frame<T>&, const Frame<T>&, bool,            \
                            const StepPart&);                                                      \
  template void push_forward_part(const StepCall<T>&, const Recorded<T>&, const Frame<T>&,         \
                                  const StepPart&);                                                \
  template void pull_back_slopes(const StepCall<T>&, const Recorded<T>&, const Frame<T>&, Slopes); \
  template void pull_back_product(const StepCall<T>&, const Recorded<T>&, const Frame<T>&, Slopes, \
                                  const StepPart&);                                                \
  template void pull_back_sum(const StepCall<T>&, const Recorded<T>&, const Frame<T>&, Slopes);    \
  template void times_weight(const StepCall<T>&, ConstMatrixView<T>, MatrixView<T>);               \
  template void reserve_pull_back(const DenseStep&, const Operands<T>&, std::size_t, std::size_t);
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet::steps

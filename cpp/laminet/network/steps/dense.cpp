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
template <class T>
MatrixView<T> part_of(MatrixView<T> view, std::size_t group, std::size_t columns) {
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

}  // namespace

// The slopes, and in their place the gradients with respect to Z.
std::vector<std::size_t> kept_columns(const DenseStep&, const Step& step) {
  return {step.output.count};
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
  const Step& step = call.step();
  const DenseOperands<T>& own = call.dense();
  const PanelLayout<T>& layout = own.packed[0].layout();
  const Grid grid = choose_grid(layout, operation.groups, values.rows(), part.parts);
  if (part.part >= grid.row_parts * grid.column_parts) return;
  const RowRange rows = share_of_rows(values.rows(), grid.row_parts, part.part / grid.column_parts);
  const std::size_t column_part = part.part % grid.column_parts;
  const Frame<T> own_rows = values.rows(rows.first, rows.count);
  const ConstMatrixView<T> in = own_rows(step.inputs[0]);
  const MatrixView<T> out = own_rows(step.output);
  const bool adds = step.inputs.size() > 1;
  const auto run = [&](std::size_t group, PanelRange panels) {
    const MatrixView<T> y = part_of(out, group, operation.out_features);
    const std::size_t first = panels.first * layout.body->nr;
    const std::size_t end = std::min(panels.last * layout.body->nr, operation.out_features);
    const MatrixView<T> own_columns = y.column_block(first, end - first);
    if (adds) {
      const MatrixView<T> add = part_of(own_rows(step.inputs[1]), group, operation.out_features);
      give<T>(call.table(), add.column_block(first, end - first), own_columns, false);
    }
    const bool by_unit = operation.units.any();
    tiled_layer<T>(part_of(in, group, operation.in_features), own.packed[group],
                   {panels, part.from_memory, adds},
                   part_of(own.bias, group, operation.out_features),
                   by_unit ? Activation{} : operation.activation, y);
    if (by_unit) {
      apply<T>(call, operation.activation, operation.units, own_columns, own_columns,
               group * operation.out_features + first);
    }
  };
  if (operation.groups == 1) return run(0, layout.share(grid.column_parts, column_part));
  const RowRange groups = share_of_rows(operation.groups, grid.column_parts, column_part);
  for (std::size_t i = 0; i < groups.count; ++i) run(groups.first + i, {0, layout.panels()});
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
  const MatrixView<T> z = wanted ? out : d;
  const bool adds = begin_sum(call, values, z);
  products<T>(operation, call, in, nullptr, Activation{}, adds, z);
  apply_with_slopes<T>(call, operation.activation, operation.units, own.bias, z, out, d);
}

template <class T>
void pull_back(const DenseStep& operation, const StepCall<T>& call, const Recorded<T>& recorded,
               const Frame<T>& gradients, Slopes slopes) {
  const Step& step = call.step();
  const Backward& backward = call.program.backward(call.index);
  const ConstMatrixView<T> d = slopes_of(operation, call, recorded.kept);
  const auto [values, kept, first, repeat] = recorded;
  MatrixView<T> g = gradients(step.output);
  const MatrixView<T> result = gradients(step.inputs[0]);
  const bool adds = step.inputs.size() > 1;
  const bool gather = d.data && !adds && !backward.adds[0] && slopes != Slopes::keep &&
                      result.data && may_gather(operation, call.operands, repeat);
  if (gather) {
    // Slopes that it has been multiplied by are 0 or 1.
    return gathered_product<T>(call.dense().weight, call.table(), g, d, first, repeat, result);
  }
  if (slopes == Slopes::multiply) scale_by_diagonal<T>(call.table(), g, d, first, repeat);
  if (slopes == Slopes::keep) {
    const MatrixView<T> delta = kept_of(call, kept, g.columns);
    if (d.data) {
      scale_by_diagonal<T>(call.table(), delta, g, 0, 1);
    } else {
      give<T>(call.table(), g, delta, false);
    }
    g = delta;
  }
  // In the order of the inputs, which may be the same buffer.
  if (result.data) transposed_products<T>(operation, call, g, backward.adds[0], result);
  if (adds) give<T>(call.table(), g, gradients(step.inputs[1]), backward.adds[1]);
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

#define LAMINET_INSTANTIATE(T)                                                       \
  template void pre_activation(const StepCall<T>&, const Frame<T>&, MatrixView<T>);  \
  template void forward_part(const StepCall<T>&, const Frame<T>&, const StepPart&);  \
  template void times_weight(const StepCall<T>&, ConstMatrixView<T>, MatrixView<T>); \
  template void reserve_pull_back(const DenseStep&, const Operands<T>&, std::size_t, std::size_t);
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet::steps

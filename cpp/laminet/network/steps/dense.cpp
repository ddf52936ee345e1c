#include "laminet/network/steps/dense.h"

#include "laminet/base/types.h"
#include "laminet/gemm/blas.h"
#include "laminet/gemm/gather.h"
#include "laminet/gemm/gemm.h"
#include "laminet/gemm/rounded.h"
#include "laminet/network/steps/dense_slopes.h"
#include "laminet/network/steps/instantiate.h"
#include "laminet/network/steps/rows.h"
#include "laminet/network/steps/units.h"

namespace laminet::steps {
namespace {

// The result, before what is added to it: its own memory where `add` shares that.
template <class T>
bool begin_sum(const StepCall<T>& call, const Frame<T>& rows, MatrixView<T> out) {
  const Step& step = call.step();
  if (step.inputs.size() < 2) return false;
  give<T>(call.table(), rows(step.inputs[1]), out, false);
  return true;
}

// What a product has on its left: only values are rounded.
enum class Left { values, tangents };

// out = s(in W^T + bias), or with out added.
template <class T>
void product(const DenseStep& operation, const StepCall<T>& call, Left left, std::size_t group,
             ConstMatrixView<T> in, const T* bias, const Activation& activation, bool accumulate,
             MatrixView<T> out) {
  const DenseOperands<T>& own = call.dense();
  const ConstMatrixView<T> x = part_of(in, group, operation.in_features);
  const MatrixView<T> y = part_of(out, group, operation.out_features);
  const T* const b = part_of(bias, group, operation.out_features);
  const bool rounds = call.operands.rounds && left == Left::values;
  if (call.operands.tiled) {
    const auto packed = left == Left::values ? own.packed : own.for_tangents();
    const PackedWeights<T>& w = packed[group];
    const TiledOptions options{{0, w.layout().panels()}, false, accumulate, rounds};
    tiled_layer<T>(x, w, options, b, activation, y);
  } else {
    const ConstMatrixView<T> w =
        own.weight.row_block(group * operation.out_features, operation.out_features);
    const ConstMatrixView<T> factors = rounds ? rounded<T>(x, call.table()) : x;
    blas_layer<T>(factors, w, accumulate, b, activation, call.table(), y);
  }
}

template <class T>
void products(const DenseStep& operation, const StepCall<T>& call, Left left, ConstMatrixView<T> in,
              const T* bias, const Activation& activation, bool accumulate, MatrixView<T> out) {
  for (std::size_t group = 0; group < operation.groups; ++group) {
    product(operation, call, left, group, in, bias, activation, accumulate, out);
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
      const TiledOptions options{{0, w.layout().panels()}, false, accumulate, own.rounds_back};
      tiled_layer<T>(from, w, options, nullptr, Activation{}, to);
    } else {
      const ConstMatrixView<T> w =
          own.weight.row_block(group * operation.out_features, operation.out_features);
      blas::multiply<T>(from, {w.data, w.columns, w.rows, w.column_stride, w.row_stride}, to,
                        accumulate);
    }
  }
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
  const std::size_t curved = constant_slopes(operation.activation) ? 0 : out;
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
  products<T>(operation, call, Left::values, in, call.dense().bias,
              by_unit ? Activation{} : operation.activation, adds, out);
  if (by_unit) apply<T>(call, operation.activation, operation.units, out, out);
}

template <class T>
void pre_activation(const StepCall<T>& call, const Frame<T>& values, MatrixView<T> z) {
  const bool adds = begin_sum(call, values, z);
  products<T>(*call.program.dense(call.index), call, Left::values, values(call.step().inputs[0]),
              call.dense().bias, Activation{}, adds, z);
}

template <class T>
void record(const DenseStep& operation, const StepCall<T>& call, const Frame<T>& values,
            const Frame<T>& kept, bool wanted) {
  const Step& step = call.step();
  const DenseOperands<T>& own = call.dense();
  const ConstMatrixView<T> in = values(step.inputs[0]);
  const MatrixView<T> out = wanted ? values(step.output) : MatrixView<T>{};
  if (constant_slopes(operation.activation)) {
    if (!wanted) return;
    const bool adds = begin_sum(call, values, out);
    return products<T>(operation, call, Left::values, in, own.bias, Activation{}, adds, out);
  }
  // The bias is added in the pass that follows, which makes the slopes and the activations of z.
  const MatrixView<T> d = kept_of(call, kept, step.output.count);
  MatrixView<T> z = wanted ? out : d;
  if (operation.units.any()) z = kept_of(call, kept, step.output.count, kFirstOfUnits);
  const bool adds = begin_sum(call, values, z);
  products<T>(operation, call, Left::values, in, nullptr, Activation{}, adds, z);
  apply_with_slopes<T>(call, operation.activation, operation.units, own.bias, z, out, d);
}

template <class T>
void pull_back_slopes(const StepCall<T>& call, const Recorded<T>& recorded,
                      const Frame<T>& gradients, Slopes slopes) {
  const DenseStep& operation = *call.program.dense(call.index);
  const MatrixView<T> g = gradients(call.step().output);
  const ConstMatrixView<T> d = slopes_of(operation.activation, call, recorded.kept);
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
                        slopes_of(operation.activation, call, recorded.kept), recorded.first,
                        recorded.repeat, to);
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
  products<T>(operation, call, Left::tangents, tangents(step.inputs[0]), nullptr, Activation{},
              adds, out);
  scale_by_diagonal<T>(call.table(), out, slopes_of(operation.activation, call, recorded.kept),
                       recorded.first, recorded.repeat);
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
  template void pull_back_slopes(const StepCall<T>&, const Recorded<T>&, const Frame<T>&, Slopes); \
  template void pull_back_sum(const StepCall<T>&, const Recorded<T>&, const Frame<T>&, Slopes);    \
  template void times_weight(const StepCall<T>&, ConstMatrixView<T>, MatrixView<T>);               \
  template void reserve_pull_back(const DenseStep&, const Operands<T>&, std::size_t, std::size_t);
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet::steps

#include "laminet/network/mlp.h"

#include <algorithm>
#include <memory>
#include <type_traits>
#include <utility>

#include "laminet/base/check.h"
#include "laminet/base/each_thread.h"
#include "laminet/base/float_mode.h"
#include "laminet/base/parallel.h"
#include "laminet/base/thread_count.h"
#include "laminet/base/types.h"
#include "laminet/gemm/blas.h"
#include "laminet/gemm/gemm.h"
#include "laminet/gemm/rounded.h"
#include "laminet/kernels/dispatch.h"
#include "laminet/network/build.h"
#include "laminet/network/current_plan.h"
#include "laminet/network/weights.h"

namespace laminet {
namespace {

template <class T>
std::vector<LayerView<T>> as_layers(std::span<const DenseView<T>> layers) {
  std::vector<LayerView<T>> result;
  for (const DenseView<T>& layer : layers) result.push_back({layer});
  return result;
}

}  // namespace

template <class T>
Mlp<T>::Mlp(std::span<const DenseView<T>> layers, Head head)
    : Mlp(std::span<const LayerView<T>>(as_layers(layers)), head) {}

template <class T>
Mlp<T>::Mlp(std::span<const LayerView<T>> layers, Head head, std::size_t in_features,
            Precision precision)
    : Mlp(build(layers, head, in_features), head, precision) {}

template <class T>
Mlp<T>::Mlp(Built<T> built, Head head, Precision precision)
    : head_(head),
      precision_(precision),
      program_(std::move(built.program)),
      parameters_(built.numbers.all),
      layers_(std::move(built.numbers.layers)),
      norms_(std::move(built.numbers.norms)),
      units_(std::move(built.numbers.units)),
      instruction_set_(&kernels::active_instruction_set()) {
  require(precision == Precision::full || std::is_same_v<T, float>,
          "weights are rounded to bfloat16 in networks of float32");
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    DenseView<T>& layer = layers_[l];
    const DenseBlocks& blocks = built.numbers.blocks[l];
    places_.push_back(place_of(program_, blocks.weight));
    const MatrixView<T> own = parameters_.change(blocks.weight);
    copy_weight<T>(layer.weight, own);
    if (precision != Precision::full) {
      round_to_bfloat16<T>(own, precision == Precision::bfloat16);
    }
    layer.weight = parameters_[blocks.weight];
    keep(layer.bias, blocks.bias);
    layer.units = {};  // the caller's; units() has them
  }
  for (std::size_t i = 0; i < norms_.size(); ++i) {
    const NormBlocks& blocks = built.numbers.norm_blocks[i];
    norm_places_.push_back(place_of(program_, blocks));
    keep(norms_[i].weight, blocks.weight);
    keep(norms_[i].bias, blocks.bias);
  }
  for (std::size_t i = 0; i < units_.size(); ++i) {
    const UnitBlocks& blocks = built.numbers.unit_blocks[i];
    unit_places_.push_back(place_of(program_, blocks));
    keep(units_[i].units.alphas, blocks.alphas);
    keep(units_[i].units.betas, blocks.betas);
  }
  for (const Constant<T>& constant : built.numbers.constants) {
    const MatrixView<T> to = parameters_.change(constant.block);
    if (constant.from.values) {
      std::copy_n(constant.from.values, to.columns, to.data);
    } else {
      std::fill_n(to.data, to.columns, constant.from.value);
    }
  }
  blas_steps_ = step_operands();
  blas_operands_ = {parameters_.data(), blas_steps_, &table(), false, false, false, rounds()};
}

template <class T>
void Mlp<T>::keep(const T*& row, const ParameterBlock& block) {
  if (!row) return;
  std::copy_n(row, block.columns, parameters_.change(block).data);
  row = parameters_[block].data;
}

template <class T>
std::vector<DenseOperands<T>> Mlp<T>::step_operands() const {
  std::vector<DenseOperands<T>> steps(program_.steps().size());
  for (std::size_t s = 0; s < steps.size(); ++s) {
    if (const DenseStep* dense = program_.dense(s)) {
      steps[s].weight = parameters_[dense->weight];
      steps[s].bias = parameters_[dense->bias].data;
    }
  }
  return steps;
}

template <class T>
Plan Mlp<T>::plan(std::size_t batch) const {
  return current_plan<T>(program_, batch, *instruction_set_, precision_);
}

template <class T>
Packing Mlp<T>::packing() const {
  switch (precision_) {
    case Precision::bfloat16_weights:
      return Packing::forward_bfloat16;
    case Precision::bfloat16:
      return Packing::forward_rounded;
    default:
      return Packing::forward;
  }
}

template <class T>
std::vector<LayerPlan> Mlp<T>::layer_plans(const Plan& plan) const {
  std::vector<LayerPlan> result;
  for (std::size_t s = 0; s < program_.steps().size(); ++s) {
    if (const DenseStep* dense = program_.dense(s)) {
      const PanelLayout<T> layout(dense->out_features, table());
      result.push_back(plan_layer(plan, layout, dense->groups, dense->in_features, cache_sizes(),
                                  stored_as(packing(), table())));
    }
  }
  return result;
}

template <class T>
const Operands<T>& Mlp<T>::operands(const Plan& plan) const {
  if (plan.backend == Backend::blas) {
    for (const DenseOperands<T>& step : blas_steps_) {
      if (step.weight.data) require_blas_fits(step.weight);
    }
    return blas_operands_;
  }
  const Packed& packed = packed_.get([this] {
    auto made = std::make_unique<Packed>(
        Packed{Prepared<T>(program_, parameters_, table(), packing()), step_operands(), {}});
    for (std::size_t s = 0; s < made->steps.size(); ++s) made->steps[s].packed = made->prepared[s];
    made->operands = {parameters_.data(),      made->steps, &table(), true,
                      made->prepared.finite(), false,       rounds()};
    return made;
  });
  return packed.operands;
}

template <class T>
MlpBytes Mlp<T>::bytes() const {
  const Packed* packed = packed_.if_made();
  return {parameters_.bytes(), packed ? packed->prepared.bytes() : 0};
}

template <class T>
MlpBytes Mlp<T>::bytes_prepared() const {
  MlpBytes result = bytes();
  if (result.packed == 0 && plan(1).backend == Backend::tiled) {
    result.packed = Prepared<T>::bytes_of(program_, table(), packing());
  }
  return result;
}

template <class T>
bool Mlp<T>::prepare(std::size_t batch) const {
  (void)operands(plan(batch));
  ScratchRows rows{0, 0};
  std::size_t parts = 0;
  // However far apart the CPUs will be.
  const auto include = [&](std::size_t n) {
    for (double (*handoff)() : {+[] { return 0.0; }, +[] { return 1.0; }}) {
      const Plan chosen = current_plan<T>(program_, n, *instruction_set_, precision_, handoff);
      const ScratchRows needed = scratch_rows(chosen);
      rows = {std::max(rows.caller, needed.caller), std::max(rows.others, needed.others)};
      if (chosen.split == Split::layers) parts = std::max(parts, chosen.threads);
    }
  };
  // A smaller batch may have larger blocks. Beyond so many rows a thread none has (plan.cpp,
  // blocking.cpp).
  const std::size_t seen = std::min(batch, 1024 * std::min(num_threads(), max_threads()));
  for (std::size_t n = 1; n <= seen; ++n) include(n);
  if (batch > seen) include(batch);
  if (batch == 0) return true;

  // Of a step that threads share, each rounds what it multiplies.
  const std::size_t rounded_rows = rounds() ? std::max(rows.caller, rows.others) : 0;
  const auto reserve = [&](std::size_t most_rows) {
    if (most_rows > 0) reserve_scratch<T>(program_, most_rows);
    if (rounded_rows > 0) reserve_rounded<T>(rounded_rows, program_.most_inputs());
  };
  reserve(rows.caller);
  if (plan(batch).backend == Backend::blas) blas::warm_up<T>();
  // What the team keeps of each phase and part of a job, one of the head besides.
  const std::size_t phases = program_.steps().size() + 1;
  if (parts > 1) parallel_phases(phases, parts, Wake::always, [](auto, auto) {});
  if (rows.others == 0 && parts <= 1) return true;
  return on_each_thread([&] { reserve(rows.others); });
}

template <class T>
const Program& Mlp<T>::headed(Head head) const {
  if (head == head_) return program_;
  return headed_[static_cast<std::size_t>(head)].get(
      [this, head] { return std::make_unique<const Program>(program_.with_head(head)); });
}

template <class T>
void Mlp<T>::forward(ConstMatrixView<T> x, MatrixView<T> y) const {
  forward(x, y, head_);
}

template <class T>
void Mlp<T>::forward(ConstMatrixView<T> x, MatrixView<T> y, Head head) const {
  require(x.columns == in_features(), "x has ", x.columns, " features, the network takes ",
          in_features());
  require(y.rows == x.rows && y.columns == out_features(), "out has shape (", y.rows, ", ",
          y.columns, "), expected (", x.rows, ", ", out_features(), ")");
  const Plan chosen = plan(x.rows);
  run_forward(headed(head), operands(chosen), chosen, x, y);
}

template <class T>
void Mlp<T>::trace(ConstMatrixView<T> x, std::span<const MatrixView<T>> pre_activations,
                   std::span<const MatrixView<T>> activations) const {
  require(x.columns == in_features(), "x has ", x.columns, " features, the network takes ",
          in_features());
  std::vector<std::size_t> widths;
  for (std::size_t s = 0; s < program_.steps().size(); ++s) {
    if (program_.dense(s)) widths.push_back(program_.steps()[s].output.count);
  }
  for (const auto& views : {pre_activations, activations}) {
    require(views.size() == widths.size(), "trace takes ", widths.size(), " views of each kind, ",
            "got ", views.size());
    for (std::size_t l = 0; l < views.size(); ++l) {
      const MatrixView<T>& view = views[l];
      require(view.rows == x.rows && view.columns == widths[l] && view.contiguous_rows(),
              "a view of layer ", l, " has shape (", view.rows, ", ", view.columns, "), expected (",
              x.rows, ", ", widths[l], ") with contiguous rows");
    }
  }
  const Plan chosen = plan(x.rows);
  run_trace(program_, operands(chosen), chosen, x, pre_activations, activations);
}

template <class T>
void Mlp<T>::apply_head(MatrixView<T> rows) const {
  require(rows.columns == out_features() && rows.contiguous_rows(), "rows have ", rows.columns,
          " elements, expected ", out_features(), ", contiguous");
  const DefaultFloatMode mode;
  laminet::apply_head(head_, table(), rows);
}

#define LAMINET_INSTANTIATE(T) template class Mlp<T>;
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet

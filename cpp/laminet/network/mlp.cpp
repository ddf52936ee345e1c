#include "laminet/network/mlp.h"

#include <algorithm>
#include <stdexcept>

#include "laminet/base/check.h"
#include "laminet/base/each_thread.h"
#include "laminet/base/float_mode.h"
#include "laminet/base/parallel.h"
#include "laminet/base/thread_count.h"
#include "laminet/gemm/blas.h"
#include "laminet/kernels/dispatch.h"

namespace laminet {
namespace {

template <class T>
Plan plan_for(std::span<const std::size_t> sizes, std::size_t batch, double flops_per_sample,
              const kernels::InstructionSet& set, double (*handoff)() = team_handoff) {
  const Backend requested = backend();
  const bool fused = &set != &kernels::baseline_instruction_set();
  const PlanInput input{
      .sizes = sizes,
      .batch = batch,
      .element_size = sizeof(T),
      .mr = set.table<T>().tiles[0].mr,
      .threads = num_threads(flops_per_sample * static_cast<double>(batch)),
      .handoff = handoff,
      .requested = requested,
      // Asked only where the answer matters: it loads the library.
      .blas_available = requested == Backend::automatic && !fused && blas::library(),
      .fused = fused};
  return make_plan(input, cache_sizes());
}

template <class T>
void require_blas_fits(ConstMatrixView<T> weight) {
  require(blas::fits(weight), "a weight of shape (", weight.rows, ", ", weight.columns,
          ") is too large for the 32-bit integers of BLAS; use back end 'tiled'");
}

}  // namespace

template <class T>
Mlp<T>::Mlp(std::span<const DenseView<T>> layers, Head head)
    : head_(head), instruction_set_(&kernels::active_instruction_set()) {
  require(!layers.empty(), "a network needs at least one layer");
  layers_.reserve(layers.size());
  for (std::size_t l = 0; l < layers.size(); ++l) {
    layers_.emplace_back(layers[l]);
    const std::size_t in = layers_[l].in_features();
    if (l == 0) sizes_.push_back(in);
    require(in == sizes_.back(), "layer ", l, " takes ", in, " features, layer ", l - 1, " gives ",
            sizes_.back());
    sizes_.push_back(layers_[l].out_features());
    flops_ += 2.0 * static_cast<double>(in) * static_cast<double>(layers_[l].out_features());
  }
  for (const Dense<T>& layer : layers_) {
    blas_operands_.push_back({layer.weight(), nullptr, layer.bias(), layer.activation()});
  }
}

template <class T>
Plan Mlp<T>::plan(std::size_t batch) const {
  return plan_for<T>(sizes_, batch, flops_, *instruction_set_);
}

template <class T>
std::vector<LayerPlan> Mlp<T>::layer_plans(const Plan& plan) const {
  std::vector<LayerPlan> result;
  for (const Dense<T>& layer : layers_) {
    const PanelLayout<T> layout(layer.out_features(), instruction_set_->table<T>());
    result.push_back(plan_layer(plan, layout, layer.in_features(), cache_sizes()));
  }
  return result;
}

template <class T>
std::span<const LayerOperands<T>> Mlp<T>::operands(const Plan& plan) const {
  if (plan.backend == Backend::blas) {
    for (const Dense<T>& layer : layers_) require_blas_fits(layer.weight());
    return blas_operands_;
  }
  return packed_.get([this] { return pack(); }).operands;
}

// Where the panels of each layer start in the memory of all, in elements, and where that ends.
template <class T>
std::vector<std::size_t> Mlp<T>::packed_starts() const {
  const kernels::Table<T>& table = instruction_set_->table<T>();
  std::vector<std::size_t> starts = {0};
  for (const Dense<T>& layer : layers_) {
    starts.push_back(starts.back() +
                     round_up(packed_size(layer.out_features(), layer.in_features(), table),
                              AlignedArray<T>::kAlignment / sizeof(T)));
  }
  return starts;
}

template <class T>
auto Mlp<T>::pack() const -> std::unique_ptr<const Packed> {
  const std::vector<std::size_t> starts = packed_starts();
  auto packed = std::make_unique<Packed>();
  packed->memory = HugePageArray<T>(starts.back());
  packed->operands = blas_operands_;
  packed->weights.reserve(layers_.size());  // the operands point into it
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    packed->weights.emplace_back(layers_[l].weight(), instruction_set_->table<T>(),
                                 packed->memory.data() + starts[l], layers_[l].bias());
    packed->operands[l].packed = &packed->weights[l];
  }
  return packed;
}

template <class T>
MlpBytes Mlp<T>::bytes() const {
  MlpBytes result{0, 0};
  for (const Dense<T>& layer : layers_) result.given += layer.bytes();
  if (const Packed* packed = packed_.if_made()) result.packed = packed->memory.bytes();
  return result;
}

template <class T>
MlpBytes Mlp<T>::bytes_prepared() const {
  MlpBytes result = bytes();
  if (result.packed == 0 && plan(1).backend == Backend::tiled) {
    result.packed = page_bytes(packed_starts().back() * sizeof(T));
  }
  return result;
}

template <class T>
bool Mlp<T>::prepare(std::size_t batch) const {
  const std::span<const LayerOperands<T>> layers = operands(plan(batch));
  ScratchRows rows{0, 0};
  std::size_t parts = 0;
  // However far apart the CPUs will be.
  const auto include = [&](std::size_t n) {
    for (double (*handoff)() : {+[] { return 0.0; }, +[] { return 1.0; }}) {
      const Plan chosen = plan_for<T>(sizes_, n, flops_, *instruction_set_, handoff);
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

  reserve_scratch(layers, rows.caller);
  if (!layers.front().packed) blas::warm_up<T>();
  // What the team keeps of each phase and part of a job, one of the head besides.
  if (parts > 1) parallel_phases(layers.size() + 1, parts, Wake::always, [](auto, auto) {});
  if (rows.others == 0 && parts <= 1) return true;
  return on_each_thread([&] {
    if (rows.others > 0) reserve_scratch(layers, rows.others);
  });
}

template <class T>
void Mlp<T>::forward(ConstMatrixView<T> x, MatrixView<T> y, Head head) const {
  require(x.columns == in_features(), "x has ", x.columns, " features, the network takes ",
          in_features());
  require(y.rows == x.rows && y.columns == out_features(), "out has shape (", y.rows, ", ",
          y.columns, "), expected (", x.rows, ", ", out_features(), ")");
  const Plan chosen = plan(x.rows);
  run_forward(operands(chosen), instruction_set_->table<T>(), chosen, head, x, y);
}

template <class T>
void Mlp<T>::trace(ConstMatrixView<T> x, std::span<const MatrixView<T>> pre_activations,
                   std::span<const MatrixView<T>> activations) const {
  require(x.columns == in_features(), "x has ", x.columns, " features, the network takes ",
          in_features());
  for (const auto& views : {pre_activations, activations}) {
    require(views.size() == layers_.size(), "trace takes ", layers_.size(), " views of each kind, ",
            "got ", views.size());
    for (std::size_t l = 0; l < views.size(); ++l) {
      const MatrixView<T>& view = views[l];
      require(view.rows == x.rows && view.columns == sizes_[l + 1] && view.contiguous_rows(),
              "a view of layer ", l, " has shape (", view.rows, ", ", view.columns, "), expected (",
              x.rows, ", ", sizes_[l + 1], ") with contiguous rows");
    }
  }
  const Plan chosen = plan(x.rows);
  run_trace(operands(chosen), instruction_set_->table<T>(), chosen, x, pre_activations,
            activations);
}

template <class T>
void Mlp<T>::apply_head(MatrixView<T> rows) const {
  require(rows.columns == out_features() && rows.contiguous_rows(), "rows have ", rows.columns,
          " elements, expected ", out_features(), ", contiguous");
  const DefaultFloatMode mode;
  laminet::apply_head(head_, instruction_set_->table<T>(), rows);
}

template <class T>
void linear(ConstMatrixView<T> x, const DenseView<T>& layer, MatrixView<T> y) {
  const ConstMatrixView<T> w = layer.weight;
  require(w.rows > 0 && w.columns > 0,
          "weight must have at least one row and one column, got shape (", w.rows, ", ", w.columns,
          ")");
  require(x.columns == w.columns, "x has ", x.columns, " features, the weight takes ", w.columns);
  require(y.rows == x.rows && y.columns == w.rows, "out has shape (", y.rows, ", ", y.columns,
          "), expected (", x.rows, ", ", w.rows, ")");
  check_activation<T>(layer.activation);
  const kernels::InstructionSet& set = kernels::active_instruction_set();
  const std::size_t sizes[] = {w.columns, w.rows};
  const double flops = 2.0 * static_cast<double>(w.rows) * static_cast<double>(w.columns);
  const Plan plan = plan_for<T>(sizes, x.rows, flops, set);
  LayerOperands<T> operands{w, nullptr, layer.bias, layer.activation};
  const auto run = [&] {
    run_forward<T>(std::span<const LayerOperands<T>>(&operands, 1), set.table<T>(), plan,
                   Head::none, x, y);
  };
  if (plan.backend == Backend::tiled) {
    const PackedWeights<T> packed(w, set.table<T>());
    operands.packed = &packed;
    run();
  } else if (blas::fits(w)) {
    run();
  } else {
    const Dense<T> dense(layer);
    require_blas_fits(dense.weight());
    operands.weight = dense.weight();
    run();
  }
}

template class Mlp<float>;
template class Mlp<double>;
template void linear(ConstMatrixView<float>, const DenseView<float>&, MatrixView<float>);
template void linear(ConstMatrixView<double>, const DenseView<double>&, MatrixView<double>);

}  // namespace laminet

#include "laminet/training/numbers.h"

#include <algorithm>

#include "laminet/base/types.h"

namespace laminet {
namespace {

// Inputs of a panel that are one part: its gradient stays in L1 until it has been used. A multiple
// of the rows of every gradient tile, whose panels of inputs parts begin with. No bit depends on it
// but in the norm of all gradients, hence constant.
constexpr std::size_t kPartInputs = 96;

}  // namespace

template <class T>
TrainedNumbers<T>::TrainedNumbers(const Mlp<T>& start, const Program& program,
                                  const RateFactors& factors, std::size_t buffers, bool rounds)
    : rows_(start.parameters().size()),
      row_data_(rows_.change({0, 1, rows_.size()}).data),
      panels_(program, start.parameters(), start.table(), Packing::forward),
      transposed_(program, start.parameters(), start.table(),
                  rounds ? Packing::transposed_rounded : Packing::transposed),
      steps_(program.steps().size()) {
  if (rounds) {
    rounded_.emplace(program, start.parameters(), start.table(), Packing::forward_rounded);
  }
  const T* const from = start.parameters().data();
  // All but the weights, whose pages stay untouched.
  std::vector<ParameterBlock> weights;
  for (std::size_t s = 0; s < program.steps().size(); ++s) {
    if (const DenseStep* const dense = program.dense(s)) weights.push_back(dense->weight);
  }
  std::sort(weights.begin(), weights.end(),
            [](const ParameterBlock& a, const ParameterBlock& b) { return a.start < b.start; });
  weights.push_back({rows_.size(), 0, 0});
  std::size_t at = 0;
  for (const ParameterBlock& weight : weights) {
    std::copy(from + at, from + weight.start, row_data_ + at);
    at = weight.start + weight.size();
  }
  for (std::size_t s = 0; s < program.steps().size(); ++s) {
    if (const DenseStep* const dense = program.dense(s)) {
      steps_[s] = {.bias = rows_[dense->bias].data,
                   .packed = rounds ? (*rounded_)[s] : panels_[s],
                   .transposed = transposed_[s],
                   .weight = {},
                   .rounds_back = rounds};
    }
  }
  operands_ = {.parameters = rows_.data(),
               .steps = steps_,
               .table = &start.table(),
               .tiled = true,
               .finite = false,
               .rounds = rounds};
  if (rounds) {
    exact_steps_ = steps_;
    for (std::size_t s = 0; s < steps_.size(); ++s) exact_steps_[s].packed = panels_[s];
    exact_ = operands_;
    exact_.steps = exact_steps_;
    exact_.rounds = false;
  }
  for (std::size_t i = 0; i < buffers; ++i) {
    HugePageArray<T>& one = buffers_.emplace_back(size());
    if (!one.zeroed()) std::fill_n(one.data(), one.size(), T{0});
  }

  const auto add_row = [&](TrainedPart::What what, std::size_t step, std::size_t column,
                           const T* values, std::size_t count, double factor) {
    if (!values) return;
    const auto offset = panels_.size() + static_cast<std::size_t>(values - from);
    parts_.push_back({.what = what,
                      .step = step,
                      .offset = offset,
                      .count = count,
                      .group = 0,
                      .outputs_of_group = 0,
                      .output = column,
                      .outputs = count,
                      .first = 0,
                      .inputs = 0,
                      .stride = 0,
                      .factor = factor,
                      .mixed = false,
                      .square = squares_++});
  };
  const auto factor_of = [](const std::vector<double>& of, std::size_t i) {
    return of.empty() ? 1.0 : of[i];
  };
  for (std::size_t s = 0; s < program.steps().size(); ++s) {
    pulls_back_.push_back(program.steps()[s].inputs[0].buffer != program.input().buffer);
    column_factors_.emplace_back(program.dense(s) ? program.steps()[s].output.count : 0, 1.0);
  }
  for (std::size_t l = 0; l < start.layers().size(); ++l) {
    const LayerPlace& place = start.places()[l];
    std::fill_n(column_factors_[place.step].begin() + static_cast<std::ptrdiff_t>(place.first),
                start.layers()[l].weight.rows, factor_of(factors.layers, l));
  }
  for (std::size_t s = 0; s < program.steps().size(); ++s) {
    const DenseStep* const dense = program.dense(s);
    for (std::size_t g = 0; dense && g < dense->groups; ++g) add_weight(*dense, s, g);
  }
  for (std::size_t l = 0; l < start.layers().size(); ++l) {
    const DenseView<T>& view = start.layers()[l];
    const LayerPlace& place = start.places()[l];
    layers_.push_back({place, view.weight.rows, view.weight.columns, factor_of(factors.layers, l)});
    add_row(TrainedPart::What::bias, place.step, place.first, view.bias, view.weight.rows,
            factor_of(factors.layers, l));
  }
  for (std::size_t i = 0; i < start.norms().size(); ++i) {
    const NormView<T>& norm = start.norms()[i];
    const ColumnsPlace& place = start.norm_places()[i];
    const double factor = factor_of(factors.norms, i);
    add_row(TrainedPart::What::norm_weight, place.step, place.first, norm.weight, norm.features,
            factor);
    add_row(TrainedPart::What::norm_bias, place.step, place.first, norm.bias, norm.features,
            factor);
  }
  for (std::size_t i = 0; i < start.units().size(); ++i) {
    const UnitsView<T>& units = start.units()[i];
    const ColumnsPlace& place = start.unit_places()[i];
    const double factor = factor_of(factors.units, i);
    add_row(TrainedPart::What::alphas, place.step, place.first, units.units.alphas, units.features,
            factor);
    add_row(TrainedPart::What::betas, place.step, place.first, units.units.betas, units.features,
            factor);
  }
  for (const TrainedPart& part : parts_) largest_ = std::max(largest_, part.count);
  // As after a step: weights beyond the range of bfloat16, and subnormal ones.
  if (rounds) all_changed();
}

template <class T>
void TrainedNumbers<T>::add_weight(const DenseStep& dense, std::size_t step, std::size_t group) {
  PackedWeights<T>& packed = panels_.change(step, group);
  const PanelLayout<T>& layout = packed.layout();
  for (std::size_t p = 0; p < layout.panels(); ++p) {
    const bool body = p < layout.body_panels;
    const std::size_t nr = body ? layout.body->nr : layout.tail->nr;
    const std::size_t output = p * layout.body->nr;
    const std::size_t outputs = std::min(nr, dense.out_features - output);
    const double* const factors =
        column_factors_[step].data() + group * dense.out_features + output;
    const bool mixed =
        std::any_of(factors, factors + outputs, [&](double f) { return f != factors[0]; });
    for (std::size_t i = 0; i < dense.in_features; i += kPartInputs) {
      const std::size_t inputs = std::min(kPartInputs, dense.in_features - i);
      parts_.push_back(
          {.what = TrainedPart::What::weight,
           .step = step,
           .offset = static_cast<std::size_t>(packed.change_panel(p) - panels_.data()) + i * nr,
           .count = inputs * nr,
           .group = group,
           .outputs_of_group = dense.out_features,
           .output = output,
           .outputs = outputs,
           .first = i,
           .inputs = inputs,
           .stride = nr,
           .factor = factors[0],
           .mixed = mixed,
           .square = squares_ + i / kPartInputs * dense.out_features + output});
    }
  }
  squares_ += (dense.in_features + kPartInputs - 1) / kPartInputs * dense.out_features;
}

template <class T>
T* TrainedNumbers<T>::parameters(const TrainedPart& part) {
  if (part.what == TrainedPart::What::weight) return panels_.data() + part.offset;
  return row_data_ + (part.offset - panels_.size());
}

template <class T>
void TrainedNumbers<T>::changed(const TrainedPart& part) {
  if (part.what != TrainedPart::What::weight) return;
  const ConstMatrixView<T> panel =
      dense_view<const T>(panels_.data() + part.offset, part.inputs, part.stride);
  if (rounded_) {
    PackedWeights<T>& packed = rounded_->change(part.step, part.group);
    packed.repack_panel(panel, part.output / packed.layout().body->nr, part.first);
  }
  if (!pulls_back_[part.step]) return;
  // Of W^T the rows are inputs.
  transposed_.change(part.step, part.group)
      .repack(panel.column_block(0, part.outputs), part.first, part.output);
}

template <class T>
void TrainedNumbers<T>::reserve_changes() const {
  if (rounded_) PackedWeights<T>::reserve_repack(kPartInputs, operands_.table->tiles[0].nr);
}

template <class T>
void TrainedNumbers<T>::copy_weight(std::size_t layer, MatrixView<T> to, const T* from) const {
  for_panels(layer, from ? from : panels_.data(), [&](ConstMatrixView<T> panel, std::size_t first) {
    copy<T>(panel, to.row_block(first, panel.rows));
  });
}

template <class T>
void TrainedNumbers<T>::set_weight(std::size_t layer, ConstMatrixView<T> from, T* to) {
  for_panels(layer, to ? to : panels_.data(), [&](MatrixView<T> panel, std::size_t first) {
    copy<T>(from.row_block(first, panel.rows), panel);
  });
}

#define LAMINET_INSTANTIATE(T) template class TrainedNumbers<T>;
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet

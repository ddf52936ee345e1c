#include "laminet/network/parameter_layout.h"

#include <utility>
#include <variant>

#include "laminet/base/check.h"
#include "laminet/base/matrix.h"
#include "laminet/base/types.h"
#include "laminet/network/overloaded.h"
#include "laminet/network/parameters.h"

namespace laminet {
namespace {

ParameterBlock part_of(const ParameterBlock& row, std::size_t copy, std::size_t n) {
  return row.rows == 0 ? row : ParameterBlock{row.start + copy * n, 1, n};
}

ParameterBlock reserve_in(std::size_t& elements, std::size_t rows, std::size_t columns) {
  const ParameterBlock block{elements, rows, columns};
  elements += round_up(checked_product(rows, columns), kParameterAlignment);
  return block;
}

}  // namespace

template <class T>
ParameterBlock ParameterLayout<T>::reserve(std::size_t rows, std::size_t columns) {
  return reserve_in(numbers_.parameters, rows, columns);
}

// The dense layers, norms and functions with parameters by unit, in the order of the tree.
template <class T>
void ParameterLayout<T>::number(Series<T> layers) {
  for (const LayerView<T>& layer : layers) {
    std::visit(Overloaded{[&](const DenseView<T>& dense) {
                            dense_numbers_[&dense] = numbers_.layers.size();
                            numbers_.layers.push_back(dense);
                            numbers_.blocks.emplace_back();
                            number_units(dense);
                          },
                          [&](const ActivationView<T>& one) { number_units(one); },
                          [&](const NormView<T>& norm) {
                            norm_numbers_[&norm] = numbers_.norms.size();
                            numbers_.norms.push_back(norm);
                            numbers_.norm_blocks.emplace_back();
                          },
                          [&](const ParallelView<T>& parallel) {
                            for (const SeriesView<T>& branch : parallel.branches) number(branch);
                          },
                          [&](const ResidualView<T>& residual) { number(residual.layers); },
                          // Without numbers that are trained.
                          [](const RescaleView<T>&) {}, [](const SelectView&) {},
                          [](const DropoutView&) {}},
               layer.kind);
  }
}

template <class T>
void ParameterLayout<T>::number_units(const auto& view) {
  if (!view.units.any()) return;
  unit_numbers_[&view] = numbers_.units.size();
  numbers_.units.push_back({view.units});
  numbers_.unit_blocks.emplace_back();
}

template <class T>
DenseBlocks ParameterLayout<T>::dense(const Copies<DenseView<T>>& same) {
  const std::size_t copies = same.size();
  const std::size_t n = same[0]->weight.rows;
  const std::size_t k = same[0]->weight.columns;
  const ParameterBlock weight = reserve(copies * n, k);
  const ParameterBlock bias = same[0]->bias ? reserve(1, copies * n) : ParameterBlock{};
  for (std::size_t c = 0; c < copies; ++c) {
    DenseBlocks& own = numbers_.blocks[dense_numbers_.at(same[c])];
    own.weight = {weight.start + c * n * k, n, k};
    own.bias = part_of(bias, c, n);
  }
  return {weight, bias};
}

template <class T>
template <class Kind>
UnitParameters ParameterLayout<T>::reserve_units(const Copies<Kind>& same, std::size_t features) {
  UnitParameters result;
  if (!same[0]->units.any()) return result;
  const std::size_t copies = same.size();
  if (same[0]->units.alphas) result.alphas = reserve(1, copies * features);
  if (same[0]->units.betas) result.betas = reserve(1, copies * features);
  for (std::size_t c = 0; c < copies; ++c) {
    const std::size_t number = unit_numbers_.at(same[c]);
    numbers_.units[number].features = features;
    numbers_.unit_blocks[number] = {part_of(result.alphas, c, features),
                                    part_of(result.betas, c, features)};
  }
  return result;
}

template <class T>
UnitParameters ParameterLayout<T>::units_of(const Copies<DenseView<T>>& same,
                                            std::size_t features) {
  return reserve_units(same, features);
}

template <class T>
UnitParameters ParameterLayout<T>::units_of(const Copies<ActivationView<T>>& same,
                                            std::size_t features) {
  return reserve_units(same, features);
}

// Of all copies, side by side; from(copy) says where the numbers are.
template <class T>
template <class Kind, class From>
ParameterBlock ParameterLayout<T>::constants(const Copies<Kind>& same, std::size_t features,
                                             From from) {
  const ParameterBlock block = reserve_in(constant_elements_, 1, same.size() * features);
  for (std::size_t c = 0; c < same.size(); ++c) {
    numbers_.constants.push_back({part_of(block, c, features), from(*same[c])});
  }
  return block;
}

template <class T>
RescaleStep ParameterLayout<T>::rescale(const Copies<RescaleView<T>>& same, std::size_t features) {
  RescaleStep step;
  step.scale = constants(same, features, [](const RescaleView<T>& one) { return one.scale; });
  step.shift = constants(same, features, [](const RescaleView<T>& one) { return one.shift; });
  if (!same[0]->clip) return step;
  step.low = constants(same, features, [](const RescaleView<T>& one) { return one.low; });
  step.high = constants(same, features, [](const RescaleView<T>& one) { return one.high; });
  return step;
}

template <class T>
NormStep ParameterLayout<T>::norm(const Copies<NormView<T>>& same, std::size_t features) {
  const std::size_t copies = same.size();
  NormStep step{same[0]->center, same[0]->eps, copies, {}, {}};
  if (same[0]->weight) step.weight = reserve(1, copies * features);
  if (same[0]->bias) step.bias = reserve(1, copies * features);
  for (std::size_t c = 0; c < copies; ++c) {
    NormBlocks& own = numbers_.norm_blocks[norm_numbers_.at(same[c])];
    own = {part_of(step.weight, c, features), part_of(step.bias, c, features)};
  }
  return step;
}

template <class T>
LayerNumbers<T> ParameterLayout<T>::finish(std::vector<Step>& steps) && {
  const auto move = [this](ParameterBlock& block) {
    if (block.rows > 0) block.start += numbers_.parameters;
  };
  for (Constant<T>& constant : numbers_.constants) move(constant.block);
  for (Step& step : steps) {
    if (auto* const rescale = std::get_if<RescaleStep>(&step.operation)) {
      for (ParameterBlock* block :
           {&rescale->scale, &rescale->shift, &rescale->low, &rescale->high}) {
        move(*block);
      }
    }
  }
  numbers_.all = numbers_.parameters + constant_elements_;
  return std::move(numbers_);
}

#define LAMINET_INSTANTIATE(T) template class ParameterLayout<T>;
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet

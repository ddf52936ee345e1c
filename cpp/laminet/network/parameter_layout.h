// Where the numbers of a network's layers lie in its one buffer of parameters.
#pragma once

#include <cstddef>
#include <map>
#include <vector>

#include "laminet/network/layer_shapes.h"
#include "laminet/network/layers.h"
#include "laminet/network/step.h"

namespace laminet {

// Where the numbers of a dense layer lie.
struct DenseBlocks {
  ParameterBlock weight;
  ParameterBlock bias;
};

struct NormBlocks {
  ParameterBlock weight;
  ParameterBlock bias;
};

struct UnitBlocks {
  ParameterBlock alphas;
  ParameterBlock betas;
};

// Numbers that training leaves alone, and where they lie: an array or, where it is null, one value
// for all.
template <class T>
struct Constant {
  ParameterBlock block;
  ByFeature<T> from;
};

template <class T>
struct LayerNumbers {
  std::size_t parameters = 0;  // elements that are trained; constants come after them
  std::size_t all = 0;         // elements
  // All dense layers, norms, and functions with parameters by unit, each before those that follow
  // it in the tree, and where their numbers lie.
  std::vector<DenseView<T>> layers;
  std::vector<DenseBlocks> blocks;
  std::vector<NormView<T>> norms;
  std::vector<NormBlocks> norm_blocks;
  std::vector<UnitsView<T>> units;
  std::vector<UnitBlocks> unit_blocks;
  std::vector<Constant<T>> constants;
};

// Layers of equal places in series that run as one; one alone in most cases.
template <class Kind>
using Copies = std::vector<const Kind*>;

// Gives layers their places, in the order in which steps are made of them: the numbers of copies
// lie side by side, or one below the other, as the step reads them.
template <class T>
class ParameterLayout {
 public:
  explicit ParameterLayout(Series<T> layers) { number(layers); }

  // Of all copies together.
  DenseBlocks dense(const Copies<DenseView<T>>& same);
  UnitParameters units_of(const Copies<DenseView<T>>& same, std::size_t features);
  UnitParameters units_of(const Copies<ActivationView<T>>& same, std::size_t features);
  RescaleStep rescale(const Copies<RescaleView<T>>& same, std::size_t features);
  NormStep norm(const Copies<NormView<T>>& same, std::size_t features);

  // Constants lie after what is trained, however much that is: the steps hear so here.
  LayerNumbers<T> finish(std::vector<Step>& steps) &&;

 private:
  void number(Series<T> layers);
  void number_units(const auto& view);
  ParameterBlock reserve(std::size_t rows, std::size_t columns);
  template <class Kind>
  UnitParameters reserve_units(const Copies<Kind>& same, std::size_t features);
  template <class Kind, class From>
  ParameterBlock constants(const Copies<Kind>& same, std::size_t features, From from);

  LayerNumbers<T> numbers_;
  std::size_t constant_elements_ = 0;
  std::map<const DenseView<T>*, std::size_t> dense_numbers_;
  std::map<const NormView<T>*, std::size_t> norm_numbers_;
  std::map<const void*, std::size_t> unit_numbers_;  // by the layer's view
};

}  // namespace laminet

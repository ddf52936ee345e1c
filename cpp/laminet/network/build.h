// From layers to a program: what stands in series, side by side or is summed becomes steps.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "laminet/network/head.h"
#include "laminet/network/layers.h"
#include "laminet/network/program.h"

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
struct Built {
  Program program;
  std::size_t parameters;  // elements that are trained; constants come after them
  std::size_t all;         // elements
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

// Branches of equal layers become one product of several groups, or, where they read the same
// input, one wider product. Throws std::invalid_argument where there is no layer, or the layers do
// not fit one another. `in_features` is asked for where the layers do not say it: 0 if not given.
template <class T>
Built<T> build(std::span<const LayerView<T>> layers, Head head, std::size_t in_features = 0);

// Of dense layers in series, n_0 -> n_1 -> ... -> n_L, without biases or functions.
Program chain_of(std::span<const std::size_t> sizes);

}  // namespace laminet

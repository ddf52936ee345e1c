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

template <class T>
struct Built {
  Program program;
  std::size_t parameters;            // elements
  std::vector<DenseView<T>> layers;  // all dense ones, each before those that follow it in the tree
  std::vector<DenseBlocks> blocks;   // of each
};

// Branches of equal layers become one product of several groups, or, where they read the same
// input, one wider product. Throws std::invalid_argument where there is no layer, or the layers do
// not fit one another. `in_features` is asked for where the layers do not say it: 0 if not given.
template <class T>
Built<T> build(std::span<const LayerView<T>> layers, Head head, std::size_t in_features = 0);

// Of dense layers in series, n_0 -> n_1 -> ... -> n_L, without biases or functions.
Program chain_of(std::span<const std::size_t> sizes);

}  // namespace laminet

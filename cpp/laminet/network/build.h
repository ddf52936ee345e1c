// From layers to a program: what stands in series, side by side or is summed becomes steps.
#pragma once

#include <cstddef>
#include <span>

#include "laminet/network/head.h"
#include "laminet/network/layers.h"
#include "laminet/network/parameter_layout.h"
#include "laminet/network/program.h"

namespace laminet {

template <class T>
struct Built {
  Program program;
  LayerNumbers<T> numbers;
};

// Branches of equal layers become one product of several groups, or, where they read the same
// input, one wider product. Throws std::invalid_argument where there is no layer, or the layers do
// not fit one another. `in_features` is asked for where the layers do not say it: 0 if not given.
template <class T>
Built<T> build(std::span<const LayerView<T>> layers, Head head, std::size_t in_features = 0);

// Of dense layers in series, n_0 -> n_1 -> ... -> n_L, without biases or functions.
Program chain_of(std::span<const std::size_t> sizes);

}  // namespace laminet

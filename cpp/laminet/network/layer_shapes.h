// How many features layers take and give, and which of them are of one shape.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "laminet/network/layers.h"

namespace laminet {

template <class T>
using Series = std::span<const LayerView<T>>;

// How many features the layers take, as the first of them that knows says; 0 where none does.
template <class T>
std::size_t features_taken(Series<T> layers);

// What the layers make of `in` features. Throws std::invalid_argument where they do not fit, or a
// layer by itself is none; `above` is their place in a larger tree, `before` who gives them `in`.
template <class T>
std::size_t features_given(Series<T> layers, std::size_t in, const std::string& above = "",
                           const std::string& before = "the input");

// Whether copies of both can run as one, side by side: equal but for their numbers.
template <class T>
bool alike(Series<T> a, Series<T> b);

}  // namespace laminet

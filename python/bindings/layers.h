// Layers as Python has them, as views.
#pragma once

#include <pybind11/pybind11.h>

#include <vector>

#include "laminet/network/layers.h"
#include "numpy_views.h"

namespace laminet {

// Makes views of layers, and keeps the arrays that they show. A layer is a tuple:
//   (weight, bias or None, activation)     dense
//   ("activation", activation)
//   ("select", first, count)
//   ("parallel", [branch, ...], join)      each branch a list of layers; "concat", "sum" or "mean"
//   ("residual", [layer, ...])
template <class T>
class LayerArrays {
 public:
  SeriesView<T> series(const pybind11::sequence& layers);

 private:
  LayerView<T> layer(const pybind11::tuple& one);
  DenseView<T> dense(const pybind11::tuple& one);

  std::vector<Input<T>> weights_;
  std::vector<pybind11::array> biases_;
};

// Elements of all weights.
template <class T>
double weight_elements(const SeriesView<T>& layers);

}  // namespace laminet

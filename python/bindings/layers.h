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
//   ("rescale", scale, shift, low, high)   each a number or an array; low and high may be None
//   ("norm", kind, weight, bias, eps)      "layer" or "rms"; weight and bias may be None
//   ("select", columns)                    a list of places
//   ("dropout", rate)                      in training alone
//   ("parallel", [branch, ...], join)      each branch a list of layers; "concat", "sum" or "mean"
//   ("residual", [layer, ...])
template <class T>
class LayerArrays {
 public:
  SeriesView<T> series(const pybind11::sequence& layers);

 private:
  LayerView<T> layer(const pybind11::tuple& one);
  DenseView<T> dense(const pybind11::tuple& one);
  RescaleView<T> rescale(const pybind11::tuple& one);
  NormView<T> norm(const pybind11::tuple& one);
  // An array of so many elements, or where `features` is 0 of any number, which it becomes; null
  // for None.
  const T* row(const pybind11::object& array, const char* name, std::size_t& features);
  ByFeature<T> by_feature(const pybind11::object& value, const char* name, std::size_t& features);
  // Those of an activation's parameters that are arrays.
  UnitArrays<T> units(const pybind11::object& activation, std::size_t& features);

  std::vector<Input<T>> weights_;
  std::vector<pybind11::array> rows_;
};

// Elements of all weights.
template <class T>
double weight_elements(const SeriesView<T>& layers);

}  // namespace laminet

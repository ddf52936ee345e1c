#include "layers.h"

#include <pybind11/stl.h>

#include <limits>
#include <string>
#include <variant>

#include "laminet/base/check.h"

namespace laminet {
namespace {

Join as_join(const std::string& name) {
  if (name == "sum") return Join::sum;
  if (name == "mean") return Join::mean;
  require(name == "concat", "unknown join ", name);
  return Join::concat;
}

}  // namespace

template <class T>
const T* LayerArrays<T>::row(const py::object& array, const char* name, std::size_t& features) {
  if (array.is_none()) return nullptr;
  const Input<T> input = as_input<T>(array, name);
  const ConstMatrixView<T>& view = input.view;
  require(input.single && view.columns > 0, name, " must have one axis and an element at least");
  if (features == 0) features = view.columns;
  require(view.columns == features, name, " must have ", features, " elements, got ", view.columns);
  py::array_t<T> copied(static_cast<py::ssize_t>(features));
  copy<T>(view, dense_view(copied.mutable_data(), 1, features));
  rows_.push_back(copied);
  return copied.data();
}

template <class T>
ByFeature<T> LayerArrays<T>::by_feature(const py::object& value, const char* name,
                                        std::size_t& features) {
  if (py::isinstance<py::float_>(value)) return {static_cast<T>(value.cast<double>()), nullptr};
  return {T{0}, row(value, name, features)};
}

template <class T>
UnitArrays<T> LayerArrays<T>::units(const py::object& activation, std::size_t& features) {
  const auto array = [&](const char* name) -> const T* {
    const py::object value = activation.attr(name);
    return py::isinstance<py::array>(value) ? row(value, name, features) : nullptr;
  };
  return {array("alpha"), array("beta")};
}

template <class T>
DenseView<T> LayerArrays<T>::dense(const py::tuple& one) {
  weights_.push_back(as_matrix<T>(one[0], "weight"));
  const ConstMatrixView<T> w = weights_.back().view;
  const py::object bias = one[1];
  rows_.push_back(as_vector_or_none<T>(bias, "bias", w.rows));
  const T* b = bias.is_none() ? nullptr : static_cast<const T*>(rows_.back().data());
  std::size_t features = w.rows;
  return {w, b, as_activation(one[2]), units(one[2], features)};
}

template <class T>
RescaleView<T> LayerArrays<T>::rescale(const py::tuple& one) {
  RescaleView<T> view;
  const py::object low = one[3];
  const py::object high = one[4];
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  view.scale = by_feature(one[1], "scale", view.features);
  view.shift = by_feature(one[2], "shift", view.features);
  view.clip = !low.is_none() || !high.is_none();
  view.low = {-kInfinity, nullptr};
  view.high = {kInfinity, nullptr};
  if (!low.is_none()) view.low = by_feature(low, "low", view.features);
  if (!high.is_none()) view.high = by_feature(high, "high", view.features);
  return view;
}

template <class T>
NormView<T> LayerArrays<T>::norm(const py::tuple& one) {
  NormView<T> view;
  const auto kind = one[1].cast<std::string>();
  require(kind == "layer" || kind == "rms", "unknown norm ", kind);
  view.center = kind == "layer";
  view.weight = row(one[2], "weight", view.features);
  view.bias = row(one[3], "bias", view.features);
  view.eps = one[4].cast<double>();
  return view;
}

template <class T>
LayerView<T> LayerArrays<T>::layer(const py::tuple& one) {
  if (!py::isinstance<py::str>(one[0])) return {dense(one)};
  const auto kind = one[0].cast<std::string>();
  if (kind == "activation") {
    ActivationView<T> view{as_activation(one[1])};
    view.units = units(one[1], view.features);
    return {view};
  }
  if (kind == "rescale") return {rescale(one)};
  if (kind == "norm") return {norm(one)};
  if (kind == "select") return {SelectView{one[1].cast<std::vector<std::size_t>>()}};
  if (kind == "dropout") return {DropoutView{one[1].cast<double>()}};
  if (kind == "residual") return {ResidualView<T>{series(py::sequence(one[1]))}};
  require(kind == "parallel", "unknown kind of layer ", kind);
  ParallelView<T> parallel{{}, as_join(one[2].cast<std::string>())};
  for (const py::handle branch : py::sequence(one[1])) {
    parallel.branches.push_back(series(branch.cast<py::sequence>()));
  }
  return {parallel};
}

template <class T>
SeriesView<T> LayerArrays<T>::series(const py::sequence& layers) {
  SeriesView<T> result;
  for (const py::handle one : layers) result.push_back(layer(one.cast<py::tuple>()));
  return result;
}

template <class T>
double weight_elements(const SeriesView<T>& layers) {
  double elements = 0.0;
  for (const LayerView<T>& layer : layers) {
    if (const auto* dense = std::get_if<DenseView<T>>(&layer.kind)) {
      elements +=
          static_cast<double>(dense->weight.rows) * static_cast<double>(dense->weight.columns);
    } else if (const auto* parallel = std::get_if<ParallelView<T>>(&layer.kind)) {
      for (const SeriesView<T>& branch : parallel->branches) elements += weight_elements(branch);
    } else if (const auto* residual = std::get_if<ResidualView<T>>(&layer.kind)) {
      elements += weight_elements(residual->layers);
    }
  }
  return elements;
}

template class LayerArrays<float>;
template class LayerArrays<double>;
template double weight_elements(const SeriesView<float>&);
template double weight_elements(const SeriesView<double>&);

}  // namespace laminet

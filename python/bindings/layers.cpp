#include "layers.h"

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
DenseView<T> LayerArrays<T>::dense(const py::tuple& one) {
  weights_.push_back(as_matrix<T>(one[0], "weight"));
  const ConstMatrixView<T> w = weights_.back().view;
  const py::object bias = one[1];
  biases_.push_back(as_vector_or_none<T>(bias, "bias", w.rows));
  const T* b = bias.is_none() ? nullptr : static_cast<const T*>(biases_.back().data());
  return {w, b, as_activation(one[2])};
}

template <class T>
LayerView<T> LayerArrays<T>::layer(const py::tuple& one) {
  if (!py::isinstance<py::str>(one[0])) return {dense(one)};
  const auto kind = one[0].cast<std::string>();
  if (kind == "activation") return {as_activation(one[1])};
  if (kind == "select") {
    return {SelectView{one[1].cast<std::size_t>(), one[2].cast<std::size_t>()}};
  }
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

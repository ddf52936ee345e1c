#include "laminet/training/least_squares.h"

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <span>
#include <utility>

#include "bindings.h"
#include "laminet/base/check.h"
#include "network.h"
#include "numpy_views.h"
#include "outputs.h"
#include "pin.h"
#include "release_gil.h"

namespace laminet {
namespace {

py::object word_of(Stopped stopped) {
  switch (stopped) {
    case Stopped::no:
      break;
    case Stopped::gradient:
      return py::str("gradient");
    case Stopped::change:
      return py::str("change");
    case Stopped::damping:
      return py::str("damping");
    case Stopped::not_finite:
      return py::str("not_finite");
  }
  return py::none();
}

// A network in training, and the one that it started from, which it keeps alive.
class NetworkLeastSquares {
 public:
  NetworkLeastSquares(const py::object& network, const LeastSquaresOptions& options)
      : network_(network), net_(mlp_of<double>(network)), method_(net_, options) {}

  // Up to `iterations` iterations: ([loss after each], why there will be no further one or None).
  py::tuple run(const py::object& x, const py::object& y, const py::object& weights,
                std::size_t iterations) {
    const Arrays arrays(*this, x, y, weights);
    AlignedArray<double> losses(iterations);
    LeastSquares::Result made{};
    {
      const MaybeReleaseGil release(kLong, arrays.pinned());
      made = method_.run(arrays.samples(), {losses.data(), iterations});
    }
    py::array_t<double> found = new_array<double>(1, made.iterations, true);
    std::copy_n(losses.data(), made.iterations, found.mutable_data());
    return py::make_tuple(found, word_of(made.stopped));
  }

  double loss(const py::object& x, const py::object& y, const py::object& weights) {
    const Arrays arrays(*this, x, y, weights);
    const MaybeReleaseGil release(kLong, arrays.pinned());
    return method_.loss(arrays.samples());
  }

  // ([weight ..], [bias or None ..], [(weight or None, bias or None) of each norm],
  // [(alpha or None, beta or None) of each function with parameters by unit]).
  py::tuple parameters() {
    const double* const from = net_.parameters().data();
    const double* const to = method_.parameters().data();
    const auto array = [&](const double* values, std::size_t rows, std::size_t columns,
                           bool row) -> py::object {
      if (!values) return py::none();
      py::array_t<double> result = new_array<double>(rows, columns, row);
      std::copy_n(to + (values - from), rows * columns, result.mutable_data());
      return result;
    };
    const auto pair = [&](const double* one, const double* other, std::size_t columns) {
      return py::make_tuple(array(one, 1, columns, true), array(other, 1, columns, true));
    };
    py::list weights, biases, norms, units;
    for (const DenseView<double>& layer : net_.layers()) {
      weights.append(array(layer.weight.data, layer.weight.rows, layer.weight.columns, false));
      biases.append(array(layer.bias, 1, layer.weight.rows, true));
    }
    for (const NormView<double>& norm : net_.norms()) {
      norms.append(pair(norm.weight, norm.bias, norm.features));
    }
    for (const auto& [own, features] : net_.units()) {
      units.append(pair(own.alphas, own.betas, features));
    }
    return py::make_tuple(weights, biases, norms, units);
  }

  double damping() const { return method_.damping(); }

 private:
  static constexpr double kLong = std::numeric_limits<double>::infinity();

  // What a call is given.
  class Arrays {
   public:
    Arrays(const NetworkLeastSquares& self, const py::object& x, const py::object& y,
           const py::object& weights)
        : x_(as_input<double>(x, "X", feature_names_of<double>(self.network_))),
          pin_(std::array{py::handle(x_.holder)}),
          y_(as_matrix<double>(y, "y")),
          weights_(as_vector_or_none<double>(weights, "sample_weight", x_.view.rows)),
          weighted_(!weights.is_none()) {}

    LeastSquaresSamples samples() const {
      return {x_.view, y_.view, weighted_ ? static_cast<const double*>(weights_.data()) : nullptr};
    }
    std::array<py::handle, 3> pinned() const { return {x_.holder, y_.holder, weights_}; }

   private:
    Input<double> x_;
    Pin pin_;  // while y and weights are converted
    Input<double> y_;
    py::array weights_;
    bool weighted_;
  };

  py::object network_;
  const Mlp<double>& net_;
  LeastSquares method_;
};

}  // namespace

void register_least_squares(py::module_& module) {
  using N = NetworkLeastSquares;
  py::class_<N> type(module, "LeastSquares");
  only_by_make(type);
  type.def_static(
          "make",
          [](const py::object& network, double damping, double max_damping,
             double tolerance_gradient, double tolerance_change, double weight_decay,
             bool decay_biases) {
            return owned(std::make_unique<N>(
                network, LeastSquaresOptions{.damping = damping,
                                             .max_damping = max_damping,
                                             .tolerance_gradient = tolerance_gradient,
                                             .tolerance_change = tolerance_change,
                                             .decay = weight_decay,
                                             .decay_all = decay_biases}));
          },
          py::arg("network"), py::arg("damping"), py::arg("max_damping"),
          py::arg("tolerance_gradient"), py::arg("tolerance_change"), py::arg("weight_decay"),
          py::arg("decay_biases"))
      .def("run", &N::run, py::arg("x"), py::arg("y"), py::arg("weights"), py::arg("iterations"))
      .def("loss", &N::loss, py::arg("x"), py::arg("y"), py::arg("weights"))
      .def("parameters", &N::parameters)
      .def_property_readonly("damping", &N::damping);
}

}  // namespace laminet

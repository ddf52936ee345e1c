#include "laminet/gradients/derivatives.h"

#include <pybind11/stl.h>

#include <array>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings.h"
#include "laminet/base/check.h"
#include "laminet/network/build.h"
#include "network.h"
#include "numpy_views.h"
#include "pin.h"
#include "release_gil.h"

namespace laminet {
namespace {

// The derivatives of one network, which it keeps alive.
template <class T>
class NetworkDerivatives {
 public:
  explicit NetworkDerivatives(const py::object& network)
      : network_(network), derivatives_(mlp_of<T>(network)) {
    weights_ = static_cast<double>(derivatives_.net().program().weights());
    jacobian_flops_ = derivatives_.rule().flops;
  }

  void prepare(std::size_t batch) const {
    const MaybeReleaseGil release;
    derivatives_.prepare(batch);
  }

  // Bytes of the copies of the weights that derivatives take besides: (kind, now, once prepared).
  py::list memory() const {
    const DerivativeBytes now = derivatives_.bytes();
    const DerivativeBytes prepared = derivatives_.bytes_prepared();
    py::list result;
    result.append(py::make_tuple("packed, transposed", now.transposed, prepared.transposed));
    return result;
  }

  py::object vjp(const py::object& x, const py::object& cotangent, const py::object& out) const {
    const Input<T> input = checked_input(x);
    const Input<T> v = matching_input(cotangent, "cotangent", input, net().out_features());
    Output<T> output(out, input, net().in_features());
    output.keep_apart(v.view);
    {
      const MaybeReleaseGil release(4.0 * weights_ * samples(input),
                                    {input.holder, v.holder, output.array()});
      derivatives_.vjp(input.view, v.view, output.view);
    }
    return output.finish();
  }

  py::object jvp(const py::object& x, const py::object& tangent, const py::object& out) const {
    const Input<T> input = checked_input(x);
    const Input<T> u = matching_input(tangent, "tangent", input, net().in_features(),
                                      feature_names_of<T>(network_));
    Output<T> output(out, input, net().out_features());
    output.keep_apart(u.view);
    {
      const MaybeReleaseGil release(4.0 * weights_ * samples(input),
                                    {input.holder, u.holder, output.array()});
      derivatives_.jvp(input.view, u.view, output.view);
    }
    return output.finish();
  }

  py::object jacobian(const py::object& x, const py::object& out) const {
    const Input<T> input = checked_input(x);
    StackOutput<T> output(out, input, net().out_features(), net().in_features());
    {
      const MaybeReleaseGil release((2.0 * weights_ + jacobian_flops_) * samples(input),
                                    {input.holder, output.array()});
      derivatives_.jacobian(input.view, {}, output.view);
    }
    return output.finish();
  }

  py::tuple value_and_jacobian(const py::object& x, const py::object& y_out,
                               const py::object& jacobian_out) const {
    const Input<T> input = checked_input(x);
    Output<T> y(y_out, input, net().out_features());
    StackOutput<T> j(jacobian_out, input, net().out_features(), net().in_features());
    j.require_apart(y);
    {
      const MaybeReleaseGil release((2.0 * weights_ + jacobian_flops_) * samples(input),
                                    {input.holder, y.array(), j.array()});
      derivatives_.jacobian(input.view, y.view, j.view);
    }
    return py::make_tuple(y.finish(), j.finish());
  }

  py::list layer_jacobians(const py::object& x) const {
    const Input<T> input = checked_input(x);
    py::list result;
    std::vector<MatrixStack<T>> views;
    for (const DenseView<T>& layer : net().layers()) {
      StackOutput<T> output(py::none(), input, layer.weight.rows, layer.weight.columns);
      views.push_back(output.view);
      result.append(output.finish());
    }
    {
      const MaybeReleaseGil release(3.0 * weights_ * samples(input), {input.holder});
      derivatives_.layer_jacobians(input.view, views);
    }
    return result;
  }

  // ([dW_1 ..], [db_1 or None ..], dX, [(dweight or None, dbias or None) of each norm]), all of
  // them new arrays.
  py::tuple gradients(const py::object& x, const py::object& grad_output) const {
    const Input<T> input = checked_input(x);
    const Input<T> g = matching_input(grad_output, "grad_output", input, net().out_features());
    const std::size_t depth = net().layers().size();
    py::list weights(depth);
    py::list biases(depth);
    std::vector<MatrixView<T>> weight_views;
    std::vector<T*> bias_views;
    weight_views.reserve(depth);
    bias_views.reserve(depth);
    for (std::size_t l = 0; l < depth; ++l) {
      const DenseView<T>& layer = net().layers()[l];
      const std::size_t n = layer.weight.rows;
      py::array_t<T> weight = new_array<T>(n, layer.weight.columns, false);
      weight_views.push_back(dense_view(weight.mutable_data(), n, layer.weight.columns));
      weights[l] = std::move(weight);
      if (!layer.bias) {
        bias_views.push_back(nullptr);
        biases[l] = py::none();
        continue;
      }
      py::array_t<T> bias = new_array<T>(1, n, true);
      bias_views.push_back(bias.mutable_data());
      biases[l] = std::move(bias);
    }
    py::list norms;
    std::vector<std::pair<T*, T*>> norm_views;
    for (const NormView<T>& norm : net().norms()) {
      py::list pair;
      const auto row = [&](const T* own) -> T* {
        if (!own) {
          pair.append(py::none());
          return nullptr;
        }
        py::array_t<T> array = new_array<T>(1, norm.features, true);
        T* const data = array.mutable_data();
        pair.append(std::move(array));
        return data;
      };
      T* const weight = row(norm.weight);
      norm_views.emplace_back(weight, row(norm.bias));
      norms.append(py::tuple(pair));
    }
    Output<T> output(py::none(), input, net().in_features());
    {
      const MaybeReleaseGil release(6.0 * weights_ * samples(input), {input.holder, g.holder});
      derivatives_.gradients(input.view, g.view, {weight_views, bias_views, norm_views},
                             output.view);
    }
    return py::make_tuple(std::move(weights), std::move(biases), output.finish(), std::move(norms));
  }

 private:
  const Mlp<T>& net() const { return derivatives_.net(); }

  static double samples(const Input<T>& input) { return static_cast<double>(input.view.rows); }

  Input<T> checked_input(const py::object& x) const {
    Input<T> input = as_input<T>(x, "x", feature_names_of<T>(network_));
    require(input.view.columns == net().in_features(), "x has ", input.view.columns,
            " features, the network takes ", net().in_features());
    return input;
  }

  // An array that has a row of `columns` for each sample of x.
  static Input<T> matching_input(const py::object& array, const char* name, const Input<T>& x,
                                 std::size_t columns, py::handle names = Py_None) {
    std::optional<Pin> pin;
    if (!readable_in_place<T>(array)) pin.emplace(std::initializer_list<py::handle>{x.holder});
    Input<T> input = as_input<T>(array, name, names);
    const bool matches =
        input.single == x.single && input.view.rows == x.view.rows && input.view.columns == columns;
    if (!matches) {
      const auto shape = [](bool single, std::size_t m, std::size_t n) {
        return single ? "(" + std::to_string(n) + ",)"
                      : "(" + std::to_string(m) + ", " + std::to_string(n) + ")";
      };
      require(false, name, " must have shape ", shape(x.single, x.view.rows, columns),
              ", got shape ", shape(input.single, input.view.rows, input.view.columns));
    }
    return input;
  }

  py::object network_;
  Derivatives<T> derivatives_;
  double weights_ = 0.0;         // how many
  double jacobian_flops_ = 0.0;  // of one sample
};

template <class T>
void register_class(py::module_& module, const char* name) {
  using N = NetworkDerivatives<T>;
  py::class_<N> type(module, name);
  only_by_make(type);
  type.def_static(
          "make", [](const py::object& network) { return owned(std::make_unique<N>(network)); },
          py::arg("network"))
      .def("prepare", &N::prepare, py::arg("batch"))
      .def("memory", &N::memory)
      .def("vjp", &N::vjp, py::arg("x"), py::arg("cotangent"), py::arg("out"))
      .def("jvp", &N::jvp, py::arg("x"), py::arg("tangent"), py::arg("out"))
      .def("jacobian", &N::jacobian, py::arg("x"), py::arg("out"))
      .def("value_and_jacobian", &N::value_and_jacobian, py::arg("x"), py::arg("y_out"),
           py::arg("jacobian_out"))
      .def("layer_jacobians", &N::layer_jacobians, py::arg("x"))
      .def("gradients", &N::gradients, py::arg("x"), py::arg("grad_output"));
}

// Of a chain of dense layers: ("reverse" or "forward", FLOPs of one sample's chain of products).
py::tuple rule_of_chain(const std::vector<std::size_t>& sizes) {
  require(sizes.size() >= 2, "sizes must name at least an input and an output");
  const JacobianRule rule = jacobian_rule(chain_of(sizes));
  return py::make_tuple(rule.mode == JacobianMode::reverse ? "reverse" : "forward", rule.flops);
}

}  // namespace

void register_derivatives(py::module_& module) {
  register_class<float>(module, "DerivativesF32");
  register_class<double>(module, "DerivativesF64");
  module.def("jacobian_rule", &rule_of_chain, py::arg("sizes"));
}

}  // namespace laminet

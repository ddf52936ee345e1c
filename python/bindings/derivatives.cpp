#include "laminet/gradients/derivatives.h"

#include <pybind11/stl.h>

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bindings.h"
#include "gradient_arrays.h"
#include "laminet/base/check.h"
#include "laminet/network/build.h"
#include "network.h"
#include "numpy_views.h"
#include "outputs.h"
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
    result.append(py::make_tuple("packed, transposed", now.packed, prepared.packed));
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
    Extent of_y = y.extent();
    Extent of_j = j.extent();
    of_y.name = {"y"};
    of_j.name = {"the Jacobian"};
    require_apart(std::array{of_y, of_j});
    {
      const MaybeReleaseGil release((2.0 * weights_ + jacobian_flops_) * samples(input),
                                    {input.holder, y.array(), j.array()});
      derivatives_.jacobian(input.view, y.view, j.view);
    }
    return py::make_tuple(y.finish(), j.finish());
  }

  // `out` is None, or a tuple of an array or None for each layer.
  py::list layer_jacobians(const py::object& x, const py::object& out) const {
    const Input<T> input = checked_input(x);
    const std::span<const DenseView<T>> layers = net().layers();
    const py::tuple given = out.is_none() ? py::tuple() : py::tuple(out);
    require(out.is_none() || given.size() == layers.size(), "out has ", given.size(),
            " arrays, expected ", layers.size(), ": one for each dense layer");
    std::vector<StackOutput<T>> outputs;
    std::vector<MatrixStack<T>> views;
    std::vector<Extent> extents;
    std::vector<py::handle> arrays = {input.holder};
    for (std::size_t l = 0; l < layers.size(); ++l) {
      outputs.emplace_back(out.is_none() ? py::handle(Py_None) : py::handle(given[l]), input,
                           layers[l].weight.rows, layers[l].weight.columns,
                           OutName{"out", static_cast<std::ptrdiff_t>(l)});
      outputs.back().make_rows_contiguous();
      views.push_back(outputs.back().view);
      extents.push_back(outputs.back().extent());
      arrays.push_back(outputs.back().array());
    }
    if (!out.is_none()) require_apart(extents);
    {
      const MaybeReleaseGil release(3.0 * weights_ * samples(input), arrays);
      derivatives_.layer_jacobians(input.view, views);
    }
    py::list result;
    for (StackOutput<T>& output : outputs) result.append(output.finish());
    return result;
  }

  // `out` is None, or a tuple as is returned, where None stands for a new array.
  py::tuple gradients(const py::object& x, const py::object& grad_output,
                      const py::object& out) const {
    const Input<T> input = checked_input(x);
    const Input<T> g = matching_input(grad_output, "grad_output", input, net().out_features());
    GradientArrays<T> arrays(net(), out, input, g);
    {
      const MaybeReleaseGil release(6.0 * weights_ * samples(input), arrays.pinned());
      derivatives_.gradients(input.view, g.view, arrays.parameters(), arrays.input());
    }
    return arrays.finish();
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
    if (!readable_in_place<T>(array)) pin.emplace(std::array{py::handle(x.holder)});
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
void register_class_of_derivatives(py::module_& module, const char* name) {
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
      .def("layer_jacobians", &N::layer_jacobians, py::arg("x"), py::arg("out"))
      .def("gradients", &N::gradients, py::arg("x"), py::arg("grad_output"), py::arg("out"));
}

// Of a chain of dense layers: ("reverse" or "forward", FLOPs of one sample's chain of products).
py::tuple rule_of_chain(const std::vector<std::size_t>& sizes) {
  require(sizes.size() >= 2, "sizes must name at least an input and an output");
  const JacobianRule rule = jacobian_rule(chain_of(sizes));
  return py::make_tuple(rule.mode == JacobianMode::reverse ? "reverse" : "forward", rule.flops);
}

}  // namespace

void register_derivatives(py::module_& module) {
  register_class_of_derivatives<float>(module, "DerivativesF32");
  register_class_of_derivatives<double>(module, "DerivativesF64");
  module.def("jacobian_rule", &rule_of_chain, py::arg("sizes"));
}

}  // namespace laminet

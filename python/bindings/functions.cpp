#include "bindings.h"
#include "laminet/network/linear.h"
#include "numpy_views.h"
#include "outputs.h"
#include "release_gil.h"

namespace laminet {
namespace {

template <class T>
py::object bind_linear(const py::object& x, const py::object& weight, const py::object& bias,
                       const py::object& activation, const py::object& out) {
  const Activation function = as_activation(activation);  // runs Python: before there are views
  const Input<T> input = as_input<T>(x, "x");
  const Input<T> w = as_matrix<T>(weight, "weight");
  const py::array b = as_vector_or_none<T>(bias, "bias", w.view.rows);
  const DenseView<T> layer{w.view, bias.is_none() ? nullptr : static_cast<const T*>(b.data()),
                           function};
  Output<T> output(out, input, w.view.rows);
  output.keep_apart(w.view);
  if (layer.bias) output.keep_apart(dense_view(layer.bias, 1, w.view.rows));
  {
    const double flops = 2.0 * static_cast<double>(w.view.rows) *
                         static_cast<double>(w.view.columns) *
                         static_cast<double>(input.view.rows + 1);
    const MaybeReleaseGil release(flops, {input.holder, w.holder, b, output.array()});
    linear(input.view, layer, output.view);
  }
  return output.finish();
}

}  // namespace

void register_functions(py::module_& module) {
  const auto add = [&]<class T>(const char* suffix, T) {
    const std::string name(suffix);
    module.def(("linear_" + name).c_str(), &bind_linear<T>, py::arg("x"), py::arg("weight"),
               py::arg("bias"), py::arg("activation"), py::arg("out"));
  };
  add("f32", float{});
  add("f64", double{});
}

}  // namespace laminet

#include "network.h"

#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings.h"
#include "laminet/base/check.h"
#include "laminet/base/thread_count.h"
#include "laminet/network/mlp.h"
#include "layers.h"
#include "numpy_views.h"
#include "outputs.h"
#include "release_gil.h"
#include "steps.h"

namespace laminet {
namespace {

template <class T>
class Network {
 public:
  static py::object create(const py::sequence& layers, const std::string& head,
                           const py::object& feature_names, std::size_t in_features,
                           const std::string& precision) {
    LayerArrays<T> arrays;
    const SeriesView<T> views = arrays.series(layers);
    return owned(std::make_unique<Network>(views, as_head(head), in_features, feature_names,
                                           as_precision(precision)));
  }

  Network(const SeriesView<T>& layers, Head head, std::size_t in_features, py::object feature_names,
          Precision precision)
      : mlp_(copied(layers, head, in_features, precision)),
        feature_names_(std::move(feature_names)),
        flops_(mlp_.program().flops()) {}

  py::object forward(py::handle x, py::handle out) const {
    const Input<T> input = checked_input(x);
    Output<T> output(out, input, mlp_.out_features());
    {
      const MaybeReleaseGil release(flops_ * static_cast<double>(input.view.rows),
                                    {input.holder, output.array()});
      mlp_.forward(input.view, output.view);
    }
    return output.finish();
  }

  // A new array: the outputs with another head in place of the network's own.
  py::object forward_head(const py::object& x, const std::string& head) const {
    const Input<T> input = checked_input(x);
    Output<T> output(py::none(), input, mlp_.out_features());
    {
      const MaybeReleaseGil release(flops_ * static_cast<double>(input.view.rows), {input.holder});
      mlp_.forward(input.view, output.view, as_head(head));
    }
    return output.finish();
  }

  // ([A_0 .. A_L], [Z_1 .. Z_L], Y), all of them new arrays, but for Y = A_L where there is no
  // head.
  py::tuple trace(const py::object& x) const {
    const Input<T> input = checked_input(x);
    const std::size_t rows = input.view.rows;
    py::list activations;
    py::list pre_activations;
    const auto add = [&](std::size_t columns, py::list& list) {
      py::array_t<T> array = new_array<T>(rows, columns, input.single);
      const MatrixView<T> view = dense_view(array.mutable_data(), rows, columns);
      list.append(std::move(array));
      return view;
    };
    const MatrixView<T> first = add(mlp_.in_features(), activations);
    std::vector<MatrixView<T>> a;
    std::vector<MatrixView<T>> z;
    for (const DenseView<T>& layer : mlp_.layers()) {
      z.push_back(add(layer.weight.rows, pre_activations));
      a.push_back(add(layer.weight.rows, activations));
    }
    py::object output = activations[activations.size() - 1];
    MatrixView<T> headed{};
    if (mlp_.head() != Head::none) {
      py::array_t<T> array = new_array<T>(rows, mlp_.out_features(), input.single);
      headed = dense_view(array.mutable_data(), rows, mlp_.out_features());
      output = std::move(array);
    }
    {
      const MaybeReleaseGil release(flops_ * static_cast<double>(rows), {input.holder});
      copy<T>(input.view, first);
      mlp_.trace(input.view, z, a);
      if (headed.data) {
        copy<T>(a.back(), headed);
        mlp_.apply_head(headed);
      }
    }
    return py::make_tuple(std::move(activations), std::move(pre_activations), std::move(output));
  }

  // What laminet.core.plan makes a result of.
  py::dict plan(std::size_t batch) const {
    (void)thread_count();  // asks for the CPUs of now, as a report is read at leisure
    const Plan plan = mlp_.plan(batch);
    constexpr const char* splits[] = {"none", "rows", "layers"};
    py::list layers;
    const auto described = [](const TilePlan& tile) {
      return py::make_tuple(tile.mr, tile.nr, tile.columns, tile.depth);
    };
    for (const LayerPlan& layer : mlp_.layer_plans(plan)) {
      layers.append(py::make_tuple(layer.rows, described(layer.body), described(layer.tail),
                                   layer.row_parts, layer.column_parts));
    }
    py::dict result;
    result["backend"] = std::string(name(plan.backend));
    result["isa"] = mlp_.instruction_set().name;
    result["split"] = splits[static_cast<std::size_t>(plan.split)];
    result["threads"] = plan.threads;
    result["layers"] = layers;
    const RowPlan by_row = plan_rows(plan);
    result["by_row"] = py::make_tuple(by_row.rows, by_row.parts);
    return result;
  }

  py::dict steps() const { return described(mlp_.program()); }

  void prepare(std::size_t batch) const {
    const MaybeReleaseGil release;
    mlp_.prepare(batch);
  }

  // Bytes of the copies of the weights: (kind, now, once prepared).
  py::list memory() const {
    const MlpBytes now = mlp_.bytes();
    const MlpBytes prepared = mlp_.bytes_prepared();
    py::list result;
    result.append(py::make_tuple("as given", now.given, prepared.given));
    result.append(py::make_tuple("packed", now.packed, prepared.packed));
    return result;
  }

  const Mlp<T>& mlp() const { return mlp_; }
  const py::object& feature_names() const { return feature_names_; }

  // Read-only arrays over the network's own memory, which `self` keeps alive.
  static py::array weight(const py::object& self, std::size_t layer) {
    const ConstMatrixView<T>& w = self.cast<const Network&>().layer(layer).weight;
    return read_only(py::array_t<T>({w.rows, w.columns}, w.data, self));
  }
  static py::object bias(const py::object& self, std::size_t layer) {
    const DenseView<T>& dense = self.cast<const Network&>().layer(layer);
    if (!dense.bias) return py::none();
    return read_only(py::array_t<T>(static_cast<py::ssize_t>(dense.weight.rows), dense.bias, self));
  }

 private:
  static Mlp<T> copied(const SeriesView<T>& layers, Head head, std::size_t in_features,
                       Precision precision) {
    // To copy an element takes as long as some 40 operations, where the memory is fresh.
    const MaybeReleaseGil release(40.0 * weight_elements(layers));
    return Mlp<T>(std::span<const LayerView<T>>(layers), head, in_features, precision);
  }

  static Head as_head(const std::string& name) {
    const std::optional<Head> head = find_head(name);
    require(head.has_value(), "unknown head ", name);
    return *head;
  }

  Input<T> checked_input(py::handle x) const {
    Input<T> input = as_input<T>(x, "x", feature_names_);
    require(input.view.columns == mlp_.in_features(), "x has ", input.view.columns,
            " features, the network takes ", mlp_.in_features());
    return input;
  }

  const DenseView<T>& layer(std::size_t index) const {
    if (index >= mlp_.layers().size()) throw py::index_error("layer out of range");
    return mlp_.layers()[index];
  }

  static py::array read_only(py::array_t<T> array) {
    array.attr("setflags")(py::arg("write") = false);
    return array;
  }

  Mlp<T> mlp_;
  py::object feature_names_;  // a tuple of str, or None
  double flops_;              // of one sample
};

template <class T>
void register_class_of_network(py::module_& module, const char* name) {
  using N = Network<T>;
  py::class_<N> type(module, name);
  only_by_make(type);
  type.def_static("make", &N::create, py::arg("layers"), py::arg("head"),
                  py::arg("feature_names") = py::none(), py::arg("in_features") = 0,
                  py::arg("precision") = "float32")
      .def("forward_head", &N::forward_head, py::arg("x"), py::arg("head"))
      .def("trace", &N::trace, py::arg("x"))
      .def("plan", &N::plan, py::arg("batch"))
      .def("steps", &N::steps)
      .def("prepare", &N::prepare, py::arg("batch"))
      .def("memory", &N::memory)
      .def("weight", &N::weight, py::arg("layer"))
      .def("bias", &N::bias, py::arg("layer"));
}

}  // namespace

Precision as_precision(const std::string& name) {
  if (name == "float32" || name == "float64") return Precision::full;
  if (name == "bfloat16_weights") return Precision::bfloat16_weights;
  require(name == "bfloat16", "unknown precision ", name);
  return Precision::bfloat16;
}

template <class T>
const Mlp<T>& mlp_of(const py::object& network) {
  return network.cast<const Network<T>&>().mlp();
}

template <class T>
const py::object& feature_names_of(const py::object& network) {
  return network.cast<const Network<T>&>().feature_names();
}

template <class T>
BoundForward bind(py::handle network) {
  return {&network.cast<const Network<T>&>(), [](const void* self, py::handle x, py::handle out) {
            return static_cast<const Network<T>*>(self)->forward(x, out);
          }};
}

BoundForward bind_forward(py::handle network) {
  if (py::isinstance<Network<float>>(network)) return bind<float>(network);
  if (py::isinstance<Network<double>>(network)) return bind<double>(network);
  throw py::type_error("expected a NetworkF32 or NetworkF64");
}

template const Mlp<float>& mlp_of(const py::object&);
template const Mlp<double>& mlp_of(const py::object&);
template const py::object& feature_names_of<float>(const py::object&);
template const py::object& feature_names_of<double>(const py::object&);

void register_network(py::module_& module) {
  register_class_of_network<float>(module, "NetworkF32");
  register_class_of_network<double>(module, "NetworkF64");
}

}  // namespace laminet

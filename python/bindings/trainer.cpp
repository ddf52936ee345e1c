#include "laminet/training/trainer.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bindings.h"
#include "laminet/base/check.h"
#include "network.h"
#include "numpy_views.h"
#include "release_gil.h"

namespace laminet {
namespace {

constexpr std::array kLossNames{
    "squared_error", "absolute_error",      "huber", "quantile", "poisson",
    "cross_entropy", "binary_cross_entropy"};
static_assert(kLossNames.size() == kernels::kLossCount);

Loss as_loss(const py::dict& given) {
  const auto name = given["name"].cast<std::string>();
  const auto found = std::find(kLossNames.begin(), kLossNames.end(), name);
  require(found != kLossNames.end(), "unknown loss ", name);
  Loss loss;
  loss.kind = static_cast<kernels::LossKind>(found - kLossNames.begin());
  loss.parameter = given["parameter"].cast<double>();
  loss.levels = given["levels"].cast<std::vector<double>>();
  loss.label_smoothing = given["label_smoothing"].cast<double>();
  loss.class_weights = given["class_weight"].cast<std::vector<double>>();
  return loss;
}

Optimizer as_optimizer(const py::dict& given) {
  const auto name = given["name"].cast<std::string>();
  const auto number = [&](const char* key) { return given[key].cast<double>(); };
  Optimizer optimizer;
  if (name == "sgd") {
    optimizer.kind = Optimizer::Kind::sgd;
    optimizer.momentum = number("momentum");
    optimizer.dampening = number("dampening");
    optimizer.nesterov = given["nesterov"].cast<bool>();
  } else if (name == "muon") {
    optimizer.kind = Optimizer::Kind::muon;
    optimizer.momentum = number("momentum");
    optimizer.nesterov = given["nesterov"].cast<bool>();
    optimizer.newton_schulz_steps = given["steps"].cast<std::size_t>();
    optimizer.match_rms = given["scale"].cast<std::string>() == "match_rms_adamw";
    optimizer.adam_rate = number("adamw_rate");
    const auto betas = given["adamw_betas"].cast<std::pair<double, double>>();
    optimizer.mean_decay = betas.first;
    optimizer.square_decay = betas.second;
    optimizer.eps = number("adamw_eps");
    optimizer.decoupled = true;
  } else {
    require(name == "adam" || name == "adamw", "unknown optimizer ", name);
    const auto betas = given["betas"].cast<std::pair<double, double>>();
    optimizer.mean_decay = betas.first;
    optimizer.square_decay = betas.second;
    optimizer.eps = number("eps");
    optimizer.decoupled = name == "adamw";
  }
  optimizer.decay = number("weight_decay");
  optimizer.decay_all = given["decay_biases"].cast<bool>();
  optimizer.clip_norm = number("clip_norm");
  optimizer.average_keep = number("average");
  return optimizer;
}

RateFactors as_factors(const py::object& given) {
  if (given.is_none()) return {};
  using Numbers = std::vector<double>;
  auto lists = given.cast<std::tuple<Numbers, Numbers, Numbers>>();
  return {std::move(std::get<0>(lists)), std::move(std::get<1>(lists)),
          std::move(std::get<2>(lists))};
}

template <class T>
class NetworkTrainer {
 public:
  NetworkTrainer(const py::object& network, const py::dict& loss, const py::dict& optimizer,
                 const py::object& factors, std::uint64_t dropout_seed,
                 const std::string& precision)
      : network_(network),
        net_(mlp_of<T>(network)),
        trainer_(net_, as_loss(loss), as_optimizer(optimizer), as_factors(factors), dropout_seed,
                 as_precision(precision)) {}

  double step(const py::object& x, const py::object& y, const py::object& weights, double rate) {
    const Given given(*this, x, y, weights);
    const MaybeReleaseGil release(flops(given), given.pinned());
    return trainer_.step(given.samples, rate);
  }

  py::tuple epoch(const py::object& x, const py::object& y, const py::object& weights,
                  std::size_t batch_size,
                  const std::optional<std::pair<std::uint64_t, std::uint64_t>>& order,
                  const py::object& rates) {
    const Given given(*this, x, y, weights);
    const Input<double> steps = as_input<double>(rates, "learning_rates");
    require(steps.single && steps.view.contiguous_rows(),
            "learning_rates must have one axis without gaps");
    std::optional<Shuffle> shuffle;
    if (order) shuffle = Shuffle{order->first, order->second};
    EpochResult result{};
    {
      const MaybeReleaseGil release(flops(given), given.pinned());
      result =
          trainer_.epoch(given.samples, batch_size, shuffle, {steps.view.data, steps.view.columns});
    }
    return py::make_tuple(result.loss, result.steps);
  }

  double loss(const py::object& x, const py::object& y, const py::object& weights) {
    const Given given(*this, x, y, weights);
    const MaybeReleaseGil release(flops(given), given.pinned());
    return trainer_.loss(given.samples);
  }

  py::tuple value_and_gradients(const py::object& x, const py::object& y,
                                const py::object& weights) {
    const Given given(*this, x, y, weights);
    const T* memory = nullptr;
    double value = 0;
    {
      const MaybeReleaseGil release(flops(given), given.pinned());
      value = trainer_.gradients(given.samples, memory);
    }
    return py::make_tuple(value, arrays_of(memory));
  }

  // ([W_1 ..], [b_1 or None ..], [(weight or None, bias or None) of each norm], [(alpha or None,
  // beta or None) of each function with parameters by unit]) of parameters, moments or averages.
  py::tuple arrays(const std::string& which) { return arrays_of(memory_of(which)); }

  void assign(const std::string& which, const py::tuple& arrays) { fill(memory_of(which), arrays); }

  // A step by gradients that were made elsewhere, as value_and_gradients gives them.
  void apply(const py::tuple& gradients, double rate) {
    fill(trainer_.given_gradients(), gradients);
    const MaybeReleaseGil release(trainer_.flops(0), {});
    trainer_.apply(rate);
  }

  std::size_t steps() const { return trainer_.steps(); }
  void set_steps(std::size_t steps) { trainer_.set_steps(steps); }

 private:
  // Null: the parameters themselves.
  void fill(T* memory, const py::tuple& arrays) {
    TrainedNumbers<T>& numbers = trainer_.numbers();
    const auto weights = arrays[0].cast<py::list>();
    for (std::size_t l = 0; l < net_.layers().size(); ++l) {
      const ConstMatrixView<T>& own = net_.layers()[l].weight;
      const Input<T> given = as_matrix<T>(weights[l], "weight");
      require(given.view.rows == own.rows && given.view.columns == own.columns, "weights[", l,
              "] has shape (", given.view.rows, ", ", given.view.columns, "), expected (", own.rows,
              ", ", own.columns, ")");
      numbers.set_weight(l, given.view, memory);
    }
    const auto take = [&](const py::object& row, const T* start, std::size_t n) {
      if (!start) return;
      const Input<T> given = as_input<T>(row, "array");
      require(given.single && given.view.columns == n, "an array must have ", n, " elements, got ",
              given.view.columns);
      copy<T>(given.view, dense_view(numbers.change_row(place_of(start), memory), 1, n));
    };
    for_rows([&](std::size_t list, std::size_t i, int part, const T* start, std::size_t n) {
      const py::object of = arrays[list];
      const py::object entry = of[py::int_(i)];
      take(part < 0 ? entry : py::object(entry[py::int_(part)]), start, n);
    });
    if (!memory) numbers.all_changed();
  }

  // What a call was given, for as long as it works.
  struct Given {
    Given(const NetworkTrainer& self, const py::object& x, const py::object& y,
          const py::object& weight)
        : input(as_input<T>(x, "X", feature_names_of<T>(self.network_))) {
      require(!input.single, "X must have shape (batch, ", self.net_.in_features(), ")");
      samples.x = input.view;
      if (py::isinstance<py::array_t<std::int64_t>>(y)) {
        classes = py::array_t < std::int64_t, py::array::c_style | py::array::forcecast > (y);
        require(classes.ndim() == 1 && rows_are(classes.shape(0)), "y must have shape (",
                input.view.rows, ",), one class for each sample");
        samples.classes = classes.data();
        // Without samples NumPy's memory may be null, which means numbers.
      } else {
        targets.emplace(as_matrix<T>(y, "y"));
        samples.targets = targets->view;
      }
      if (weight.is_none()) return;
      weights = py::array_t < double, py::array::c_style | py::array::forcecast > (weight);
      require(weights.ndim() == 1 && rows_are(weights.shape(0)), "sample_weight must have shape (",
              input.view.rows, ",)");
      samples.weights = weights.data();
    }
    bool rows_are(py::ssize_t rows) const {
      return static_cast<std::size_t>(rows) == input.view.rows;
    }
    std::vector<py::handle> pinned() const {
      std::vector<py::handle> all{input.holder};
      if (targets) all.emplace_back(targets->holder);
      if (samples.classes) all.emplace_back(classes);
      if (samples.weights) all.emplace_back(weights);
      return all;
    }

    Input<T> input;
    std::optional<Input<T>> targets;
    py::array_t<std::int64_t, py::array::c_style | py::array::forcecast> classes;
    py::array_t<double, py::array::c_style | py::array::forcecast> weights;
    Samples<T> samples;
  };

  double flops(const Given& given) const { return trainer_.flops(given.input.view.rows); }

  std::size_t place_of(const T* start) const {
    return static_cast<std::size_t>(start - net_.parameters().data());
  }

  // Null for the parameters themselves.
  T* memory_of(const std::string& which) {
    const Optimizer& optimizer = trainer_.optimizer();
    if (which == "parameters") return nullptr;
    const std::size_t moments = optimizer.moments();
    if (which == "first" && moments > 0) return trainer_.numbers().buffer(0);
    if (which == "second" && moments > 1) return trainer_.numbers().buffer(1);
    if (which == "average" && optimizer.averages()) return trainer_.numbers().buffer(moments);
    require(false, "this optimizer keeps no ", which);
    return nullptr;
  }

  // use(list of `arrays`, place in it, part of a pair or -1, where the row began or null, elements)
  template <class Use>
  void for_rows(Use use) const {
    for (std::size_t l = 0; l < net_.layers().size(); ++l) {
      const DenseView<T>& layer = net_.layers()[l];
      use(std::size_t{1}, l, -1, layer.bias, layer.weight.rows);
    }
    for (std::size_t i = 0; i < net_.norms().size(); ++i) {
      const NormView<T>& norm = net_.norms()[i];
      use(std::size_t{2}, i, 0, norm.weight, norm.features);
      use(std::size_t{2}, i, 1, norm.bias, norm.features);
    }
    for (std::size_t i = 0; i < net_.units().size(); ++i) {
      const UnitsView<T>& units = net_.units()[i];
      use(std::size_t{3}, i, 0, units.units.alphas, units.features);
      use(std::size_t{3}, i, 1, units.units.betas, units.features);
    }
  }

  py::tuple arrays_of(const T* memory) const {
    const TrainedNumbers<T>& numbers = trainer_.numbers();
    py::list weights;
    for (std::size_t l = 0; l < net_.layers().size(); ++l) {
      const ConstMatrixView<T>& own = net_.layers()[l].weight;
      py::array_t<T> array({own.rows, own.columns});
      numbers.copy_weight(l, dense_view(array.mutable_data(), own.rows, own.columns), memory);
      weights.append(std::move(array));
    }
    std::array<py::list, 3> lists;
    py::object half = py::none();
    for_rows([&](std::size_t list, std::size_t, int part, const T* start, std::size_t n) {
      py::object row = py::none();
      if (start) {
        py::array_t<T> array(static_cast<py::ssize_t>(n));
        std::copy_n(numbers.row(place_of(start), memory), n, array.mutable_data());
        row = std::move(array);
      }
      if (part == 0) {
        half = std::move(row);
      } else if (part == 1) {
        lists[list - 1].append(py::make_tuple(half, row));
      } else {
        lists[list - 1].append(std::move(row));
      }
    });
    return py::make_tuple(std::move(weights), lists[0], lists[1], lists[2]);
  }

  py::object network_;
  const Mlp<T>& net_;
  Trainer<T> trainer_;
};

template <class T>
void register_class_of_trainer(py::module_& module, const char* name) {
  using N = NetworkTrainer<T>;
  py::class_<N> type(module, name);
  only_by_make(type);
  type.def_static(
          "make",
          [](const py::object& network, const py::dict& loss, const py::dict& optimizer,
             const py::object& factors, std::uint64_t dropout_seed, const std::string& precision) {
            return owned(
                std::make_unique<N>(network, loss, optimizer, factors, dropout_seed, precision));
          },
          py::arg("network"), py::arg("loss"), py::arg("optimizer"),
          py::arg("factors") = py::none(), py::arg("dropout_seed") = 0,
          py::arg("precision") = "float32")
      .def("step", &N::step, py::arg("x"), py::arg("y"), py::arg("sample_weight"),
           py::arg("learning_rate"))
      .def("epoch", &N::epoch, py::arg("x"), py::arg("y"), py::arg("sample_weight"),
           py::arg("batch_size"), py::arg("order"), py::arg("learning_rates"))
      .def("loss", &N::loss, py::arg("x"), py::arg("y"), py::arg("sample_weight"))
      .def("value_and_gradients", &N::value_and_gradients, py::arg("x"), py::arg("y"),
           py::arg("sample_weight"))
      .def("apply", &N::apply, py::arg("gradients"), py::arg("learning_rate"))
      .def("arrays", &N::arrays, py::arg("which") = "parameters")
      .def("assign", &N::assign, py::arg("which"), py::arg("arrays"))
      .def_property("steps", &N::steps, &N::set_steps);
}

}  // namespace

void register_trainer(py::module_& module) {
  register_class_of_trainer<float>(module, "TrainerF32");
  register_class_of_trainer<double>(module, "TrainerF64");
}

}  // namespace laminet

#include "gradient_arrays.h"

#include <span>

#include "laminet/base/check.h"

namespace laminet {
namespace {

// A list of what `object_of` makes of each.
template <class Each, class ObjectOf>
py::list list_of(std::vector<Each>& all, ObjectOf object_of) {
  py::list result(all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    PyList_SET_ITEM(result.ptr(), static_cast<py::ssize_t>(i), object_of(all[i]).release().ptr());
  }
  return result;
}

}  // namespace

// A part of `out`: a tuple, or in the end an array or None. Without `out` all of it is None. What
// is given lives as long as the call.
template <class T>
class GradientArrays<T>::Given {
 public:
  Given(py::handle value, OutName name) : value_(value), name_(name) {}

  // A list of so many arrays.
  Given list(std::size_t i, const char* name, std::size_t count, const char* each) const {
    Given part = at(i, {name});
    if (part.value_.is_none()) return part;
    const std::size_t size = py::len(part.value_);
    require(size == count, name, " has ", size, " entries, expected ", count, ": one for each ",
            each);
    return part;
  }
  Given operator[](std::size_t i) const {
    const auto index = static_cast<std::ptrdiff_t>(i);
    return at(
        i, name_.index < 0 ? OutName{name_.list, index} : OutName{name_.list, name_.index, index});
  }
  // One of a pair.
  Given part(std::size_t i) const {
    require(value_.is_none() || py::len(value_) == 2, name_, " must be a pair of arrays or None");
    return (*this)[i];
  }
  Given at(std::size_t i, const OutName& name) const {
    if (value_.is_none()) return {value_, name};
    require(PyTuple_Check(value_.ptr()), name_, " must be a tuple");
    return {PyTuple_GET_ITEM(value_.ptr(), static_cast<py::ssize_t>(i)), name};
  }

  py::handle value() const { return value_; }
  const OutName& name() const { return name_; }

 private:
  py::handle value_;
  OutName name_;
};

template <class T>
GradientArrays<T>::GradientArrays(const Mlp<T>& net, const py::object& out, const Input<T>& x,
                                  const Input<T>& grad_output)
    : x_(x.view), grad_output_(grad_output.view), pinned_{x.holder, grad_output.holder} {
  const Given all(out, {});
  const std::span<const DenseView<T>> layers = net.layers();
  const Given weights = all.list(0, "out.weights", layers.size(), "dense layer");
  const Given biases = all.list(1, "out.biases", layers.size(), "dense layer");
  weight_arrays_.reserve(layers.size());
  bias_arrays_.reserve(layers.size());
  weights_.reserve(layers.size());
  biases_.reserve(layers.size());
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const ConstMatrixView<T>& w = layers[l].weight;
    weight_arrays_.push_back(array(weights[l], true, "", w.rows, w.columns, false));
    bias_arrays_.push_back(
        array(biases[l], layers[l].bias, "the layer has no bias", 1, w.rows, true));
    weights_.push_back(weight_arrays_[l]->view);
    biases_.push_back(bias_arrays_[l] ? bias_arrays_[l]->view.data : nullptr);
  }
  input_ = array(all.at(2, {"out.input"}), true, "", x.view.rows, x.view.columns, x.single);
  const std::span<const NormView<T>> norms = net.norms();
  const Given pairs = all.list(3, "out.norms", norms.size(), "norm");
  for (std::size_t i = 0; i < norms.size(); ++i) {
    add_pair(pairs[i], norms[i].features, {norms[i].weight != nullptr, "the norm has no weight"},
             {norms[i].bias != nullptr, "the norm has no bias"}, norm_arrays_, norms_);
  }
  const std::span<const UnitsView<T>> units = net.units();
  const Given functions =
      all.list(4, "out.activations", units.size(), "activation with parameters by unit");
  for (std::size_t i = 0; i < units.size(); ++i) {
    const auto& [own, features] = units[i];
    add_pair(functions[i], features, {own.alphas != nullptr, "it has no alpha by unit"},
             {own.betas != nullptr, "it has no beta by unit"}, unit_arrays_, units_);
  }
  require_apart(extents_);
}

template <class T>
typename GradientArrays<T>::Array GradientArrays<T>::array(const Given& given, bool exists,
                                                           const char* absent, std::size_t rows,
                                                           std::size_t columns, bool single) {
  const bool fresh = given.value().is_none();
  if (!exists) {
    require(fresh, given.name(), " must be None: ", absent);
    return std::nullopt;
  }
  Output<T> output(given.value(), given.name(), rows, columns, single);
  if (fresh) return output;
  output.keep_apart(x_);
  output.keep_apart(grad_output_);
  output.make_usable();
  extents_.push_back(output.extent());
  pinned_.push_back(output.array());
  return output;
}

template <class T>
void GradientArrays<T>::add_pair(const Given& pair, std::size_t columns, const Row& first,
                                 const Row& second, Pairs& arrays,
                                 std::vector<std::pair<T*, T*>>& views) {
  Array one = array(pair.part(0), first.exists, first.absent, 1, columns, true);
  Array other = array(pair.part(1), second.exists, second.absent, 1, columns, true);
  arrays.emplace_back(std::move(one), std::move(other));
  const auto& [a, b] = arrays.back();
  views.emplace_back(a ? a->view.data : nullptr, b ? b->view.data : nullptr);
}

template <class T>
py::tuple GradientArrays<T>::finish() {
  const auto finished = [](Array& array) -> py::object {
    return array ? array->finish() : py::object(py::none());
  };
  const auto finished_pairs = [&](Pairs& pairs) {
    return list_of(pairs, [&](auto& pair) {
      return py::object(py::make_tuple(finished(pair.first), finished(pair.second)));
    });
  };
  return py::make_tuple(list_of(weight_arrays_, finished), list_of(bias_arrays_, finished),
                        finished(input_), finished_pairs(norm_arrays_),
                        finished_pairs(unit_arrays_));
}

template class GradientArrays<float>;
template class GradientArrays<double>;

}  // namespace laminet

#include <new>
#include <optional>
#include <ostream>
#include <string>
#include <utility>

#include "laminet/base/check.h"
#include "numpy_views.h"

namespace laminet {

using py::detail::npy_api;

// An exact ndarray (no subclass: a masked array is not what its memory says), aligned, native T.
template <class T>
bool readable_in_place(py::handle x) {
  if (Py_TYPE(x.ptr()) != reinterpret_cast<PyTypeObject*>(npy_api::get().PyArray_Type_)) {
    return false;
  }
  const auto* array = py::detail::array_proxy(x.ptr());
  const auto* descr = py::detail::array_descriptor_proxy(array->descr);
  return descr->type_num == kTypeNumber<T> && descr->byteorder != '>' && descr->byteorder != '<' &&
         (array->flags & npy_api::NPY_ARRAY_ALIGNED_) != 0;
}

namespace {

template <class T>
py::array to_array(py::handle x, const char* name, py::handle feature_names = Py_None) {
  if (readable_in_place<T>(x)) return py::reinterpret_borrow<py::array>(x);
  const py::object convert = py::module_::import("laminet.core.conversion").attr("as_real_array");
  return py::array(convert(x, py::dtype::of<T>(), name, feature_names));
}

}  // namespace

template <class T>
MatrixView<T> view_of(const py::array& array, void* data) {
  T* first = static_cast<T*>(data);
  const auto size = [&](int axis) { return static_cast<std::size_t>(array.shape(axis)); };
  if (array.ndim() == 1) return {first, 1, size(0), 0, stride<T>(array, 0)};
  return {first, size(0), size(1), stride<T>(array, 0), stride<T>(array, 1)};
}

std::ostream& operator<<(std::ostream& out, const ShapeOf& shape) {
  out << "(";
  for (py::ssize_t axis = 0; axis < shape.array.ndim(); ++axis) {
    out << (axis > 0 ? ", " : "") << shape.array.shape(axis);
  }
  return out << (shape.array.ndim() == 1 ? ",)" : ")");
}

template <class T>
Input<T> as_input(py::handle x, const char* name, py::handle feature_names) {
  py::array array = to_array<T>(x, name, feature_names);
  const bool single = array.ndim() == 1;
  require(single || array.ndim() == 2, name, " must have shape (features,) or (batch, features), ",
          "got shape ", ShapeOf{array});
  const ConstMatrixView<T> view = view_of<const T>(array, const_cast<void*>(array.data()));
  return {std::move(array), view, single};
}

template <class T>
Input<T> as_matrix(py::handle x, const char* name) {
  py::array array = to_array<T>(x, name);
  require(array.ndim() == 2, name, " must have shape (out_features, in_features), got shape ",
          ShapeOf{array});
  const ConstMatrixView<T> view = view_of<const T>(array, const_cast<void*>(array.data()));
  return {std::move(array), view, false};
}

template <class T>
py::array as_vector_or_none(py::handle x, const char* name, std::size_t size) {
  if (x.is_none()) return py::array();
  const py::array array = to_array<T>(x, name);
  require(array.ndim() == 1 && static_cast<std::size_t>(array.shape(0)) == size, name,
          " must have shape (", size, ",), got shape ", ShapeOf{array});
  auto contiguous = py::array_t<T, py::array::c_style>::ensure(array);
  if (!contiguous) throw std::bad_alloc();
  return contiguous;
}

Activation as_activation(py::handle activation) {
  const auto name = activation.attr("name").cast<std::string>();
  const std::optional<ActivationKind> kind = find_activation(name);
  require(kind.has_value(), "unknown activation '", name, "'");
  Activation result = info(*kind).defaults;
  // One for each unit comes apart (layers.cpp).
  const auto read = [&](const char* parameter, double& number) {
    const py::object value = activation.attr(parameter);
    if (!py::isinstance<py::array>(value)) number = value.cast<double>();
  };
  if (info(*kind).has_alpha) read("alpha", result.alpha);
  if (info(*kind).has_beta) read("beta", result.beta);
  return result;
}

#define LAMINET_INSTANTIATE(T)                                                   \
  template bool readable_in_place<T>(py::handle);                                \
  template Input<T> as_input(py::handle, const char*, py::handle);               \
  template Input<T> as_matrix(py::handle, const char*);                          \
  template py::array as_vector_or_none<T>(py::handle, const char*, std::size_t); \
  template MatrixView<T> view_of(const py::array&, void*);                       \
  template MatrixView<const T> view_of(const py::array&, void*);
LAMINET_INSTANTIATE(float)
LAMINET_INSTANTIATE(double)
#undef LAMINET_INSTANTIATE

}  // namespace laminet

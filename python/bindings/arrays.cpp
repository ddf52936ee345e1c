#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <sstream>
#include <string>
#include <utility>

#include "laminet/base/check.h"
#include "numpy_views.h"

namespace laminet {
namespace {

using py::detail::npy_api;

template <class T>
constexpr int kTypeNumber = sizeof(T) == sizeof(float) ? npy_api::NPY_FLOAT_ : npy_api::NPY_DOUBLE_;

template <class T>
constexpr const char* kTypeName = sizeof(T) == sizeof(float) ? "float32" : "float64";

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

template <class T>
py::array to_array(py::handle x, const char* name) {
  if (readable_in_place<T>(x)) return py::reinterpret_borrow<py::array>(x);
  const py::object convert = py::module_::import("laminet._convert").attr("as_real_array");
  return py::array(convert(x, py::dtype::of<T>(), name));
}

// Elements from one entry of `axis` to the next. Alignment makes the byte stride a multiple,
// except on an axis that is never walked.
template <class T>
std::ptrdiff_t stride(const py::array& array, int axis) {
  return array.strides(axis) / static_cast<py::ssize_t>(sizeof(T));
}

template <class T>
MatrixView<T> view_of(const py::array& array, void* data) {
  T* first = static_cast<T*>(data);
  const auto size = [&](int axis) { return static_cast<std::size_t>(array.shape(axis)); };
  if (array.ndim() == 1) return {first, 1, size(0), 0, stride<T>(array, 0)};
  return {first, size(0), size(1), stride<T>(array, 0), stride<T>(array, 1)};
}

std::string shape_text(const py::array& array) {
  std::string text = "(";
  for (py::ssize_t axis = 0; axis < array.ndim(); ++axis) {
    text += (axis ? ", " : "") + std::to_string(array.shape(axis));
  }
  return text + (array.ndim() == 1 ? ",)" : ")");
}

struct Extent {
  std::uintptr_t low;
  std::uintptr_t high;  // one past the last byte
};

template <class T>
Extent extent(MatrixView<T> v) {
  auto low = reinterpret_cast<std::uintptr_t>(v.data);
  auto high = low + sizeof(T);
  const auto add = [&](std::size_t count, std::ptrdiff_t step) {
    const auto span =
        (static_cast<std::ptrdiff_t>(count) - 1) * step * static_cast<std::ptrdiff_t>(sizeof(T));
    (span < 0 ? low : high) += static_cast<std::uintptr_t>(span);
  };
  if (v.rows == 0 || v.columns == 0) return {low, low};
  add(v.rows, v.row_stride);
  add(v.columns, v.column_stride);
  return {low, high};
}

// Whether two elements of the view are the same memory: i row steps lead where j column steps do,
// for the first time after their least common multiple.
template <class T>
bool overlaps_itself(MatrixView<T> v) {
  const auto size = [](std::ptrdiff_t step) { return static_cast<std::size_t>(std::abs(step)); };
  const std::size_t row_step = size(v.row_stride);
  const std::size_t column_step = size(v.column_stride);
  if (v.rows == 0 || v.columns == 0) return false;
  if ((v.rows > 1 && row_step == 0) || (v.columns > 1 && column_step == 0)) return true;
  if (v.rows == 1 || v.columns == 1) return false;
  const std::size_t common = std::gcd(row_step, column_step);
  return column_step / common < v.rows && row_step / common < v.columns;
}

}  // namespace

template <class T>
Input<T> as_input(py::handle x, const char* name) {
  py::array array = to_array<T>(x, name);
  const bool single = array.ndim() == 1;
  require(single || array.ndim() == 2, name, " must have shape (features,) or (batch, features), ",
          "got shape ", shape_text(array));
  const ConstMatrixView<T> view = view_of<const T>(array, const_cast<void*>(array.data()));
  return {std::move(array), view, single};
}

template <class T>
Input<T> as_matrix(py::handle x, const char* name) {
  py::array array = to_array<T>(x, name);
  require(array.ndim() == 2, name, " must have shape (out_features, in_features), got shape ",
          shape_text(array));
  const ConstMatrixView<T> view = view_of<const T>(array, const_cast<void*>(array.data()));
  return {std::move(array), view, false};
}

template <class T>
py::array as_vector_or_none(py::handle x, const char* name, std::size_t size) {
  if (x.is_none()) return py::array();
  const py::array array = to_array<T>(x, name);
  require(array.ndim() == 1 && static_cast<std::size_t>(array.shape(0)) == size, name,
          " must have shape (", size, ",), got shape ", shape_text(array));
  return py::array_t<T, py::array::c_style>::ensure(array);
}

template <class T>
Output<T>::Output(py::handle out, const Input<T>& input, std::size_t columns) {
  const std::size_t rows = input.view.rows;
  if (out.is_none()) {
    py::array_t<T> fresh = new_array<T>(rows, columns, input.single);
    view = destination_ = view_of<T>(fresh, fresh.mutable_data());
    result_ = std::move(fresh);
    return;
  }
  if (!npy_api::get().PyArray_Check_(out.ptr())) {
    throw py::type_error("out must be a NumPy array, got " +
                         std::string(Py_TYPE(out.ptr())->tp_name));
  }
  result_ = py::reinterpret_borrow<py::array>(out);
  const auto expected = py::array::ShapeContainer(
      input.single ? std::initializer_list<py::ssize_t>{static_cast<py::ssize_t>(columns)}
                   : std::initializer_list<py::ssize_t>{static_cast<py::ssize_t>(rows),
                                                        static_cast<py::ssize_t>(columns)});
  const bool same_shape = static_cast<std::size_t>(result_.ndim()) == expected->size() &&
                          std::equal(expected->begin(), expected->end(), result_.shape());
  std::ostringstream wanted;
  wanted << "(";
  if (!input.single) wanted << rows << ", ";
  wanted << columns << (input.single ? ",)" : ")");
  require(same_shape, "out must have shape ", wanted.str(), ", got shape ", shape_text(result_));
  require(result_.dtype().equal(py::dtype::of<T>()), "out must have dtype ", kTypeName<T>, ", got ",
          py::str(result_.dtype()).cast<std::string>());
  require(readable_in_place<T>(out), "out must be an aligned ndarray, not of a subclass");
  require(result_.writeable(), "out must be writeable");
  destination_ = view_of<T>(result_, result_.mutable_data());
  require(!overlaps_itself(destination_), "out must not overlap itself: elements share memory");
  view = destination_;
  keep_apart(input.view);
}

template <class T>
void Output<T>::keep_apart(ConstMatrixView<T> operand) {
  const Extent read = extent(operand);
  const Extent written = extent(destination_);
  if (temporary_ || read.low >= written.high || written.low >= read.high) return;
  temporary_.emplace(checked_product(destination_.rows, destination_.columns));
  view = dense_view(temporary_->data(), destination_.rows, destination_.columns);
}

template <class T>
py::object Output<T>::finish() {
  if (temporary_) copy<T>(view, destination_);
  return std::move(result_);
}

Activation as_activation(py::handle activation) {
  const auto name = activation.attr("name").cast<std::string>();
  const std::optional<ActivationKind> kind = find_activation(name);
  require(kind.has_value(), "unknown activation '", name, "'");
  Activation result = info(*kind).defaults;
  if (info(*kind).has_alpha) result.alpha = activation.attr("alpha").cast<double>();
  if (info(*kind).has_beta) result.beta = activation.attr("beta").cast<double>();
  return result;
}

#define LAMINET_INSTANTIATE(T)                                                   \
  template Input<T> as_input(py::handle, const char*);                           \
  template Input<T> as_matrix(py::handle, const char*);                          \
  template py::array as_vector_or_none<T>(py::handle, const char*, std::size_t); \
  template class Output<T>;
LAMINET_INSTANTIATE(float)
LAMINET_INSTANTIATE(double)
#undef LAMINET_INSTANTIATE

}  // namespace laminet

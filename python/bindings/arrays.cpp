#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <new>
#include <numeric>
#include <ostream>
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

}  // namespace

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

// Prints as Python prints a shape; made into text only where a check fails, since checks stand on
// the path of calls that take a microsecond.
struct ShapeOf {
  const py::array& array;
};

std::ostream& operator<<(std::ostream& out, const ShapeOf& shape) {
  out << "(";
  for (py::ssize_t axis = 0; axis < shape.array.ndim(); ++axis) {
    out << (axis > 0 ? ", " : "") << shape.array.shape(axis);
  }
  return out << (shape.array.ndim() == 1 ? ",)" : ")");
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

// Throws unless `out` can take a result of that shape.
template <class T>
void check_out(py::handle out, std::initializer_list<std::size_t> shape) {
  if (!npy_api::get().PyArray_Check_(out.ptr())) {
    throw py::type_error(std::string("out must be a NumPy array, got ") +
                         Py_TYPE(out.ptr())->tp_name);
  }
  const auto array = py::reinterpret_borrow<py::array>(out);
  const bool same_shape = static_cast<std::size_t>(array.ndim()) == shape.size() &&
                          std::equal(shape.begin(), shape.end(), array.shape(), [](auto a, auto b) {
                            return a == static_cast<std::size_t>(b);
                          });
  if (!same_shape) {
    std::string expected;
    for (const std::size_t size : shape) {
      expected += (expected.empty() ? "" : ", ") + std::to_string(size);
    }
    require(false, "out must have shape (", expected, shape.size() == 1 ? ",)" : ")",
            ", got shape ", ShapeOf{array});
  }
  if (!readable_in_place<T>(out)) {
    require(array.dtype().equal(py::dtype::of<T>()), "out must have dtype ", kTypeName<T>, ", got ",
            py::str(array.dtype()).cast<std::string>());
    require((array.flags() & npy_api::NPY_ARRAY_ALIGNED_) != 0, "out must be aligned");
    throw py::type_error(std::string("out must be a plain numpy.ndarray, got ") +
                         Py_TYPE(out.ptr())->tp_name + "; numpy.asarray gives one of its memory");
  }
  require(array.writeable(), "out must be writeable");
}

}  // namespace

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

// Without py::array_t's constructor, which computes strides and keeps shapes on the heap: 0.1 us
// less.
template <class T>
py::array_t<T> new_array(std::size_t rows, std::size_t columns, bool single) {
  const npy_api& numpy = npy_api::get();
  const Py_intptr_t shape[] = {static_cast<Py_intptr_t>(rows), static_cast<Py_intptr_t>(columns)};
  PyObject* const array = numpy.PyArray_NewFromDescr_(
      numpy.PyArray_Type_, numpy.PyArray_DescrFromType_(kTypeNumber<T>), single ? 1 : 2,
      single ? shape + 1 : shape, nullptr, nullptr, 0, nullptr);
  if (!array) throw py::error_already_set();
  return py::reinterpret_steal<py::array_t<T>>(array);
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
  if (input.single) {
    check_out<T>(out, {columns});
  } else {
    check_out<T>(out, {rows, columns});
  }
  result_ = py::reinterpret_borrow<py::array>(out);
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

namespace {

template <class T>
MatrixStack<T> stack_of(const py::array& array, void* data) {
  const int batch = static_cast<int>(array.ndim()) - 3;
  const auto size = [&](int axis) { return static_cast<std::size_t>(array.shape(axis)); };
  const int row = batch + 1;
  return {static_cast<T*>(data),
          batch < 0 ? 1 : size(batch),
          size(row),
          size(row + 1),
          batch < 0 ? 0 : stride<T>(array, batch),
          stride<T>(array, row),
          stride<T>(array, row + 1)};
}

struct Axis {
  std::size_t size;
  std::ptrdiff_t stride;
};

template <class T>
std::array<Axis, 3> axes(const MatrixStack<T>& v) {
  return {{{v.count, v.stride}, {v.rows, v.row_stride}, {v.columns, v.column_stride}}};
}

template <class T>
Extent extent(const MatrixStack<T>& v) {
  auto low = reinterpret_cast<std::uintptr_t>(v.data);
  auto high = low + sizeof(T);
  for (const Axis& axis : axes(v)) {
    if (axis.size == 0) return {low, low};
    const auto span = (static_cast<std::ptrdiff_t>(axis.size) - 1) * axis.stride *
                      static_cast<std::ptrdiff_t>(sizeof(T));
    (span < 0 ? low : high) += static_cast<std::uintptr_t>(span);
  }
  return {low, high};
}

// Whether each axis steps over all that the axes of smaller steps reach, as it does in every array
// and slice of one: then no two elements are the same memory.
template <class T>
bool nested(const MatrixStack<T>& v) {
  std::array<Axis, 3> sorted = axes(v);
  std::sort(sorted.begin(), sorted.end(),
            [](const Axis& a, const Axis& b) { return std::abs(a.stride) < std::abs(b.stride); });
  std::ptrdiff_t reach = 0;
  for (const Axis& axis : sorted) {
    if (axis.size <= 1) continue;
    if (std::abs(axis.stride) <= reach) return false;
    reach += (static_cast<std::ptrdiff_t>(axis.size) - 1) * std::abs(axis.stride);
  }
  return true;
}

bool overlap(const Extent& a, const Extent& b) { return a.low < b.high && b.low < a.high; }

}  // namespace

template <class T>
StackOutput<T>::StackOutput(py::handle out, const Input<T>& input, std::size_t rows,
                            std::size_t columns) {
  const std::size_t batch = input.view.rows;
  if (out.is_none()) {
    using Shape = py::array::ShapeContainer;
    const auto m = static_cast<py::ssize_t>(rows);
    const auto n = static_cast<py::ssize_t>(columns);
    py::array_t<T> fresh(input.single ? Shape{m, n} : Shape{static_cast<py::ssize_t>(batch), m, n});
    view = destination_ = stack_of<T>(fresh, fresh.mutable_data());
    result_ = std::move(fresh);
    return;
  }
  if (input.single) {
    check_out<T>(out, {rows, columns});
  } else {
    check_out<T>(out, {batch, rows, columns});
  }
  result_ = py::reinterpret_borrow<py::array>(out);
  view = destination_ = stack_of<T>(result_, result_.mutable_data());
  require(nested(destination_), "out must not overlap itself: elements may share memory");
  if (!overlap(extent(input.view), extent(destination_))) return;
  temporary_.emplace(checked_product(checked_product(batch, rows), columns));
  const auto step = static_cast<std::ptrdiff_t>(columns);
  view = {
      temporary_->data(), batch, rows, columns, static_cast<std::ptrdiff_t>(rows) * step, step, 1};
}

template <class T>
void StackOutput<T>::require_apart(const Output<T>& other) const {
  require(!overlap(extent(destination_), extent(other.destination())),
          "out must not overlap itself: y and the Jacobian share memory");
}

template <class T>
py::object StackOutput<T>::finish() {
  if (temporary_) {
    for (std::size_t i = 0; i < view.count; ++i) copy<T>(view[i], destination_[i]);
  }
  return std::move(result_);
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
  template py::array_t<T> new_array(std::size_t, std::size_t, bool);             \
  template class Output<T>;                                                      \
  template class StackOutput<T>;
LAMINET_INSTANTIATE(float)
LAMINET_INSTANTIATE(double)
#undef LAMINET_INSTANTIATE

}  // namespace laminet

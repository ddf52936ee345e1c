#include "outputs.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <numeric>
#include <ostream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "laminet/base/check.h"
#include "laminet/gemm/blas.h"

namespace laminet {
namespace {

using py::detail::npy_api;

template <class T>
constexpr const char* kTypeName = sizeof(T) == sizeof(float) ? "float32" : "float64";

bool overlap(const Extent& a, const Extent& b) { return a.low < b.high && b.low < a.high; }

struct Axis {
  std::size_t size;
  std::ptrdiff_t stride;
};

template <class T>
std::array<Axis, 2> axes(const MatrixView<T>& v) {
  return {{{v.rows, v.row_stride}, {v.columns, v.column_stride}}};
}

template <class T>
std::array<Axis, 3> axes(const MatrixStack<T>& v) {
  return {{{v.count, v.stride}, {v.rows, v.row_stride}, {v.columns, v.column_stride}}};
}

template <class View>
Extent extent_of(const View& v) {
  constexpr std::size_t kSize = sizeof(*v.data);
  const auto low = reinterpret_cast<std::uintptr_t>(v.data);
  Extent result{low, low + kSize};
  for (const Axis& axis : axes(v)) {
    if (axis.size == 0) return {low, low};
    const auto span = (static_cast<std::ptrdiff_t>(axis.size) - 1) * axis.stride *
                      static_cast<std::ptrdiff_t>(kSize);
    (span < 0 ? result.low : result.high) += static_cast<std::uintptr_t>(span);
  }
  return result;
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

template <class... Parts>
std::string text_of(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

// Throws unless `out` can take a result of that shape.
template <class T>
void check_out(py::handle out, const OutName& name, std::initializer_list<std::size_t> shape) {
  if (!npy_api::get().PyArray_Check_(out.ptr())) {
    throw py::type_error(
        text_of(name, " must be a NumPy array, got ", Py_TYPE(out.ptr())->tp_name));
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
    require(false, name, " must have shape (", expected, shape.size() == 1 ? ",)" : ")",
            ", got shape ", ShapeOf{array});
  }
  if (!readable_in_place<T>(out)) {
    require(array.dtype().equal(py::dtype::of<T>()), name, " must have dtype ", kTypeName<T>,
            ", got ", py::str(array.dtype()).cast<std::string>());
    require((array.flags() & npy_api::NPY_ARRAY_ALIGNED_) != 0, name, " must be aligned");
    throw py::type_error(text_of(name, " must be a plain numpy.ndarray, got ",
                                 Py_TYPE(out.ptr())->tp_name,
                                 "; numpy.asarray gives one of its memory"));
  }
  require(array.writeable(), name, " must be writeable");
}

}  // namespace

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

std::ostream& operator<<(std::ostream& stream, const OutName& name) {
  stream << name.list;
  if (name.index >= 0) stream << "[" << name.index << "]";
  if (name.part >= 0) stream << "[" << name.part << "]";
  return stream;
}

void require_apart(std::span<const Extent> arrays) {
  std::vector<const Extent*> sorted;
  for (const Extent& one : arrays) {
    if (one.low < one.high) sorted.push_back(&one);
  }
  std::sort(sorted.begin(), sorted.end(),
            [](const Extent* a, const Extent* b) { return a->low < b->low; });
  // Of those that begin before an array ends, the next one does.
  for (std::size_t i = 1; i < sorted.size(); ++i) {
    const auto [first, second] = std::minmax(sorted[i - 1], sorted[i]);
    require(!overlap(*first, *second), "out must not overlap itself: ", first->name, " and ",
            second->name, " share memory");
  }
}

template <class T>
Output<T>::Output(py::handle out, const OutName& name, std::size_t rows, std::size_t columns,
                  bool single)
    : name_(name) {
  if (out.is_none()) {
    py::array_t<T> fresh = new_array<T>(rows, columns, single);
    view = destination_ = view_of<T>(fresh, fresh.mutable_data());
    result_ = std::move(fresh);
    return;
  }
  if (single) {
    check_out<T>(out, name, {columns});
  } else {
    check_out<T>(out, name, {rows, columns});
  }
  auto array = py::reinterpret_borrow<py::array>(out);
  destination_ = view_of<T>(array, array.mutable_data());
  result_ = std::move(array);
  require(!overlaps_itself(destination_), name, " must not overlap itself: elements share memory");
  view = destination_;
}

template <class T>
Output<T>::Output(py::handle out, const Input<T>& input, std::size_t columns)
    : Output(out, {}, input.view.rows, columns, input.single) {
  if (!out.is_none()) keep_apart(input.view);
}

template <class T>
void Output<T>::use_temporary() {
  temporary_.emplace(checked_product(destination_.rows, destination_.columns));
  view = dense_view(temporary_->data(), destination_.rows, destination_.columns);
}

template <class T>
void Output<T>::keep_apart(ConstMatrixView<T> operand) {
  if (!temporary_ && overlap(extent_of(operand), extent_of(destination_))) use_temporary();
}

template <class T>
void Output<T>::make_usable() {
  if (!temporary_ && !blas::fits<T>(view)) use_temporary();
}

template <class T>
Extent Output<T>::extent() const {
  Extent found = extent_of(destination_);
  found.name = name_;
  return found;
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

// Whether each axis steps over all that the axes of smaller steps reach, as it does in every array
// and slice of one: then no two elements are the same memory.
template <class T>
bool nested(const MatrixStack<T>& v) {
  std::array<Axis, 3> sorted = axes(v);
  if (v.count == 0 || v.rows == 0 || v.columns == 0) return true;
  std::sort(sorted.begin(), sorted.end(),
            [](const Axis& a, const Axis& b) { return std::abs(a.stride) < std::abs(b.stride); });
  std::ptrdiff_t reach = 0;
  for (const Axis& axis : sorted) {
    if (axis.size == 1) continue;
    if (std::abs(axis.stride) <= reach) return false;
    reach += (static_cast<std::ptrdiff_t>(axis.size) - 1) * std::abs(axis.stride);
  }
  return true;
}

}  // namespace

template <class T>
StackOutput<T>::StackOutput(py::handle out, const Input<T>& input, std::size_t rows,
                            std::size_t columns, const OutName& name)
    : name_(name) {
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
    check_out<T>(out, name, {rows, columns});
  } else {
    check_out<T>(out, name, {batch, rows, columns});
  }
  auto array = py::reinterpret_borrow<py::array>(out);
  view = destination_ = stack_of<T>(array, array.mutable_data());
  result_ = std::move(array);
  require(nested(destination_), name, " must not overlap itself: elements may share memory");
  if (overlap(extent_of(input.view), extent_of(destination_))) use_temporary();
}

template <class T>
void StackOutput<T>::use_temporary() {
  const auto& [data, count, rows, columns, stride, row_stride, column_stride] = destination_;
  temporary_.emplace(checked_product(checked_product(count, rows), columns));
  const auto step = static_cast<std::ptrdiff_t>(columns);
  view = {
      temporary_->data(), count, rows, columns, static_cast<std::ptrdiff_t>(rows) * step, step, 1};
}

template <class T>
void StackOutput<T>::make_rows_contiguous() {
  if (view.column_stride != 1 && view.columns > 1) use_temporary();
}

template <class T>
Extent StackOutput<T>::extent() const {
  Extent found = extent_of(destination_);
  found.name = name_;
  return found;
}

template <class T>
py::object StackOutput<T>::finish() {
  if (temporary_) {
    for (std::size_t i = 0; i < view.count; ++i) copy<T>(view[i], destination_[i]);
  }
  return std::move(result_);
}

#define LAMINET_INSTANTIATE(T)                                       \
  template py::array_t<T> new_array(std::size_t, std::size_t, bool); \
  template class Output<T>;                                          \
  template class StackOutput<T>;
LAMINET_INSTANTIATE(float)
LAMINET_INSTANTIATE(double)
#undef LAMINET_INSTANTIATE

}  // namespace laminet

// The only conversion between NumPy arrays and views. Strides pass through: an array of the right
// dtype is read in place, whatever its layout.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <iosfwd>

#include "laminet/base/matrix.h"
#include "laminet/kernels/activation.h"

namespace laminet {

namespace py = pybind11;

// An array to read: the one that owns the memory, for as long as `view` is used.
template <class T>
struct Input {
  py::array holder;
  ConstMatrixView<T> view;
  bool single;  // shape (n,): one sample
};

template <class T>
constexpr int kTypeNumber =
    sizeof(T) == sizeof(float) ? py::detail::npy_api::NPY_FLOAT_ : py::detail::npy_api::NPY_DOUBLE_;

// Whether NumPy's memory of x is read as it is: else Python code runs, which converts it.
template <class T>
bool readable_in_place(py::handle x);

// x of shape (n,) or (batch, n). An aligned native array of T is taken as it is; anything else goes
// through laminet.core.conversion, which converts or raises TypeError or ValueError naming `name`.
// There the columns of a table are held against `feature_names`, a tuple of str or None.
template <class T>
Input<T> as_input(py::handle x, const char* name, py::handle feature_names = Py_None);

// A matrix (rows, columns) of T, by the same rules.
template <class T>
Input<T> as_matrix(py::handle x, const char* name);

// A vector of T with unit stride and `size` elements, or an empty array for None.
template <class T>
py::array as_vector_or_none(py::handle x, const char* name, std::size_t size);

// Elements from one entry of `axis` to the next. Alignment makes the byte stride a multiple,
// except on an axis that is never walked.
template <class T>
std::ptrdiff_t stride(const py::array& array, int axis) {
  return array.strides(axis) / static_cast<py::ssize_t>(sizeof(T));
}

// An array of one axis or two.
template <class T>
MatrixView<T> view_of(const py::array& array, void* data);

// Prints as Python prints a shape; made into text only where a check fails, since checks stand on
// the path of calls that take a microsecond.
struct ShapeOf {
  const py::array& array;
};
std::ostream& operator<<(std::ostream& out, const ShapeOf& shape);

// An Activation of Python: an object with `name`, `alpha` and `beta` (None where it has none).
Activation as_activation(py::handle activation);

}  // namespace laminet

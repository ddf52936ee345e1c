// The only conversion between NumPy arrays and views. Strides pass through: an array of the right
// dtype is read in place, whatever its layout.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <optional>

#include "laminet/base/matrix.h"
#include "laminet/gradients/derivatives.h"
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

// Where results go. `view` is `result` itself, or a temporary where that overlaps the input.
template <class T>
class Output {
 public:
  // A new array where `out` is None; else `out`, which must be a writeable array of T with exactly
  // the shape (rows, columns), or (columns,) for a single sample: ValueError or TypeError if not.
  Output(py::handle out, const Input<T>& input, std::size_t columns);

  MatrixView<T> view;

  // Switches to a temporary if the result would overlap `operand`, which is read while it is
  // written. The constructor has done so for the input.
  void keep_apart(ConstMatrixView<T> operand);

  // The array to give back; copies the temporary into it where there is one.
  py::object finish();

  MatrixView<T> destination() const { return destination_; }
  const py::array& array() const { return result_; }

 private:
  py::array result_;
  MatrixView<T> destination_;
  std::optional<AlignedArray<T>> temporary_;
};

// Where Jacobians go: the same for arrays of shape (batch, rows, columns), or (rows, columns) for a
// single sample.
template <class T>
class StackOutput {
 public:
  StackOutput(py::handle out, const Input<T>& input, std::size_t rows, std::size_t columns);

  MatrixStack<T> view;

  // Throws ValueError if the two results share memory.
  void require_apart(const Output<T>& other) const;
  py::object finish();

  const py::array& array() const { return result_; }

 private:
  py::array result_;
  MatrixStack<T> destination_;
  std::optional<AlignedArray<T>> temporary_;
};

// A new C-contiguous array of shape (rows, columns), or (columns,) for a single sample.
template <class T>
py::array_t<T> new_array(std::size_t rows, std::size_t columns, bool single);

// An Activation of Python: an object with `name`, `alpha` and `beta` (None where it has none).
Activation as_activation(py::handle activation);

}  // namespace laminet

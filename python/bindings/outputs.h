// Where results go: new arrays, or those of `out`.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <span>

#include "laminet/base/matrix.h"
#include "laminet/gradients/derivatives.h"
#include "numpy_views.h"

namespace laminet {

// What messages call the place of a result: "out", "out.weights[1]", "out.norms[0][1]".
struct OutName {
  const char* list = "out";
  std::ptrdiff_t index = -1;  // none where negative
  std::ptrdiff_t part = -1;
};
std::ostream& operator<<(std::ostream& stream, const OutName& name);

// The bytes from the first to the last element of an array, and what they are called.
struct Extent {
  std::uintptr_t low;
  std::uintptr_t high;  // one past the last byte
  OutName name = {};
};

// Where results go. `view` is `result` itself, or a temporary where that overlaps the input.
template <class T>
class Output {
 public:
  // A new array where `out` is None; else `out`, which must be a writeable array of T with exactly
  // the shape (rows, columns), or (columns,) where `single`: ValueError or TypeError if not.
  Output(py::handle out, const OutName& name, std::size_t rows, std::size_t columns, bool single);
  // A row for each sample of the input, from which it is kept apart.
  Output(py::handle out, const Input<T>& input, std::size_t columns);

  MatrixView<T> view;

  // Switches to a temporary if the result would overlap `operand`, which is read while it is
  // written.
  void keep_apart(ConstMatrixView<T> operand);
  // Switches to a temporary unless products can write the view on either back end.
  void make_usable();

  // The array to give back; copies the temporary into it where there is one.
  py::object finish();

  Extent extent() const;  // of the array
  py::handle array() const { return result_; }

 private:
  void use_temporary();

  OutName name_;
  py::object result_;  // no py::array: that makes one of no elements first, 0.1 us
  MatrixView<T> destination_;
  std::optional<AlignedArray<T>> temporary_;
};

// Where Jacobians go: the same for arrays of shape (batch, rows, columns), or (rows, columns) for a
// single sample.
template <class T>
class StackOutput {
 public:
  StackOutput(py::handle out, const Input<T>& input, std::size_t rows, std::size_t columns,
              const OutName& name = {});

  MatrixStack<T> view;

  // Switches to a temporary unless rows are contiguous.
  void make_rows_contiguous();
  py::object finish();

  Extent extent() const;
  py::handle array() const { return result_; }

 private:
  void use_temporary();

  OutName name_;
  py::object result_;  // no py::array: that makes one of no elements first, 0.1 us
  MatrixStack<T> destination_;
  std::optional<AlignedArray<T>> temporary_;
};

// Throws ValueError, which names them, if two of the arrays share memory.
void require_apart(std::span<const Extent> arrays);

// A new C-contiguous array of shape (rows, columns), or (columns,) for a single sample.
template <class T>
py::array_t<T> new_array(std::size_t rows, std::size_t columns, bool single);

}  // namespace laminet

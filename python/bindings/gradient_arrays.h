// Where the gradients of a network's parameters go.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "laminet/gradients/derivatives.h"
#include "laminet/network/mlp.h"
#include "numpy_views.h"
#include "outputs.h"

namespace laminet {

template <class T>
class GradientArrays {
 public:
  // `out` is None, or a tuple of what finish() returns, in tuples, with None for what is to be new.
  GradientArrays(const Mlp<T>& net, const py::object& out, const Input<T>& x,
                 const Input<T>& grad_output);

  ParameterGradients<T> parameters() const { return {weights_, biases_, norms_, units_}; }
  MatrixView<T> input() const { return input_->view; }
  // All arrays of the caller's.
  const std::vector<py::handle>& pinned() const { return pinned_; }

  // ([dW_1 ..], [db_1 or None ..], dX, [(dweight or None, dbias or None) of each norm],
  // [(dalpha or None, dbeta or None) of each function with parameters by unit]).
  py::tuple finish();

 private:
  using Array = std::optional<Output<T>>;  // none where there is no such parameter
  class Given;

  using Pairs = std::vector<std::pair<Array, Array>>;

  Array array(const Given& given, bool exists, const char* absent, std::size_t rows,
              std::size_t columns, bool single);

  // The parameters of the i-th entry of a list, each a row where it exists.
  struct Row {
    bool exists;
    const char* absent;
  };
  void add_pair(const Given& pair, std::size_t columns, const Row& first, const Row& second,
                Pairs& arrays, std::vector<std::pair<T*, T*>>& views);

  ConstMatrixView<T> x_, grad_output_;
  std::vector<Array> weight_arrays_, bias_arrays_;
  Pairs norm_arrays_, unit_arrays_;
  Array input_;
  std::vector<MatrixView<T>> weights_;
  std::vector<T*> biases_;
  std::vector<std::pair<T*, T*>> norms_, units_;
  std::vector<py::handle> pinned_;
  std::vector<Extent> extents_;
};

}  // namespace laminet

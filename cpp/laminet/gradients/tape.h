// What a forward pass leaves for derivatives: the activations and the slopes s_l'(Z_l) of a block
// of samples. Forward and backward stand side by side here:
//
//   Tape<float> tape;                          // reused from block to block
//   tape.record(weights, x, y);                // Y, and what the chain rule needs at X
//   pull_back(weights, tape, ...);             // gradients from the output to the input
//   push_forward(weights, tape, ...);          // tangents from the input to the output
//
// One thread's work. Allocates nothing after the first block of a size.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "laminet/base/matrix.h"
#include "laminet/gradients/products.h"

namespace laminet {

template <class T>
class Tape {
 public:
  // Asks for the memory of so many samples, and for the pages behind it.
  void reserve(const ChainWeights<T>& weights, std::size_t samples);

  // Makes room for the samples of x (m, n_0), any strides, which must stay as it is while the tape
  // is used.
  void start(const ChainWeights<T>& weights, ConstMatrixView<T> x);

  // Runs the network for `count` samples from `first` on. y (count, n_L), contiguous rows, gets the
  // outputs; with y.data null they are not wanted, and the last product is left out where no
  // derivative depends on it. Threads may run different samples at once.
  void run(const ChainWeights<T>& weights, std::size_t first, std::size_t count, MatrixView<T> y);

  // Both, for all samples.
  void record(const ChainWeights<T>& weights, ConstMatrixView<T> x, MatrixView<T> y) {
    start(weights, x);
    run(weights, 0, x.rows, y);
  }

  std::size_t samples() const { return samples_; }
  // A_l, the input of layer l, counted from 0: (m, n_l), contiguous rows; A_0 is x or a copy of it.
  ConstMatrixView<T> input(std::size_t l) const { return layers_[l].input; }
  // s_l'(Z_l) of layer l: (m, n_{l+1}). No data where it is 1 everywhere, as for identity, whose
  // derivative does not depend on z.
  ConstMatrixView<T> slopes(std::size_t l) const {
    return layers_[l].constant ? ConstMatrixView<T>{} : layers_[l].slopes;
  }
  // softmax(A_L), (m, n_L), where the network has a head; else no data.
  ConstMatrixView<T> probabilities() const { return probabilities_; }
  // The memory of the slopes, for the gradients with respect to Z_l that take their place.
  MatrixView<T> deltas(std::size_t l) const { return layers_[l].slopes; }

  // Elements of memory that a sample takes on it.
  static std::size_t elements_per_sample(const ChainWeights<T>& weights);

 private:
  void grow(const ChainWeights<T>& weights, std::size_t samples);

  struct Layer {
    MatrixView<T> own_input;  // no data where input is x itself
    ConstMatrixView<T> input;
    MatrixView<T> slopes;
    bool constant;
  };

  std::size_t samples_ = 0;
  ConstMatrixView<T> x_;
  std::vector<Layer> layers_;
  MatrixView<T> probabilities_;
  AlignedArray<T> memory_;
};

// The tape of the calling thread.
template <class T>
Tape<T>& thread_tape();

// Rows of a matrix in scratch: those of a vector's length or more start on cache lines.
template <class T>
std::size_t row_stride(std::size_t columns);

// Elements of scratch that a row takes in pull_back and push_forward.
template <class T>
std::size_t chain_elements_per_row(const ChainWeights<T>& weights);

// Two halves of a thread's scratch that serve in turn as the results of a chain of products.
template <class T>
class ChainScratch {
 public:
  ChainScratch(const ChainWeights<T>& weights, std::size_t rows);
  MatrixView<T> next(std::size_t columns);
  // Asks for the pages behind it.
  void touch() { std::fill_n(memory_, 2 * half_, T{0}); }

 private:
  std::size_t rows_;
  std::size_t half_;
  T* memory_;
  bool second_ = false;
};

// The head's derivative is no part of the chains below: apply_head_derivative.

// out = g W_l D_{l-1} W_{l-1} ... D_0 W_0. Row i of g, the gradient with respect to Z of layer
// `layer`, belongs to sample (first + i) / repeat of the tape. g may be the scratch's last result;
// out has any strides.
template <class T>
void pull_back(const ChainWeights<T>& weights, const Tape<T>& tape, std::size_t layer,
               ConstMatrixView<T> g, std::size_t first, std::size_t repeat,
               ChainScratch<T>& scratch, MatrixView<T> out);

// out = t W_l^T D_l ... W_{L-1}^T D_{L-1}. Row i of t, a tangent of the input of layer `layer`,
// belongs to sample (first + i) / repeat of the tape. Returns out; with out.data null the result,
// which is then in the scratch.
template <class T>
MatrixView<T> push_forward(const ChainWeights<T>& weights, const Tape<T>& tape, std::size_t layer,
                           ConstMatrixView<T> t, std::size_t first, std::size_t repeat,
                           ChainScratch<T>& scratch, MatrixView<T> out);

}  // namespace laminet

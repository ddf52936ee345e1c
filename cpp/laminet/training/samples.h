// What a network learns from, and what its outputs should be.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "laminet/base/matrix.h"
#include "laminet/kernels/losses.h"

namespace laminet {

struct Loss {
  kernels::LossKind kind = kernels::LossKind::squared_error;
  double parameter = 1;               // of Huber: where its parabola ends
  std::vector<double> levels;         // of quantiles: an output for each of every target
  double label_smoothing = 0;         // of cross entropies: so much of a target is spread evenly
  std::vector<double> class_weights;  // of cross entropy, by output; none: 1 each
};

// Samples x (B, n_0), and their targets (B, targets), or for cross entropy classes in their place:
// B indices of outputs. Any strides. Weights of samples, none below 0: B of them, or null.
template <class T>
struct Samples {
  ConstMatrixView<T> x;
  ConstMatrixView<T> targets;
  const std::int64_t* classes = nullptr;
  const double* weights = nullptr;

  std::size_t rows() const { return x.rows; }
};

// Targets as the loss's kernel takes them.
template <class T>
class Targets {
 public:
  Targets(const Loss& loss, std::size_t out_features);

  // Throws std::invalid_argument where shapes are wrong, a class is none, or a weight below 0 or
  // not finite.
  void check(const Samples<T>& samples) const;
  // Of a sample, that of its class included.
  double weight(const Samples<T>& samples, std::size_t row) const;
  bool weighted(const Samples<T>& samples) const {
    return samples.weights || (samples.classes && !class_shares_.empty());
  }
  // A row of n_L targets.
  void write(const Samples<T>& samples, std::size_t row, T* to) const;
  // Asks for what write() will read.
  void prefetch(const Samples<T>& samples, std::size_t row) const {
    if (samples.classes) {
      __builtin_prefetch(samples.classes + row);
    } else {
      __builtin_prefetch(samples.targets.row(row));
    }
  }

  // By output.
  const T* levels() const { return levels_.data(); }
  std::size_t columns() const { return columns_; }

 private:
  std::size_t out_features_;
  std::size_t columns_;
  bool cross_entropy_;
  bool as_given_;  // targets are what the kernel takes
  double smoothing_;
  double even_;  // what smoothing adds to a target
  std::vector<T> levels_;
  std::vector<double> class_weights_;
  std::vector<double> class_shares_;  // over the largest, as their mean divides by them again
};

}  // namespace laminet

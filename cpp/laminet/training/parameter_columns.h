// The trained numbers of a network as the columns of a Jacobian with a row for each residual, and
// what a way back has left on the tape as the rows of it.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "laminet/gradients/tape.h"
#include "laminet/network/mlp.h"
#include "laminet/training/normal_matrix.h"

namespace laminet {

// The columns of a dense layer: its weight, then its bias, if it has one.
struct DenseColumns {
  std::size_t step;
  Columns input;      // what it reads
  std::size_t first;  // column of what the step gives
  std::size_t outputs;
  bool bias;
  std::size_t column;  // of J
  bool by_input;       // of the weight all outputs of an input are side by side, else all inputs of
                       // an output

  // Those of the bias being one more.
  std::size_t inputs() const { return input.count + (bias ? 1 : 0); }
};

class ParameterColumns {
 public:
  explicit ParameterColumns(const Mlp<double>& net);

  std::size_t count() const { return count_; }
  std::span<const DenseColumns> dense() const { return dense_; }

  // All numbers, from or to where they lie.
  void gather(const Parameters<double>& from, double* to) const;
  void scatter(const double* from, Parameters<double>& to) const;
  // For each of them whether it is part of a weight.
  void mark_weights(double* to, double mark, double other) const;

  // Rows of J, from `first` on, of the samples of a tape after a way back with Slopes::keep.
  void fill(const Program& program, const Operands<double>& operands, const Tape<double>& tape,
            const Panels& panels, std::size_t first) const;

 private:
  // Columns of one panel that are a matrix's times a column of another, or another's; or a copy of
  // them where there is no other.
  struct Run {
    std::size_t column;
    std::size_t count;
    std::size_t from;    // column of the matrix
    std::size_t factor;  // of the other, or kNone
  };
  enum class Kind { weight, bias, norm_weight, norm_bias, alphas, betas };
  // Of one array of the network.
  struct Part {
    Kind kind;
    std::size_t step;
    Columns input;       // of a weight: what it reads
    std::size_t first;   // column of what the step gives
    std::size_t column;  // of J
    ParameterBlock block;
    bool by_input;
    std::vector<Run> runs;
  };
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  void add(Part part, std::size_t lines, std::size_t length);

  std::size_t width_;  // of a panel
  std::vector<Part> parts_;
  std::vector<DenseColumns> dense_;
  std::size_t count_ = 0;
};

}  // namespace laminet

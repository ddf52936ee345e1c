// The numbers of a network in training.
//
// Weights are the panels that products of a forward pass read: the gradient of a panel has its
// layout (a tile of A^T dZ), an optimiser's moments too, and nothing is packed anew after a step
// but what the way back reads of the layers behind the first. All else lies as in Parameters.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "laminet/base/huge_pages.h"
#include "laminet/network/mlp.h"
#include "laminet/training/optimizer.h"

namespace laminet {

// A piece of work after the way back: the gradient of a part of the parameters, and their update.
struct TrainedPart {
  enum class What { weight, bias, norm_weight, norm_bias, alphas, betas } what;
  std::size_t step;
  std::size_t offset;  // in the buffer of all trained numbers
  std::size_t count;   // elements there
  // Of a weight: inputs first .. first + inputs - 1 of the panel of a group that begins with that
  // output. Of others: the columns from `output` on.
  std::size_t group;
  std::size_t output;
  std::size_t outputs;
  std::size_t first;
  std::size_t inputs;
  std::size_t stride;  // of a panel: its columns
};

template <class T>
class TrainedNumbers {
 public:
  TrainedNumbers(const Mlp<T>& start, const Program& program, std::size_t moments);

  const Operands<T>& operands() const { return operands_; }
  std::span<const TrainedPart> parts() const { return parts_; }
  // Elements of the largest part.
  std::size_t largest_part() const { return largest_; }
  // Of all parts, one after the other with gaps.
  std::size_t size() const { return panels_.size() + rows_.size(); }

  T* parameters(const TrainedPart& part);
  // The i-th moment of its parameters, null where there is none.
  T* moment(const TrainedPart& part, std::size_t i);
  // After a change: what the way back reads of it.
  void changed(const TrainedPart& part);

  // Of the l-th dense layer as Mlp has it: (out_features, in_features).
  void copy_weight(std::size_t layer, MatrixView<T> to) const;
  // Of other numbers, those that began as `start` among the network's parameters.
  const T* row(std::size_t start) const { return rows_.data() + start; }

 private:
  struct Layer {
    LayerPlace place;
    std::size_t outputs;
    std::size_t inputs;
  };
  void add_weight(const DenseStep& dense, std::size_t step, std::size_t group);

  std::vector<Layer> layers_;
  Parameters<T> rows_;
  T* row_data_;
  Prepared<T> panels_;
  Prepared<T> transposed_;
  std::vector<HugePageArray<T>> moments_;
  std::vector<DenseOperands<T>> steps_;
  Operands<T> operands_;
  std::vector<TrainedPart> parts_;
  std::size_t largest_ = 0;
};

}  // namespace laminet

// The numbers of a network in training.
//
// Weights are the panels that products of a forward pass read: the gradient of a panel has its
// layout (a tile of A^T dZ), an optimiser's moments too, and nothing is packed anew after a step
// but what the way back reads of the layers behind the first. All else lies as in Parameters.
//
// Where products are of numbers of bfloat16, these panels are what an optimiser changes, and both
// ways read others, made of them after each step.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
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
  std::size_t outputs_of_group;
  std::size_t output;
  std::size_t outputs;
  std::size_t first;
  std::size_t inputs;
  std::size_t stride;  // of a panel: its columns
  double factor;       // of the learning rate
  bool mixed;          // a panel of layers with several: factors() by column
  std::size_t square;  // of squares(): the first of a weight's outputs, or that of all elements
};

// Of the learning rate: by dense layer, norm, and function with parameters by unit; none: 1 each.
struct RateFactors {
  std::vector<double> layers;
  std::vector<double> norms;
  std::vector<double> units;
};

template <class T>
class TrainedNumbers {
 public:
  // `buffers` that lie as the parameters do, beside them: moments and an average.
  TrainedNumbers(const Mlp<T>& start, const Program& program, const RateFactors& factors,
                 std::size_t buffers, bool rounds);

  const Operands<T>& operands() const { return operands_; }
  // The same for a way forward that does not round.
  const Operands<T>& exact() const { return rounded_ ? exact_ : operands_; }
  // Whether dropout does, from now on.
  void drop(bool drops) { operands_.drops = drops; }
  std::span<const TrainedPart> parts() const { return parts_; }
  // Sums of squares of which the norm of all numbers is made, in an order that knows no panels, as
  // these differ between instruction sets: of kPartInputs inputs of each output of a weight, or of
  // all other elements of a part.
  std::size_t squares() const { return squares_; }
  // Elements of the largest part.
  std::size_t largest_part() const { return largest_; }
  // Of all parts, one after the other with gaps.
  std::size_t size() const { return panels_.size() + rows_.size(); }

  T* parameters(const TrainedPart& part);
  // What a buffer has for its parameters.
  T* of(std::size_t buffer, const TrainedPart& part) {
    return buffers_[buffer].data() + part.offset;
  }
  std::size_t buffers() const { return buffers_.size(); }
  // Of the columns of a mixed part.
  const double* factors(const TrainedPart& part) const {
    return column_factors_[part.step].data() + part.group * part.outputs_of_group + part.output;
  }
  // After a change: what the way back reads of it, and where products round, the way forward.
  void changed(const TrainedPart& part);
  // Asks for the memory that this takes, on the calling thread.
  void reserve_changes() const;
  void all_changed() {
    for (const TrainedPart& part : parts_) changed(part);
  }

  // The weights of the l-th dense layer as Mlp has them, (out_features, in_features): of the
  // parameters, or of memory for all numbers that lies as they do.
  void copy_weight(std::size_t layer, MatrixView<T> to, const T* from = nullptr) const;
  void set_weight(std::size_t layer, ConstMatrixView<T> from, T* to = nullptr);
  // Of other numbers, those that began as `start` among the network's parameters.
  const T* row(std::size_t start, const T* from = nullptr) const {
    return (from ? from + panels_.size() : rows_.data()) + start;
  }
  T* change_row(std::size_t start, T* to = nullptr) {
    return (to ? to + panels_.size() : row_data_) + start;
  }
  T* buffer(std::size_t i) { return buffers_[i].data(); }

  struct Layer {
    LayerPlace place;
    std::size_t outputs;
    std::size_t inputs;
    double factor;  // of the learning rate
  };
  // The dense layers, as Mlp has them.
  std::span<const Layer> layers() const { return layers_; }
  // run(view, first output) of what a layer has of one panel after the other in memory for all
  // numbers: (outputs, inputs), the outputs side by side.
  template <class Memory, class Run>
  void for_panels(std::size_t layer, Memory* memory, Run run) const;

 private:
  void add_weight(const DenseStep& dense, std::size_t step, std::size_t group);

  std::vector<Layer> layers_;
  Parameters<T> rows_;
  T* row_data_;
  Prepared<T> panels_;
  std::optional<Prepared<T>> rounded_;  // of the panels, where products round
  Prepared<T> transposed_;
  std::vector<HugePageArray<T>> buffers_;
  std::vector<std::vector<double>> column_factors_;  // by step
  std::vector<bool> pulls_back_;                     // by step: the gradient of its input is wanted
  std::vector<DenseOperands<T>> steps_;
  std::vector<DenseOperands<T>> exact_steps_;
  Operands<T> operands_;
  Operands<T> exact_;
  std::vector<TrainedPart> parts_;
  std::size_t largest_ = 0;
  std::size_t squares_ = 0;
};

template <class T>
template <class Memory, class Run>
void TrainedNumbers<T>::for_panels(std::size_t layer, Memory* memory, Run run) const {
  const Layer& own = layers_[layer];
  const PackedWeights<T>& packed = panels_[own.place.step][own.place.group];
  const PanelLayout<T>& layout = packed.layout();
  // Layers of one step may share a group's panels.
  const std::size_t begin = own.place.first - own.place.group * packed.n();
  for (std::size_t i = 0; i < own.outputs;) {
    const std::size_t p = std::min((begin + i) / layout.body->nr, layout.body_panels);
    const std::size_t nr = p < layout.body_panels ? layout.body->nr : layout.tail->nr;
    const std::size_t from = begin + i - p * layout.body->nr;
    const std::size_t count = std::min(nr - from, own.outputs - i);
    run(MatrixView<Memory>{memory + (packed.panel(p) - panels_.data()) + from, count, own.inputs, 1,
                           static_cast<std::ptrdiff_t>(nr)},
        i);
    i += count;
  }
}

}  // namespace laminet

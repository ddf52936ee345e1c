// What Muon subtracts from weights: their momentum, made orthogonal by Newton and Schulz's
// iteration (K. Jordan and others, 2024).
//
// Of a weight's momentum U, or Nesterov's mix of it and the gradient, Y is U or U^T, whichever has
// no more columns than rows:
//   Y /= max(|Y|, eps), of Frobenius's norm; then some times Y = Y (a I + b G + c G^2), G = Y^T Y
// Singular values come near to 1 and singular vectors stay. Phases, which threads share; weights go
// through them together, large ones by themselves. No element depends on how many threads there
// are or on who is beside it.
#pragma once

#include <cstddef>
#include <vector>

#include "laminet/base/huge_pages.h"
#include "laminet/gemm/gemm.h"
#include "laminet/training/numbers.h"
#include "laminet/training/optimizer.h"

namespace laminet {

template <class T>
class NewtonSchulz {
 public:
  // For a network's weights but those that stay as they are; nothing unless that is Muon.
  NewtonSchulz(const Optimizer& optimizer, const TrainedNumbers<T>& numbers,
               const kernels::Table<T>& table);

  NewtonSchulz(const NewtonSchulz&) = delete;
  NewtonSchulz& operator=(const NewtonSchulz&) = delete;

  // Of a step.
  std::size_t phases() const { return groups_.size() * phases_of_group_; }
  double flops() const { return flops_; }

  // Asks for memory, once.
  void prepare();
  // A part of a phase. The gradients and the momentum lie in memory for all numbers; what the
  // momentum is going to be takes the place of gradients, which are multiplied by `scale` first.
  void run(std::size_t phase, std::size_t part, std::size_t parts, T* gradients, T scale,
           const T* momentum);
  // What the last phase leaves: lies as the numbers do.
  const T* updates() const { return updates_.data(); }

 private:
  struct Weight {
    std::size_t layer;
    bool tall;  // Y is U, with outputs as rows; else inputs
    std::size_t rows;
    std::size_t columns;
    double scale;         // of the update
    std::size_t squares;  // first of its rows in squares_
    // In memory_: Y before and after an iteration, G, what Y is multiplied by and its panels; the
    // columns of Y, then of G, as both operands of a product.
    std::size_t y[2];
    std::size_t gram;
    std::size_t factor;
    std::size_t packed;
    std::size_t left;
    std::size_t right;
  };
  struct Columns {
    ColumnPanels<T> left;
    ColumnPanels<T> right;
  };
  struct Group {
    std::size_t first;
    std::size_t count;
  };

  void add(std::size_t layer, const Optimizer& optimizer, std::size_t& used);
  PackedWeights<T>& packed_of(const Weight& weight) {
    return packed_[static_cast<std::size_t>(&weight - weights_.data())];
  }
  MatrixView<T> matrix(std::size_t start, std::size_t rows, std::size_t columns);
  Columns columns_of(const Weight& weight);
  // use(element of memory for all numbers, stride of those that follow it, element of y, count) for
  // what lies in some rows of y.
  template <class Use>
  void for_runs(const Weight& weight, T* memory, MatrixView<T> y, RowRange rows, Use use) const;
  // c = x^T x, a thread's share of the tiles on or above the diagonal; done(tile's rows, columns)
  // after each of them.
  template <class Done>
  void symmetric_product(const Columns& x, std::size_t k, MatrixView<T> c, std::size_t part,
                         std::size_t parts, Done done) const;

  void gather(const Weight& weight, RowRange own, T* gradients, T scale, const T* momentum);
  void normalize(const Weight& weight, RowRange own);
  void iterate(const Weight& weight, std::size_t iteration, std::size_t phase, std::size_t part,
               std::size_t parts);
  void mirror(const Weight& weight, RowRange own);
  void pack_factor(const Weight& weight, PanelRange own);
  void scatter(const Weight& weight, RowRange own);

  const TrainedNumbers<T>& numbers_;
  const kernels::Table<T>& table_;
  std::size_t steps_;
  T momentum_;
  T share_;  // of a gradient in the momentum
  bool nesterov_;
  std::size_t phases_of_group_ = 0;
  double flops_ = 0;
  std::vector<Weight> weights_;
  std::vector<PackedWeights<T>> packed_;
  std::vector<Group> groups_;
  std::vector<double> squares_;
  std::size_t size_ = 0;
  HugePageArray<T> memory_;
  HugePageArray<T> updates_;
};

}  // namespace laminet

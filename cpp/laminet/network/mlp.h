// A multilayer perceptron: A_0 = X, Z_l = A_{l-1} W_l^T + b_l, A_l = s_l(Z_l), Y = head(A_L), where
// the head is the identity, or softmax or log-softmax of each row. Samples are rows.
//
//   laminet::Mlp<float> net(layers);          // copies the weights once
//   net.forward(x, y);                        // x (B, n_0), y (B, n_L), views of any strides
//
// A network never changes, so any number of threads may call it at once; each call may use the
// team of threads besides (base/parallel.h). It is neither copied nor moved; keep it in a
// std::unique_ptr or a container of nodes.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "laminet/base/huge_pages.h"
#include "laminet/base/made_once.h"
#include "laminet/gemm/pack.h"
#include "laminet/network/dense.h"
#include "laminet/network/execute.h"
#include "laminet/network/head.h"
#include "laminet/network/plan.h"

namespace laminet {

// Bytes that a network's weights and biases take: as the constructor copied them, and packed for
// the tiled back end.
struct MlpBytes {
  std::size_t given;
  std::size_t packed;
};

template <class T>
class Mlp {
 public:
  // Throws std::invalid_argument where there is no layer or the shapes do not chain.
  explicit Mlp(std::span<const DenseView<T>> layers, Head head = Head::none);

  std::span<const Dense<T>> layers() const { return layers_; }
  std::span<const std::size_t> sizes() const { return sizes_; }
  std::size_t in_features() const { return sizes_.front(); }
  std::size_t out_features() const { return sizes_.back(); }
  Head head() const { return head_; }
  const kernels::InstructionSet& instruction_set() const { return *instruction_set_; }

  // y = Y. The same bits whatever the batch, the strides and the threads, on the tiled back end
  // with AVX2 or wider. Allocates nothing after the first call of a size. y must not overlap x.
  void forward(ConstMatrixView<T> x, MatrixView<T> y) const { forward(x, y, head_); }

  // The same with another head in place of the network's own.
  void forward(ConstMatrixView<T> x, MatrixView<T> y, Head head) const;

  // Every pre-activation Z_1 .. Z_L and activation A_1 .. A_L, contiguous (B, n_l); the same bits
  // as forward. The head comes after them: apply_head makes Y of a copy of A_L, contiguous rows.
  void trace(ConstMatrixView<T> x, std::span<const MatrixView<T>> pre_activations,
             std::span<const MatrixView<T>> activations) const;
  void apply_head(MatrixView<T> rows) const;

  // What the first forward() of `batch` rows would do besides its work, so that it need not, nor
  // that of any smaller batch: packs the weights for the back end in use, loads BLAS where that is
  // it, starts the team's threads where they take part, and asks for scratch, the calling thread's
  // and theirs. False where a thread of the team did not come to do so within a tenth of a second;
  // it does as it is needed. A batch of 0 rows packs alone.
  bool prepare(std::size_t batch) const;

  // Of the copies that there are now, as allocated; and once a call has packed for the back end in
  // use.
  MlpBytes bytes() const;
  MlpBytes bytes_prepared() const;

  Plan plan(std::size_t batch) const;
  std::vector<LayerPlan> layer_plans(const Plan& plan) const;

  // The layers as the plan's back end takes them; packed on the first call for the tiled one.
  std::span<const LayerOperands<T>> operands(const Plan& plan) const;

 private:
  std::vector<Dense<T>> layers_;
  std::vector<std::size_t> sizes_;
  double flops_ = 0.0;  // of one sample's products
  Head head_;
  const kernels::InstructionSet* instruction_set_;
  std::vector<LayerOperands<T>> blas_operands_;

  // For the tiled back end. The panels of all layers lie one after the other.
  struct Packed {
    HugePageArray<T> memory;
    std::vector<PackedWeights<T>> weights;
    std::vector<LayerOperands<T>> operands;
  };
  std::vector<std::size_t> packed_starts() const;
  std::unique_ptr<const Packed> pack() const;

  mutable MadeOnce<Packed> packed_;
};

// Y = s(X W^T + b), one layer whose weights are used as they are: nothing of them is kept. Shapes
// as in Mlp, which throws std::invalid_argument where they do not fit.
template <class T>
void linear(ConstMatrixView<T> x, const DenseView<T>& layer, MatrixView<T> y);

}  // namespace laminet

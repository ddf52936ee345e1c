// A network that never changes: a program and parameters. Samples are rows.
//
// A multilayer perceptron is A_0 = X, Z_l = A_{l-1} W_l^T + b_l, A_l = s_l(Z_l), Y = head(A_L),
// where the head is the identity, or softmax or log-softmax of each row; layers may stand side by
// side and be summed besides (layers.h).
//
//   laminet::Mlp<float> net(layers);          // copies the weights once
//   net.forward(x, y);                        // x (B, n_0), y (B, n_L), views of any strides
//
// Any number of threads may call a network at once; each call may use the team of threads besides
// (base/parallel.h). It is neither copied nor moved; keep it in a std::unique_ptr or a container of
// nodes.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "laminet/base/made_once.h"
#include "laminet/network/execute.h"
#include "laminet/network/head.h"
#include "laminet/network/layers.h"
#include "laminet/network/parameters.h"
#include "laminet/network/places.h"
#include "laminet/network/plan.h"
#include "laminet/network/precision.h"
#include "laminet/network/prepared.h"
#include "laminet/network/program.h"

namespace laminet {

template <class T>
struct Built;

// Bytes that a network's weights and biases take: as the constructor copied them, and packed for
// the tiled back end.
struct MlpBytes {
  std::size_t given;
  std::size_t packed;
};

template <class T>
class Mlp {
 public:
  // Throws std::invalid_argument where there is no layer or the shapes do not chain. `in_features`
  // where the layers do not say it.
  explicit Mlp(std::span<const DenseView<T>> layers, Head head = Head::none);
  // Precisions other than `full` are of float.
  explicit Mlp(std::span<const LayerView<T>> layers, Head head = Head::none,
               std::size_t in_features = 0, Precision precision = Precision::full);

  const Program& program() const { return program_; }
  const Parameters<T>& parameters() const { return parameters_; }
  // The dense layers as they were given, each before those that follow it, and where they lie now.
  std::span<const DenseView<T>> layers() const { return layers_; }
  // Which step computes each of them, and from which of its outputs on.
  std::span<const LayerPlace> places() const { return places_; }
  // The norms likewise.
  std::span<const NormView<T>> norms() const { return norms_; }
  std::span<const ColumnsPlace> norm_places() const { return norm_places_; }
  // The functions that have parameters by unit, of dense layers or by themselves.
  std::span<const UnitsView<T>> units() const { return units_; }
  std::span<const ColumnsPlace> unit_places() const { return unit_places_; }
  std::size_t in_features() const { return program_.in_features(); }
  std::size_t out_features() const { return program_.out_features(); }
  Head head() const { return head_; }
  Precision precision() const { return precision_; }
  // Whether products round what they multiply weights by.
  bool rounds() const { return precision_ == Precision::bfloat16; }
  const kernels::InstructionSet& instruction_set() const { return *instruction_set_; }
  const kernels::Table<T>& table() const { return instruction_set_->template table<T>(); }

  // y = Y. The same bits whatever the batch, the strides and the threads, on the tiled back end
  // with AVX2 or wider. Allocates nothing after the first call of a size. y must not overlap x.
  void forward(ConstMatrixView<T> x, MatrixView<T> y) const;

  // The same with another head in place of the network's own.
  void forward(ConstMatrixView<T> x, MatrixView<T> y, Head head) const;

  // Every pre-activation Z_l and activation A_l of the dense steps, contiguous (B, n_l); the same
  // bits as forward. The head comes after them: apply_head makes Y of a copy of A_L, contiguous
  // rows.
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
  // By dense step.
  std::vector<LayerPlan> layer_plans(const Plan& plan) const;

  // The numbers as the plan's back end takes them; packed on the first call for the tiled one.
  const Operands<T>& operands(const Plan& plan) const;

 private:
  struct Packed {
    Prepared<T> prepared;
    std::vector<DenseOperands<T>> steps;
    Operands<T> operands;
  };

  Mlp(Built<T> built, Head head, Precision precision);
  std::vector<DenseOperands<T>> step_operands() const;
  const Program& headed(Head head) const;
  // Copies a row of numbers, and lets `row` show the copy; nothing where it is null.
  void keep(const T*& row, const ParameterBlock& block);

  // How weights are packed for the way forward.
  Packing packing() const;

  Head head_;
  Precision precision_;
  Program program_;
  Parameters<T> parameters_;
  std::vector<DenseView<T>> layers_;
  std::vector<LayerPlace> places_;
  std::vector<NormView<T>> norms_;
  std::vector<ColumnsPlace> norm_places_;
  std::vector<UnitsView<T>> units_;
  std::vector<ColumnsPlace> unit_places_;
  const kernels::InstructionSet* instruction_set_;
  std::vector<DenseOperands<T>> blas_steps_;
  Operands<T> blas_operands_;
  mutable MadeOnce<Packed> packed_;
  mutable std::array<MadeOnce<Program>, kHeads.size()> headed_;
};

}  // namespace laminet

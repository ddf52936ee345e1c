// What a step of training does with rows of a batch: forward, loss and back on a tape; then the
// gradients of the parameters, part by part.
#pragma once

#include <cstddef>
#include <vector>

#include "laminet/base/huge_pages.h"
#include "laminet/gemm/gemm.h"
#include "laminet/gradients/tape.h"
#include "laminet/network/program.h"
#include "laminet/training/batches.h"
#include "laminet/training/numbers.h"
#include "laminet/training/samples.h"

namespace laminet {

// What gradients of weights are products of, by step and group: what it reads, and the gradients of
// what it gives before its function. As numbers, or in pairs of rows (E).
template <class T>
class GradientOperands {
 public:
  void set(const Program& program, const kernels::Table<T>& table, std::size_t rows, bool in_pairs);

  template <class E = T>
  ColumnPanels<E> inputs(std::size_t step, std::size_t group) const {
    return {data<E>() + starts_[step].inputs + group * starts_[step].inputs_of_group, rows_, mr_};
  }
  template <class E = T>
  ColumnPanels<E> outputs(std::size_t step, std::size_t group) const {
    return {data<E>() + starts_[step].outputs + group * starts_[step].outputs_of_group, rows_, nr_};
  }

 private:
  template <class E>
  E* data() const {
    static_assert(sizeof(E) == sizeof(T));
    return reinterpret_cast<E*>(data_);
  }
  struct Start {
    std::size_t inputs;
    std::size_t inputs_of_group;
    std::size_t outputs;
    std::size_t outputs_of_group;
  };
  std::size_t rows_ = 0;  // of a panel
  std::size_t mr_ = 1;
  std::size_t nr_ = 1;
  std::vector<Start> starts_;
  HugePageArray<T> memory_;
  T* data_ = nullptr;
};

template <class T>
struct Pass {
  const Program& program;
  const Operands<T>& operands;
  const Targets<T>& targets;
  kernels::LossKind kind;
  T parameter;
  const Samples<T>& samples;
  const Batches<T>& batches;

  // Of `count` rows of the tape from `row` on, which are those of the order's samples from `place`
  // on: brings them in, and runs forward; losses and, where `back`, the way back, which leaves the
  // gradients of what the steps give on the tape. `scale` is the losses' gradients', of samples
  // without weights; `losses` has an element for each row of the tape.
  void run(Tape<T>& tape, std::size_t row, std::size_t count, std::size_t place, T scale, bool back,
           double* losses) const;

  // The samples alone, and their losses with the gradients of the outputs.
  void load(Tape<T>& tape, std::size_t row, std::size_t count, std::size_t place) const;
  void loss(Tape<T>& tape, std::size_t row, std::size_t count, std::size_t place, T scale,
            MatrixView<T> gradients, double* losses) const;

  // to = or += the gradient of a part, in its layout, of the first `rows` rows of the tape; of
  // weights from what has been packed of them, unless `packed` is null.
  void gradient(const Tape<T>& tape, std::size_t rows, const GradientOperands<T>* packed,
                const TrainedPart& part, bool accumulate, T* to) const;

  // Rows of the tape, once the way back is done, for gradient(): by the thread that has them in
  // cache. Where products round, they begin with an even row.
  void pack(const Tape<T>& tape, std::size_t row, std::size_t count,
            const GradientOperands<T>& to) const;

  // Rows that a thread takes through the network at a time: an even number. Of a slice, whose
  // gradients are added up so, the same on every machine.
  std::size_t block_rows() const;
  std::size_t slice_rows() const;
  // Whether gradients are products of pairs of rows.
  bool in_pairs() const { return operands.rounds && operands.table->pair_gradient_tile; }

 private:
  void pack_rounded(ConstMatrixView<T> inputs, ConstMatrixView<T> outputs, std::size_t row,
                    const GradientOperands<T>& to, std::size_t step, std::size_t group) const;
  void weight_gradient(std::size_t rows, const GradientOperands<T>& packed, const TrainedPart& part,
                       bool accumulate, MatrixView<T> to) const;
};

}  // namespace laminet

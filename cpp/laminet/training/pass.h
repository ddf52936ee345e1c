// What a step of training does with rows of a batch: forward, loss and back on a tape; then the
// gradients of the parameters, part by part.
#pragma once

#include <cstddef>

#include "laminet/gradients/tape.h"
#include "laminet/network/program.h"
#include "laminet/training/batches.h"
#include "laminet/training/numbers.h"
#include "laminet/training/samples.h"

namespace laminet {

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

  // to = or += the gradient of a part, in its layout, of the first `rows` rows of the tape.
  void gradient(const Tape<T>& tape, std::size_t rows, const TrainedPart& part, bool accumulate,
                T* to) const;

  // Rows that a thread takes through the network at a time.
  std::size_t block_rows() const;
};

}  // namespace laminet

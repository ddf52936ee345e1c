// What a step does: forward, forward with what derivatives need kept, back, and forward for
// tangents. One file an operation; each defines these functions for its own.
//
// Nothing here allocates or starts threads: callers give each thread its own rows. Views of frames
// have contiguous rows.
#pragma once

#include <cstddef>
#include <vector>

#include "laminet/network/cost.h"
#include "laminet/network/frame.h"
#include "laminet/network/operands.h"
#include "laminet/network/program.h"

namespace laminet {

// A step of a program with its numbers.
template <class T>
struct StepCall {
  const Program& program;
  std::size_t index;
  const Operands<T>& operands;

  const Step& step() const { return program.steps()[index]; }
  const DenseOperands<T>& dense() const { return operands.steps[index]; }
  const kernels::Table<T>& table() const { return *operands.table; }
};

// The result of a step, of rows of values.
template <class T>
void forward(const StepCall<T>& call, const Frame<T>& values);

// Of a dense step: in W^T + b + add alone, into z: (rows, outputs), contiguous rows.
template <class T>
void pre_activation(const StepCall<T>& call, const Frame<T>& values, MatrixView<T> z);

// How the threads share a step of all rows of a batch: a dense step as choose_grid has it, by
// columns where the rows are few, the others by rows.
struct StepPart {
  std::size_t part;
  std::size_t parts;
  bool from_memory;  // as Plan has it
};

template <class T>
void forward_part(const StepCall<T>& call, const Frame<T>& values, const StepPart& part);

// What a step keeps for derivatives, besides values: the columns of each matrix.
std::vector<std::size_t> kept_columns(const Step& step);

// What each step does and moves. Gradients of what several steps read, or one twice, are added up
// on the way back; the zeros that parts of buffers begin with are not counted.
std::vector<StepCosts> costs(const Program& program);

// The same as forward(), and keeps. Without `wanted` the result is not: no derivative needs it.
template <class T>
void record(const StepCall<T>& call, const Frame<T>& values, const Frame<T>& kept, bool wanted);

template <class T>
void record_part(const StepCall<T>& call, const Frame<T>& values, const Frame<T>& kept, bool wanted,
                 const StepPart& part);

// What has been recorded of samples, and the rows that derivatives have of them: row i belongs to
// sample (first + i) / repeat.
template <class T>
struct Recorded {
  const Frame<T>& values;
  const Frame<T>& kept;
  std::size_t first;
  std::size_t repeat;
};

// From the gradient of the step's result to those of its inputs, which are written or added to, as
// Program::backward has it. That of the result is lost.
//
// How a dense step treats D, the diagonal of its slopes:
//   multiply  by it
//   skip      it has been multiplied
//   keep      by it, and what comes of it, the gradient with respect to Z, takes the slopes' place;
//             a norm keeps the gradient of its result, too, and an activation those of its
//             parameters by unit
enum class Slopes { multiply, skip, keep };

template <class T>
void pull_back(const StepCall<T>& call, const Recorded<T>& recorded, const Frame<T>& gradients,
               Slopes slopes);

// What of pull_back parts do at the same time; a stage begins where the one before has ended. Of
// steps that have one alone it is `all`.
enum class BackStage {
  slopes,   // of a dense step: by D
  product,  // by W, by columns of the gradient that comes of it where the rows are few
  sum,      // to what is added to the product
  all
};

template <class T>
void pull_back_part(const StepCall<T>& call, const Recorded<T>& recorded, const Frame<T>& gradients,
                    Slopes slopes, BackStage stage, const StepPart& part);

// From the tangents of the step's inputs to that of its result.
template <class T>
void push_forward(const StepCall<T>& call, const Recorded<T>& recorded, const Frame<T>& tangents);

template <class T>
void push_forward_part(const StepCall<T>& call, const Recorded<T>& recorded,
                       const Frame<T>& tangents, const StepPart& part);

// The i-th of the matrices that a step kept: a row for each sample.
template <class T>
MatrixView<T> kept_of(const StepCall<T>& call, const Frame<T>& kept, std::size_t columns,
                      std::size_t i = 0) {
  return kept({call.program.first_kept(call.index) + i, 0, columns});
}

}  // namespace laminet

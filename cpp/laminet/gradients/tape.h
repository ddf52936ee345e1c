// What a forward pass leaves for derivatives: the buffers of a block of samples, and what its steps
// keep besides. Forward and backward stand side by side here:
//
//   Tape<float> tape;                          // reused from block to block
//   tape.record(program, operands, x, y);      // Y, and what the chain rule needs at X
//   pull_back(...);                            // gradients from the output to the input
//   push_forward(...);                         // tangents from the input to the output
//
// One thread's work. Allocates nothing after the first block of a size.
#pragma once

#include <cstddef>
#include <limits>
#include <optional>

#include "laminet/base/matrix.h"
#include "laminet/network/frame.h"
#include "laminet/network/operands.h"
#include "laminet/network/program.h"
#include "laminet/network/steps/steps.h"

namespace laminet {

template <class T>
class Tape {
 public:
  // Asks for the memory of so many samples, and for the pages behind it.
  void reserve(const Program& program, std::size_t samples);

  // Makes room for the samples of x (m, n_0), any strides, which must stay as it is while the tape
  // is used.
  void start(const Program& program, const Operands<T>& operands, ConstMatrixView<T> x);

  // The same for samples that the caller writes into the rows of input().
  void start(const Program& program, std::size_t samples);
  MatrixView<T> input() const { return own_x_; }

  // Runs the network for `count` samples from `first` on. y (count, n_L), contiguous rows, gets the
  // outputs; with y.data null they are not wanted, and the last product is left out where no
  // derivative depends on it. Threads may run different samples at once.
  void run(const Program& program, const Operands<T>& operands, std::size_t first,
           std::size_t count, MatrixView<T> y);

  // One step of that for all samples, shared by threads, which meet after each; before the first
  // one of them calls load(). With `y` null the outputs are not wanted; y may be
  // values()(program.output()), the tape's own.
  void load() {
    if (x_.data && own_x_.data) copy(x_, own_x_);
  }
  void run_part(const Program& program, const Operands<T>& operands, std::size_t step,
                MatrixView<T> y, const StepPart& part);

  // Both, for all samples.
  void record(const Program& program, const Operands<T>& operands, ConstMatrixView<T> x,
              MatrixView<T> y) {
    start(program, operands, x);
    run(program, operands, 0, x.rows, y);
  }

  std::size_t samples() const { return samples_; }
  // What steps read; but for the output, which is the caller's.
  const Frame<T>& values() const { return *values_; }
  const Frame<T>& kept() const { return *kept_; }

  // Elements of memory that a sample takes on it.
  static std::size_t elements_per_sample(const Program& program);

 private:
  void lay_out(const Program& program, MatrixView<T> input);
  void grow(const Program& program, std::size_t samples);

  std::size_t samples_ = 0;
  ConstMatrixView<T> x_;
  MatrixView<T> own_x_;
  std::optional<Frame<T>> values_;
  std::optional<Frame<T>> kept_;
  AlignedArray<T> memory_;
};

// The tape of the calling thread.
template <class T>
Tape<T>& thread_tape();

// Elements of scratch that a row of gradients or tangents takes.
std::size_t chain_elements_per_row(const Program& program);

// Gradients or tangents of all buffers, in the calling thread's scratch.
template <class T>
class ChainFrame {
 public:
  // Gradients of `rows` rows. That of the network's input is written into `input` where products
  // can, and else copied there by finish(); with input.data null it is not wanted.
  static ChainFrame backward(const Program& program, const Operands<T>& operands, std::size_t rows,
                             MatrixView<T> input);
  // Tangents. `input` are those of the network's input, or without data memory for them; the
  // output's as the gradient of the input above, or without data memory for it.
  static ChainFrame forward(const Program& program, const Operands<T>& operands, std::size_t rows,
                            ConstMatrixView<T> input, MatrixView<T> output);

  const Frame<T>& frame() const { return frame_; }
  void finish() const {
    if (own_.data && wanted_.data) copy<T>(own_, wanted_);
  }

  // Asks for the memory of so many rows, and for the pages behind it.
  static void reserve(const Program& program, std::size_t rows);

 private:
  ChainFrame(Frame<T> frame, MatrixView<T> own, MatrixView<T> wanted)
      : frame_(frame), own_(own), wanted_(wanted) {}

  Frame<T> frame_;
  MatrixView<T> own_;
  MatrixView<T> wanted_;
};

inline constexpr std::size_t kNoStep = std::numeric_limits<std::size_t>::max();

// The way back through steps.
struct WayBack {
  std::size_t last;              // the first of them to be gone through; then all before it
  bool keep = false;             // Slopes::keep for all
  std::size_t scaled = kNoStep;  // the gradient of this one's result has been multiplied: skip

  Slopes slopes(std::size_t step) const {
    return keep ? Slopes::keep : step == scaled ? Slopes::skip : Slopes::multiply;
  }
};

// Sets to zero the gradients that a step is the first to add to, before it does.
template <class T>
void begin_step(const Program& program, std::size_t step, const Frame<T>& gradients);

// From the gradients of what steps up to `last` give, in `gradients`, to that of the network's
// input.
template <class T>
void pull_back(const Program& program, const Operands<T>& operands, const Recorded<T>& recorded,
               const WayBack& way, const Frame<T>& gradients);

// From the tangents of what the steps from `from` on take to that of the output.
template <class T>
void push_forward(const Program& program, const Operands<T>& operands, const Recorded<T>& recorded,
                  std::size_t from, const Frame<T>& tangents);

}  // namespace laminet

// The structure of a network without its numbers: steps, and the buffers that they read and write.
//
// A buffer is a matrix with a row for each sample. A step reads columns of buffers and writes
// columns of one, so that what is joined side by side is written where it is joined, and what is
// selected in one piece is read where it lies. Steps are in the order in which they run.
//
// A program never changes, and any number of networks may share it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "laminet/kernels/activation.h"
#include "laminet/network/head.h"
#include "laminet/network/step.h"

namespace laminet {

// Where a buffer lies: a matrix of contiguous rows `stride` elements apart, that begins so many
// times `start` elements from the beginning of the memory as there are rows.
struct Place {
  enum class Where { memory, input, output } where = Where::memory;
  std::size_t start = 0;
  std::size_t stride = 0;
};

// Of all buffers, or of what each step keeps.
struct Layout {
  std::vector<Place> places;
  std::size_t columns = 0;  // elements of memory for each row
};

// A dense step of one product and nothing to add, as a forward pass needs it: in one cache line,
// since the weights of the layers before have displaced what a network is made of from L1. (Steps
// and places as they stand below cost a layer 20 ns.)
struct alignas(64) DirectStep {
  struct End {
    Place::Where where;
    std::uint32_t start, stride;
    std::uint32_t first, count;
  };
  bool direct = false;  // it is one
  Activation activation;
  End in, out;
};

// Elements from one row of a matrix in memory to the next: those of a cache line of float or more
// start on cache lines.
constexpr std::size_t row_stride(std::size_t columns) {
  return columns < 16 ? columns : (columns + 15) / 16 * 16;
}

// What the way back does with the gradient of what a step read.
struct Backward {
  std::vector<bool> adds;           // by input: to what is there already
  std::vector<std::size_t> zeroed;  // buffers that are set to zero before the step
};

class Program {
 public:
  // Buffer 0 is the input of the network.
  static constexpr std::size_t kInput = 0;

  // `buffers` are the numbers of their columns.
  Program(std::vector<std::size_t> buffers, std::vector<Step> steps, std::size_t output);

  // The same with another head in place of its own, or of none.
  Program with_head(Head head) const;

  std::span<const Step> steps() const { return steps_; }
  std::size_t in_features() const { return buffers_[kInput]; }
  std::size_t out_features() const { return buffers_[output_]; }
  Columns all_of(std::size_t buffer) const { return {buffer, 0, buffers_[buffer]}; }
  Columns input() const { return {kInput, 0, in_features()}; }
  Columns output() const { return {output_, 0, out_features()}; }

  // The only step that writes a buffer, all of its columns at once, or the only one that reads it;
  // none where there are several, or parts of it.
  std::optional<std::size_t> only_writer(std::size_t buffer) const;
  std::optional<std::size_t> only_reader(std::size_t buffer) const;

  // Null where the step is none.
  const DenseStep* dense(std::size_t step) const {
    return std::get_if<DenseStep>(&steps_[step].operation);
  }

  // Multiply-adds of a sample in products, which are the elements of their weights.
  std::size_t weights() const { return weights_; }
  std::size_t largest_weight() const { return largest_weight_; }  // of one step
  double flops() const { return static_cast<double>(kFlopsOfWeight * weights_); }
  std::size_t most_inputs() const { return most_inputs_; }  // of a product
  // Elements that a step reads and writes for each row, at most.
  std::size_t widest_step() const { return widest_step_; }

  // Of a forward pass: a buffer's memory is another's as soon as it has been read for the last
  // time, and a result takes the place of what it is made of where nobody else reads that. The
  // input and the output are the caller's.
  const Layout& forward_layout() const { return forward_; }
  const DirectStep& direct(std::size_t step) const { return direct_[step]; }
  // Of a pass that keeps all that derivatives read.
  const Layout& tape_layout() const { return tape_; }
  // What steps keep besides: each some matrices, the first of them this one.
  const Layout& kept_layout() const { return kept_; }
  std::size_t first_kept(std::size_t step) const { return first_kept_[step]; }
  // Of the way back, where the output's gradient comes first; the input's is the caller's.
  const Layout& adjoint_layout() const { return adjoint_; }
  const Backward& backward(std::size_t step) const { return backward_[step]; }

 private:
  std::vector<std::size_t> buffers_;
  std::vector<Step> steps_;
  std::size_t output_;
  std::size_t weights_ = 0;
  std::size_t largest_weight_ = 0;
  std::size_t most_inputs_ = 0;
  std::size_t widest_step_ = 0;
  Layout forward_;
  std::vector<DirectStep> direct_;
  Layout tape_;
  Layout kept_;
  std::vector<std::size_t> first_kept_;
  Layout adjoint_;
  std::vector<Backward> backward_;
};

}  // namespace laminet

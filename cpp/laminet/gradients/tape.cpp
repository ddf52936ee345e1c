#include "laminet/gradients/tape.h"

#include <algorithm>

#include "laminet/base/per_thread.h"
#include "laminet/base/scratch.h"
#include "laminet/base/types.h"

namespace laminet {
namespace {

struct ChainPurpose;

// A matrix of rows with the strides of a frame's.
template <class T>
MatrixView<T> rows_at(T* memory, std::size_t rows, std::size_t columns) {
  return {memory, rows, columns, static_cast<std::ptrdiff_t>(row_stride(columns)), 1};
}

// Elements of a row of the input and of the output, each of which begins on a cache line.
std::size_t line_of(std::size_t columns) { return round_up(columns, 16); }

// The adjoint layout, and the input's gradient; or the forward layout, and both ends.
std::size_t backward_elements(const Program& program) {
  return program.adjoint_layout().columns + line_of(program.in_features());
}

std::size_t forward_elements(const Program& program) {
  return program.forward_layout().columns + line_of(program.in_features()) +
         line_of(program.out_features());
}

}  // namespace

template <class T>
std::size_t Tape<T>::elements_per_sample(const Program& program) {
  return program.tape_layout().columns + program.kept_layout().columns +
         line_of(program.in_features()) + line_of(program.out_features());
}

template <class T>
void Tape<T>::grow(const Program& program, std::size_t samples) {
  const std::size_t size = checked_product(samples, elements_per_sample(program));
  if (memory_.size() < size) {
    memory_ = AlignedArray<T>();
    memory_ = AlignedArray<T>(size);
  }
}

template <class T>
void Tape<T>::reserve(const Program& program, std::size_t samples) {
  grow(program, samples);
  std::fill(memory_.begin(), memory_.end(), T{0});
}

template <class T>
void Tape<T>::start(const Program& program, const Operands<T>& operands, ConstMatrixView<T> x) {
  start(program, x.rows);
  x_ = x;
  if (!operands.usable(x)) return;
  own_x_ = {};
  // No step writes the input.
  lay_out(program, {const_cast<T*>(x.data), x.rows, x.columns, x.row_stride, x.column_stride});
}

template <class T>
void Tape<T>::start(const Program& program, std::size_t samples) {
  samples_ = samples;
  x_ = {};
  grow(program, samples);
  const std::size_t before = program.tape_layout().columns + program.kept_layout().columns;
  own_x_ = rows_at(memory_.data() + samples * before, samples, program.in_features());
  lay_out(program, own_x_);
}

// The input lies behind all else, the output behind it.
template <class T>
void Tape<T>::lay_out(const Program& program, MatrixView<T> input) {
  T* const kept = memory_.data() + samples_ * program.tape_layout().columns;
  T* const ends = kept + samples_ * program.kept_layout().columns;
  const MatrixView<T> out =
      rows_at(ends + samples_ * line_of(program.in_features()), samples_, program.out_features());
  values_.emplace(program.tape_layout(), memory_.data(), samples_, input, out);
  kept_.emplace(program.kept_layout(), kept, samples_, MatrixView<T>{}, MatrixView<T>{});
}

template <class T>
void Tape<T>::run(const Program& program, const Operands<T>& operands, std::size_t first,
                  std::size_t count, MatrixView<T> y) {
  if (x_.data && own_x_.data) copy(x_.row_block(first, count), own_x_.row_block(first, count));
  Frame<T> values = values_->rows(first, count);
  if (y.data) values.set_output(y);
  const Frame<T> kept = kept_->rows(first, count);
  const std::size_t steps = program.steps().size();
  for (std::size_t s = 0; s < steps; ++s) {
    laminet::record(StepCall<T>{program, s, operands}, values, kept, y.data || s + 1 < steps);
  }
}

template <class T>
void Tape<T>::run_part(const Program& program, const Operands<T>& operands, std::size_t step,
                       MatrixView<T> y, const StepPart& part) {
  Frame<T> values = *values_;
  if (y.data) values.set_output(y);
  const bool wanted = y.data || step + 1 < program.steps().size();
  record_part(StepCall<T>{program, step, operands}, values, *kept_, wanted, part);
}

template <class T>
Tape<T>& thread_tape() {
  return thread_object<Tape<T>>();
}

std::size_t chain_elements_per_row(const Program& program) {
  return std::max(backward_elements(program), forward_elements(program));
}

template <class T>
void ChainFrame<T>::reserve(const Program& program, std::size_t rows) {
  const std::size_t size = checked_product(rows, chain_elements_per_row(program));
  std::fill_n(thread_scratch<T, ChainPurpose>(size), size, T{0});
}

template <class T>
ChainFrame<T> ChainFrame<T>::backward(const Program& program, const Operands<T>& operands,
                                      std::size_t rows, MatrixView<T> input) {
  T* const memory =
      thread_scratch<T, ChainPurpose>(checked_product(rows, backward_elements(program)));
  MatrixView<T> own{};
  if (input.data && !operands.usable(input)) {
    own = rows_at(memory + rows * program.adjoint_layout().columns, rows, input.columns);
  }
  return {Frame<T>(program.adjoint_layout(), memory, rows, own.data ? own : input, {}), own, input};
}

template <class T>
ChainFrame<T> ChainFrame<T>::forward(const Program& program, const Operands<T>& operands,
                                     std::size_t rows, ConstMatrixView<T> input,
                                     MatrixView<T> output) {
  T* const memory =
      thread_scratch<T, ChainPurpose>(checked_product(rows, forward_elements(program)));
  T* const ends = memory + rows * program.forward_layout().columns;
  MatrixView<T> in{const_cast<T*>(input.data), rows, input.columns, input.row_stride,
                   input.column_stride};
  if (!input.data || !operands.usable(input)) {
    in = rows_at(ends, rows, program.in_features());
    if (input.data) copy<T>(input, in);
  }
  MatrixView<T> own{};
  if (!output.data || !operands.usable(output)) {
    own = rows_at(ends + rows * line_of(program.in_features()), rows, program.out_features());
  }
  return {Frame<T>(program.forward_layout(), memory, rows, in, own.data ? own : output), own,
          output};
}

template <class T>
void begin_step(const Program& program, std::size_t step, const Frame<T>& gradients) {
  for (const std::size_t buffer : program.backward(step).zeroed) {
    const MatrixView<T> g = gradients(program.all_of(buffer));
    if (!g.data) continue;
    for (std::size_t i = 0; i < g.rows; ++i) std::fill_n(g.row(i), g.columns, T{0});
  }
}

template <class T>
void pull_back(const Program& program, const Operands<T>& operands, const Recorded<T>& recorded,
               const WayBack& way, const Frame<T>& gradients) {
  for (std::size_t s = way.last + 1; s-- > 0;) {
    begin_step(program, s, gradients);
    pull_back(StepCall<T>{program, s, operands}, recorded, gradients, way.slopes(s));
  }
}

template <class T>
void push_forward(const Program& program, const Operands<T>& operands, const Recorded<T>& recorded,
                  std::size_t from, const Frame<T>& tangents) {
  for (std::size_t s = from; s < program.steps().size(); ++s) {
    push_forward(StepCall<T>{program, s, operands}, recorded, tangents);
  }
}

#define LAMINET_INSTANTIATE(T)                                                                    \
  template class Tape<T>;                                                                         \
  template class ChainFrame<T>;                                                                   \
  template Tape<T>& thread_tape();                                                                \
  template void begin_step(const Program&, std::size_t, const Frame<T>&);                         \
  template void pull_back(const Program&, const Operands<T>&, const Recorded<T>&, const WayBack&, \
                          const Frame<T>&);                                                       \
  template void push_forward(const Program&, const Operands<T>&, const Recorded<T>&, std::size_t, \
                             const Frame<T>&);
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet

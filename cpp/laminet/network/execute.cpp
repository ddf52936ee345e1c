#include "laminet/network/execute.h"

#include <algorithm>

#include "laminet/base/float_mode.h"
#include "laminet/base/interruption.h"
#include "laminet/base/parallel.h"
#include "laminet/base/scratch.h"
#include "laminet/base/types.h"
#include "laminet/gemm/gemm.h"
#include "laminet/network/frame.h"
#include "laminet/network/steps/steps.h"

namespace laminet {
namespace {

// Elements of scratch for each row: the buffers, and the input and the output where their strides
// are none that the steps can use.
struct ScratchColumns {
  explicit ScratchColumns(const Program& program)
      : input(program.forward_layout().columns),
        output(input + row_stride(program.in_features())),
        all(output + row_stride(program.out_features())) {}
  std::size_t input;
  std::size_t output;
  std::size_t all;
};

// A frame in the calling thread's scratch for rows of x and y, or for their copies; y may have no
// data.
template <class T>
class ScratchFrame {
 public:
  ScratchFrame(const Program& program, const Operands<T>& operands, ConstMatrixView<T> x,
               MatrixView<T> y)
      : y_(y), frame_(make(program, operands, x, y)) {}

  const Frame<T>& frame() const { return frame_; }
  // The output to where it is wanted.
  void finish() const {
    if (copied_.data && y_.data) copy<T>(copied_, y_);
  }

 private:
  Frame<T> make(const Program& program, const Operands<T>& operands, ConstMatrixView<T> x,
                MatrixView<T> y) {
    const ScratchColumns columns(program);
    const bool own_x = !operands.usable(x);
    const bool own_y = !y.data || !operands.usable(y);
    const std::size_t needed = own_y ? columns.all : own_x ? columns.output : columns.input;
    // A single layer between two usable views needs none.
    T* const memory = needed > 0 ? thread_scratch<T>(checked_product(x.rows, needed)) : nullptr;
    const auto own = [&](std::size_t start, std::size_t width) -> MatrixView<T> {
      return {memory + x.rows * start, x.rows, width,
              static_cast<std::ptrdiff_t>(row_stride(width)), 1};
    };
    // No step writes the input.
    MatrixView<T> in{const_cast<T*>(x.data), x.rows, x.columns, x.row_stride, x.column_stride};
    if (own_x) {
      in = own(columns.input, x.columns);
      copy<T>(x, in);
    }
    if (own_y) copied_ = own(columns.output, program.out_features());
    return Frame<T>(program.forward_layout(), memory, x.rows, in, own_y ? copied_ : y);
  }

  MatrixView<T> y_;
  MatrixView<T> copied_{};
  Frame<T> frame_;
};

template <class T>
void forward_block(const Program& program, const Operands<T>& operands, ConstMatrixView<T> x,
                   MatrixView<T> y) {
  const ScratchFrame<T> scratch(program, operands, x, y);
  for (std::size_t s = 0; s < program.steps().size(); ++s) {
    const DirectStep& direct = program.direct(s);
    if (direct.direct && operands.tiled) {
      const DenseOperands<T>& own = operands.steps[s];
      const PackedWeights<T>& w = own.packed[0];
      const TiledOptions options{.panels = {0, w.layout().panels()}, .rounds = operands.rounds};
      tiled_layer<T>(scratch.frame()(direct.in), w, options, own.bias, direct.activation,
                     scratch.frame()(direct.out));
    } else {
      forward(StepCall<T>{program, s, operands}, scratch.frame());
    }
  }
  scratch.finish();
}

// All rows through one step after the other, each step shared by the threads.
template <class T>
void forward_steps(const Program& program, const Operands<T>& operands, const Plan& plan,
                   ConstMatrixView<T> x, MatrixView<T> y) {
  const ScratchFrame<T> scratch(program, operands, x, y);
  parallel_phases(program.steps().size(), plan.threads, plan.wake,
                  [&](std::size_t step, std::size_t part) {
                    forward_part(StepCall<T>{program, step, operands}, scratch.frame(),
                                 {part, plan.threads, plan.from_memory});
                  });
  scratch.finish();
}

// block(rows) for each block of rows, on the team where the plan has several threads.
template <class Block>
void for_row_blocks(const Plan& plan, Block block) {
  const auto task = [&](std::size_t i) {
    const RowRange rows = plan.blocks[i];
    if (i > 0) interruption_point();
    if (rows.count > 0) block(rows);
  };
  if (plan.blocks.threads > 1) {
    parallel_for(plan.blocks.count(), plan.wake, task);
  } else {
    for (std::size_t i = 0; i < plan.blocks.count(); ++i) task(i);
  }
}

}  // namespace

template <class T>
void run_forward(const Program& program, const Operands<T>& operands, const Plan& plan,
                 ConstMatrixView<T> x, MatrixView<T> y) {
  if (x.rows == 0) return;
  const DefaultFloatMode mode;
  if (plan.split == Split::layers) {
    for (std::size_t first = 0; first < x.rows; first += plan.chunk_rows) {
      const std::size_t count = std::min(plan.chunk_rows, x.rows - first);
      forward_steps(program, operands, plan, x.row_block(first, count), y.row_block(first, count));
    }
    return;
  }
  for_row_blocks(plan, [&](RowRange rows) {
    forward_block(program, operands, x.row_block(rows.first, rows.count),
                  y.row_block(rows.first, rows.count));
  });
}

template <class T>
void run_trace(const Program& program, const Operands<T>& operands, const Plan& plan,
               ConstMatrixView<T> x, std::span<const MatrixView<T>> pre_activations,
               std::span<const MatrixView<T>> activations) {
  if (x.rows == 0) return;
  const DefaultFloatMode mode;
  for_row_blocks(plan, [&](RowRange rows) {
    const auto [first, count] = rows;
    const ScratchFrame<T> scratch(program, operands, x.row_block(first, count), {});
    std::size_t l = 0;
    for (std::size_t s = 0; s < program.steps().size(); ++s) {
      const StepCall<T> call{program, s, operands};
      const DenseStep* const dense = program.dense(s);
      if (!dense) {
        const bool head = std::holds_alternative<SoftmaxStep>(call.step().operation);
        if (!head) forward(call, scratch.frame());
        continue;
      }
      const MatrixView<T> z = pre_activations[l].row_block(first, count);
      const MatrixView<T> a = activations[l].row_block(first, count);
      pre_activation(call, scratch.frame(), z);
      apply_activation<T>(z, nullptr, dense->activation, *operands.table, a);
      copy<T>(a, scratch.frame()(call.step().output));
      ++l;
    }
  });
}

ScratchRows scratch_rows(const Plan& plan) {
  if (plan.split == Split::layers) return {std::min(plan.blocks.batch, plan.chunk_rows), 0};
  const std::size_t rows = plan.blocks.most_rows();
  return {rows, plan.blocks.threads > 1 ? rows : 0};
}

template <class T>
void reserve_scratch(const Program& program, std::size_t rows) {
  const std::size_t size = checked_product(rows, ScratchColumns(program).all);
  std::fill_n(thread_scratch<T>(size), size, T{0});
}

#define LAMINET_INSTANTIATE(T)                                                                   \
  template void run_forward(const Program&, const Operands<T>&, const Plan&, ConstMatrixView<T>, \
                            MatrixView<T>);                                                      \
  template void reserve_scratch<T>(const Program&, std::size_t);                                 \
  template void run_trace(const Program&, const Operands<T>&, const Plan&, ConstMatrixView<T>,   \
                          std::span<const MatrixView<T>>, std::span<const MatrixView<T>>);
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet

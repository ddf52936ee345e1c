#include "laminet/gradients/derivatives.h"

#include <memory>

#include "laminet/base/float_mode.h"
#include "laminet/base/thread_count.h"
#include "laminet/base/types.h"
#include "laminet/gradients/blocks.h"
#include "laminet/gradients/work.h"

namespace laminet {

template <class T>
void Derivatives<T>::check_input(ConstMatrixView<T> x) const {
  require(x.columns == net_->in_features(), "x has ", x.columns, " features, the network takes ",
          net_->in_features());
}

template <class T>
bool Derivatives<T>::packs_for_tangents() const {
  return net_->rounds() &&
         stored_as(Packing::forward_rounded, net_->table()) == Stored::bfloat16_pairs;
}

template <class T>
const Operands<T>& Derivatives<T>::operands(std::size_t batch, bool back) const {
  const Operands<T>& forward = net_->operands(net_->plan(batch));
  if (!forward.tiled || (!back && !packs_for_tangents())) return forward;
  const auto made = [&](Packing packing, std::span<const PackedWeights<T>> DenseOperands<T>::* of) {
    auto packed = std::make_unique<Packed>(
        Packed{Prepared<T>(net_->program(), net_->parameters(), net_->table(), packing),
               {forward.steps.begin(), forward.steps.end()},
               forward});
    for (std::size_t s = 0; s < packed->steps.size(); ++s) {
      packed->steps[s].*of = packed->prepared[s];
    }
    packed->operands.steps = packed->steps;
    return packed;
  };
  if (back) {
    return back_.get([&] { return made(Packing::transposed, &DenseOperands<T>::transposed); })
        .operands;
  }
  return tangents_.get([&] { return made(Packing::forward_bfloat16, &DenseOperands<T>::exact); })
      .operands;
}

template <class T>
void Derivatives<T>::vjp(ConstMatrixView<T> x, ConstMatrixView<T> cotangent,
                         MatrixView<T> result) const {
  check_input(x);
  check_rows<T>("cotangent", cotangent, x.rows, net_->out_features());
  check_rows<T>("result", result, x.rows, net_->in_features());
  if (x.rows == 0) return;
  const DefaultFloatMode mode;
  const Program& program = net_->program();
  const Operands<T>& chain = operands(x.rows, true);
  const ChainSplit split = split_chain(product_work(*net_, x.rows, 2), cache_sizes());
  if (split.steps) {
    Tape<T>& tape = thread_tape<T>();
    tape.start(program, chain, x);
    tape.load();
    const auto gradients = ChainFrame<T>::backward(program, chain, x.rows, result);
    copy<T>(cotangent, gradients.frame()(program.output()));
    const std::size_t steps = program.steps().size();
    const WayBack way{.last = steps - 1};
    const Recorded<T> recorded{tape.values(), tape.kept(), 0, 1};
    run_series(*split.steps, steps + phases_.size(), [&](std::size_t phase, const StepPart& part) {
      if (phase < steps) return tape.run_part(program, chain, phase, {}, part);
      pull_back_phase<T>(program, chain, recorded, way, gradients.frame(), phases_[phase - steps],
                         part);
    });
    gradients.finish();
    return;
  }
  for_blocks(split, x.rows, [&](std::size_t first, std::size_t count) {
    Tape<T>& tape = thread_tape<T>();
    tape.record(program, chain, x.row_block(first, count), {});
    const auto gradients =
        ChainFrame<T>::backward(program, chain, count, result.row_block(first, count));
    copy<T>(cotangent.row_block(first, count), gradients.frame()(program.output()));
    pull_back<T>(program, chain, {tape.values(), tape.kept(), 0, 1},
                 {.last = program.steps().size() - 1}, gradients.frame());
    gradients.finish();
  });
}

template <class T>
void Derivatives<T>::jvp(ConstMatrixView<T> x, ConstMatrixView<T> tangent,
                         MatrixView<T> result) const {
  check_input(x);
  check_rows<T>("tangent", tangent, x.rows, net_->in_features());
  check_rows<T>("result", result, x.rows, net_->out_features());
  if (x.rows == 0) return;
  const DefaultFloatMode mode;
  const Program& program = net_->program();
  const Operands<T>& chain = operands(x.rows, false);
  const ChainSplit split = split_chain(product_work(*net_, x.rows, 2), cache_sizes());
  if (split.steps) {
    Tape<T>& tape = thread_tape<T>();
    tape.start(program, chain, x);
    tape.load();
    const auto tangents = ChainFrame<T>::forward(program, chain, x.rows, tangent, result);
    const Recorded<T> recorded{tape.values(), tape.kept(), 0, 1};
    run_series(*split.steps, program.steps().size(), [&](std::size_t s, const StepPart& part) {
      tape.run_part(program, chain, s, {}, part);
      push_forward_part(StepCall<T>{program, s, chain}, recorded, tangents.frame(), part);
    });
    tangents.finish();
    return;
  }
  for_blocks(split, x.rows, [&](std::size_t first, std::size_t count) {
    Tape<T>& tape = thread_tape<T>();
    tape.record(program, chain, x.row_block(first, count), {});
    const auto tangents = ChainFrame<T>::forward(
        program, chain, count, tangent.row_block(first, count), result.row_block(first, count));
    push_forward<T>(program, chain, {tape.values(), tape.kept(), 0, 1}, 0, tangents.frame());
    tangents.finish();
  });
}

#define LAMINET_INSTANTIATE(T)                                                                    \
  template void Derivatives<T>::check_input(ConstMatrixView<T>) const;                            \
  template bool Derivatives<T>::packs_for_tangents() const;                                       \
  template const Operands<T>& Derivatives<T>::operands(std::size_t, bool) const;                  \
  template void Derivatives<T>::vjp(ConstMatrixView<T>, ConstMatrixView<T>, MatrixView<T>) const; \
  template void Derivatives<T>::jvp(ConstMatrixView<T>, ConstMatrixView<T>, MatrixView<T>) const;
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet

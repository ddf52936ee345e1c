#include "laminet/gradients/derivatives.h"

#include <memory>

#include "laminet/base/float_mode.h"
#include "laminet/base/thread_count.h"
#include "laminet/gradients/blocks.h"
#include "laminet/gradients/tape.h"
#include "laminet/gradients/work.h"

namespace laminet {

template <class T>
void Derivatives<T>::check_input(ConstMatrixView<T> x) const {
  require(x.columns == net_->in_features(), "x has ", x.columns, " features, the network takes ",
          net_->in_features());
}

template <class T>
ChainWeights<T> Derivatives<T>::weights(std::size_t batch, bool back) const {
  ChainWeights<T> result{net_->operands(net_->plan(batch)),
                         {},
                         &net_->instruction_set().template table<T>(),
                         net_->head(),
                         false};
  if (!back || !result.layers.front().packed) return result;
  result.finite = true;
  for (const LayerOperands<T>& layer : result.layers) {
    result.finite = result.finite && layer.packed->finite();
  }
  result.transposed = transposed_.get([&result] {
    auto transposed = std::make_unique<std::vector<PackedWeights<T>>>();
    transposed->reserve(result.layers.size());
    for (const LayerOperands<T>& layer : result.layers) {
      const ConstMatrixView<T> w = layer.weight;
      transposed->emplace_back(
          ConstMatrixView<T>{w.data, w.columns, w.rows, w.column_stride, w.row_stride},
          *result.table);
    }
    return transposed;
  });
  return result;
}

template <class T>
void Derivatives<T>::vjp(ConstMatrixView<T> x, ConstMatrixView<T> cotangent,
                         MatrixView<T> result) const {
  check_input(x);
  check_rows<T>("cotangent", cotangent, x.rows, net_->out_features());
  check_rows<T>("result", result, x.rows, net_->in_features());
  if (x.rows == 0) return;
  const DefaultFloatMode mode;
  const ChainWeights<T> chain = weights(x.rows, true);
  const ChainSplit split = split_chain(product_work(*net_, chain, x.rows, 2), cache_sizes());
  for_blocks(split, x.rows, [&](std::size_t first, std::size_t count) {
    Tape<T>& tape = thread_tape<T>();
    tape.record(chain, x.row_block(first, count), {});
    ChainScratch<T> scratch(chain, count);
    const MatrixView<T> g = scratch.next(net_->out_features());
    copy<T>(cotangent.row_block(first, count), g);
    apply_head_derivative<T>(chain, true, g, tape.probabilities(), 0, 1);
    const std::size_t last = chain.depth() - 1;
    scale_by_diagonal<T>(*chain.table, g, tape.slopes(last), 0, 1);
    pull_back<T>(chain, tape, last, g, 0, 1, scratch, result.row_block(first, count));
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
  const ChainWeights<T> chain = weights(x.rows, false);
  const ChainSplit split = split_chain(product_work(*net_, chain, x.rows, 2), cache_sizes());
  for_blocks(split, x.rows, [&](std::size_t first, std::size_t count) {
    Tape<T>& tape = thread_tape<T>();
    tape.record(chain, x.row_block(first, count), {});
    ChainScratch<T> scratch(chain, count);
    ConstMatrixView<T> t = tangent.row_block(first, count);
    if (!chain.usable(t)) {
      const MatrixView<T> gathered = scratch.next(t.columns);
      copy<T>(t, gathered);
      t = gathered;
    }
    const MatrixView<T> block = result.row_block(first, count);
    if (chain.head == Head::none) {
      push_forward<T>(chain, tape, 0, t, 0, 1, scratch, block);
    } else {
      const MatrixView<T> logits = push_forward<T>(chain, tape, 0, t, 0, 1, scratch, {});
      apply_head_derivative<T>(chain, false, logits, tape.probabilities(), 0, 1);
      copy<T>(logits, block);
    }
  });
}

#define LAMINET_INSTANTIATE(T)                                                                    \
  template void Derivatives<T>::check_input(ConstMatrixView<T>) const;                            \
  template ChainWeights<T> Derivatives<T>::weights(std::size_t, bool) const;                      \
  template void Derivatives<T>::vjp(ConstMatrixView<T>, ConstMatrixView<T>, MatrixView<T>) const; \
  template void Derivatives<T>::jvp(ConstMatrixView<T>, ConstMatrixView<T>, MatrixView<T>) const;
LAMINET_INSTANTIATE(float)
LAMINET_INSTANTIATE(double)
#undef LAMINET_INSTANTIATE

}  // namespace laminet

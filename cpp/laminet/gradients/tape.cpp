#include "laminet/gradients/tape.h"

#include <algorithm>

#include "laminet/base/per_thread.h"
#include "laminet/gradients/gather.h"
#include "laminet/network/workspace.h"

namespace laminet {
namespace {

struct ChainPurpose;

// The last product writes into `out` itself where it can.
template <class T>
MatrixView<T> last_result(const ChainWeights<T>& weights, MatrixView<T> out,
                          ChainScratch<T>& scratch) {
  return weights.usable(out) ? out : scratch.next(out.columns);
}

template <class T>
void finish(MatrixView<T> result, MatrixView<T> out) {
  if (result.data != out.data) copy<T>(result, out);
}

}  // namespace

template <class T>
std::size_t row_stride(std::size_t columns) {
  constexpr std::size_t line = AlignedArray<T>::kAlignment / sizeof(T);
  return columns < line ? columns : round_up(columns, line);
}

template <class T>
std::size_t Tape<T>::elements_per_sample(const ChainWeights<T>& weights) {
  std::size_t elements = row_stride<T>(weights.in(0));  // of a copy of x
  for (std::size_t l = 0; l < weights.depth(); ++l) elements += 2 * row_stride<T>(weights.out(l));
  return elements;  // twice for the last layer: its slopes, and the probabilities of a head
}

template <class T>
void Tape<T>::grow(const ChainWeights<T>& weights, std::size_t samples) {
  layers_.resize(weights.depth());
  constexpr std::size_t line = AlignedArray<T>::kAlignment / sizeof(T);
  // A line for each matrix besides, since each starts on one.
  const std::size_t size =
      checked_product(samples, elements_per_sample(weights)) + (2 * weights.depth() + 1) * line;
  if (memory_.size() < size) {
    memory_ = AlignedArray<T>();
    memory_ = AlignedArray<T>(size);
  }
}

template <class T>
void Tape<T>::reserve(const ChainWeights<T>& weights, std::size_t samples) {
  grow(weights, samples);
  std::fill(memory_.begin(), memory_.end(), T{0});
}

template <class T>
void Tape<T>::start(const ChainWeights<T>& weights, ConstMatrixView<T> x) {
  const std::size_t depth = weights.depth();
  samples_ = x.rows;
  x_ = x;
  grow(weights, x.rows);
  constexpr std::size_t line = AlignedArray<T>::kAlignment / sizeof(T);
  T* free = memory_.data();
  const auto take = [&](std::size_t columns) {
    const std::size_t stride = row_stride<T>(columns);
    const MatrixView<T> view{free, x.rows, columns, static_cast<std::ptrdiff_t>(stride), 1};
    free += round_up(x.rows * stride, line);
    return view;
  };
  for (std::size_t l = 0; l < depth; ++l) {
    Layer& layer = layers_[l];
    layer.own_input = l > 0 || !weights.usable(x) ? take(weights.in(l)) : MatrixView<T>{};
    layer.input = layer.own_input.data ? layer.own_input : x;
    layer.slopes = take(weights.out(l));
    layer.constant = weights.layers[l].activation.kind == ActivationKind::identity;
  }
  probabilities_ = {};
  if (weights.head != Head::none) probabilities_ = take(weights.out(depth - 1));
}

template <class T>
void Tape<T>::run(const ChainWeights<T>& weights, std::size_t first, std::size_t count,
                  MatrixView<T> y) {
  if (layers_[0].own_input.data) {
    copy(x_.row_block(first, count), layers_[0].own_input.row_block(first, count));
  }
  const std::size_t depth = weights.depth();
  const MatrixView<T> p =
      probabilities_.data ? probabilities_.row_block(first, count) : MatrixView<T>{};
  const MatrixView<T> result = y.data ? y : p;
  for (std::size_t l = 0; l < depth; ++l) {
    const LayerOperands<T>& layer = weights.layers[l];
    const ConstMatrixView<T> in = layers_[l].input.row_block(first, count);
    const bool last = l + 1 == depth;
    const MatrixView<T> out = last ? result : layers_[l + 1].own_input.row_block(first, count);
    if (layers_[l].constant) {
      if (out.data) weights.forward(l, in, layer.bias, out);
      continue;
    }
    // The bias is added in the pass that follows, which makes the slopes and the activations of z.
    const MatrixView<T> d = layers_[l].slopes.row_block(first, count);
    const MatrixView<T> z = out.data ? out : d;
    weights.forward(l, in, nullptr, z);
    weights.table->derivatives[static_cast<std::size_t>(layer.activation.kind)](
        {.rows = z.rows,
         .columns = z.columns,
         .z = z.data,
         .z_stride = z.row_stride,
         .y = out.data,
         .y_stride = out.row_stride,
         .d = d.data,
         .d_stride = d.row_stride,
         .bias = layer.bias,
         .alpha = layer.activation.alpha,
         .beta = layer.activation.beta});
  }
  if (!p.data) return;
  if (y.data) copy<T>(y, p);
  apply_head(Head::softmax, *weights.table, p);
  if (!y.data) return;
  if (weights.head == Head::softmax) {
    copy<T>(p, y);
  } else {
    apply_head(weights.head, *weights.table, y);
  }
}

template <class T>
Tape<T>& thread_tape() {
  return thread_object<Tape<T>>();
}

template <class T>
std::size_t chain_elements_per_row(const ChainWeights<T>& weights) {
  std::size_t widest = weights.in(0);
  for (std::size_t l = 0; l < weights.depth(); ++l) widest = std::max(widest, weights.out(l));
  return 2 * row_stride<T>(widest);
}

template <class T>
ChainScratch<T>::ChainScratch(const ChainWeights<T>& weights, std::size_t rows)
    : rows_(rows),
      half_(round_up(checked_product(rows, chain_elements_per_row(weights) / 2),
                     AlignedArray<T>::kAlignment / sizeof(T))),
      memory_(thread_scratch<T, ChainPurpose>(checked_product(2, half_))) {}

template <class T>
MatrixView<T> ChainScratch<T>::next(std::size_t columns) {
  second_ = !second_;
  return {memory_ + (second_ ? half_ : 0), rows_, columns,
          static_cast<std::ptrdiff_t>(row_stride<T>(columns)), 1};
}

template <class T>
void pull_back(const ChainWeights<T>& weights, const Tape<T>& tape, std::size_t layer,
               ConstMatrixView<T> g, std::size_t first, std::size_t repeat,
               ChainScratch<T>& scratch, MatrixView<T> out) {
  for (std::size_t l = layer + 1; l-- > 0;) {
    const MatrixView<T> result =
        l == 0 ? last_result(weights, out, scratch) : scratch.next(weights.in(l));
    // Of `layer` itself g has been multiplied by the slopes, which are 0 or 1 where it gathers.
    if (gathers(weights, l, repeat)) {
      gathered_product<T>(weights, l, g, tape.slopes(l), first, repeat, result);
    } else {
      weights.backward(l, g, result);
    }
    if (l == 0) return finish(result, out);
    if (!gathers(weights, l - 1, repeat)) {
      scale_by_diagonal<T>(*weights.table, result, tape.slopes(l - 1), first, repeat);
    }
    g = result;
  }
}

template <class T>
MatrixView<T> push_forward(const ChainWeights<T>& weights, const Tape<T>& tape, std::size_t layer,
                           ConstMatrixView<T> t, std::size_t first, std::size_t repeat,
                           ChainScratch<T>& scratch, MatrixView<T> out) {
  for (std::size_t l = layer; l < weights.depth(); ++l) {
    const bool last = l + 1 == weights.depth();
    const MatrixView<T> result =
        last && out.data ? last_result(weights, out, scratch) : scratch.next(weights.out(l));
    weights.forward(l, t, nullptr, result);
    scale_by_diagonal<T>(*weights.table, result, tape.slopes(l), first, repeat);
    if (last && out.data) finish(result, out);
    if (last) return out.data ? out : result;
    t = result;
  }
  return out;
}

#define LAMINET_INSTANTIATE(T)                                                                     \
  template class Tape<T>;                                                                          \
  template class ChainScratch<T>;                                                                  \
  template Tape<T>& thread_tape();                                                                 \
  template std::size_t row_stride<T>(std::size_t);                                                 \
  template std::size_t chain_elements_per_row(const ChainWeights<T>&);                             \
  template void pull_back(const ChainWeights<T>&, const Tape<T>&, std::size_t, ConstMatrixView<T>, \
                          std::size_t, std::size_t, ChainScratch<T>&, MatrixView<T>);              \
  template MatrixView<T> push_forward(const ChainWeights<T>&, const Tape<T>&, std::size_t,         \
                                      ConstMatrixView<T>, std::size_t, std::size_t,                \
                                      ChainScratch<T>&, MatrixView<T>);
LAMINET_INSTANTIATE(float)
LAMINET_INSTANTIATE(double)
#undef LAMINET_INSTANTIATE

}  // namespace laminet

// How much work the derivatives are, as split_chain asks.
#pragma once

#include <cstddef>

#include "laminet/base/thread_count.h"
#include "laminet/gradients/split.h"
#include "laminet/gradients/tape.h"
#include "laminet/network/mlp.h"

namespace laminet {

// Parameter gradients are summed by passes over so many samples: long enough for the products to
// hide the loads of what they are added to, short enough for the tape of a small network to stay in
// L2. The rounding of the sums depends on it, hence constant.
inline constexpr std::size_t kPassRows = 512;

// FLOPs of one sample's forward pass, products alone.
template <class T>
double forward_flops(const Mlp<T>& net) {
  double flops = 0.0;
  for (const Dense<T>& layer : net.layers()) {
    flops +=
        2.0 * static_cast<double>(layer.in_features()) * static_cast<double>(layer.out_features());
  }
  return flops;
}

// Of so many times the forward pass's FLOPs: 2 for vjp and jvp, 3 for parameter gradients.
template <class T>
ChainWork product_work(const Mlp<T>& net, const ChainWeights<T>& chain, std::size_t batch,
                       double passes) {
  return {
      .batch = batch,
      .rows = 1,
      .flops = passes * forward_flops(net),
      .chain_flops = 0,
      .bytes = (Tape<T>::elements_per_sample(chain) + chain_elements_per_row(chain)) * sizeof(T),
      .mr = chain.table->tiles[0].mr,
      .threads = num_threads()};
}

template <class T>
ChainWork jacobian_work(const Mlp<T>& net, const ChainWeights<T>& chain, std::size_t batch) {
  const JacobianMode way = choose_jacobian_mode(net.sizes());
  const std::size_t rows = way == JacobianMode::reverse ? net.out_features() : net.in_features();
  const double flops = jacobian_flops(net.sizes(), way);
  return {.batch = batch,
          .rows = rows,
          .flops = forward_flops(net) + flops,
          .chain_flops = flops,
          .bytes = (Tape<T>::elements_per_sample(chain) + rows * chain_elements_per_row(chain)) *
                   sizeof(T),
          .mr = chain.table->tiles[0].mr,
          .threads = num_threads()};
}

// Of the Jacobians of all layers: an element of them is one FLOP.
template <class T>
ChainWork layer_jacobians_work(const Mlp<T>& net, const ChainWeights<T>& chain, std::size_t batch) {
  return {.batch = batch,
          .rows = 1,
          .flops = 1.5 * forward_flops(net),
          .chain_flops = 0,
          .bytes = Tape<T>::elements_per_sample(chain) * sizeof(T),
          .mr = chain.table->tiles[0].mr,
          .threads = num_threads()};
}

}  // namespace laminet

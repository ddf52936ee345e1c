// How much work the derivatives are, as split_chain asks.
#pragma once

#include <algorithm>
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

namespace detail {

// `chain_rows` rows of gradients or tangents go through the program for each sample.
template <class T>
ChainWork work_of(const Mlp<T>& net, std::size_t batch, std::size_t chain_rows, double flops,
                  double chain_flops) {
  const Program& program = net.program();
  return {.batch = batch,
          .rows = std::max<std::size_t>(1, chain_rows),
          .flops = flops,
          .chain_flops = chain_flops,
          .bytes = (Tape<T>::elements_per_sample(program) +
                    chain_rows * chain_elements_per_row(program)) *
                   sizeof(T),
          .mr = net.table().tiles[0].mr,
          .threads = num_threads(),
          .weight_bytes = program.weights() * sizeof(T),
          .steps = std::nullopt};
}

// Where a forward pass over the rows of all chains would share its steps, so does the derivative.
template <class T>
ChainWork sharing_steps(const Mlp<T>& net, ChainWork work) {
  if (work.batch == 0 || !may_share_steps(work)) return work;
  const Plan plan = net.plan(work.batch * work.rows);
  if (plan.split == Split::layers && plan.threads > 1 &&
      work.batch * work.rows <= plan.chunk_rows) {
    work.steps = {plan.threads, plan.wake, plan.from_memory};
  }
  return work;
}

}  // namespace detail

// Of so many times the forward pass's FLOPs: 2 for vjp and jvp, 3 for parameter gradients.
template <class T>
ChainWork product_work(const Mlp<T>& net, std::size_t batch, double passes) {
  const double flops = passes * net.program().flops();
  return detail::sharing_steps(net, detail::work_of(net, batch, 1, flops, 0));
}

template <class T>
ChainWork jacobian_work(const Mlp<T>& net, const JacobianRule& rule, std::size_t batch) {
  const bool reverse = rule.mode == JacobianMode::reverse;
  const ChainWork work =
      detail::work_of(net, batch, reverse ? net.out_features() : net.in_features(),
                      net.program().flops() + rule.flops, rule.flops);
  return reverse ? detail::sharing_steps(net, work) : work;
}

// Of the Jacobians of all layers: an element of them is one FLOP.
template <class T>
ChainWork layer_jacobians_work(const Mlp<T>& net, std::size_t batch) {
  return detail::work_of(net, batch, 0, 1.5 * net.program().flops(), 0);
}

}  // namespace laminet

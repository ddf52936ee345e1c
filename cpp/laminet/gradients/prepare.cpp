// What the first derivatives of a batch would do besides their work, and what it takes.
#include <algorithm>

#include "laminet/base/each_thread.h"
#include "laminet/base/parallel.h"
#include "laminet/base/types.h"
#include "laminet/gemm/blas.h"
#include "laminet/gemm/gemm.h"
#include "laminet/gemm/rounded.h"
#include "laminet/gradients/derivatives.h"
#include "laminet/gradients/work.h"

namespace laminet {

template <class T>
bool Derivatives<T>::prepare(std::size_t batch) const {
  const Operands<T>& chain = operands(batch, true);
  (void)operands(batch, false);
  if (batch == 0) return true;

  const Program& program = net_->program();
  const CacheSizes& caches = cache_sizes();
  const auto most = [&](const ChainWork& work) {
    const ChainSplit split = split_chain(work, caches);
    return split.steps ? work.batch : std::min(batch, most_block_samples(work, caches));
  };
  const std::size_t pass = std::min(batch, kPassRows);
  const ChainWork product = product_work(*net_, batch, 2);
  const ChainWork gradients = product_work(*net_, pass, 3);
  const ChainWork layers = layer_jacobians_work(*net_, batch);
  const ChainWork whole = jacobian_work(*net_, rule_, batch);
  const std::size_t samples = std::max({most(product), most(layers), most(whole)});

  const auto reserve = [&](std::size_t most_samples) {
    thread_tape<T>().reserve(program, most_samples);
    ChainFrame<T>::reserve(program, most(product));
    reserve_jacobian(chain, most(whole));
    if (net_->rounds()) {
      reserve_rounded<T>(std::max(most_samples, pass), program.most_inputs());
    }
  };
  // The tape of a pass over all threads is the caller's.
  reserve(std::max(samples, pass));
  const auto shared = [&](const ChainWork& work) { return split_chain(work, caches).threads > 1; };
  const bool team = shared(product) || shared(gradients) || shared(layers) || shared(whole);
  for (const ChainWork& work : {product, gradients, whole}) {
    // The team notes what has been done of each phase and part.
    const ChainSplit split = split_chain(work, caches);
    if (!split.steps) continue;
    const std::size_t phases = program.steps().size() + phases_.size() + 1;
    parallel_phases(phases, split.steps->threads, Wake::always, [](auto, auto) {});
  }
  if (!chain.tiled) blas::warm_up<T>();
  return !team || on_each_thread([&] { reserve(samples); });
}

template <class T>
DerivativeBytes Derivatives<T>::bytes() const {
  std::size_t bytes = 0;
  for (const MadeOnce<Packed>* one : {&back_, &tangents_}) {
    if (const Packed* const packed = one->if_made()) bytes += packed->prepared.bytes();
  }
  return {bytes};
}

template <class T>
DerivativeBytes Derivatives<T>::bytes_prepared() const {
  if (net_->plan(1).backend != Backend::tiled) return bytes();
  const auto of = [&](Packing packing) {
    return Prepared<T>::bytes_of(net_->program(), net_->table(), packing);
  };
  return {of(Packing::transposed) + (packs_for_tangents() ? of(Packing::forward_bfloat16) : 0)};
}

#define LAMINET_INSTANTIATE(T)                              \
  template bool Derivatives<T>::prepare(std::size_t) const; \
  template DerivativeBytes Derivatives<T>::bytes() const;   \
  template DerivativeBytes Derivatives<T>::bytes_prepared() const;
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet

// What the first derivatives of a batch would do besides their work, and what it takes.
#include <algorithm>

#include "laminet/base/each_thread.h"
#include "laminet/gemm/blas.h"
#include "laminet/gradients/derivatives.h"
#include "laminet/gradients/work.h"

namespace laminet {

template <class T>
bool Derivatives<T>::prepare(std::size_t batch) const {
  const ChainWeights<T> chain = weights(batch, true);
  if (choose_jacobian_mode(net_->sizes()) == JacobianMode::forward) first_transposed();
  if (batch == 0) return true;

  const CacheSizes& caches = cache_sizes();
  const auto most = [&](const ChainWork& work) {
    return std::min(batch, most_block_samples(work, caches));
  };
  const std::size_t pass = std::min(batch, kPassRows);
  const ChainWork product = product_work(*net_, chain, batch, 2);
  const ChainWork gradients = product_work(*net_, chain, pass, 3);
  const ChainWork layers = layer_jacobians_work(*net_, chain, batch);
  const ChainWork whole = jacobian_work(*net_, chain, batch);
  const std::size_t samples = std::max({most(product), most(layers), most(whole)});

  const auto reserve = [&](std::size_t most_samples) {
    thread_tape<T>().reserve(chain, most_samples);
    ChainScratch<T>(chain, most(product)).touch();
    reserve_jacobian(chain, most(whole));
  };
  // The tape of a pass over all threads is the caller's.
  reserve(std::max(samples, pass));
  const auto shared = [&](const ChainWork& work) { return split_chain(work, caches).threads > 1; };
  const bool team = shared(product) || shared(gradients) || shared(layers) || shared(whole);
  if (!chain.layers.front().packed) blas::warm_up<T>();
  return !team || on_each_thread([&] { reserve(samples); });
}

template <class T>
DerivativeBytes Derivatives<T>::bytes() const {
  DerivativeBytes result{0, 0};
  if (const auto* transposed = transposed_.if_made()) {
    for (const PackedWeights<T>& weights : *transposed) result.transposed += weights.bytes();
  }
  if (const AlignedArray<T>* first = first_.if_made()) result.first = first->bytes();
  return result;
}

template <class T>
DerivativeBytes Derivatives<T>::bytes_prepared() const {
  DerivativeBytes result = bytes();
  const kernels::Table<T>& table = net_->instruction_set().template table<T>();
  if (result.transposed == 0 && net_->plan(1).backend == Backend::tiled) {
    for (const Dense<T>& layer : net_->layers()) {
      result.transposed +=
          packed_size(layer.in_features(), layer.out_features(), table) * sizeof(T);
    }
  }
  if (choose_jacobian_mode(net_->sizes()) == JacobianMode::forward) {
    const Dense<T>& layer = net_->layers().front();
    result.first = layer.in_features() * layer.out_features() * sizeof(T);
  }
  return result;
}

#define LAMINET_INSTANTIATE(T)                              \
  template bool Derivatives<T>::prepare(std::size_t) const; \
  template DerivativeBytes Derivatives<T>::bytes() const;   \
  template DerivativeBytes Derivatives<T>::bytes_prepared() const;
LAMINET_INSTANTIATE(float)
LAMINET_INSTANTIATE(double)
#undef LAMINET_INSTANTIATE

}  // namespace laminet

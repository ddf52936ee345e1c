#include "laminet/gradients/split.h"

#include <algorithm>

namespace laminet {
namespace {

// Below it the second thread costs more than it saves; as in network/plan.cpp.
constexpr double kLeastFlopsToSplit = 1e6;

std::size_t up(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

}  // namespace

double jacobian_flops(std::span<const std::size_t> sizes, JacobianMode mode) {
  const std::size_t depth = sizes.size() - 1;
  const bool reverse = mode == JacobianMode::reverse;
  double sum = 0.0;
  for (std::size_t l = reverse ? 0 : 1; l < (reverse ? depth - 1 : depth); ++l) {
    sum += 2.0 * static_cast<double>(sizes[l]) * static_cast<double>(sizes[l + 1]);
  }
  return sum * static_cast<double>(reverse ? sizes.back() : sizes.front());
}

JacobianMode choose_jacobian_mode(std::span<const std::size_t> sizes) {
  return jacobian_flops(sizes, JacobianMode::reverse) <=
                 jacobian_flops(sizes, JacobianMode::forward)
             ? JacobianMode::reverse
             : JacobianMode::forward;
}

std::size_t most_block_samples(const ChainWork& work, const CacheSizes& caches) {
  // What a block holds fills at most half of L2, the weights pass through the other half; but at
  // least 8 tiles of rows, so that weights that come from further away are used often enough.
  const std::size_t fitting = caches.l2 / 2 / std::max<std::size_t>(1, work.bytes);
  const std::size_t rows = std::max<std::size_t>(1, work.rows);
  return std::max<std::size_t>({1, fitting, up(8 * work.mr, rows)});
}

ChainSplit split_chain(const ChainWork& work, const CacheSizes& caches) {
  const std::size_t rows = std::max<std::size_t>(1, work.rows);
  const std::size_t most = most_block_samples(work, caches);
  const double flops = work.flops * static_cast<double>(work.batch);
  const std::size_t threads = flops < kLeastFlopsToSplit ? 1 : work.threads;
  // Few samples make uneven shares: 3 on 2 threads would be 2 and 1.
  if (threads > 1 && work.batch < 4 * threads && work.batch % threads != 0 && work.batch <= most &&
      work.chain_flops * static_cast<double>(work.batch) >= kLeastFlopsToSplit) {
    return {work.batch, threads, std::min(threads, work.batch * rows)};
  }
  const std::size_t share = std::max<std::size_t>(1, up(work.batch, threads));
  const std::size_t blocks = up(share, most);
  return {up(share, blocks), work.batch <= up(share, blocks) ? 1 : threads, 1};
}

}  // namespace laminet

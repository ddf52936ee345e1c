#include "laminet/gemm/blocking.h"

#include <algorithm>

#include "laminet/base/matrix.h"

namespace laminet {

Blocking choose_blocking(std::size_t n, std::size_t k, std::size_t mr, std::size_t nr,
                         std::size_t element_size, const CacheSizes& caches) {
  // Half of L1 for the row tile: the rest is for the panel lines in flight. No split of a depth
  // that is only a little over, as its second block would do little work a load of C.
  const std::size_t most = std::max<std::size_t>(64, caches.l1 / 2 / (mr * element_size));
  const std::size_t blocks = k <= most + most / 2 ? 1 : (k + most - 1) / most;
  const std::size_t depth = std::max<std::size_t>(1, (k + blocks - 1) / blocks);  // even blocks
  // Half of L2 for the weights; the other half holds the activations (choose_block_rows).
  const std::size_t panels = std::max<std::size_t>(1, caches.l2 / 2 / (depth * nr * element_size));
  return {depth, std::min(panels * nr, round_up(std::max<std::size_t>(1, n), nr))};
}

std::size_t choose_block_rows(std::size_t batch, std::size_t width, std::size_t mr,
                              std::size_t threads, std::size_t element_size,
                              const CacheSizes& caches) {
  // At least 8 tiles of rows, so that weights that come from L3 or memory are used often enough;
  // at most 32, beyond which a block only gets larger, not faster.
  const std::size_t fitting = caches.l2 / 2 / (std::max<std::size_t>(1, width) * element_size);
  const std::size_t rows = std::clamp(fitting / mr * mr, 8 * mr, 32 * mr);
  // An equal share for each thread, in equal blocks: a short last block would keep one thread
  // waiting. A share of several blocks is cut at whole tiles; a single block is not, so that 8 rows
  // on 2 threads are 4 and 4, not 6 and 2.
  const std::size_t share = (batch + threads - 1) / std::max<std::size_t>(1, threads);
  const std::size_t blocks = std::max<std::size_t>(1, (share + rows - 1) / rows);
  const std::size_t even = (share + blocks - 1) / blocks;
  return std::max<std::size_t>(1, blocks == 1 ? even : round_up(even, mr));
}

}  // namespace laminet

#include "laminet/gemm/blocking.h"

#include <algorithm>
#include <limits>

#include "laminet/base/matrix.h"

namespace laminet {

Blocking choose_blocking(std::size_t m, std::size_t n, std::size_t k, std::size_t mr,
                         std::size_t nr, std::size_t element_size, const CacheSizes& caches) {
  const std::size_t all_columns = round_up(std::max<std::size_t>(1, n), nr);
  if (m <= mr) return {std::max<std::size_t>(1, k), all_columns};
  // Half of L1 for the row tile: the rest is for the panel lines in flight. No split of a depth
  // that is only a little over, as its second block would do little work a load of C.
  const std::size_t most = std::max<std::size_t>(64, caches.l1 / 2 / (mr * element_size));
  const std::size_t blocks = k <= most + most / 2 ? 1 : (k + most - 1) / most;
  const std::size_t depth = std::max<std::size_t>(1, (k + blocks - 1) / blocks);  // even blocks
  // Half of L2 for the weights; the other half holds the activations (choose_row_blocks).
  const std::size_t panels = std::max<std::size_t>(1, caches.l2 / 2 / (depth * nr * element_size));
  return {depth, std::min(panels * nr, all_columns)};
}

RowRange share_of_rows(std::size_t rows, std::size_t parts, std::size_t part) {
  const std::size_t least = rows / parts;
  const std::size_t larger = rows % parts;  // so many parts have one more
  return {part * least + std::min(part, larger), least + (part < larger ? 1 : 0)};
}

RowRange RowBlocks::operator[](std::size_t block) const {
  const RowRange share = share_of_rows(batch, threads, block / blocks_per_thread);
  const std::size_t tiles = (share.count + mr - 1) / mr;
  const RowRange range = share_of_rows(tiles, blocks_per_thread, block % blocks_per_thread);
  const std::size_t first = std::min(range.first * mr, share.count);
  return {share.first + first, std::min(range.count * mr, share.count - first)};
}

std::size_t RowBlocks::most_rows() const {
  const std::size_t tiles = (share_of_rows(batch, threads, 0).count + mr - 1) / mr;
  return std::min(share_of_rows(tiles, blocks_per_thread, 0).count * mr,
                  share_of_rows(batch, threads, 0).count);
}

RowBlocks choose_row_blocks(std::size_t batch, std::size_t width, std::size_t mr,
                            std::size_t threads, std::size_t element_size,
                            const CacheSizes& caches) {
  // At least 8 tiles of rows, so that weights that come from L3 or memory are used often enough;
  // at most 32, beyond which a block only gets larger, not faster.
  const std::size_t fitting = caches.l2 / 2 / (std::max<std::size_t>(1, width) * element_size);
  const std::size_t rows = std::clamp(fitting / mr * mr, 8 * mr, 32 * mr);
  const std::size_t shares = std::clamp<std::size_t>(batch, 1, std::max<std::size_t>(1, threads));
  const std::size_t share = share_of_rows(batch, shares, 0).count;
  return {batch, shares, std::max<std::size_t>(1, (share + rows - 1) / rows), mr};
}

Grid choose_grid(std::size_t rows, std::size_t body_panels, std::size_t body_nr,
                 std::size_t tail_nr, std::size_t mr, std::size_t threads) {
  Grid best{1, 1};
  std::size_t least = std::numeric_limits<std::size_t>::max();
  const std::size_t panels = body_panels + (tail_nr > 0 ? 1 : 0);
  for (std::size_t column_parts = std::min(threads, panels); column_parts > 0; --column_parts) {
    const std::size_t row_parts = std::min(threads / column_parts, std::max<std::size_t>(1, rows));
    const std::size_t share = share_of_rows(rows, row_parts, 0).count;
    // One row of a tile takes as long as two: its few accumulators wait for each other.
    const std::size_t tile_rows = share % mr == 1 ? share + 1 : share;
    const std::size_t columns =
        std::max((body_panels + column_parts - 1) / column_parts * body_nr, tail_nr);
    if (tile_rows * columns < least) {
      least = tile_rows * columns;
      best = {row_parts, column_parts};
    }
  }
  return best;
}

}  // namespace laminet

// How a product is cut into blocks that fit the caches: pure functions of shapes and sizes.
#pragma once

#include <cstddef>

#include "laminet/base/cpu_info.h"

namespace laminet {

// The product of an (m, k) block with packed weights (n, k) visits the weights in blocks of
// `columns` x `depth`: for each of them, all row tiles; for each row tile, all panels.
struct Blocking {
  std::size_t depth;    // 1 .. k
  std::size_t columns;  // a multiple of nr
};

// A row tile's mr x depth elements stay in L1 while the panels of a weight block stream past from
// L2, where that block stays while all row tiles visit it. (The order of AMD's AOCL-DLP; BLIS keeps
// the panel in L1 instead, which a panel of 64 columns does not fit.)
//
// A single tile of rows, m <= mr, uses each weight once: there is nothing to keep in a cache, and
// whole panels are what the prefetchers of the hardware follow best.
Blocking choose_blocking(std::size_t m, std::size_t n, std::size_t k, std::size_t mr,
                         std::size_t nr, std::size_t element_size, const CacheSizes& caches);

// Rows first .. first + count - 1.
struct RowRange {
  std::size_t first;
  std::size_t count;
};

// `rows` in `parts` that differ by one row at most; `part` of them.
RowRange share_of_rows(std::size_t rows, std::size_t parts, std::size_t part);

// A batch in blocks of rows, the same number for each thread. The shares of the threads are equal,
// to the row; within a share, blocks are of whole register tiles, but for the last.
struct RowBlocks {
  std::size_t batch;
  std::size_t threads;
  std::size_t blocks_per_thread;
  std::size_t mr;

  std::size_t count() const { return threads * blocks_per_thread; }
  RowRange operator[](std::size_t block) const;
  std::size_t most_rows() const;  // of any block
};

// Rows that go through all layers before the next rows do, so that activations stay in L2: the
// widest input and output of one layer, `width` elements a row together, fill at most half of it.
RowBlocks choose_row_blocks(std::size_t batch, std::size_t width, std::size_t mr,
                            std::size_t threads, std::size_t element_size,
                            const CacheSizes& caches);

// How the threads share one layer for all rows of a batch: row_parts x column_parts <= threads.
struct Grid {
  std::size_t row_parts;
  std::size_t column_parts;
};

// The grid whose largest part has the least work. `panels` are the widths of the layer's panels.
// Of equal ones that with the most column parts, which reads the fewest weights.
Grid choose_grid(std::size_t rows, std::size_t body_panels, std::size_t body_nr,
                 std::size_t tail_nr, std::size_t mr, std::size_t threads);

}  // namespace laminet

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
Blocking choose_blocking(std::size_t n, std::size_t k, std::size_t mr, std::size_t nr,
                         std::size_t element_size, const CacheSizes& caches);

// Rows that go through all layers before the next rows do, so that activations stay in L2: the
// widest input and output of one layer, `width` elements a row together, fill at most half of it.
// At least 1; a multiple of `mr` where one thread has several blocks.
std::size_t choose_block_rows(std::size_t batch, std::size_t width, std::size_t mr,
                              std::size_t threads, std::size_t element_size,
                              const CacheSizes& caches);

}  // namespace laminet

// How a derivative is computed and split: pure functions of shapes and sizes.
#pragma once

#include <cstddef>
#include <span>

#include "laminet/base/cpu_info.h"

namespace laminet {

enum class JacobianMode { reverse, forward };

// FLOPs of one sample's Jacobian by its chain of products, the forward pass apart. `sizes` are
// n_0 .. n_L. The first product is a scaled copy of weights and counts nothing:
//
//   reverse:  n_L sum_{l=1}^{L-1} 2 n_l n_{l-1}      from W_L down, n_L rows
//   forward:  n_0 sum_{l=2}^{L}   2 n_l n_{l-1}      from W_1 up, n_0 rows
double jacobian_flops(std::span<const std::size_t> sizes, JacobianMode mode);

// The mode of fewer FLOPs; reverse where they are equal, whose result needs no transposition.
JacobianMode choose_jacobian_mode(std::span<const std::size_t> sizes);

// Blocks of samples that go through the whole chain before the next; where one sample or few have
// much work, the rows of their chains are split instead.
struct ChainSplit {
  std::size_t block_samples;
  std::size_t threads;     // 1: all on the caller
  std::size_t row_groups;  // of a block's rows, one task each; more than 1 only for a single block
};

struct ChainWork {
  std::size_t batch;
  std::size_t rows;    // of the chain, a sample
  double flops;        // a sample, all in all
  double chain_flops;  // those that can be split by rows
  std::size_t bytes;   // of memory that a sample takes meanwhile
  std::size_t mr;      // rows of a register tile
  std::size_t threads;
};

// The most samples that a block has, whatever the batch.
std::size_t most_block_samples(const ChainWork& work, const CacheSizes& caches);

ChainSplit split_chain(const ChainWork& work, const CacheSizes& caches);

}  // namespace laminet

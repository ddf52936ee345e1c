// How a derivative is computed and split: pure functions of shapes and sizes.
#pragma once

#include <cstddef>
#include <optional>

#include "laminet/base/cpu_info.h"
#include "laminet/base/parallel.h"
#include "laminet/network/program.h"

namespace laminet {

enum class JacobianMode { reverse, forward };

// FLOPs of one sample's Jacobian by its products, the forward pass apart, that of the first factor
// left out. Of a chain of layers of the sizes n_0 .. n_L:
//
//   reverse:  n_L sum_{l=1}^{L-1} 2 n_l n_{l-1}      from W_L down, n_L rows
//   forward:  n_0 sum_{l=2}^{L}   2 n_l n_{l-1}      from W_1 up, n_0 rows
double jacobian_flops(const Program& program, JacobianMode mode);

// How a network's Jacobian is multiplied out.
struct JacobianRule {
  JacobianMode mode;  // of fewer FLOPs; reverse where they are equal, which needs no transposition
  double flops;
  // The product that it begins with, by scaling its weights: W_L in reverse mode, where it is the
  // last step but for a head, and W_1 in forward mode, where nothing else reads the input.
  std::optional<std::size_t> first;
  // In reverse mode the dense step whose result is all that `first` reads, and read by nobody else:
  // the weights are scaled by its slopes too.
  std::optional<std::size_t> below;
};

JacobianRule jacobian_rule(const Program& program);

// How the threads share each step of few rows, as Plan has it.
struct StepSharing {
  std::size_t threads;
  Wake wake;
  bool from_memory;
};

// Blocks of samples that go through the whole chain before the next; where one sample or few have
// much work, the rows of their chains are split instead, or each step is shared.
struct ChainSplit {
  std::size_t block_samples;
  std::size_t threads;     // 1: all on the caller
  std::size_t row_groups;  // of a block's rows, one task each; more than 1 only for a single block
  std::optional<StepSharing> steps = std::nullopt;
};

struct ChainWork {
  std::size_t batch;
  std::size_t rows;    // of the chain, a sample
  double flops;        // a sample, all in all
  double chain_flops;  // those that can be split by rows
  std::size_t bytes;   // of memory that a sample takes meanwhile
  std::size_t mr;      // rows of a register tile
  std::size_t threads;
  std::size_t weight_bytes;
  // How a forward pass over as many rows would share its steps; none where it would share its rows.
  std::optional<StepSharing> steps;
};

// The most samples that a block has, whatever the batch, where no steps are shared.
std::size_t most_block_samples(const ChainWork& work, const CacheSizes& caches);

// Whether there are threads and weights enough for `work.steps` to be asked for: a plan takes
// 0.05 us.
bool may_share_steps(const ChainWork& work);

ChainSplit split_chain(const ChainWork& work, const CacheSizes& caches);

}  // namespace laminet

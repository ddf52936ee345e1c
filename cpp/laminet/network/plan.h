// Which back end runs a batch, and how its rows are split.
#pragma once

#include <cstddef>
#include <span>

#include "laminet/base/cpu_info.h"
#include "laminet/gemm/backend.h"

namespace laminet {

struct Plan {
  Backend backend;         // blas or tiled
  std::size_t block_rows;  // rows that go through all layers together
  std::size_t threads;     // 1: all blocks run on the caller
};

struct PlanInput {
  std::span<const std::size_t> sizes;  // in_features, ..., out_features
  std::size_t batch;
  std::size_t element_size;
  std::size_t mr;  // rows of the widest register tile
  std::size_t threads;
  Backend requested;
  bool blas_available;
  bool fused;  // the instruction set has fused multiply-add kernels (AVX2 and wider)
};

Plan make_plan(const PlanInput& input, const CacheSizes& caches);

}  // namespace laminet

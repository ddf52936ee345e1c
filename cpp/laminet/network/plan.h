// Which back end runs a batch, and how its rows are split.
#pragma once

#include <cstddef>
#include <span>

#include "laminet/base/cpu_info.h"
#include "laminet/base/parallel.h"
#include "laminet/gemm/backend.h"
#include "laminet/gemm/blocking.h"

namespace laminet {

// What the threads share.
//   none     the caller does everything
//   rows     blocks of rows, each of which one thread takes through all layers: threads meet once
//   layers   every layer, by columns or rows as choose_grid has it: threads meet after each layer,
//            but read each weight once between them, and what a core reads stays in its L2
enum class Split { none, rows, layers };

struct Plan {
  Backend backend;  // blas or tiled
  Split split;
  std::size_t threads;
  RowBlocks blocks;        // of split `none` and `rows`; of a trace, whatever the split
  std::size_t chunk_rows;  // of split `layers`: rows that go through a layer together
  bool from_memory;        // the weights do not stay in L3 between two passes over them
  Wake wake;
};

// How one layer runs under a plan.
struct LayerPlan {
  std::size_t mr, nr;                   // the register tile; 0 on the back end blas
  std::size_t tail_mr, tail_nr;         // that of the last columns, 0 where there is none
  std::size_t rows, columns, depth;     // a block: of the activations, of the weights, of both
  std::size_t row_parts, column_parts;  // what the threads share, at one time
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

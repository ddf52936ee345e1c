// Which back end runs a batch, and how its rows are split.
#pragma once

#include <cstddef>
#include <span>

#include "laminet/base/cpu_info.h"
#include "laminet/base/parallel.h"
#include "laminet/gemm/backend.h"
#include "laminet/gemm/blocking.h"
#include "laminet/gemm/pack.h"

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

// What of a layer one tile runs: the tile, and a block of the weights.
struct TilePlan {
  std::size_t mr, nr;          // 0 on the back end blas
  std::size_t columns, depth;  // 0 where there is no such tile
};

struct PanelCount {
  std::size_t panels;
  std::size_t mr, nr;  // of their tile
};

// How one layer runs under a plan: of the largest share of a thread the largest block.
struct LayerPlan {
  std::size_t rows;                     // of the activations
  TilePlan body;                        // the widest tile that runs
  TilePlan tail;                        // the one of the last columns, where it is another sweep
  std::size_t row_parts, column_parts;  // what the threads share, at one time
  std::size_t padded_columns;           // of all panels
  PanelCount wide, narrow;              // of the thread that has most of them
};

struct PlanInput {
  std::size_t weights;         // elements of all products' weights
  std::size_t largest_weight;  // of one product's, or of several side by side
  std::size_t width;           // elements of a row that a step reads and writes, at most
  std::size_t batch;
  std::size_t element_size;
  std::size_t weight_size;  // of an element of the weights as they are read
  std::size_t mr;           // rows of the widest register tile
  std::size_t threads;
  double (*handoff)();  // as team_handoff(); asked only where work may be shared out
  Backend requested;
  bool blas_available;
  bool fused;  // the instruction set has fused multiply-add kernels (AVX2 and wider)
};

Plan make_plan(const PlanInput& input, const CacheSizes& caches);

// How the threads share `rows` rows of a layer of so many equal products side by side, where they
// share layers: of several, each is a thread's alone.
template <class T>
Grid choose_grid(const PanelLayout<T>& layout, std::size_t groups, std::size_t rows,
                 std::size_t threads);

// How the engine runs a step that is no product: rows that a thread works on at a time, and parts
// of the batch that threads work on at the same time.
struct RowPlan {
  std::size_t rows;
  std::size_t parts;
};

RowPlan plan_rows(const Plan& plan);

// How the engine runs a layer of so many inputs and these panels.
template <class T>
LayerPlan plan_layer(const Plan& plan, const PanelLayout<T>& layout, std::size_t groups,
                     std::size_t inputs, const CacheSizes& caches,
                     Stored stored = Stored::as_given);

}  // namespace laminet

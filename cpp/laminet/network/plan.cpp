#include "laminet/network/plan.h"

#include <algorithm>
#include <utility>

#include "laminet/base/types.h"
#include "laminet/gemm/blocking.h"
#include "laminet/gemm/gemm.h"

namespace laminet {
namespace {

// A thread that gets less than this much costs more than it saves: it costs some three times what
// it takes to hand a job over, which depends on how far apart the CPUs are. Two threads are level
// with one at the least amounts, a thread, of work (rows shared) and of weights (one sample),
// measured on Xeon (AVX-512) at a handoff of 0.19 us: 17-64-64-6 150 kflop, 32-64x4-16 190,
// 128-128-10 160; 256-256-10 133 kB. On Zen 5, near each other: 45 kflop, 125 kB.
constexpr double kLeastFlopsPerThread = 5e4;
constexpr double kLeastFlopsPerHandoffSecond = 8e11;
constexpr double kLeastWeightBytesPerThread = 128 * 1024;
constexpr double kLeastWeightBytesPerHandoffSecond = 8e11;

// Work that a core does in some 20 us or less is not worth waking a sleeping thread for.
constexpr double kLeastFlopsToWake = 5e6;

// Up to so many rows a thread, sharing each layer's columns beats sharing the rows: the weights,
// more than a core's L2 holds or nearly, are then read once, not once a thread, and half of them
// stay where they are read. Measured for 1, 8, 64, 512 rows, two threads, time by rows over time by
// columns: 784-256-128-10 1.96, 0.96, 1.05, 1.02; 784-512-256-128-10 2.3, 1.10, 1.01, 0.93;
// 479-1024-1024-512-256-1 1.57, 1.20, 1.02, 1.01.
constexpr std::size_t kMostRowsToShareLayers = 32;

// Fewer where all weights fit a core's L2, or nearly, and each layer's fill half of it at most:
// each core keeps them, and threads that meet once lose nothing. Time by columns over time by rows
// on a Xeon (L2 of 2 MiB), two threads, 8, 16, 32, 64 rows: residual network of four blocks of 256
// (2.2 MB) 0.89, 1.04, 1.24, 1.12; NeRF (2.1 MB) 1.00, 1.07, 1.22, 1.15; two of 23-256-256-1
// 0.99, 1.03, 1.40, 1.21; 784-256-128-10 1.01, 1.01, 1.20, 1.09; but 784-512-256-128-10 (2.3
// MB, 1.6 of them in one layer) 0.99, 0.76, 0.96, 0.94.
constexpr std::size_t kMostRowsToShareLayersInL2 = 4;

// OpenBLAS packs the weights anew in each call; over this many rows that is below 1 % of the work.
constexpr std::size_t kBlasRows = 512;

RowBlocks blas_blocks(std::size_t batch, std::size_t threads) {
  const std::size_t shares = std::clamp<std::size_t>(batch, 1, threads);
  const std::size_t share = share_of_rows(batch, shares, 0).count;
  return {batch, shares, std::max<std::size_t>(1, (share + kBlasRows - 1) / kBlasRows), 1};
}

// The rule of `auto`: tiled, unless its kernels are the generic ones and there is a BLAS library,
// which has kernels for the CPU at hand. One rule for all shapes and batches, since a row's bits
// may not depend on the batch.
//
// Measured with bench/cpp (forward, 2 Zen 5 cores, medians of one run), speed of tiled over blas:
// AVX-512 1.0 to 2.6, and 7 for batch 8 of 479-1024-1024-512-256-1, where OpenBLAS packs all
// weights for 4 rows. AVX2, against OpenBLAS's Haswell kernels: 2.2 and 1.9 for one sample of
// 784-256-128-10 and 479-...-1, 2.9 for batch 8 of both, 1.08 to 1.3 beyond; 0.92 for 4096 samples
// of 17-64-64-6 (tanh), but there the activations of the blas run were computed by AVX-512.
Backend resolve(const PlanInput& input) {
  if (input.requested != Backend::automatic) return input.requested;
  return input.fused || !input.blas_available ? Backend::tiled : Backend::blas;
}

// Of those panels, the wide ones.
template <class T>
std::size_t body_panels(const PanelLayout<T>& layout, PanelRange range) {
  return std::min(range.last, layout.body_panels) - std::min(range.first, layout.body_panels);
}

// The panels of the share that has most columns, with padding.
template <class T>
PanelRange largest_share(const PanelLayout<T>& layout, std::size_t shares) {
  std::size_t most = 0;
  PanelRange largest{0, 0};
  for (std::size_t part = 0; part < shares; ++part) {
    const PanelRange range = layout.share(shares, part);
    const bool tail = range.last > layout.body_panels && range.last > range.first;
    const std::size_t columns =
        body_panels(layout, range) * layout.body->nr + (tail ? layout.tail_nr() : 0);
    if (columns > most) {
      most = columns;
      largest = range;
    }
  }
  return largest;
}

}  // namespace

Plan make_plan(const PlanInput& input, const CacheSizes& caches) {
  const std::size_t width = input.width;
  const auto weights = static_cast<double>(input.weights);
  const double bytes = weights * static_cast<double>(input.weight_size);
  const double flops = 2.0 * weights * static_cast<double>(input.batch);
  const auto threads = static_cast<double>(std::max<std::size_t>(1, input.threads));
  // Not for BLAS, whose bits depend on how its rows are shared out.
  const bool asks =
      resolve(input) == Backend::tiled && input.threads > 1 &&
      (flops >= 2.0 * kLeastFlopsPerThread || bytes >= 2.0 * kLeastWeightBytesPerThread);
  const double handoff = asks ? input.handoff() : 0.0;
  const auto worth = [&](double work, double least, double least_per_handoff) {
    least = std::max(least, least_per_handoff * handoff);
    return static_cast<std::size_t>(std::clamp(work / least, 1.0, threads));
  };
  const std::size_t sharing =
      worth(bytes, kLeastWeightBytesPerThread, kLeastWeightBytesPerHandoffSecond);

  Plan plan{};
  plan.backend = resolve(input);
  plan.threads = worth(flops, kLeastFlopsPerThread, kLeastFlopsPerHandoffSecond);
  // Few rows take as long as their weights from L2: a part of a tile's as long as all of them.
  if (plan.backend == Backend::tiled && sharing == 1 && bytes > static_cast<double>(caches.l1)) {
    plan.threads =
        std::min(plan.threads, std::max<std::size_t>(1, (input.batch + input.mr - 1) / input.mr));
  }
  plan.wake = flops < kLeastFlopsToWake ? Wake::in_a_series : Wake::always;

  plan.blocks = plan.backend == Backend::blas
                    ? blas_blocks(input.batch, plan.threads)
                    : choose_row_blocks(input.batch, width, input.mr, plan.threads,
                                        input.element_size, caches);
  plan.threads = plan.blocks.threads;
  plan.split = plan.threads > 1 ? Split::rows : Split::none;

  // Weights that come from memory: each pass over them must serve as many rows as L3 can keep.
  plan.from_memory = bytes > static_cast<double>(caches.l3) / 2;
  const double largest = static_cast<double>(input.largest_weight * input.weight_size);
  const bool in_l2 = bytes <= 1.125 * static_cast<double>(caches.l2) &&
                     largest <= static_cast<double>(caches.l2) / 2;
  const std::size_t few = in_l2 ? kMostRowsToShareLayersInL2 : kMostRowsToShareLayers;
  const bool few_rows = sharing > 1 && input.batch <= few * input.threads;
  if (plan.backend == Backend::tiled && (plan.from_memory || few_rows)) {
    plan.split = Split::layers;
    plan.threads = sharing;
    const std::size_t fitting = caches.l3 / 2 / (width * input.element_size);
    plan.chunk_rows = std::clamp<std::size_t>(fitting, 32 * input.mr, 1024);
  }
  return plan;
}

RowPlan plan_rows(const Plan& plan) {
  if (plan.split != Split::layers) return {plan.blocks.most_rows(), plan.threads};
  const std::size_t rows = std::min(plan.blocks.batch, plan.chunk_rows);
  return {share_of_rows(rows, plan.threads, 0).count, std::min(rows, plan.threads)};
}

template <class T>
Grid choose_grid(const PanelLayout<T>& layout, std::size_t groups, std::size_t rows,
                 std::size_t threads) {
  if (groups > 1) {
    return choose_grid(rows, groups, layout.padded_columns(), 0, layout.body->mr, threads);
  }
  return choose_grid(rows, layout.body_panels, layout.body->nr, layout.tail_nr(), layout.body->mr,
                     threads);
}

template <class T>
LayerPlan plan_layer(const Plan& plan, const PanelLayout<T>& layout, std::size_t groups,
                     std::size_t inputs, const CacheSizes& caches, Stored stored) {
  const std::size_t depth = panel_depth(inputs, stored);
  LayerPlan result{};
  result.rows = plan.blocks.most_rows();
  result.row_parts = plan.threads;
  result.column_parts = 1;
  result.padded_columns = groups * layout.padded_columns();
  if (plan.split == Split::layers) {
    const std::size_t rows = std::min(plan.blocks.batch, plan.chunk_rows);
    const Grid grid = choose_grid(layout, groups, rows, plan.threads);
    result.rows = share_of_rows(rows, grid.row_parts, 0).count;
    result.row_parts = grid.row_parts;
    result.column_parts = grid.column_parts;
  }
  const PanelRange most = largest_share(layout, groups > 1 ? 1 : result.column_parts);
  const std::size_t own_groups =
      share_of_rows(groups, groups > 1 ? result.column_parts : 1, 0).count;
  result.wide = {own_groups * body_panels(layout, most), layout.body->mr, layout.body->nr};
  result.narrow = {most.last > layout.body_panels ? own_groups : 0, layout.tail->mr,
                   layout.tail->nr};
  if (plan.backend == Backend::blas) {
    const std::size_t columns = layout.body_panels * layout.body->nr + layout.tail_columns;
    result.body = {0, 0, columns, inputs};
    return result;
  }
  // Of the widest share of whole panels, which need not be the one with the tail.
  std::size_t wide = 0;
  const std::size_t shares = groups > 1 ? 1 : result.column_parts;
  for (std::size_t part = 0; part < shares; ++part) {
    wide = std::max(wide, body_panels(layout, layout.share(shares, part)));
  }
  const auto of = [&](const Sweep<T>& sweep) {
    if (sweep.columns == 0) return TilePlan{};
    const Blocking& block = sweep.blocking;
    // Of pairs as many products as rows of the panel have.
    const std::size_t products = depth == inputs ? block.depth : std::min(2 * block.depth, inputs);
    return TilePlan{sweep.tile->mr, sweep.tile->nr, std::min(block.columns, sweep.columns),
                    products};
  };
  const auto sweeps = [&](PanelRange panels) {
    return plan_sweeps(layout, panels, result.rows, depth, caches);
  };
  result.body = of(sweeps({0, wide})[0]);
  result.tail = of(sweeps({layout.body_panels, layout.panels()})[1]);
  if (result.body.mr == 0) std::swap(result.body, result.tail);
  return result;
}

#define LAMINET_INSTANTIATE(T)                                                                \
  template Grid choose_grid(const PanelLayout<T>&, std::size_t, std::size_t, std::size_t);    \
  template LayerPlan plan_layer(const Plan&, const PanelLayout<T>&, std::size_t, std::size_t, \
                                const CacheSizes&, Stored);
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet

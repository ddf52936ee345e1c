#include "laminet/network/plan.h"

#include <algorithm>

#include "laminet/gemm/blocking.h"

namespace laminet {
namespace {

// Below it the second thread costs more than it saves: waking the team takes 1 to 5 us, in which
// one core does this many operations.
constexpr double kLeastFlopsToSplit = 1e6;

// OpenBLAS packs the weights anew in each call; over this many rows that is below 1 % of the work.
constexpr std::size_t kBlasRows = 512;

// The rule of `auto`: tiled, unless its kernels are the generic ones and there is a BLAS library,
// which has kernels for the CPU at hand. One rule for all shapes and batches, since a row's bits
// may not depend on the batch.
//
// Measured with bench/cpp (forward, 2 Zen 4 cores, medians of one run), speed of tiled over blas:
// AVX-512 level (0.96 to 1.05) for one sample of the larger networks, 1.02 to 1.6 elsewhere, and
// 4.6 to 12 for batch 8 of 479-1024-1024-512-256-1, where OpenBLAS packs all weights for 4 rows.
// AVX2, against OpenBLAS's Haswell kernels in float32: 1.0 to 3.4, but 0.64 and 0.79 for one sample
// of 784-256-128-10 and of 479-...-1, where one row of a 6x16 tile has too few accumulators, and
// 0.84 for 2048 samples of the latter.
Backend resolve(const PlanInput& input) {
  if (input.requested != Backend::automatic) return input.requested;
  return input.fused || !input.blas_available ? Backend::tiled : Backend::blas;
}

}  // namespace

Plan make_plan(const PlanInput& input, const CacheSizes& caches) {
  std::size_t width = 0;
  double flops = 0.0;
  for (std::size_t l = 0; l + 1 < input.sizes.size(); ++l) {
    width = std::max(width, input.sizes[l] + input.sizes[l + 1]);
    flops += 2.0 * static_cast<double>(input.sizes[l]) * static_cast<double>(input.sizes[l + 1]);
  }
  flops *= static_cast<double>(input.batch);

  Plan plan{};
  plan.backend = resolve(input);
  plan.threads = flops < kLeastFlopsToSplit ? 1 : input.threads;
  plan.block_rows =
      choose_block_rows(input.batch, width, input.mr, plan.threads, input.element_size, caches);
  if (plan.backend == Backend::blas) {
    const std::size_t share = (input.batch + plan.threads - 1) / plan.threads;
    plan.block_rows = std::clamp<std::size_t>(share, 1, kBlasRows);
  }
  if (plan.block_rows >= input.batch) plan.threads = 1;
  return plan;
}

}  // namespace laminet

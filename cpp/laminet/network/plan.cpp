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

// The rule of `auto`. With fused multiply-add the tiled back end has its weights packed already,
// applies bias and activation before data leaves L1 and gives the same bits for every batch; it is
// the faster one in each cell of bench/cpp's forward benchmark. The generic kernels use 16-byte
// vectors, where OpenBLAS has kernels for the CPU at hand.
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

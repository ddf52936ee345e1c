#include "laminet/gradients/split.h"

#include <algorithm>

namespace laminet {
namespace {

// Below it a second thread that shares samples costs more than it saves. (More than a forward pass
// needs: its tape is a second thread's to touch.) Measured on an EPYC with AVX2, two threads, time
// of one over time of two, at 0.25, 0.5, 1 and 2 Mflop: vjp of 17-64-64-6 1.14, 1.14, 1.42, 1.42,
// of 64-64-32-10 0.96, 0.93, 1.17, 1.15, of 32-64x4-16 0.93, 1.03, 1.14, 1.15, of 128-128-10
// 0.87, 1.11, 0.98, 1.30; a Jacobian of 64-64-32-10 0.91, 1.15, 1.30, 1.33.
constexpr double kLeastFlopsToSplit = 5e5;

// Threads that share steps meet three times as often as in a forward pass
// (kLeastWeightBytesPerThread of network/plan.cpp), and gain where samples cannot be shared out
// evenly, or where these are so few that a thread's time is the reading of W and W^T. Measured on a
// Xeon, two threads, time by samples over time by steps, of vjp for 1, 2, 4, 8 samples:
// 784-256-128-10 2.1, 1.7, 1.8, 0.80; 784-512-256-128-10 2.9, 2.0, 2.1, 1.2; two of 23-256-256-1,
// 0.6 MB in all, 0.97, 0.88, 0.83, 0.60. Of a Jacobian of one sample, 10 rows: 1.0, 2.8; of
// 479-1024-1024-512-256-1, 1 row: 1.8.
constexpr std::size_t kLeastWeightBytesToShareSteps = std::size_t{384} * 1024;
constexpr std::size_t kMostRowsToShareSteps = 2;  // a thread

bool shares_steps(const ChainWork& work) {
  if (!work.steps) return false;
  const std::size_t threads = work.steps->threads;
  if (work.steps->from_memory) return true;
  if (work.weight_bytes < threads * kLeastWeightBytesToShareSteps) return false;
  const bool even = work.batch % threads == 0 || work.batch >= 4 * threads;
  return !even || work.batch * work.rows <= kMostRowsToShareSteps * threads;
}

std::size_t up(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

std::optional<std::size_t> first_factor(const Program& program, JacobianMode mode) {
  const auto alone = [&](std::size_t step) {
    const DenseStep* const dense = program.dense(step);
    return dense && dense->groups == 1 && program.steps()[step].inputs.size() == 1;
  };
  std::optional<std::size_t> found;
  if (mode == JacobianMode::forward) {
    found = program.only_reader(Program::kInput);
  } else {
    found = program.only_writer(program.output().buffer);
    if (found && std::holds_alternative<SoftmaxStep>(program.steps()[*found].operation)) {
      found = program.only_writer(program.steps()[*found].inputs[0].buffer);
    }
  }
  return found && alone(*found) ? found : std::nullopt;
}

}  // namespace

double jacobian_flops(const Program& program, JacobianMode mode) {
  double flops = program.flops();
  if (const auto first = first_factor(program, mode))
    flops -= static_cast<double>(program.dense(*first)->flops());
  const bool reverse = mode == JacobianMode::reverse;
  return flops * static_cast<double>(reverse ? program.out_features() : program.in_features());
}

JacobianRule jacobian_rule(const Program& program) {
  const double reverse = jacobian_flops(program, JacobianMode::reverse);
  const double forward = jacobian_flops(program, JacobianMode::forward);
  const JacobianMode mode = reverse <= forward ? JacobianMode::reverse : JacobianMode::forward;
  JacobianRule rule{mode, std::min(reverse, forward), first_factor(program, mode), std::nullopt};
  if (mode == JacobianMode::reverse && rule.first) {
    const Columns& in = program.steps()[*rule.first].inputs[0];
    const auto below = program.only_writer(in.buffer);
    if (below && program.dense(*below) && program.only_reader(in.buffer)) rule.below = below;
  }
  return rule;
}

std::size_t most_block_samples(const ChainWork& work, const CacheSizes& caches) {
  // What a block holds fills at most half of L2, the weights pass through the other half; but at
  // least 8 tiles of rows, so that weights that come from further away are used often enough.
  const std::size_t fitting = caches.l2 / 2 / std::max<std::size_t>(1, work.bytes);
  const std::size_t rows = std::max<std::size_t>(1, work.rows);
  return std::max<std::size_t>({1, fitting, up(8 * work.mr, rows)});
}

bool may_share_steps(const ChainWork& work) {
  return work.threads > 1 && work.weight_bytes >= 2 * kLeastWeightBytesToShareSteps;
}

ChainSplit split_chain(const ChainWork& work, const CacheSizes& caches) {
  if (shares_steps(work)) return {work.batch, work.steps->threads, 1, work.steps};
  const std::size_t rows = std::max<std::size_t>(1, work.rows);
  const std::size_t most = most_block_samples(work, caches);
  const double flops = work.flops * static_cast<double>(work.batch);
  const std::size_t threads = flops < kLeastFlopsToSplit ? 1 : work.threads;
  // Few samples make uneven shares: 3 on 2 threads would be 2 and 1.
  if (threads > 1 && work.batch < 4 * threads && work.batch % threads != 0 && work.batch <= most &&
      work.chain_flops * static_cast<double>(work.batch) >= kLeastFlopsToSplit) {
    return {work.batch, threads, std::min(threads, work.batch * rows)};
  }
  const std::size_t share = std::max<std::size_t>(1, up(work.batch, threads));
  const std::size_t blocks = up(share, most);
  return {up(share, blocks), work.batch <= up(share, blocks) ? 1 : threads, 1};
}

}  // namespace laminet

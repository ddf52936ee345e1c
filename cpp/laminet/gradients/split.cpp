#include "laminet/gradients/split.h"

#include <algorithm>

namespace laminet {
namespace {

// Below it the second thread costs more than it saves; as in network/plan.cpp.
constexpr double kLeastFlopsToSplit = 1e6;

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
  if (const auto first = first_factor(program, mode)) flops -= program.dense(*first)->flops();
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

ChainSplit split_chain(const ChainWork& work, const CacheSizes& caches) {
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

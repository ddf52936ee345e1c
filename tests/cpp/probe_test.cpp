// The probe's loops do the work that they are timed for, and its threads meet or say why not.
#include "laminet/probe/probe.h"

#include <cmath>
#include <stdexcept>

#include "fenced.h"
#include "laminet/base/parallel.h"
#include "support.h"

namespace laminet::probe {
namespace {

using testing::Fenced;
using testing::instruction_sets;

template <class T>
class ProbeLoops : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(ProbeLoops, Types);

// Chain i starts at i + 2 and halves its distance from 1 each round.
TYPED_TEST(ProbeLoops, EachChainTakesOneMultiplyAddARound) {
  using T = TypeParam;
  for (const auto* set : instruction_sets()) {
    const kernels::ProbeLoops<T>& loops = set->table<T>().probe;
    EXPECT_GE(loops.fma_chains, 12u) << set->name;
    for (const std::size_t rounds : {0, 1, 2, 7}) {
      const double lanes = static_cast<double>(loops.lanes);
      const double chains = static_cast<double>(loops.fma_chains);
      const double left = std::ldexp(1.0, -static_cast<int>(rounds));
      const double distances = chains * (chains + 1) / 2 * left;
      EXPECT_EQ(loops.fma(rounds), lanes * (chains + distances)) << set->name << ' ' << rounds;
      EXPECT_EQ(loops.dependent_fma(rounds), lanes * (1 + left)) << set->name << ' ' << rounds;
    }
  }
}

TYPED_TEST(ProbeLoops, EveryElementIsReadAndNoneBeyond) {
  using T = TypeParam;
  constexpr std::size_t n = 3 * 1024 / sizeof(T);
  Fenced<T> data(n);
  for (const auto* set : instruction_sets()) {
    const kernels::ProbeLoops<T>& loops = set->table<T>().probe;
    EXPECT_EQ(loops.read(data.data(), n, 1), 0);
    for (std::size_t i = 0; i < n; ++i) {
      data[i] = 1;
      EXPECT_EQ(loops.read(data.data(), n, 2), 1) << set->name << ' ' << i;
      data[i] = 0;
    }
  }
}

TEST(Probe, FiguresArePositive) {
  for (const auto* set : instruction_sets()) {
    EXPECT_GT(fma_rate<float>(*set, 1, 1e-3), 0);
    EXPECT_GT(fma_rate<double>(*set, 1, 1e-3), 0);
    EXPECT_GT(fma_latency<float>(*set, 1e-3), 0);
    EXPECT_GT(fma_latency<double>(*set, 1e-3), 0);
    EXPECT_GT(activation_time<float>(*set, ActivationKind::gelu, 1e-3), 0);
    EXPECT_GT(activation_time<double>(*set, ActivationKind::gelu, 1e-3), 0);
    EXPECT_GT(read_rate(*set, 1, 1, 1e-3), 0);
  }
  EXPECT_GT(handoff_time(1, 1e-3), 0);
}

TEST(Probe, RefusesThreadsThatThereAreNotAndNoBytes) {
  const auto& set = kernels::kGeneric;
  EXPECT_THROW(fma_rate<float>(set, 0, 1e-3), std::invalid_argument);
  EXPECT_THROW(fma_rate<float>(set, max_threads() + 1, 1e-3), std::invalid_argument);
  EXPECT_THROW(read_rate(set, 64, max_threads() + 1, 1e-3), std::invalid_argument);
  EXPECT_THROW(read_rate(set, 0, 1, 1e-3), std::invalid_argument);
  EXPECT_THROW(handoff_time(0, 1e-3), std::invalid_argument);
}

TEST(ParallelProbe, AllThreadsMeet) {
  const std::size_t before = num_threads();
  set_num_threads(max_threads());
  EXPECT_GT(fma_rate<float>(kernels::kGeneric, max_threads(), 5e-3), 0);
  EXPECT_GT(read_rate(kernels::kGeneric, 4096, max_threads(), 5e-3), 0);
  EXPECT_GT(handoff_time(max_threads(), 5e-3), 0);
  set_num_threads(before);
}

// From within a task the team is taken, so that the probe's tasks would run one after another.
TEST(ParallelProbe, ABusyTeamIsAnError) {
  const std::size_t before = num_threads();
  set_num_threads(max_threads());
  if (max_threads() == 1) GTEST_SKIP() << "one CPU: there is no team to be busy";
  parallel_for(2, [](std::size_t i) {
    if (i != 0) return;
    EXPECT_THROW(fma_rate<float>(kernels::kGeneric, 2, 1e-3), std::runtime_error);
    EXPECT_THROW(handoff_time(2, 1e-3), std::runtime_error);
  });
  set_num_threads(before);
}

}  // namespace
}  // namespace laminet::probe

// The plan of a batch: a pure function of sizes.
#include "laminet/network/plan.h"

#include <stdexcept>
#include <vector>

#include "laminet/network/build.h"
#include "support.h"

namespace laminet::testing {
namespace {

constexpr CacheSizes kCaches{32 * 1024, 1 << 20, 32 << 20};

double unknown() { return 0.0; }

Plan plan_of(const std::vector<std::size_t>& sizes, std::size_t batch, std::size_t threads,
             Backend backend = Backend::tiled, double (*handoff)() = unknown) {
  const Program program = chain_of(sizes);
  return make_plan({.weights = program.weights(),
                    .largest_weight = program.largest_weight(),
                    .width = program.widest_step(),
                    .batch = batch,
                    .element_size = 4,
                    .weight_size = 4,
                    .mr = 6,
                    .threads = threads,
                    .handoff = handoff,
                    .requested = backend,
                    .blas_available = true,
                    .fused = true},
                   kCaches);
}

const std::vector<std::size_t> kSmall = {17, 64, 64, 6};
const std::vector<std::size_t> kMedium = {784, 512, 256, 128, 10};
const std::vector<std::size_t> kLarge = {1024, 4096, 4096, 1024};

TEST(Plan, TinyWorkStaysOnTheCaller) {
  for (const std::size_t threads : {1u, 2u, 64u}) {
    const Plan plan = plan_of(kSmall, 1, threads);
    EXPECT_EQ(plan.split, Split::none);
    EXPECT_EQ(plan.threads, 1u);
  }
}

TEST(Plan, MoreWorkUsesMoreThreads) {
  std::size_t before = 1;
  for (const std::size_t batch : {1u, 8u, 64u, 512u, 4096u}) {
    const Plan plan = plan_of(kSmall, batch, 16);
    EXPECT_GE(plan.threads, before);
    EXPECT_LE(plan.threads, batch);
    before = plan.threads;
  }
  EXPECT_EQ(before, 16u);
  EXPECT_EQ(plan_of(kSmall, 8, 2).wake, Wake::in_a_series);
  EXPECT_EQ(plan_of(kSmall, 4096, 2).wake, Wake::always);
}

// Work that is level with what a second thread costs, by how long it takes to hand it over.
TEST(Plan, FarApartThreadsAreUsedForMoreWork) {
  const auto near = [] { return 0.05e-6; };
  const auto far = [] { return 0.2e-6; };
  const auto farther = [] { return 1e-6; };
  const auto threads = [](const auto& sizes, std::size_t batch, double (*handoff)()) {
    return plan_of(sizes, batch, 2, Backend::tiled, handoff).threads;
  };
  EXPECT_EQ(threads(kSmall, 16, unknown), 2u) << "178 kflop";
  EXPECT_EQ(threads(kSmall, 16, near), 2u);
  EXPECT_EQ(threads(kSmall, 16, far), 1u);
  EXPECT_EQ(threads(kSmall, 32, far), 2u) << "356 kflop";
  EXPECT_EQ(threads(kSmall, 128, farther), 1u) << "1.4 Mflop";
  EXPECT_EQ(threads(kSmall, 256, farther), 2u);
  const std::vector<std::size_t> wide = {784, 128, 10};  // 406 kB
  EXPECT_EQ(threads(wide, 1, far), 2u);
  EXPECT_EQ(threads(wide, 1, farther), 1u);
  const std::vector<std::size_t> square = {256, 256, 10};  // 272 kB
  EXPECT_EQ(threads(square, 4, near), 2u);
  EXPECT_EQ(threads(square, 4, far), 1u) << "less than a tile of rows each";
  EXPECT_EQ(threads(square, 7, far), 2u) << "a tile of rows each";
}

TEST(Plan, TheHandoffIsNotAskedForInVain) {
  const auto fails = []() -> double { throw std::logic_error("asked"); };
  EXPECT_NO_THROW(plan_of(kSmall, 1, 2, Backend::tiled, fails));
  EXPECT_NO_THROW(plan_of(kMedium, 4096, 1, Backend::tiled, fails));
  EXPECT_THROW(plan_of(kMedium, 4096, 2, Backend::tiled, fails), std::logic_error);
  EXPECT_NO_THROW(plan_of(kMedium, 4096, 2, Backend::blas, fails)) << "its bits depend on the rows";
}

TEST(Plan, FewRowsOfLargeWeightsShareEachLayer) {
  EXPECT_EQ(plan_of(kMedium, 1, 2).split, Split::layers);
  EXPECT_EQ(plan_of(kMedium, 64, 2).split, Split::layers);
  EXPECT_FALSE(plan_of(kMedium, 64, 2).from_memory);
  EXPECT_EQ(plan_of(kMedium, 4096, 2).split, Split::rows);
  EXPECT_EQ(plan_of(kMedium, 1, 1).split, Split::none);
  EXPECT_EQ(plan_of(kMedium, 1, 64).threads, 17u) << "128 KiB a thread at least";
}

TEST(Plan, WeightsFromMemoryServeManyRowsAtATime) {
  for (const std::size_t threads : {1u, 2u}) {
    for (const std::size_t batch : {1u, 100u, 10000u}) {
      const Plan plan = plan_of(kLarge, batch, threads);
      EXPECT_EQ(plan.split, Split::layers);
      EXPECT_TRUE(plan.from_memory);
      EXPECT_EQ(plan.threads, threads);
      EXPECT_GE(plan.chunk_rows, 192u);
      EXPECT_LE(plan.chunk_rows * 8192 * 4, kCaches.l3 / 2);
    }
  }
}

TEST(Plan, BlasSplitsRowsOnly) {
  for (const auto& sizes : {kSmall, kMedium, kLarge}) {
    for (const std::size_t batch : {0u, 1u, 8u, 1000u}) {
      const Plan plan = plan_of(sizes, batch, 2, Backend::blas);
      EXPECT_EQ(plan.backend, Backend::blas);
      EXPECT_NE(plan.split, Split::layers);
      std::size_t rows = 0;
      for (std::size_t i = 0; i < plan.blocks.count(); ++i) rows += plan.blocks[i].count;
      EXPECT_EQ(rows, batch);
    }
  }
}

}  // namespace
}  // namespace laminet::testing

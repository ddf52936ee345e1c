// How much of a shared cache plans count on.
#include "laminet/base/cpu_info.h"

#include "support.h"

namespace laminet::testing {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

TEST(CacheShare, IsThatOfTheCpusThatMayBeUsed) {
  const CacheLevel cache{3, 32 * kMiB, 8};
  EXPECT_EQ(counted_on(cache, 8), 32 * kMiB);
  EXPECT_EQ(counted_on(cache, 2), 8 * kMiB);
  EXPECT_EQ(counted_on(cache, 64), 32 * kMiB) << "other CPUs have other caches";
  EXPECT_EQ(counted_on(cache, 0), 4 * kMiB);
}

TEST(CacheShare, IsNoMoreThanCpusHave) {
  EXPECT_EQ(counted_on({3, 480 * kMiB, 2}, 2), 32 * kMiB) << "that of the host";
  EXPECT_EQ(counted_on({3, 480 * kMiB, 96}, 96), 480 * kMiB);
  EXPECT_EQ(counted_on({3, 480 * kMiB, 96}, 2), 10 * kMiB);
  EXPECT_EQ(counted_on({3, 8 * kMiB, 0}, 2), 8 * kMiB) << "who shares it is not told";
}

}  // namespace
}  // namespace laminet::testing
